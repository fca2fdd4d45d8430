"""Detections: records with their verdicts, in blocks and one by one.

``Detections`` is a block with a verdict for every record. It behaves as a sequence, and builds a ``Detection`` only for the row that somebody
looks at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, overload
from weakref import ref

from ra_sdk.blocks import Block, fields_of
from ra_sdk.records import Label, LogRecord, Verdict, quotes
from ra_sdk.slabs import ROWS, Slab, rationale
from ra_sdk.templates.fill import fillable

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["Detection", "Detections", "each"]


class Detection:
    """A record with its verdict.

    Small, and apart from a few rows beside it nothing is held with it: detections can be collected, hashed, compared, pickled and copied.
    Two are equal if source, position, body and verdict are. Fields are read when asked for. Sorting puts them in the order of their source.
    """

    __slots__ = ("_row", "_slab")

    def __init__(self, slab: Slab, row: int) -> None:
        self._slab = slab
        self._row = row

    @classmethod
    def of(
        cls,
        record: LogRecord,
        verdict: Verdict,
        *,
        source: str = "",
        identity: str | None = None,
        line: int = 1,
        last_line: int | None = None,
        cached: bool = False,
    ) -> Detection:
        """A detection made by hand."""
        return cls(Slab.of(source, source if identity is None else identity, record, verdict, (line, last_line or line), cached), 0)

    @property
    def body(self) -> str:
        """The record's body."""
        return self._slab.rows.bodies[self._row]

    @property
    def timestamp(self) -> datetime | None:
        """The record's time, with its zone."""
        return self._slab.rows.fields[self._row][0]

    @property
    def severity(self) -> str | None:
        """The record's severity, one of ``SEVERITIES``."""
        return self._slab.rows.fields[self._row][1]

    @property
    def attributes(self) -> dict[str, Any]:
        """What else the record carried."""
        text = self._slab.rows.fields[self._row][2]
        attributes: dict[str, Any] = json.loads(text) if text else {}
        return attributes

    @property
    def record(self) -> LogRecord:
        """The record, as it was read."""
        return LogRecord(self.body, self.timestamp, self.severity, self.attributes)

    @property
    def verdict(self) -> Verdict:
        """The verdict of the record's template, about the template."""
        return self._slab.verdicts[self._row]

    @property
    def label(self) -> Label:
        """The verdict's label."""
        return self._slab.verdicts[self._row].label

    @property
    def abnormal(self) -> bool:
        """Whether the verdict is abnormal."""
        return self._slab.verdicts[self._row].label == "abnormal"

    @property
    def score(self) -> float | None:
        """The verdict's score, P(abnormal)."""
        return self._slab.verdicts[self._row].score

    @property
    def category(self) -> str | None:
        """The verdict's category."""
        return self._slab.verdicts[self._row].category

    @property
    def grounded(self) -> bool | None:
        """Whether the rationale names nothing that the template lacks."""
        return self._slab.verdicts[self._row].grounded

    @property
    def mode(self) -> str:
        """How the verdict was made."""
        return self._slab.verdicts[self._row].mode

    @property
    def template(self) -> str:
        """Text of the template that the record was mined to."""
        return self._slab.verdicts[self._row].template

    @property
    def rationale(self) -> str | None:
        """The verdict's rationale with this record's own values in place of placeholders."""
        return self._slab.rationale(self._row)

    @property
    def evidence(self) -> list[str]:
        """The words of this record that the rationale quotes."""
        return quotes(self.rationale)

    @property
    def cached(self) -> bool:
        """Whether the verdict was in the store before this run."""
        return self._slab.rows.known[self._row]

    @property
    def source(self) -> str:
        """The source as the user named it."""
        return self._slab.source

    @property
    def line(self) -> int:
        """First physical line (1-based) of the record; the position in an iterable."""
        return self._slab.rows.lines[self._row]

    @property
    def last_line(self) -> int:
        """Last physical line (1-based) of the record."""
        return self._slab.rows.last_lines[self._row]

    def to_dict(self) -> dict[str, Any]:
        """The object of ``ra detect --output jsonl``: keys and types as documented there."""
        timestamp = self.timestamp
        return {
            "source": self.source,
            "line": self.line,
            "last_line": self.last_line,
            "timestamp": timestamp.isoformat() if timestamp else None,
            "severity": self.severity,
            "body": self.body,
            "attributes": self.attributes,
            "template": self.template,
            "label": self.label,
            "score": self.score,
            "category": self.category,
            "rationale": (rationale := self.rationale),
            "evidence": quotes(rationale),
            "reason_source": self.verdict.reason_source,
            "knowledge": list(self.verdict.knowledge),
            "checks": list(self.verdict.checks),
            "links": list(self.verdict.links),
            "grounded": self.grounded,
            "mode": self.mode,
            "cached": self.cached,
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Detection):
            return NotImplemented
        return self._place == other._place and self.body == other.body and self.verdict == other.verdict

    def __hash__(self) -> int:
        return hash((self._place, self.body))

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Detection):
            return NotImplemented
        return self._place < other._place

    @property
    def _place(self) -> tuple[str, str, int, int]:
        return self.source, self._slab.identity, self.line, self.last_line

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.record, self.verdict, self.source, self._slab.identity, self.line, self.last_line, self.cached)

    def __repr__(self) -> str:
        return f"Detection({self.source!r}, line={self.line}, label={self.label!r}, score={self.score}, body={self.body!r})"

    def __str__(self) -> str:
        score = "" if self.score is None else f" {self.score:.2f}"
        return f"{self.source}:{self.line} {self.label}{score} {self.body}"


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

    def to_polars(self) -> pl.DataFrame:
        """A row for every record; ``ra_sdk.frames.frame_of`` lists the columns."""
        from ra_sdk.frames import frame_of

        return frame_of(self)

    def to_arrow(self) -> pa.Table:  # type: ignore[name-defined]  # it has no stubs
        """The same as an Arrow table. Raises ModuleNotFoundError without pyarrow."""
        return self.to_polars().to_arrow()

    def to_pandas(self) -> pd.DataFrame:
        """The same as a pandas frame. Raises ModuleNotFoundError without pandas and pyarrow."""
        return self.to_polars().to_pandas()

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
            return Detection(Slab.copy(self, range(places, places + 1)), 0)
        slabs = (Slab.copy(self, places[at : at + ROWS]) for at in range(0, len(places), ROWS))
        return [Detection(slab, row) for slab in slabs for row in range(len(slab.verdicts))]


