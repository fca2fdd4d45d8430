"""Lines that are not records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ra_sdk.formats.layouts import Example
from ra_sdk.formats.patterns import expanded

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Comments"]


class Comments:
    """Lines that are not records: ``==> file <==`` of tail, and what formats call comments."""

    name = "comment"

    def __init__(self, kinds: Sequence[Any]) -> None:
        own = [expanded(kind.comment) for kind in kinds if getattr(kind, "comment", "")]
        self.pattern = "^(?:" + "|".join([r"==> .{1,4096} <==$", r"##\[(?:end)?group\]$", *own]) + ")"
        self.examples = tuple(Example(line) for line in ("==> a.log <==",))

    def has(self, lines: pl.Series) -> pl.Series:
        """Boolean: the line is a comment."""
        return lines.str.contains(self.pattern)
