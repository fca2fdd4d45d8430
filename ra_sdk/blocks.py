"""Blocks: the columns in which records travel. One Python call per block, not per line.

``Block`` holds consecutive records of one source as they were read; ``Detections`` is the same block with a verdict for every record.
Both behave as sequences, and build an object only for the row that somebody looks at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, overload

from ra_sdk.grounding import fillable
from ra_sdk.records import Detection, LogRecord, Verdict
from ra_sdk.slabs import ROWS, Slab, attributes_text, each, rationale

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

__all__ = ["Block", "Detections"]


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive records of one source.

    ``bodies``: String, no nulls. ``lines`` and ``last_lines``: UInt64, 1-based physical lines. ``offsets``: UInt64, where each record
    begins: its byte in the decoded text of its file, or the item's number where the source gives ready items. ``read_fields`` makes, when first
    asked, a frame of equal height with ``timestamp`` (Datetime us, UTC), ``severity`` (String) and ``attributes`` (String: one
    JSON object each). ``checkpoint`` is what the source wants back once everything up to here is written. ``excerpt`` makes, for some rows,
    a function that reads their fields later and holds nothing of the others; without it they are cut from ``fields``. ``known_severities``:
    the ``severity`` column, if it has been read already.
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


@dataclass(frozen=True, eq=False)
class Detections(Sequence[Detection]):
    """A block with its verdicts: ``verdicts[codes[i]]`` is the verdict of record ``i``.

    ``codes``: UInt32, one for every record; ``verdicts`` are the distinct ones; ``known[k]`` says whether verdict ``k`` was in the
    store before this run. ``moved``: templates of earlier blocks that became other templates in this one.
    """

    block: Block
    codes: pl.Series
    verdicts: Sequence[Verdict]
    known: Sequence[bool] = field(default=())
    moved: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, record: LogRecord, verdict: Verdict, *, source: str = "", line: int = 1, last_line: int | None = None, cached: bool = False) -> Detections:
        """A block of one record, made by hand."""
        import polars as pl

        lines = pl.Series("line", [line], dtype=pl.UInt64)
        last = pl.Series("line", [last_line or line], dtype=pl.UInt64)
        block = Block(source, source, pl.Series("body", [record.body]), lines, last, lines, lambda: fields_of([record]))
        return cls(block, pl.Series("code", [0], dtype=pl.UInt32), [verdict], [cached])

    @property
    def source(self) -> str:
        """The source as the user named it."""
        return self.block.source

    @property
    def checkpoint(self) -> object:
        """What the source wants back once this block is written."""
        return self.block.checkpoint

    @cached_property
    def code_list(self) -> list[int]:
        """``codes`` as a list."""
        codes: list[int] = self.codes.to_list()
        return codes

    def rationale(self, index: int) -> str | None:
        """Rationale for record ``index``, its placeholders filled from the record's body."""
        return rationale(self.verdicts[self.code_list[index]], self.block.bodies[index])

    @property
    def open_verdicts(self) -> list[int]:
        """Which of ``verdicts`` have a rationale that a record may have in other words."""
        return [number for number, verdict in enumerate(self.verdicts) if fillable(verdict.rationale)]

    def rationales(self, rows: pl.Series) -> list[str | None]:
        """The same for several records at once, given by their numbers."""
        found = zip(self.codes.gather(rows).to_list(), self.block.bodies.gather(rows).to_list())
        return [rationale(self.verdicts[code], body) for code, body in found]

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[Detection]:
        return each([self])

    @overload
    def __getitem__(self, index: int) -> Detection: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Detection]: ...
    def __getitem__(self, index: int | slice) -> Detection | Sequence[Detection]:
        places = range(len(self))[index]
        if isinstance(places, int):
            return Slab.copy(self, range(places, places + 1))[0]
        slabs = (Slab.copy(self, places[at : at + ROWS]) for at in range(0, len(places), ROWS))
        return [slab[row] for slab in slabs for row in range(len(slab.verdicts))]


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


def dated(stamps: pl.Series) -> pl.Series:
    """Times with null for those out of the years 1 to 9999, which neither Python nor RFC 3339 has."""
    import polars as pl

    first, last = -62_135_596_800_000_000, 253_402_300_799_999_999  # microseconds
    odd = ~stamps.to_physical().is_between(first, last)
    return stamps if not odd.any() else stamps.to_frame().select(pl.when(~odd).then(pl.first())).to_series()