def each(blocks: Iterable[Detections]) -> Iterator[Detection]:
    """Every detection of the blocks. Those that are kept hold only the rows beside them."""
    return chain.from_iterable(_slabs(blocks))


def _slabs(blocks: Iterable[Detections]) -> Iterator[Iterator[Detection]]:
    """The detections slab by slab. A slab is looked at after the next one: until then a loop's variable still has its last row."""
    before: ref[Slab] | None = None
    last: ref[Slab] | None = None
    try:
        for block in blocks:
            for start in range(0, len(block), ROWS):
                slab = Slab.view(block, range(start, min(start + ROWS, len(block))))
                last = ref(slab)
                yield map(Detection, repeat(slab), range(len(slab.verdicts)))
                del slab
                _keep_if_used(before)
                before = last
    finally:
        _keep_if_used(before)
        _keep_if_used(last)


def _keep_if_used(slab: ref[Slab] | None) -> None:
    used = slab() if slab is not None else None
    if used is not None:
        used.keep()


def _restored(record: LogRecord, verdict: Verdict, source: str, identity: str, line: int, last_line: int, cached: bool) -> Detection:
    """A detection that was pickled or copied."""
    return Detection.of(record, verdict, source=source, identity=identity, line=line, last_line=last_line, cached=cached)
