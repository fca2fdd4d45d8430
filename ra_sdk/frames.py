"""Detections as data frames: one row a record, made column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from ra_sdk.detections import Detections

__all__ = ["frame_of"]


def frame_of(detections: Detections) -> pl.DataFrame:
    """A frame with a row for every record of a block, in order.

    Columns: ``source`` (Categorical), ``line`` and ``last_line`` (UInt64), ``timestamp`` (Datetime, UTC), ``severity``, ``body``, ``attributes``
    (a JSON object, null for none), ``template``, ``label``, ``score`` (Float64), ``category``, ``rationale``, ``reason_source``, ``grounded``
    (Boolean), ``mode`` and ``cached`` (Boolean).
    """
    import polars as pl

    block, fields, codes = detections.block, detections.block.fields, detections.codes
    head = [
        pl.Series("source", [block.source], dtype=pl.Categorical).new_from_index(0, len(block)),
        block.lines.alias("line"),
        block.last_lines.alias("last_line"),
        *(fields[name] for name in ("timestamp", "severity")),
        block.bodies.alias("body"),
        fields["attributes"],
    ]
    verdicts = _verdicts(detections)
    rows = pl.DataFrame(head).hstack(verdicts.select(pl.all().gather(codes)) if len(codes) else verdicts.clear())
    open_ = codes.is_in(detections.open_verdicts).arg_true()
    if len(open_):
        own = pl.Series(detections.rationales(open_), dtype=pl.String)
        rows = rows.with_columns(rows["rationale"].scatter(open_, own))
    return rows


def _verdicts(detections: Detections) -> pl.DataFrame:
    """A row for every verdict."""
    import polars as pl

    known = detections.known or [False] * len(detections.verdicts)
    columns: dict[str, Any] = {"template": pl.String, "label": pl.String, "score": pl.Float64, "category": pl.String, "rationale": pl.String}
    columns |= {"reason_source": pl.String, "grounded": pl.Boolean, "mode": pl.String}
    values = {name: pl.Series(name, [getattr(v, name) for v in detections.verdicts], dtype=kind) for name, kind in columns.items()}
    return pl.DataFrame({**values, "cached": pl.Series(list(known), dtype=pl.Boolean)})
