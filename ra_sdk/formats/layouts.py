"""Formats that regular expressions describe, worked on by columns: what a ``[[format]]`` of the registry becomes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ra_sdk.formats.patterns import expanded, uncaptured
from ra_sdk.formats.requests import described, unreadable
from ra_sdk.formats.severities import priority, severities_of, severity_expr
from ra_sdk.formats.times import Times, iso_times

if TYPE_CHECKING:
    import polars as pl

__all__ = ["PLAIN", "Example", "Layout", "Plain", "TableFormat", "Trace", "objects"]

INTEGERS = frozenset("process.pid thread.id code.line.number http.response.status_code http.response.size log.syslog.facility.code".split())
_ESCAPED = r'["\\\x00-\x1f]'  # what JSON has escapes for (RFC 8259, 7)
_SPECIAL = ("body", "time", "severity", "pri")  # groups that are no attributes
_REASONS = {str(status.value): status.phrase for status in HTTPStatus}


@dataclass(frozen=True)
class Example:
    """A line (or record) of a format, and what it must give; what is None is not tested."""

    line: str
    timestamp: str | None = None
    severity: str | None = None
    body: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """One way a record may begin.

    ``header``: Rust pattern without ``^``. Of its groups, ``time`` and ``severity`` are read; ``pri`` is a syslog priority (RFC 5424, 6.2.1);
    ``body`` marks a body that is not simply what follows; every other group becomes an attribute, with a dot for two underscores
    (``host__name``). ``_2``, ``_3``… at the end of a name make it another place for the same group. ``words``: severities of the format's own
    words. ``template``: the body, with groups in braces; ``{name:reason}`` is the words
    for an HTTP status, ``{name:path}`` the kind of a URL's path and the path,
    ``{name:junk}`` what a client sent that is not a request,
    ``{name:quoted}`` a text with doubled quotes undone, ``{name:line}`` the same on a line of its own behind the name in capitals, if there is any.
    """

    header: str
    times: Times = iso_times
    words: Mapping[str, str] = field(default_factory=dict)
    template: str = ""

    @cached_property
    def names(self) -> list[str]:
        """Names of the header's groups."""
        return re.findall(r"\(\?P<(\w+)>", expanded(self.header))

    @cached_property
    def pattern(self) -> str:
        """The header without groups, but for the body's."""
        return uncaptured(expanded(self.header), keep=() if self.template else ("body",))

    def groups(self, records: pl.Series, only: Collection[str] | None = None) -> pl.DataFrame:
        """What the header's groups (or ``only`` some) hold, the places of one name put together; nulls where they are empty."""
        import polars as pl

        header = expanded(self.header) if only is None else uncaptured(expanded(self.header), only)
        found = records.str.extract_groups("^" + header).struct.unnest()
        places: dict[str, list[str]] = {}
        for name in found.columns:
            places.setdefault(re.sub(r"_\d$", "", name), []).append(name)
        columns = [pl.coalesce(pl.when(pl.col(each) != "").then(pl.col(each)) for each in of).alias(name) for name, of in places.items()]
        return found.select(columns) if columns else pl.DataFrame({"none": pl.Series([None] * len(records), dtype=pl.String)})

    def bodies(self, records: pl.Series) -> pl.Series:
        """What follows the header, or what the template makes of it."""
        if not self.template:
            return records.str.replace("^" + self.pattern, "${1}" if "body" in self.names else "")
        return _filled(self.template, self.groups(records))

    def fields(self, records: pl.Series, now: datetime) -> pl.DataFrame:
        """Columns ``timestamp``, ``severity`` and ``attributes`` of records that begin so."""
        import polars as pl

        frame = self.groups(records)
        names = frame.columns
        times = self.times(frame["time"], now) if "time" in names else pl.Series([None] * len(frame), dtype=pl.Datetime("us", "UTC"))
        frame = frame.with_columns(times.alias("timestamp"), severity_expr(names, self.words).alias("level"))
        left = [pl.when(pl.col("timestamp").is_null()).then("time").alias("time")] if "time" in names else []
        left += [pl.when(pl.col("level").is_null()).then("severity").alias("severity_text")] if "severity" in names else []
        left += [(priority() // 8).cast(pl.String).alias("log.syslog.facility.code")] if "pri" in names else []
        others = [name for name in names if name not in _SPECIAL and f"{{{name}:line}}" not in self.template]
        attributes = objects(frame.select(*(pl.col(name).alias(name.replace("__", ".")) for name in others), *left))
        return frame.select("timestamp", pl.col("level").alias("severity")).with_columns(attributes.alias("attributes"))

    def severities(self, records: pl.Series) -> pl.Series:
        """The column ``severity`` of ``fields``."""
        return severities_of(self, records)


def _filled(template: str, groups: pl.DataFrame) -> pl.Series:
    import polars as pl

    parts: list[pl.Expr] = []
    for text, name, what in re.findall(r"([^{]*)(?:\{(\w+)(?::(\w+))?\})?", template):
        if text:
            parts.append(pl.lit(text))
        if name:
            column = pl.col(name)
            if what == "reason":
                column = column.replace_strict(_REASONS, default="", return_dtype=pl.String)
            elif what == "path":
                column = described(column)
            elif what == "junk":
                column = unreadable(column)
            elif what in ("quoted", "line"):
                column = column.str.replace_all('""', '"', literal=True)
                column = (pl.lit(f"\n{name.upper()}:  ") + column if what == "line" else column).fill_null("")
            parts.append(column.fill_null("-"))
    return groups.select(pl.concat_str(parts).str.strip_chars_end(" ").alias("body")).to_series()


def objects(columns: pl.DataFrame) -> pl.Series:
    """One JSON object a row, of what is not null and not empty; null for nothing."""
    import polars as pl

    told = [series for series in columns if series.null_count() < len(series)]
    if not told:
        return pl.Series([None] * len(columns), dtype=pl.String)
    members = pl.concat_str([_members(series) for series in told]).str.strip_suffix(",")
    inner = pl.DataFrame(told).select(members.alias("inner"))
    return inner.select(pl.when(pl.col("inner") != "").then("{" + pl.col("inner") + "}")).to_series()


def _members(series: pl.Series) -> pl.Expr:
    """A column as ``"name":value,``, or as nothing where there is no value; escaped only where needed, which is four times as fast."""
    import polars as pl

    column, name = pl.col(series.name), f'"{series.name}":'
    if series.str.contains(_ESCAPED).any():
        texts = pl.struct(series.name).struct.json_encode().str.strip_prefix("{" + name).str.strip_suffix("}")
    else:
        texts = '"' + column + '"'
    if series.name in INTEGERS:
        texts = pl.when(column.str.contains("^(?:0|[1-9][0-9]{0,17})$")).then(column).otherwise(texts)
    return pl.when(column != "").then(name + texts + ",").otherwise(pl.lit(""))


@dataclass(frozen=True)
class Trace:
    """How lines with a header each are one record: a stack trace that was logged line by line.

    ``same``: groups of the header that its lines share. ``continues``: bodies that continue the line before with the
    same groups. ``after``: bodies that any such line continues.
    """

    same: tuple[str, ...]
    continues: str
    after: str


@dataclass(frozen=True)
class TableFormat:
    """A format by its layouts; patterns are Rust's.

    ``unless``: what no line of it matches. ``continuation``: lines that continue a record of it. ``until``: a record goes on to a line that
    matches this. ``comment``: lines to leave out. ``nested``: bodies may have a header of another format. ``weak``: its
    level may be a word of the message, so that a level in the header around it is right. ``trace``: lines that are one
    record though each has a header. ``origin``: where it comes from. ``program``: what writes this format, if one program or product does.
    """

    name: str
    layouts: tuple[Layout, ...]
    about: str = ""
    unless: str = ""
    continuation: str = ""
    until: str = ""
    comment: str = ""
    nested: bool = False
    weak: bool = False
    trace: Trace | None = None
    examples: tuple[Example, ...] = ()
    origin: str = "ra_sdk"
    program: str = ""

    @cached_property
    def states_level(self) -> bool:
        """Whether its headers have the program's own level, which a syslog priority is not."""
        return any(name.startswith("severity") for layout in self.layouts for name in layout.names)

    @cached_property
    def closed(self) -> bool:
        """Whether nothing continues its records: bodies that are made of a request's parts would not show it."""
        return any(":reason}" in layout.template for layout in self.layouts)

    @cached_property
    def pattern(self) -> str:
        """Pattern of every header, without groups."""
        return f"^(?:{'|'.join(uncaptured(layout.pattern) for layout in self.layouts)})"

    def has(self, lines: pl.Series) -> pl.Series:
        """Boolean: the line begins a record of this format."""
        found = lines.str.contains(self.pattern)
        if not self.unless or not found.any():
            return found
        return found.scatter(found.arg_true(), ~lines.filter(found).str.contains(expanded(self.unless)))

    def bodies(self, records: pl.Series) -> pl.Series:
        """What follows the header; the whole record where there is none."""
        if any(layout.template for layout in self.layouts):
            parts = [pl_rows(rows, body=rows_bodies(layout, rows)) for layout, rows in self._by_layout(records)]
            return _sorted(parts)["body"]
        inner = "|".join(layout.pattern for layout in self.layouts)
        marked = inner.count("(?P<body>")
        if marked < 2:
            return _undented(records.str.replace(f"^(?:{inner})", "${1}" if marked else ""))
        return _sorted([pl_rows(rows, body=rows_bodies(layout, rows)) for layout, rows in self._by_layout(records)])["body"]

    def fields(self, records: pl.Series, now: datetime) -> pl.DataFrame:
        """Time, severity and attributes of the headers."""
        parts = []
        for layout, rows in self._by_layout(records):
            found = PLAIN.fields(rows["record"], now) if layout is None else layout.fields(rows["record"], now)
            parts.append(found.with_columns(rows["row"]))
        return _sorted(parts)

    def severities(self, records: pl.Series) -> pl.Series:
        """The column ``severity`` of ``fields``."""
        if len(self.layouts) == 1:
            return self.layouts[0].severities(records)
        parts = []
        for layout, rows in self._by_layout(records):
            found = PLAIN.severities(rows["record"]) if layout is None else layout.severities(rows["record"])
            parts.append(pl_rows(rows, severity=found))
        return _sorted(parts)["severity"]

    def shared(self, records: pl.Series) -> pl.Series:
        """What lines of one trace have in common in their headers, as text."""
        import polars as pl

        parts = []
        for layout, rows in self._by_layout(records):
            groups = pl.DataFrame() if layout is None else layout.groups(rows["record"])
            names = [name for name in self.trace.same if name in groups.columns] if self.trace else []
            key = pl.concat_str([pl.lit(""), *names], separator=" ", ignore_nulls=True)
            parts.append(rows.select("row").with_columns(groups.select(names)).select("row", key=key))
        return _sorted(parts)["key"]

    def _by_layout(self, records: pl.Series) -> list[tuple[Layout | None, pl.DataFrame]]:
        """Columns ``row`` and ``record`` of the records that begin as each layout says; None for those that begin as none."""
        import polars as pl

        left, parts = pl.DataFrame({"record": records}).with_row_index("row"), list[tuple["Layout | None", pl.DataFrame]]()
        for layout in self.layouts:
            hit = left["record"].str.contains("^" + uncaptured(layout.pattern))
            if hit.any():
                parts.append((layout, left.filter(hit)))
                left = left.filter(~hit)
        return [*parts, (None, left)]


def rows_bodies(layout: Layout | None, rows: pl.DataFrame) -> pl.Series:
    """Bodies of the records of one layout."""
    return rows["record"] if layout is None else _undented(layout.bodies(rows["record"]))


def pl_rows(rows: pl.DataFrame, **columns: pl.Series) -> pl.DataFrame:
    """The numbers of rows, with columns for them."""
    return rows.select("row").with_columns(**columns)


def _sorted(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    import polars as pl

    return pl.concat(parts).sort("row").drop("row")


def _undented(bodies: pl.Series) -> pl.Series:
    """A message that begins on the line after its header, as the message."""
    return bodies.str.replace(r"^[ \t]*\n\s*", "") if bodies.str.contains(r"^[ \t]*\n").any() else bodies


class Plain:
    """A line is its own body."""

    name = "plain"
    about = "by name only: every line is a record, and its body"
    origin = "ra_sdk"

    def has(self, lines: pl.Series) -> pl.Series:
        """Every line."""
        import polars as pl

        return pl.repeat(value=True, n=len(lines), dtype=pl.Boolean, eager=True)

    def bodies(self, records: pl.Series) -> pl.Series:
        """The lines."""
        return records

    def severities(self, records: pl.Series) -> pl.Series:
        """Nothing is known."""
        import polars as pl

        return pl.Series("severity", [None] * len(records), dtype=pl.String)

    def fields(self, records: pl.Series, now: datetime) -> pl.DataFrame:  # noqa: ARG002
        """Nothing is known but the severity, if that is."""
        import polars as pl

        none = pl.Series([None] * len(records), dtype=pl.String)
        return pl.DataFrame({"timestamp": none.cast(pl.Datetime("us", "UTC")), "severity": self.severities(records), "attributes": none})


PLAIN = Plain()
