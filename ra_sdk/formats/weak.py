"""Lines whose header may be a part of another record's message: a word in front, or a value in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

__all__ = ["in_question", "weak_headers"]


def weak_headers(texts: pl.Series, codes: pl.Series, kinds: Sequence[Any]) -> pl.Series:
    """Boolean: the line's format is weak, or it is JSON that no logger writes behind a line that ends with a colon."""
    present = {code: kinds[code] for code in codes.unique().to_list() if code >= 0}
    weak = codes.is_in([code for code, kind in present.items() if getattr(kind, "weak", False)])
    for code, kind in present.items():
        if not (logged := getattr(kind, "logged", "")):
            continue
        behind = (codes == code) & texts.str.ends_with(":").shift(1, fill_value=False)
        if behind.any():
            weak = weak.scatter(behind.arg_true(), ~texts.filter(behind).str.contains(logged))
    return weak


def in_question(weak: pl.Series, texts: pl.Series, codes: pl.Series, kinds: Sequence[Any]) -> pl.Series:
    """Boolean: the header is weak, and the line before or behind may be of one record with it."""
    if not weak.any():
        return weak
    taking = [code for code in codes.unique().to_list() if code < 0 or getattr(kinds[code], "continuation", "")]
    before = codes.is_in(taking) | texts.str.ends_with(":")
    return weak & (before.shift(1, fill_value=False) | (codes < 0).shift(-1, fill_value=True))
