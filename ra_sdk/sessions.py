"""Windows of detections -> sessions. Pure: no clock, no input or output.

A session is abnormal if any of its detections is; undecided if none is abnormal and one was not judged. Its score is the highest.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ra_sdk.blocks import Detections
from ra_sdk.errors import BadOption
from ra_sdk.records import Detection, Label, Session

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Window", "sessions"]

MOST_EVIDENCE = 100  # detections kept of a session, the worst ones
MOST_OPEN = 100_000  # keys open at once: beyond, the one that was silent longest is closed
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Window:
    """How detections are grouped: by ``lines`` (records), by ``seconds`` of their timestamps, or by ``key``, an attribute's name.

    ``step`` smaller than the size makes windows slide; None means that they follow each other. Time windows begin at multiples of the step.
    A time window closes when a record comes whose time is a whole window past its end; records later than that go to the oldest open one.
    A key's session closes at the end of the input, or when more than 100,000 keys are open. Raises BadOption.
    """

    lines: int | None = None
    seconds: float | None = None
    key: str | None = None
    step: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("lines", "seconds", "key") if getattr(self, name) is not None]
        if len(given) != 1:
            raise BadOption(f"window of {' and '.join(given) or 'nothing'}: give exactly one of lines, seconds and key")
        size = self.lines if self.lines is not None else self.seconds
        if size is not None and not (isinstance(size, int | float) and math.isfinite(size) and size > 0):
            raise BadOption(f"window {given[0]}={size!r} is no size; give a number above 0")
        if self.lines is not None and int(self.lines) != self.lines:
            raise BadOption(f"window lines={self.lines!r} is no whole number; give one")
        if self.key is not None and not self.key:
            raise BadOption("window key='' names no attribute; give its name, as in key='trace_id'")
        if self.step is not None and (size is None or not 0 < self.step <= size or (self.lines is not None and int(self.step) != self.step)):
            raise BadOption(f"window step={self.step!r} does not fit {given[0]}; it lies above 0 and at most at the size, keys take none")

    @classmethod
    def parse(cls, text: str) -> Window:
        """A window as the command line names it: ``100`` (records), ``60s`` or ``5m`` (time), ``key=trace_id``."""
        if text.startswith("key="):
            return cls(key=text[4:])
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", text)
        if match and match[2] in ("", "lines") and "." not in match[1]:
            return cls(lines=int(match[1]))
        if match and match[2] in _UNITS:
            return cls(seconds=float(match[1]) * _UNITS[match[2]])
        raise BadOption(f"window {text!r} is not understood; give 100 (records), 60s or 5m (time), or key=trace_id (attribute)")


def sessions(blocks: Iterable[Detections], window: Window) -> Iterator[Session]:
    """The windows of one source's blocks, in the order in which they close; the last ones may be incomplete."""
    if window.lines is not None:
        yield from _by_lines(blocks, window.lines, int(window.step or window.lines))
    elif window.seconds is not None:
        yield from _by_time(blocks, window.seconds, window.step or window.seconds)
    else:
        yield from _by_key(blocks, str(window.key))


@dataclass
class _Open:
    """A session that is being filled."""

    source: str
    first_line: int
    key: str | None = None
    last_line: int = 0
    count: int = 0
    score: float | None = None
    undecided: bool = False
    abnormal: bool = False
    evidence: list[Detection] = field(default_factory=list)

    def add(self, block: Detections, index: int, score: float | None, label: Label) -> None:
        self.first_line = min(self.first_line, block.line(index))
        self.last_line = max(self.last_line, block.last_line(index))
        self.count += 1
        if score is not None:
            self.score = score if self.score is None else max(self.score, score)
        if label == "undecided":
            self.undecided = True
        if label == "abnormal":
            self.abnormal = True
            self._keep(block, index)

    def _keep(self, block: Detections, index: int) -> None:
        verdict = block.verdict(index)
        row = Detections.of(
            block.record(index),
            verdict,
            source=block.source,
            line=block.line(index),
            last_line=block.last_line(index),
            cached=block.cached(index),
        )
        self.evidence.append(row[0])  # a copy of one row, so that the block can go
        if len(self.evidence) >= 2 * MOST_EVIDENCE:
            self.evidence = _worst(self.evidence)

    def close(self) -> Session:
        label: Label = "abnormal" if self.abnormal else "undecided" if self.undecided else "normal"
        return Session(self.source, self.first_line, self.last_line, self.key, label, self.score, _worst(self.evidence), self.count)


def _worst(evidence: list[Detection]) -> list[Detection]:
    return sorted(evidence, key=lambda d: (-(d.verdict.score or 0.0), d.line))[:MOST_EVIDENCE]


def _rows(blocks: Iterable[Detections]) -> Iterator[tuple[Detections, int, float | None, Label]]:
    for block in blocks:
        marks = [(verdict.score, verdict.label) for verdict in block.verdicts]
        for index, code in enumerate(block.code_list):
            yield block, index, *marks[code]


def _by_lines(blocks: Iterable[Detections], size: int, step: int) -> Iterator[Session]:
    """Window k holds the records k * step up to k * step + size."""
    open_: list[_Open] = []
    for number, (block, index, score, label) in enumerate(_rows(blocks)):
        if number % step == 0:
            open_.append(_Open(block.source, block.line(index)))
        for session in open_:
            session.add(block, index, score, label)
        if open_ and open_[0].count == size:
            yield open_.pop(0).close()
    if open_:
        yield open_[0].close()  # the later ones lie within it


def _by_time(blocks: Iterable[Detections], size: float, step: float) -> Iterator[Session]:
    open_: dict[int, _Open] = {}
    now: float | None = None  # the time of the record, or of the one before where it has none
    latest = -math.inf
    closed = -math.inf  # windows up to this number are closed
    early: list[tuple[Any, ...]] = []
    for block, index, score, label in _rows(blocks):
        stamp: datetime | None = block.block.fields["timestamp"][index]
        now = stamp.timestamp() if stamp is not None else now
        if now is None:
            early.append((block, index, score, label))  # no time yet: they go with the first record that has one
            continue
        latest = max(latest, now)
        numbers = range(math.floor((now - size) / step) + 1, math.floor(now / step) + 1)
        places = [number for number in numbers if number > closed] or [min(open_, default=int(max(closed + 1, numbers[-1])))]
        for row in [*early, (block, index, score, label)]:
            for number in places:
                open_.setdefault(number, _Open(block.source, row[0].line(row[1]))).add(*row)
        early = []
        for number in sorted(number for number in open_ if number * step + 2 * size <= latest):
            closed = max(closed, number)
            yield open_.pop(number).close()
    if early:
        first = early[0]
        session = _Open(first[0].source, first[0].line(first[1]))
        for row in early:
            session.add(*row)
        yield session.close()
    for number in sorted(open_):
        yield open_[number].close()


def _by_key(blocks: Iterable[Detections], name: str) -> Iterator[Session]:
    open_: OrderedDict[str | None, _Open] = OrderedDict()
    for block, index, score, label in _rows(blocks):
        key = _lookup(block.record(index).attributes, name)
        session = open_.get(key)
        if session is None:
            session = open_[key] = _Open(block.source, block.line(index), key)
        open_.move_to_end(key)
        session.add(block, index, score, label)
        if len(open_) > MOST_OPEN:
            yield open_.popitem(last=False)[1].close()
    for session in open_.values():
        yield session.close()


def _lookup(attributes: Any, name: str) -> str | None:
    """An attribute by its flat name, else by the way that its dots lead."""
    if name in attributes:
        value = attributes[name]
    else:
        value = attributes
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    return None if value is None else str(value)
