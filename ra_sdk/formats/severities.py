"""The severity of records, read from their headers: one by one, and faster where there are many."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ra_sdk.formats.patterns import SEVERITY, expanded, uncaptured

if TYPE_CHECKING:
    import polars as pl

    from ra_sdk.formats.layouts import Layout

__all__ = ["priority", "severities_of", "severity_expr"]

SAMPLE = 200  # records that are read first, where there are many
WORDS = 4  # words for a severity in the sample that are looked for in the others
_TELLING = ("severity", "pri", "http__response__status_code")  # groups that tell the severity
_CLASSES = {"1": "INFO", "2": "INFO", "3": "INFO", "4": "WARN", "5": "ERROR"}  # severities of HTTP's status classes
_FRONT_TIME = "^[\\[(]?" + expanded("{TIME}")
_LOOSE = re.compile(r"\)[*+{]|[*+]\?|(?<!\\)\.[*+]|\[\^\\n\][*+]")  # what may end in several places
_TOKEN = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|[()|]")


def severity_expr(names: Sequence[str], own: Mapping[str, str]) -> pl.Expr:
    """The severity, from the groups of a header that tell it. ``own``: words of the format's own."""
    import polars as pl

    found: list[pl.Expr] = []
    if "severity" in names:
        words = SEVERITY | {word.lower(): level for word, level in own.items()}
        lower = pl.col("severity").str.to_lowercase().str.strip_chars(" ")
        found.append(lower.replace_strict(words, default=None, return_dtype=pl.String))
    if "pri" in names:
        found.append((priority() % 8).cast(pl.String).replace_strict(SEVERITY, default=None, return_dtype=pl.String))
    if "http__response__status_code" in names:
        first = pl.col("http__response__status_code").str.head(1)
        found.append(first.replace_strict(_CLASSES, default=None, return_dtype=pl.String))
    return pl.coalesce(*found) if found else pl.lit(None, pl.String)


def priority() -> pl.Expr:
    """Syslog's priority as a number."""
    import polars as pl

    return pl.col("pri").cast(pl.Int64, strict=False)


def severities_of(layout: Layout, records: pl.Series) -> pl.Series:
    """The severities of records with this header (String), nulls where it has none."""
    import polars as pl

    telling = [name for name in layout.names if re.sub(r"_\d$", "", name) in _TELLING]
    if not telling:
        return pl.Series("severity", [None] * len(records), dtype=pl.String)
    many = len(records) > 2 * SAMPLE
    around = _around(layout.header) if telling == ["severity"] else None
    if many and around is not None:
        return _by_word(layout, records, *around)
    if many and not layout.template and "body" not in layout.names:
        return _by_rest(layout, records, telling)
    return _cut(layout, records, telling)


def _cut(layout: Layout, records: pl.Series, telling: Sequence[str]) -> pl.Series:
    """Severities cut out of every header."""
    frame = layout.groups(records, telling)
    return frame.select(severity=severity_expr(frame.columns, layout.words)).to_series()


def _by_word(layout: Layout, records: pl.Series, before: str, behind: str) -> pl.Series:
    """Severities of headers that always have a word for it: the few words of a sample are looked for, which is several times as fast as to cut."""
    import polars as pl

    sample = layout.groups(records.gather_every(len(records) // SAMPLE), ["severity"])
    said = sample.with_columns(level=severity_expr(sample.columns, layout.words)).drop_nulls()
    words = said.group_by("severity", "level").len().sort("len", descending=True).head(WORDS)
    found = pl.Series("severity", [None], dtype=pl.String).new_from_index(0, len(records))
    left = pl.int_range(len(records), dtype=pl.UInt32, eager=True)
    for word, level, _ in words.iter_rows():
        hit = (records if len(left) == len(records) else records.gather(left)).str.contains(f"^{before}{re.escape(word)}{behind}")
        if hit.all() and len(left) == len(records):
            return pl.repeat(level, len(records), dtype=pl.String, eager=True).alias("severity")
        found, left = found.scatter(left.filter(hit), level), left.filter(~hit)
    whole: pl.Series = found.scatter(left, _cut(layout, records.gather(left), ["severity"])) if len(left) else found
    return whole


def _by_rest(layout: Layout, records: pl.Series, telling: Sequence[str]) -> pl.Series:
    """Severities cut out of one header of those that are equal but for the time in front."""
    import polars as pl

    lengths = records.str.len_chars() - layout.bodies(records).str.len_chars()
    rests = records.to_frame("record").select(pl.col("record").str.head(lengths).str.replace(_FRONT_TIME, "")).to_series()
    first = rests.arg_unique()
    if len(first) > len(records) // 4:
        return _cut(layout, records, telling)
    found: pl.Series = rests.replace_strict(rests.gather(first), _cut(layout, records.gather(first), telling), return_dtype=pl.String)
    return found


@lru_cache(1024)
def _around(header: str) -> tuple[str, str] | None:
    """A header before and behind the word for a severity; None if it may be absent, is one of several, or has no certain place."""
    before, _, inner = expanded(header).partition("(?P<severity>")
    behind = _behind(inner)
    if _depth(before) or _LOOSE.search(before) or behind[:1] in ("?", "*", "{"):
        return None
    return uncaptured(before), uncaptured(behind)


def _depth(pattern: str) -> int:
    """How many groups are open at the end of a pattern, or 1 if it has alternatives outside of all groups."""
    depth = 0
    for part in _TOKEN.findall(pattern):
        depth += {"(": 1, ")": -1}.get(part, 0)
        if part == "|" and not depth:
            return 1
    return depth


def _behind(pattern: str) -> str:
    """What stands behind the end of the group in which a pattern begins."""
    depth = 1
    for part in _TOKEN.finditer(pattern):
        depth += {"(": 1, ")": -1}.get(part[0], 0)
        if not depth:
            return pattern[part.end() :]
    return "?"
