"""Blocks: the columns in which records travel. One Python call per block, not per line.

``Block`` holds consecutive records of one source as they were read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ra_sdk.records import LogRecord
from ra_sdk.slabs import attributes_text, dated

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

__all__ = ["Block", "fields_of"]


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive records of one source.

    ``bodies``: String, no nulls. ``lines`` and ``last_lines``: UInt64, 1-based physical lines. ``offsets``: UInt64, where each record
    begins: its byte in the decoded text of its file, or the item's number where the source gives ready items. ``read_fields`` makes, when first
    asked, a frame of equal height with ``timestamp`` (Datetime us, UTC), ``severity`` (String) and ``attributes`` (String: one
    JSON object each). ``checkpoint`` is what the source wants back once everything up to here is written. ``excerpt`` makes, for some rows,
    a function that reads their fields later and holds nothing of the others; without it they are cut from ``fields``. ``known_severities``:
    the ``severity`` column, if it has been read already. ``programs`` gives, for some rows, the program that writes their format, or "".
    ``origin``: what the source made the records of, see ``ra_sdk.hookspecs.Items``.
    """

    source: str
    identity: str
    bodies: pl.Series
    lines: pl.Series
    last_lines: pl.Series
    offsets: pl.Series
    read_fields: Callable[[], pl.DataFrame]
    checkpoint: object = None
    excerpt: Callable[[Sequence[int]], Callable[[], pl.DataFrame]] | None = None
    known_severities: pl.Series | None = None
    programs: Callable[[Sequence[int]], list[str]] | None = None
    origin: object = None

    @property
    def severities(self) -> pl.Series:
        """The ``severity`` of every record (String), nulls where absent."""
        import polars as pl

        found: pl.Series = self.fields["severity"] if self.known_severities is None else self.known_severities
        return found if found.dtype == pl.String else found.cast(pl.String)

    @cached_property
    def fields(self) -> pl.DataFrame:
        """Columns ``timestamp``, ``severity``, ``attributes``, parsed on first use."""
        return self.read_fields()

    def __len__(self) -> int:
        return len(self.bodies)


def fields_of(records: Sequence[LogRecord]) -> pl.DataFrame:
    """The ``fields`` frame of a block that was made from records."""
    import polars as pl

    stamps = pl.Series([record.timestamp for record in records], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "timestamp": dated(stamps),
            "severity": pl.Series([record.severity for record in records], dtype=pl.String, strict=False),
            "attributes": pl.Series([attributes_text(record.attributes) for record in records], dtype=pl.String),
        }
    )
