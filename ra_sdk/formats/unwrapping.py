"""Containers taken off lines: what runtimes and pipes wrote around what programs wrote, and lines that they cut in parts put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ra_sdk.formats.containers import Container
from ra_sdk.formats.recognising import NONE

if TYPE_CHECKING:
    import polars as pl

    from ra_sdk.formats.reading import Reader

__all__ = ["DEEPEST", "REACH", "united", "unwrapped"]

DEEPEST = 3  # containers in containers, headers in messages
REACH = 500  # lines: what comes later in a stream than so many lines of other streams continues nothing


def unwrapped(reader: Reader, lines: pl.Series, codes: pl.Series) -> pl.DataFrame:
    """Rows of lines with the codes of what programs wrote: containers taken off, partial lines put together."""
    import polars as pl

    rows = pl.int_range(len(lines), dtype=pl.UInt32, eager=True)
    frame = pl.DataFrame({"row": rows, "end": rows, "text": lines, "code": codes})
    boxes = [code for code, kind in enumerate(reader.kinds) if isinstance(kind, Container)]
    for depth in range(DEEPEST):
        present = set(frame["code"].unique().to_list())
        parts = [_opened(reader, frame.filter(pl.col("code") == code), reader.kinds[code]) for code in boxes if code in present]
        if not parts:
            break
        others = frame.filter(~pl.col("code").is_in(boxes))
        frame = pl.concat([*parts, others], how="diagonal").sort("row").with_columns(pl.col("key").fill_null(""))
        del depth
    deeper = frame["code"].is_in(boxes)
    return frame.with_columns(code=pl.when(deeper).then(NONE).otherwise("code").cast(pl.Int16)) if deeper.any() else frame


def _opened(reader: Reader, frame: pl.DataFrame, box: Container) -> pl.DataFrame:
    import polars as pl

    found = box.unwrap(frame["text"])
    if "at" in found.columns:
        frame, found = frame[found["at"]], found.drop("at")
    key = pl.lit(f"{box.name} ") + found["key"]
    if "key" in frame.columns:
        key = frame["key"] + " " + key
        found = _inside(frame, found)
    opened = found.with_columns(frame["row"], frame["end"], key=key)
    if opened["partial"].any():
        opened = _completed(opened)
    opened = opened.drop("partial")
    return opened.with_columns(code=reader.recogniser.codes(opened["text"]))


def _inside(frame: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """What a container inside another said, with what the outer one said."""
    import polars as pl

    return found.with_columns(
        time=pl.coalesce(frame["time"], found["time"]),
        level=pl.coalesce(found["level"], frame["level"]),
        outer=united(frame["outer"], found["outer"]),
    )


def _completed(frame: pl.DataFrame) -> pl.DataFrame:
    """Partial lines with the next ones of their own streams, whatever stands between them."""
    import polars as pl

    within = pl.col("partial").shift(1, fill_value=False).over("key") & (pl.col("row").diff().over("key").cast(pl.Int64) <= REACH)
    parts = frame.with_columns(part=(~within.fill_null(value=False)).cast(pl.UInt32).cum_sum().over("key"))
    others = [pl.col(name).first() for name in frame.columns if name not in ("key", "text", "end", "partial")]
    joined = parts.group_by("key", "part", maintain_order=True).agg(pl.col("text").str.join(""), pl.col("end", "partial").last(), *others)
    return joined.drop("part").select(frame.columns).sort("row")


def united(outer: pl.Series, inner: pl.Series) -> pl.Series:
    """JSON objects put together; of one key, the inner value is the one that a reader of JSON takes."""
    import polars as pl

    both = pl.DataFrame({"outer": outer, "inner": inner})
    joined = pl.col("outer").str.strip_suffix("}") + "," + pl.col("inner").str.slice(1)
    return both.select(pl.coalesce(joined, "inner", "outer")).to_series()
