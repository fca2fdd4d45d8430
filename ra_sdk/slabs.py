"""Slabs: a few neighbouring rows of a block, for the detections that are made of them.

A detection that somebody keeps must not keep its block, which may be many megabytes. While a block is iterated its slabs look into its
columns; a slab of which a detection is still in use afterwards copies its own rows, so that the block can go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ra_sdk.records import LogRecord, Verdict
from ra_sdk.templates.fill import fill
from ra_sdk.text import dumped

if TYPE_CHECKING:
    import polars as pl

    from ra_sdk.blocks import Block
    from ra_sdk.detections import Detections

__all__ = ["ROWS", "Slab", "attributes_text", "copied", "dated", "fields_at", "rationale", "taken"]

ROWS = 256  # of a slab, which is what one detection may keep in memory

Fields = list[tuple[datetime | None, str | None, str | None]]  # timestamp, severity, and attributes as a JSON object


class _Viewed:
    """Rows of a block that is in memory, each column when it is first asked for."""

    def __init__(self, detections: Detections, places: Sequence[int]) -> None:
        self.detections, self.block, self.places = detections, detections.block, places

    @cached_property
    def bodies(self) -> Sequence[str]:
        return taken(self.block.bodies, self.places)

    @cached_property
    def lines(self) -> Sequence[int]:
        return _numbers(self.block.lines, self.block.last_lines, self.places) or taken(self.block.lines, self.places)

    @cached_property
    def last_lines(self) -> Sequence[int]:
        return self.lines if isinstance(self.lines, range) else taken(self.block.last_lines, self.places)

    @cached_property
    def known(self) -> Sequence[bool]:
        known = self.detections.known or [False] * len(self.detections.verdicts)
        return tuple(map(known.__getitem__, _chosen(self.detections.code_list, self.places)))

    @cached_property
    def fields(self) -> Fields:
        return _rows(self.block.fields, self.places)

    def kept(self) -> _Kept:
        """The same rows, without the block."""
        if "fields" in vars(self):
            fields = self.fields
            return _Kept(self.bodies, self.lines, self.last_lines, self.known, lambda: fields)
        return _Kept(self.bodies, self.lines, self.last_lines, self.known, _reader(self.block, self.places))


@dataclass
class _Kept:
    """Rows that are held for themselves. ``read`` parses their fields when somebody asks for them."""

    bodies: Sequence[str]
    lines: Sequence[int]
    last_lines: Sequence[int]
    known: Sequence[bool]
    read: Callable[[], Fields]

    @cached_property
    def fields(self) -> Fields:
        return self.read()

    def kept(self) -> _Kept:
        return self


class Slab:
    """Some rows of a block of detections. ``verdicts`` has one for every row, ``rows`` the other columns."""

    __slots__ = ("__weakref__", "identity", "rows", "source", "verdicts")

    def __init__(self, source: str, identity: str, verdicts: list[Verdict], rows: _Viewed | _Kept) -> None:
        self.source, self.identity, self.verdicts, self.rows = source, identity, verdicts, rows

    @classmethod
    def view(cls, detections: Detections, places: Sequence[int]) -> Slab:
        """Rows of a block, which stays in memory with them until ``keep`` is called."""
        places = places if isinstance(places, range) and places.step == 1 else list(places)
        verdicts = list(map(detections.verdicts.__getitem__, _chosen(detections.code_list, places)))
        return cls(detections.block.source, detections.block.identity, verdicts, _Viewed(detections, places))

    @classmethod
    def copy(cls, detections: Detections, places: Sequence[int]) -> Slab:
        """Copied rows of a block."""
        slab = cls.view(detections, places)
        slab.keep()
        return slab

    @classmethod
    def of(cls, source: str, identity: str, record: LogRecord, verdict: Verdict, lines: tuple[int, int], known: bool) -> Slab:
        """One row, made of a record and its verdict."""
        fields: Fields = [(record.timestamp, record.severity, attributes_text(record.attributes))]
        return cls(source, identity, [verdict], _Kept([record.body], [lines[0]], [lines[1]], [known], lambda: fields))

    def keep(self) -> None:
        """Copy the rows, and let the block go. Other threads may read this slab at the same time."""
        self.rows = self.rows.kept()

    def rationale(self, row: int) -> str | None:
        """The rationale for a row, in the words of its body."""
        return rationale(self.verdicts[row], self.rows.bodies[row])


def taken(column: pl.Series, places: Sequence[int]) -> tuple[Any, ...]:
    """Some rows of a column, copied. A tuple: the garbage collector need not look through it again and again."""
    part = column.slice(places.start, len(places)) if isinstance(places, range) else column.gather(list(places))
    return tuple(part.to_list())


def copied(column: pl.Series, places: Sequence[int]) -> Callable[[], pl.Series]:
    """Some rows of a column, made a column again when it is asked for."""
    import polars as pl

    values, name, kind = taken(column, places), column.name, column.dtype
    return lambda: pl.Series(name, values, dtype=kind)


def _numbers(lines: pl.Series, last_lines: pl.Series, places: Sequence[int]) -> range | None:
    """The lines of these rows as a range, if they are neighbours of one line each, as nearly always."""
    if not isinstance(places, range):
        return None
    first, last = int(lines[places.start]), int(lines[places.stop - 1])
    single = last - first == len(places) - 1 and last == last_lines[places.stop - 1]
    return range(first, last + 1) if single else None


def _chosen(codes: list[int], places: Sequence[int]) -> list[int]:
    return codes[places.start : places.stop] if isinstance(places, range) else [codes[place] for place in places]


def _rows(frame: pl.DataFrame, places: Sequence[int]) -> Fields:
    part = frame[places.start : places.stop] if isinstance(places, range) else frame[list(places)]
    return _told(part)


def _told(frame: pl.DataFrame) -> Fields:
    return frame.with_columns(dated(frame["timestamp"])).select("timestamp", "severity", "attributes").rows()


def _reader(block: Block, places: Sequence[int]) -> Callable[[], Fields]:
    """What parses the fields of these rows later; where the block has parsed all of its own, they are taken from there now."""
    if block.excerpt is None or "fields" in vars(block):
        fields = _rows(block.fields, places)
        return lambda: fields
    read = block.excerpt(places)
    return lambda: _told(read())


def fields_at(block: Block, places: Sequence[int]) -> Fields:
    """Timestamp, severity and attributes (a JSON object) of some rows; the others are not parsed for it."""
    return _reader(block, places)()


def rationale(verdict: Verdict, body: str) -> str | None:
    """A verdict's rationale, its placeholders filled from a record's body."""
    return None if verdict.rationale is None else fill(verdict.rationale, verdict.template, body)


def attributes_text(attributes: object) -> str | None:
    """Attributes as a JSON object; None for none. What is not a mapping, though it should be, becomes an attribute of its own."""
    if not attributes:
        return None
    return dumped(attributes if isinstance(attributes, Mapping) else {"attributes": attributes})


def dated(stamps: pl.Series) -> pl.Series:
    """Times with null for those out of the years 1 to 9999, which neither Python nor RFC 3339 has."""
    import polars as pl

    first, last = -62_135_596_800_000_000, 253_402_300_799_999_999  # microseconds
    odd = ~stamps.to_physical().is_between(first, last)
    return stamps if not odd.any() else stamps.to_frame().select(pl.when(~odd).then(pl.first())).to_series()
