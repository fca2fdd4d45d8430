"""Stack traces that were logged line by line, each line with a header of its own: see ``layouts.Trace``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ra_sdk.formats.framing import LONGEST_RECORD_BYTES, LONGEST_RECORD_LINES
from ra_sdk.formats.patterns import ascii_classes

if TYPE_CHECKING:
    import polars as pl

__all__ = ["any_in", "held", "open_lines", "together"]

REACH = 20  # lines: what comes later than so many lines of others continues nothing


def any_in(lines: pl.Series, kind: Any) -> bool:
    """Whether lines of this format hold a trace, or what may begin one."""
    trace = getattr(kind, "trace", None)
    if trace is None:
        return False
    return bool(lines.str.contains(f"{kind.pattern}(?:{ascii_classes(trace.continues)}|{ascii_classes(trace.after)})").any())


def open_lines(kind: Any) -> int:
    """How many lines at the end may be continued by lines that are not there yet."""
    return REACH if getattr(kind, "trace", None) else 1


def together(frame: pl.DataFrame, kinds: Sequence[Any]) -> pl.DataFrame:
    """Records with the traces of each format put together. The lines that continue one lose their headers."""
    import polars as pl

    for code in _tracing(frame, kinds):
        mine = frame["code"] == code
        some = frame.filter(mine)
        if any_in(some["text"], kinds[code]):
            frame = pl.concat([frame.filter(~mine), _joined(some, kinds[code])]).sort("row", maintain_order=True)
    return frame


def held(frame: pl.DataFrame, kinds: Sequence[Any], count: int, back: int) -> int:
    """How many of the ``count`` lines have to wait, if ``back`` have to for other reasons.

    No record may begin before them and end among them.
    """
    import polars as pl

    rows, ends, first, before = pl.col("row"), pl.col("end").cast(pl.Int64), count - back, count + 1
    tracing = _tracing(frame, kinds)
    if not tracing and "key" not in frame.columns:
        return back
    starts = frame.filter(pl.col("code").is_in(tracing) & (ends >= count - REACH))["row"].to_list()
    first = min([first, *starts])
    while first < before:
        before = first
        first = min([first, *frame.filter((rows < first) & (ends >= first))["row"].to_list()])
    return count - int(first)


def _tracing(frame: pl.DataFrame, kinds: Sequence[Any]) -> list[int]:
    codes = frame["code"].unique().to_list()
    return [code for code in codes if code >= 0 and getattr(kinds[code], "trace", None)]


def _joined(frame: pl.DataFrame, kind: Any) -> pl.DataFrame:
    import polars as pl

    body, before = pl.col("body"), pl.col("body").shift(1).over("shared")
    near = pl.col("row").cast(pl.Int64) - pl.col("end").cast(pl.Int64).shift(1).over("shared") <= REACH
    goes_on = body.str.contains(f"^(?:{ascii_classes(kind.trace.continues)})")
    goes_on |= before.str.contains(f"^(?:{ascii_classes(kind.trace.after)})")
    shared = kind.shared(frame["text"])
    shared = frame["key"] + " " + shared if "key" in frame.columns else shared
    part = (~pl.col("goes_on")).cum_sum().over("shared").alias("part")
    rows = frame.with_columns(body=kind.bodies(frame["text"]), shared=shared)
    rows = rows.with_columns(goes_on=(goes_on & near).fill_null(value=False)).with_columns(part)
    size = pl.col("text").str.len_bytes().cast(pl.Int64).cum_sum().over("shared", "part") // LONGEST_RECORD_BYTES
    step = pl.int_range(pl.len()).over("shared", "part") // LONGEST_RECORD_LINES + size
    within = step == step.shift(1).over("shared", "part")
    rows = rows.with_columns(goes_on=(pl.col("goes_on") & within).fill_null(value=False)).with_columns(part)
    text = pl.when("goes_on").then("body").otherwise("text").str.join("\n").alias("text")
    others = [pl.col(name).first() for name in frame.columns if name not in ("text", "end")]
    found = rows.group_by("shared", "part", maintain_order=True).agg(text, pl.col("end").last(), *others)
    return found.select(frame.columns)
