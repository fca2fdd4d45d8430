"""W3C's extended log format (https://www.w3.org/TR/WD-logfile): a ``#Fields:`` line says what the lines after it hold.

IIS, HTTP.sys, Exchange, CloudFront, Windows Firewall. Each ``#Fields`` line makes a format of its own, which reads the lines
up to the next one; the reader of a file keeps which one is in force.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ra_sdk.formats.layouts import Layout, TableFormat
from ra_sdk.formats.times import reader

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Sections"]

NAME = "w3c"
DIRECTIVE = "#Fields:"
MOST_FIELDS = MOST_SECTIONS = 100  # what goes beyond is read as any other line
_NAMES = {  # fields that have a name in OpenTelemetry's conventions
    "c-ip": "client__address",
    "c-port": "client__port",
    "cs-method": "http__request__method",
    "cs-uri": "url__original",
    "cs-uri-stem": "url__path",
    "cs-uri-query": "url__query",
    "cs-username": "user__name",
    "cs(user-agent)": "user_agent__original",
    "cs(referer)": "http__request__referrer",
    "s-computername": "host__name",
    "s-ip": "server__address",
    "s-port": "server__port",
    "sc-bytes": "http__response__size",
    "sc-status": "http__response__status_code",
}
_STATUS = "http__response__status_code"
_REQUEST = f"{{http__request__method}} {{PATH:path}}: {{{_STATUS}}} {{{_STATUS}:reason}}"


class Sections:
    """The lines below each ``#Fields`` line, over all pieces of a file. Their formats are added to ``kinds`` as they come up."""

    def __init__(self, kinds: list[Any]) -> None:
        self.kinds, self._known = kinds, dict[str, int]()
        self._current, self._ahead = -1, list[tuple[int, int]]()

    def codes(self, lines: pl.Series, codes: pl.Series, comment: int) -> pl.Series:
        """``codes``, with those of the lines of sections put in. ``comment``: the code of lines that are not records."""
        import polars as pl

        hashes = codes == comment
        marks = lines.filter(hashes).str.starts_with(DIRECTIVE)
        rows = hashes.arg_true().filter(marks).to_list() if marks.any() else []
        self._ahead = [(row, self._section(lines[row])) for row in rows]
        spans = [(0, self._current), *self._ahead, (len(lines), -1)]
        for (first, code), (end, _) in pairwise(spans):
            if code >= 0 and end > first:
                hit = self.kinds[code].has(lines[first:end]) & ~hashes[first:end]
                codes = codes.scatter(hit.arg_true() + first, pl.Series([code], dtype=codes.dtype)) if hit.any() else codes
        return codes

    def passed(self, count: int) -> None:
        """The first ``count`` lines are done with; the next piece begins with the one behind them."""
        for row, code in self._ahead:
            if row < count:
                self._current = code
        self._ahead = []

    def reset(self, fields: str = "") -> None:
        """Another file begins, or the part of one below this ``#Fields:`` line."""
        self._current, self._ahead = self._section(fields) if fields else -1, []

    def _section(self, directive: str) -> int:
        if directive not in self._known and len(self._known) < MOST_SECTIONS and (kind := format_of(directive)) is not None:
            self._known[directive] = len(self.kinds)
            self.kinds.append(kind)
        return self._known.get(directive, -1)


@lru_cache(64)
def format_of(directive: str) -> TableFormat | None:
    """The format that a ``#Fields`` line describes; None where it names too few fields or too many to be one."""
    fields = [field for field in re.split(r"[\s,]+", directive[len(DIRECTIVE) :]) if field]
    if not 2 <= len(fields) <= MOST_FIELDS:
        return None
    separators = [","] if re.search(r"\S,\S", directive) else [" ", "\t"]
    return TableFormat(NAME, tuple(_layout([field.lower() for field in fields], separator) for separator in separators))


def _layout(fields: list[str], separator: str) -> Layout:
    times = reader(f"%Y-%m-%d{separator}%H:%M:%S") if ("date", "time") in pairwise(fields) else reader("any")
    parts, names = list[str](), set[str]()
    for field in fields:
        name = _name(field, fields)
        if name == "date":
            continue
        name = f"{name}_x{len(names)}" if name in names else name
        names.add(name)
        parts.append(_group(name, separator, dated="date" in fields))
    path = next((name for name in ("url__path", "url__original") if name in names), "")
    asked = path and {"http__request__method", _STATUS} <= names
    if asked:
        return Layout(separator.join(parts) + r"\s*(?m:$)", times, template=_REQUEST.replace("PATH", path))
    head = [part for part in parts if part.startswith("(?P<time>")]
    rest = separator.join(part for part in parts if part not in head)
    return Layout("".join(part + separator for part in head) + f"(?P<body>{rest})" + r"\s*(?m:$)", times)


def _name(field: str, fields: list[str]) -> str:
    if field == "date" and "time" in fields and fields.index("time") == fields.index("date") + 1:
        return "date"
    if field in ("time", "date-time", "datetime"):
        return "time"
    name = re.sub(r"[^0-9a-z]+", "_", field).strip("_")
    return _NAMES.get(field) or (f"field_{name}" if name in ("", "body", "pri") or name[:1].isdigit() else name)


def _group(name: str, separator: str, *, dated: bool) -> str:
    value = '"[^"]*"|[^,]*' if separator == "," else rf'"[^"]*"|[^{separator}]+'
    if name == "time":
        return rf"(?P<time>\d{{4}}-\d\d-\d\d{separator}\S+)" if dated else rf"(?P<time>[^{separator}]+)"
    return f"(?:-|(?P<{name}>{value}))"
