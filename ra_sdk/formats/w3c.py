"""W3C extended logs (IIS, CloudFront, Windows Firewall, Exchange): a ``#Fields`` line says what the columns of the lines below it are.

https://www.w3.org/TR/WD-logfile.html. The fields may change within a file, so that they are a state of whoever reads it.
"""

from __future__ import annotations

import re
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ra_sdk.formats.layouts import Layout, TableFormat
from ra_sdk.formats.times import iso_times

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Sections"]

MARK = "#Fields:"
MOST_FIELDS, MOST_SECTIONS = 100, 100  # what goes beyond is read as any other line
_NAMES = {
    "c-ip": "client__address",
    "c-port": "client__port",
    "cs-bytes": "http__request__size",
    "cs-host": "url__domain",
    "cs-method": "http__request__method",
    "cs-uri": "url__path",
    "cs-uri-query": "url__query",
    "cs-uri-stem": "url__path",
    "cs-username": "user__name",
    "cs(Host)": "url__domain",
    "cs(Referer)": "http__request__referrer",
    "cs(User-Agent)": "user_agent__original",
    "s-computername": "host__name",
    "s-ip": "server__address",
    "s-port": "server__port",
    "sc-bytes": "http__response__size",
    "sc-status": "http__response__status_code",
    "time-taken": "duration",
}
_REQUEST = ("http__request__method", "url__path", "http__response__status_code")
_STATUS = "{http__response__status_code} {http__response__status_code:reason}"


class Sections:
    """The lines below each ``#Fields`` line, over all pieces of a file. Their formats are added to ``kinds`` as they come up."""

    def __init__(self, kinds: list[Any]) -> None:
        self.kinds, self._known = kinds, dict[str, int]()
        self._current, self._ahead = -1, list[tuple[int, int]]()

    def codes(self, lines: pl.Series, codes: pl.Series, comment: int) -> pl.Series:
        """``codes``, with those of the lines of sections put in. ``comment``: the code of lines that are no records."""
        import polars as pl

        hashes = codes == comment
        marks = lines.filter(hashes).str.starts_with(MARK)
        rows = hashes.arg_true().filter(marks).to_list() if marks.any() else []
        self._ahead = [(row, self._section(lines[row].removeprefix(MARK))) for row in rows]
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

    def reset(self) -> None:
        """Another file begins."""
        self._current, self._ahead = -1, []

    def _section(self, text: str) -> int:
        fields = text.split()
        key = " ".join(fields)
        if key not in self._known and 2 <= len(fields) <= MOST_FIELDS and len(self._known) < MOST_SECTIONS:
            self._known[key] = len(self.kinds)
            self.kinds.append(_format(fields))
        return self._known.get(key, -1)


def _format(fields: list[str]) -> TableFormat:
    """The format of lines with these fields. A request's body says method, path and status; any other names its values."""
    parts, names, told = list[str](), list[str](), list[str]()
    for before, field in zip(["", *fields], fields):
        name = _group(field)
        if (before, field) == ("date", "time"):
            parts[-1] = r"(?P<time>\S+[ \t]\S+)"
            names[-1] = "time"
            told.pop()
        elif name in names:
            parts.append(r"(?:\"[^\"]*\"|\S+)")
        else:
            parts.append(rf'(?:-|(?P<{name}>"[^"]*"|\S+))')
            names.append(name)
            told.append(f"{field}={{{name}}}")
    body = "{http__request__method} {url__path:path}: " + _STATUS if set(_REQUEST) <= set(names) else " ".join(told)
    return TableFormat("w3c", (Layout(r"[ \t]".join(parts) + r"[ \t]*(?m:$)", _times, template=body),), "W3C extended logs, by their #Fields line")


def _group(field: str) -> str:
    """A field's name as a group's."""
    if field in _NAMES:
        return _NAMES[field]
    name = re.sub(r"_+(\d)$", r"\1", re.sub(r"\W+", "_", field, flags=re.ASCII).strip("_").lower())
    return name if name[:1].isalpha() and name not in ("body", "pri", "time", "severity") else f"x{name}"


def _times(texts: pl.Series, now: datetime) -> pl.Series:
    return iso_times(texts.str.replace("\t", " ", literal=True), now)
