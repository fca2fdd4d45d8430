"""Lines of a source -> records as texts with the codes of their formats; then bodies and fields of them. ``Reader.read`` is the way of every line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ra_sdk.formats import traces
from ra_sdk.formats.comments import Comments
from ra_sdk.formats.containers import Container
from ra_sdk.formats.framing import starts
from ra_sdk.formats.headless import HEADLESS
from ra_sdk.formats.layouts import PLAIN
from ra_sdk.formats.patterns import COLOUR
from ra_sdk.formats.recognising import NONE, Recogniser
from ra_sdk.formats.structured import DecodedFormat
from ra_sdk.formats.unwrapping import DEEPEST, REACH, united, unwrapped
from ra_sdk.formats.w3c import Sections

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Reader", "Records"]


@dataclass(frozen=True)
class Records:
    """Records as text. ``codes``: of each one's format in ``reader.kinds``, NONE for none; or one code for all.

    ``first``, ``last``: the numbers of their lines among those that were read; None: each is a line. ``outer``: what containers said of them,
    with columns ``time``, ``level`` and ``outer``. ``back``: lines at the end that belong to records which may go on, and are not among these.
    """

    reader: Reader
    texts: pl.Series
    codes: pl.Series | int
    first: pl.Series | None = None
    last: pl.Series | None = None
    outer: pl.DataFrame | None = None
    back: int = 0

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, at: slice) -> Records:
        first, last, outer, codes = self.first, self.last, self.outer, self.codes
        return Records(
            self.reader,
            self.texts[at],
            codes if isinstance(codes, int) else codes[at],
            None if first is None else first[at],
            None if last is None else last[at],
            None if outer is None else outer[at],
        )

    def bodies(self) -> pl.Series:
        """The bodies."""
        return self.reader.bodies(self.texts, self.codes, 0)

    def fields(self, now: datetime) -> pl.DataFrame:
        """Columns ``timestamp``, ``severity`` and ``attributes``."""
        found = self.reader.fields(self.texts, self.codes, now, 0)
        return found if self.outer is None else _merged(found, self.outer, now)

    def programs(self, places: Sequence[int]) -> list[str]:
        """What writes the formats of some of the records; empty where that is not one program."""
        codes = [self.codes] * len(places) if isinstance(self.codes, int) else self.codes.gather(list(places)).to_list()
        return [getattr(self.reader.kinds[code], "program", "") if code >= 0 else "" for code in codes]

    def bodies_and_severities(self, now: datetime) -> tuple[pl.Series, pl.Series]:
        """The bodies, and the column ``severity`` of ``fields`` without the work for the others."""
        import polars as pl

        bodies, found = self.reader.bodies_and_severities(self.texts, self.codes, now, 0)
        return bodies, found if self.outer is None else self.outer.select(pl.coalesce(found, "level").alias("severity")).to_series()


class Reader:
    """Reads the lines of one source. Formats are those of ``kinds``, in order; ``only`` is the name of the one that is to be used."""

    def __init__(self, kinds: Sequence[Any], only: str | None = None) -> None:
        formats = [kind for kind in kinds if kind is not PLAIN and not isinstance(kind, Container)]
        named = [kind for kind in kinds if kind.name == only] if only else [kind for kind in kinds if kind is not PLAIN]
        self.plain = PLAIN in named
        self.otherwise = named[0] if only and not isinstance(named[0], Container) else HEADLESS  # reads what has no header
        self.kinds: list[Any] = [*named, *formats] if only and isinstance(named[0], Container) else named
        self._formats = formats
        if not only and len(named) > len(formats):
            self.kinds.insert(0, Comments(kinds))
        self.recogniser = Recogniser(tuple(self.kinds))
        self._sections = Sections(self.kinds)

    @cached_property
    def messages(self) -> Reader:
        """Reads the messages inside of records."""
        return Reader(self._formats)

    @cached_property
    def weak(self) -> list[int]:
        """Codes of the formats whose level may be a word of the message."""
        return [code for code, kind in enumerate(self.kinds) if getattr(kind, "weak", False)]

    def whole(self, texts: pl.Series) -> Records:
        """Texts that are records of their own."""
        return self._read(texts, joined=False, whole=True)

    def read(self, lines: pl.Series, *, whole: bool) -> Records:
        """Lines of a stream, joined to records. ``whole``: no more are to come."""
        records = self._read(lines, joined=True, whole=whole)
        self._sections.passed(len(lines) - records.back)
        return records

    def next_file(self, fields: str = "") -> None:
        """What comes next is the beginning of another file, or the part of it below this ``#Fields:`` line."""
        self._sections.reset(fields)

    def _read(self, lines: pl.Series, *, joined: bool, whole: bool) -> Records:
        if self.plain:
            return Records(self, lines, NONE)
        codes = self.recogniser.codes(lines)
        if joined and self._comment >= 0:
            codes = self._sections.codes(lines, codes, self._comment)
        one = _only_code(codes)
        if one is not None and one != NONE and self._simple(one) and not (joined and traces.any_in(lines, self.kinds[one])):
            held = min(len(lines), traces.open_lines(self.kinds[one])) if joined and not whole else 0
            return Records(self, lines[: len(lines) - held], one, back=held)
        return self._framed(unwrapped(self, lines, codes), len(lines), joined=joined, whole=whole)

    def _simple(self, code: int) -> bool:
        kind = self.kinds[code]
        return not isinstance(kind, Container | Comments) and not getattr(kind, "until", "")

    def _framed(self, frame: pl.DataFrame, count: int, *, joined: bool, whole: bool) -> Records:
        """Records of the unwrapped lines: columns ``row``, ``end``, ``key``, ``text``, ``code``, and those of containers if there are any."""
        import polars as pl

        frame = frame.filter(pl.col("code") != self._comment) if joined else frame
        streams = "key" in frame.columns and frame["key"].n_unique() > 1
        frame = frame.sort("key", "row", maintain_order=True) if streams else frame
        frame = _begun(frame) if joined else frame
        if joined and len(frame):
            gap = frame["row"].cast(pl.Int64) - frame["end"].cast(pl.Int64).shift(1)
            begins = starts(frame["text"], frame["code"], self.kinds, (gap == 1).fill_null(value=False), whole=whole)
            begins |= _apart(frame, streams)
            frame = _joined(frame, begins)
        frame = frame.sort("row") if streams else frame
        frame = traces.together(frame, self.kinds) if joined else frame
        back = 0 if whole or not joined else traces.held(frame, self.kinds, count, _held(frame, count, streams))
        frame = frame.filter(pl.col("row") < count - back) if back else frame
        frame = self._again(frame)
        outer = frame.select("time", "level", "outer") if "outer" in frame.columns else None
        return Records(self, frame["text"], frame["code"], frame["row"], frame["end"], outer, back)

    @property
    def _comment(self) -> int:
        return 0 if isinstance(self.kinds[0], Comments) else NONE - 1

    def _again(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Records of several lines whose first line has no header: JSON over several lines is JSON."""

        some = (frame["code"] == NONE) & frame["text"].str.starts_with("{") & frame["text"].str.contains("\n", literal=True)
        if not some.any():
            return frame
        codes = Recogniser(self.kinds).codes(frame["text"].filter(some))
        return frame.with_columns(code=frame["code"].scatter(some.arg_true(), codes))

    def bodies(self, texts: pl.Series, codes: pl.Series | int, depth: int) -> pl.Series:
        """Bodies of records, with the headers in messages taken off too."""
        import polars as pl

        parts = []
        for kind, rows, some in _by_kind(self, texts, codes):
            bodies = _uncoloured(kind, kind.bodies(some))
            if getattr(kind, "nested", False) and depth < DEEPEST:
                bodies = self._inner_bodies(bodies, depth)
            if rows is None:
                return bodies
            parts.append(pl.DataFrame({"row": rows, "body": bodies}))
        return pl.concat(parts).sort("row")["body"] if parts else texts

    def _inner_bodies(self, bodies: pl.Series, depth: int) -> pl.Series:
        rows, codes = self._inner_codes(bodies)
        if rows is None:
            return bodies
        return bodies.scatter(rows, self.messages.bodies(bodies.gather(rows), codes, depth + 1))

    def _inner_codes(self, bodies: pl.Series) -> tuple[pl.Series | None, pl.Series]:
        """The rows of bodies that have a header of their own, and the codes of those."""
        rows = bodies.str.contains(_HEADED).arg_true()
        if not len(rows):
            return None, rows
        codes = self.messages.recogniser.codes(bodies.gather(rows))
        known = codes != NONE
        return (rows.filter(known), codes.filter(known)) if known.any() else (None, codes)

    def fields(self, texts: pl.Series, codes: pl.Series | int, now: datetime, depth: int) -> pl.DataFrame:
        """Time, severity and attributes of records, those of headers in messages too."""
        import polars as pl

        parts = []
        for kind, rows, some in _by_kind(self, texts, codes):
            found: pl.DataFrame = kind.fields(some, now)
            if getattr(kind, "nested", False) and depth < DEEPEST:
                levelled = getattr(kind, "states_level", False)
                found = self._inner_fields(_uncoloured(kind, kind.bodies(some)), found, now, depth, levelled=levelled)
            if rows is None:
                return found
            parts.append(found.with_columns(rows.alias("row")))
        return pl.concat(parts).sort("row").drop("row")

    def bodies_and_severities(self, texts: pl.Series, codes: pl.Series | int, now: datetime, depth: int) -> tuple[pl.Series, pl.Series]:
        """``bodies``, and the column ``severity`` of ``fields``."""
        import polars as pl

        parts = []
        for kind, rows, some in _by_kind(self, texts, codes):
            bodies = _uncoloured(kind, kind.bodies(some))
            found: pl.Series = kind.severities(some) if hasattr(kind, "severities") else kind.fields(some, now)["severity"]
            if getattr(kind, "nested", False) and depth < DEEPEST:
                bodies, found = self._inner_both(bodies, found, now, depth, levelled=getattr(kind, "states_level", False))
            if rows is None:
                return bodies, found.alias("severity")
            parts.append(pl.DataFrame({"row": rows, "body": bodies, "severity": found}))
        whole = pl.concat(parts).sort("row")
        return whole["body"], whole["severity"]

    def _inner_both(self, bodies: pl.Series, outer: pl.Series, now: datetime, depth: int, *, levelled: bool) -> tuple[pl.Series, pl.Series]:
        rows, codes = self._inner_codes(bodies)
        if rows is None:
            return bodies, outer
        own = bodies.gather(rows)
        inner, found = self.messages.bodies_and_severities(own, codes, now, depth + 1)
        rightful = self._rightful(own, codes, outer.gather(rows), found, levelled=levelled)
        return bodies.scatter(rows, inner), outer.scatter(rows, rightful)

    def _rightful(self, bodies: pl.Series, codes: pl.Series, outer: pl.Series, inner: pl.Series, *, levelled: bool) -> pl.Series:
        """The severities of records whose message has a header too. ``levelled``: the outer level is the program's own."""
        import polars as pl

        weak = codes.is_in(self.messages.weak)
        if not levelled:  # a priority is often that of the pipe: only a word as in a sentence gives way to it
            weak &= bodies.str.contains("^[A-Z][a-z]+:")
        both = pl.DataFrame({"outer": outer, "inner": inner, "weak": weak})
        return both.select(severity=pl.when("weak").then(pl.coalesce("outer", "inner")).otherwise(pl.coalesce("inner", "outer"))).to_series()

    def _inner_fields(self, bodies: pl.Series, outer: pl.DataFrame, now: datetime, depth: int, *, levelled: bool) -> pl.DataFrame:
        """``outer``, with what the headers in the messages say. ``levelled``: the outer level is the program's own."""
        import polars as pl

        rows, codes = self._inner_codes(bodies)
        if rows is None:
            return outer
        own, said = bodies.gather(rows), outer[rows]
        inner = self.messages.fields(own, codes, now, depth + 1)
        both = inner.select(
            timestamp=pl.coalesce(said["timestamp"], inner["timestamp"]),
            severity=self._rightful(own, codes, said["severity"], inner["severity"], levelled=levelled),
            attributes=united(said["attributes"], inner["attributes"]),
        )
        return outer.select(column.scatter(rows, both[column.name]) for column in outer)


_HEADED = (  # what a message that begins with a header looks like, roughly
    r"^(?:[\[(<]?[0-9]{2,4}[-/.:][0-9]{2}|[\[(<]|[A-Z][a-z]{2} [ 0-9]|[A-Z]{3,8}[:\s|\[]|[IWEF][0-9]{4} |\{|[a-z_@]+=|[a-z]{4,8}:|%[A-Z]|"
    r"[A-Z][a-z]{3,8}:|[EWNI]: |Error (?:resp|from )|CMake |npm |[A-Za-z0-9_./+-]+\.[A-Za-z]+[:(][0-9]|"
    r"[a-z_/][A-Za-z0-9_.+/-]*(?:[\[(<][^\])>\n]*[\])>])*: (?:\[|\*|[A-Za-z ]{4,11}:|error processing)|"
    r"[0-9a-fA-F.:]+(?::[0-9]{1,5} \[| - )|[0-9]+:[A-Z] |[0-9]{2}\[[A-Z]{3}\]|[0-9]*,[0-9]*,)"
)


def _uncoloured(kind: Any, bodies: pl.Series) -> pl.Series:
    """Bodies of decoded records without colours, which were no characters in the line."""
    if isinstance(kind, DecodedFormat) and bodies.str.contains("\x1b[", literal=True).any():
        return bodies.str.replace_all(COLOUR, "").str.strip_chars_end("\r")
    return bodies


def _only_code(codes: pl.Series) -> int | None:
    if not len(codes):
        return NONE
    low: Any = codes.min()
    return int(low) if low == codes.max() else None


def _by_kind(reader: Reader, texts: pl.Series, codes: pl.Series | int) -> list[tuple[Any, pl.Series | None, pl.Series]]:
    """The formats of records, with the rows that have each, and their texts; None instead of rows for all of them."""

    if isinstance(codes, int) or not len(codes):
        codes = codes if isinstance(codes, int) else NONE
        return [(reader.kinds[codes] if codes >= 0 else reader.otherwise, None, texts)]
    found = codes.unique().to_list()
    if len(found) == 1:
        return [(reader.kinds[found[0]] if found[0] >= 0 else reader.otherwise, None, texts)]
    parts = []
    for code in found:
        hit = codes == code
        parts.append((reader.kinds[code] if code >= 0 else reader.otherwise, hit.arg_true(), texts.filter(hit)))
    return parts


def _begun(frame: pl.DataFrame) -> pl.DataFrame:
    """Without the blank lines in front, which belong to no record. A container's line is a record, even if it is blank."""
    import polars as pl

    own = pl.col("key") == "" if "key" in frame.columns else pl.lit(value=True)
    blank = own & (pl.col("code") == NONE) & ~pl.col("text").str.contains(r"\S")
    return frame.filter(~blank.cum_min()) if frame.head(1).select(blank.any()).item() else frame


def _apart(frame: pl.DataFrame, streams: bool) -> pl.Series:
    """Boolean: the line is the first of its stream, or far behind the one before it, or stands behind what was left out."""
    import polars as pl

    gap = pl.col("row").cast(pl.Int64) - pl.col("end").cast(pl.Int64).shift(1)
    far = (gap > (REACH if streams else 1)).fill_null(value=True)
    other = pl.col("key").ne_missing(pl.col("key").shift(1)) if streams else pl.lit(value=False)
    return frame.select((far | other).alias("apart")).to_series()


def _joined(frame: pl.DataFrame, begins: pl.Series) -> pl.DataFrame:
    import polars as pl

    if begins.all():
        return frame
    others = [pl.col(name).first() for name in frame.columns if name not in ("text", "end")]
    numbered = frame.with_columns(record=begins.cum_sum())
    lines = pl.col("text").str.join("\n").str.strip_chars_end(" \t\n")
    alone = pl.len() == 1
    text = pl.when(alone).then(pl.col("text").first()).otherwise(lines).alias("text")
    return numbered.group_by("record", maintain_order=True).agg(text, pl.col("end").last(), *others).drop("record")


def _held(frame: pl.DataFrame, count: int, streams: bool) -> int:
    """Lines at the end that have to wait: from the first line of the earliest record that may go on."""
    import polars as pl

    if not len(frame):
        return 0
    if not streams:
        return count - int(frame["row"][-1])
    last = frame.group_by("key").agg(pl.col("row", "end").last()).filter(pl.col("end").cast(pl.Int64) + REACH >= count)
    first: Any = last["row"].min()
    return 0 if first is None else count - int(first)


def _merged(found: pl.DataFrame, outer: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The runtime's time; the program's severity, else the runtime's; the attributes of both."""
    import polars as pl

    from ra_sdk.formats.times import iso_times

    return found.select(
        timestamp=pl.coalesce(iso_times(outer["time"], now), found["timestamp"]),
        severity=pl.coalesce(found["severity"], outer["level"]),
        attributes=united(outer["outer"], found["attributes"]),
    )
