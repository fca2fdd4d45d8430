"""Windows of detections -> sessions. Pure: no clock, no input or output.

A session is abnormal if any of its detections is; undecided if none is abnormal and one was not judged. Its score is the highest of
them, its evidence the worst 100. Nothing but these, copied out of their blocks, is held of a window: memory does not grow with its size.
"""

from __future__ import annotations

import heapq
import json
import math
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

from ra_sdk.detections import Detection, Detections
from ra_sdk.records import Label
from ra_sdk.sessions.window import Session, Window
from ra_sdk.slabs import Slab

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Window", "sessions"]

COPIED_AT_ONCE = 1_000  # rows of a block whose abnormal ones are copied together: one by one takes too long
MOST_EVIDENCE = 100  # detections kept of a session, the worst ones
MOST_KEYS = 100_000  # keys open at once: beyond, the one that was silent longest is closed
EARLY = -sys.maxsize  # number of the window of records that come before any time is known


def sessions(blocks: Iterable[Detections], window: Window) -> Iterator[Session]:
    """The windows of one source's blocks, in the order in which they close; the last ones may be incomplete."""
    if window.seconds is not None:
        return _by_time(blocks, window)
    return _by_count(blocks, window)


_Evidence = tuple[float, int, Detections | Slab, int]  # negative score, line, where it stands, in which row


def _worst(evidence: list[_Evidence]) -> list[_Evidence]:
    return heapq.nsmallest(MOST_EVIDENCE, evidence, key=itemgetter(0, 1))


@dataclass(slots=True)
class _Open:
    """A session that is being filled, or a part of one."""

    source: str
    key: str | None
    first_line: int
    last_line: int
    count: int = 0
    score: float | None = None
    undecided: bool = False
    evidence: list[_Evidence] = field(default_factory=list)

    def take(self, part: _Open) -> None:
        """Add the records of another one."""
        self.first_line = min(self.first_line, part.first_line)
        self.last_line = max(self.last_line, part.last_line)
        self.count += part.count
        if part.score is not None and (self.score is None or part.score > self.score):
            self.score = part.score
        self.undecided = self.undecided or part.undecided
        self.evidence += part.evidence
        if len(self.evidence) > 2 * MOST_EVIDENCE:
            self.evidence = _worst(self.evidence)

    def take_row(self, rows: _Rows, row: int) -> None:
        """Add one record: what ``take`` does, for the many that come one by one."""
        self.first_line = min(self.first_line, rows.lines[row])
        self.last_line = max(self.last_line, rows.last_lines[row])
        self.count += 1
        verdict = rows.block.verdicts[rows.codes[row]]
        if verdict.score is not None and (self.score is None or verdict.score > self.score):
            self.score = verdict.score
        if verdict.label == "abnormal":
            self.evidence.append((-(verdict.score or 0.0), rows.lines[row], rows.block, row))
            if len(self.evidence) > 2 * MOST_EVIDENCE:
                self.evidence = _worst(self.evidence)
            rows.filled[id(self)] = self
        elif verdict.label == "undecided":
            self.undecided = True

    def session(self) -> Session:
        label: Label = "abnormal" if self.evidence else "undecided" if self.undecided else "normal"
        evidence = [Detection(where, row) if isinstance(where, Slab) else where[row] for _, _, where, row in _worst(self.evidence)]
        return Session(self.source, self.first_line, self.last_line, self.key, label, self.score, evidence, self.count)


class _Rows:
    """A block, laid out for windows: lists instead of columns, and the key of every record if there is one."""

    def __init__(self, block: Detections, key: str | None) -> None:
        self.block, self.codes = block, block.code_list
        self.lines: list[int] = block.block.lines.to_list()
        self.last_lines: list[int] = block.block.last_lines.to_list()
        self.keys = None if key is None else _keys(block.block.fields["attributes"], key)
        self.filled: dict[int, _Open] = {}  # those whose evidence stands in this block
        self._copies: dict[int, tuple[Slab, dict[int, int]]] = {}

    def pieces(self, start: int, stop: int) -> Iterable[tuple[int, int, str | None]]:
        """Rows that belong together: all of them, or each for itself if there are keys."""
        if self.keys is None:
            return [(start, stop, None)]
        return ((row, row + 1, self.keys[row]) for row in range(start, stop))

    def part(self, start: int, stop: int, key: str | None) -> _Open:
        """What these rows add to a window."""
        part = _Open(self.block.source, key, self.lines[start], self.last_lines[stop - 1], stop - start)
        codes = self.codes[start:stop]
        abnormal: dict[int, float] = {}  # code: negative score
        for code in set(codes):
            verdict = self.block.verdicts[code]
            if verdict.score is not None and (part.score is None or verdict.score > part.score):
                part.score = verdict.score
            if verdict.label == "abnormal":
                abnormal[code] = -(verdict.score or 0.0)
            part.undecided = part.undecided or verdict.label == "undecided"
        if abnormal:
            found: list[_Evidence] = [(abnormal[code], self.lines[row], self.block, row) for row, code in enumerate(codes, start) if code in abnormal]
            part.evidence = _worst(found) if len(found) > MOST_EVIDENCE else found
        return part

    def settle(self) -> None:
        """Copy what the open windows hold of this block, so that the block can go."""
        for session in self.filled.values():
            session.evidence = _worst(session.evidence)
        rows = sorted({row for session in self.filled.values() for _, _, where, row in session.evidence if where is self.block})
        if not rows:
            return
        copy, place = Slab.copy(self.block, rows), {row: at for at, row in enumerate(rows)}
        for session in self.filled.values():
            session.evidence = [(*entry[:2], copy, place[entry[3]]) if entry[2] is self.block else entry for entry in session.evidence]

    def release(self, session: _Open) -> None:
        """The same for a window that is closed in the midst of the block."""
        evidence = _worst(session.evidence)
        session.evidence = [(*entry[:2], *self._copied(entry[3])) if entry[2] is self.block else entry for entry in evidence]

    def _copied(self, row: int) -> tuple[Slab, int]:
        at = row // COPIED_AT_ONCE
        if at not in self._copies:
            stop = min(len(self.codes), (at + 1) * COPIED_AT_ONCE)
            rows = [row for row in range(at * COPIED_AT_ONCE, stop) if self.block.verdicts[self.codes[row]].label == "abnormal"]
            self._copies[at] = Slab.copy(self.block, rows), {row: place for place, row in enumerate(rows)}
        copy, place = self._copies[at]
        return copy, place[row]


@dataclass(slots=True)
class _Lane:
    """The open windows of one key, by number: window ``k`` begins at ``k * step``."""

    key: str | None
    seen: int = 0
    windows: dict[int, _Open] = field(default_factory=dict)

    def add(self, rows: _Rows, start: int, stop: int, numbers: range) -> None:
        if stop - start == 1 and len(numbers) == 1:
            self._window(numbers[0], rows.block.source, rows.lines[start]).take_row(rows, start)
            return
        part = rows.part(start, stop, self.key)
        for session in self.put(numbers, part):
            if part.evidence:
                rows.filled[id(session)] = session

    def put(self, numbers: Iterable[int], part: _Open) -> list[_Open]:
        """Add records to several windows, which are returned."""
        sessions = [self._window(number, part.source, part.first_line) for number in numbers]
        for session in sessions:
            session.take(part)
        return sessions

    def _window(self, number: int, source: str, line: int) -> _Open:
        session = self.windows.get(number)
        if session is None:
            session = self.windows[number] = _Open(source, self.key, line, line)
        return session


class _Lanes(OrderedDict["str | None", _Lane]):
    """Lanes by key, the one that was silent longest first."""

    def lane(self, key: str | None) -> _Lane:
        lane = self.get(key)
        if lane is None:
            lane = self[key] = _Lane(key)
        else:
            self.move_to_end(key)
        return lane

    def surplus(self) -> list[_Lane]:
        return [self.popitem(last=False)[1]] if len(self) > MOST_KEYS else []


def _close(lanes: Iterable[_Lane], before: float, rows: _Rows | None = None) -> Iterator[Session]:
    """Sessions of all windows numbered less than ``before``, the oldest first. ``rows``: the block that is being read."""
    due = [(number, lane.windows.pop(number)) for lane in lanes for number in list(lane.windows) if number < before]
    for _, session in sorted(due, key=lambda entry: (entry[0], entry[1].first_line)):
        if rows is not None:
            rows.release(session)
        yield session.session()


def _by_count(blocks: Iterable[Detections], window: Window) -> Iterator[Session]:
    """Window k of a key has its records k * step up to k * step + size. A key without a size: one window without end."""
    size = window.lines or sys.maxsize
    step = int(window.step or size)
    lanes = _Lanes()
    for block in blocks:
        rows = _Rows(block, window.key)
        for start, stop, key in rows.pieces(0, len(block)):
            lane = lanes.lane(key)
            while start < stop:
                seen = lane.seen
                until = min(stop, start + step - seen % step, start + ((size - seen) % step or step))  # where a window begins or ends
                lane.add(rows, start, until, range(max((seen - size) // step + 1, 0), seen // step + 1))
                lane.seen += until - start
                start = until
                if (lane.seen - size) % step == 0:
                    yield from _close([lane], (lane.seen - size) // step + 1, rows)
            for silent in lanes.surplus():
                yield from _close([_unseen(silent, size, step)], math.inf, rows)
        rows.settle()
    yield from _close([_unseen(lane, size, step) for lane in lanes.values()], math.inf)


def _unseen(lane: _Lane, size: int, step: int) -> _Lane:
    """The lane with the first of its incomplete windows, if that has a record that no complete one had; the others lie within it."""
    first = min(lane.windows, default=0)
    new = first == 0 or lane.seen > (first - 1) * step + size
    lane.windows = {first: lane.windows[first]} if new and lane.windows else {}
    return lane


def _by_time(blocks: Iterable[Detections], window: Window) -> Iterator[Session]:
    """Window k has the records from k * step up to k * step + size, in microseconds since the epoch."""
    timeline = _Timeline(round(1e6 * (window.seconds or 0)), round(1e6 * (window.step or window.seconds or 0)))
    lanes, oldest = _Lanes(), EARLY
    for block in blocks:
        rows = _Rows(block, window.key)
        for first, last, low, high, open_from in timeline.spans(block.block.fields["timestamp"]):
            numbers = range(low, high + 1)
            if open_from > oldest:
                if oldest == EARLY:
                    _adopt(lanes.values(), numbers, rows)
                oldest = open_from
                yield from _close(lanes.values(), oldest, rows)
                for key in [key for key, lane in lanes.items() if not lane.windows]:
                    del lanes[key]
            for start, stop, key in rows.pieces(first, last):
                lanes.lane(key).add(rows, start, stop, numbers)
                for silent in lanes.surplus():
                    yield from _close([silent], math.inf, rows)
        rows.settle()
    yield from _close(lanes.values(), math.inf)


def _adopt(lanes: Iterable[_Lane], numbers: range, rows: _Rows) -> None:
    """The first time is known: records that came before have it too."""
    for lane in lanes:
        early = lane.windows.pop(EARLY, None)
        if early is not None:
            rows.filled.update((id(session), session) for session in lane.put(numbers, early))


class _Timeline:
    """Tells the windows of records by their times, in whole columns; remembers the last and the latest time across blocks."""

    def __init__(self, size: int, step: int) -> None:
        self.size, self.step = size, step
        self.last: int | None = None
        self.latest: int | None = None

    def spans(self, times: pl.Series) -> Iterator[tuple[int, int, int, int, int]]:
        """Rows first to last that go to windows low to high, when all before ``open_from`` are closed."""
        import polars as pl

        now = times.dt.epoch("us").fill_null(strategy="forward")
        if self.last is not None:
            now = now.fill_null(self.last)
        early = now.null_count()
        if early:
            yield 0, early, EARLY, EARLY, EARLY
        now = now.slice(early)
        if not len(now):
            return
        latest = now.cum_max() if self.latest is None else now.cum_max().clip(lower_bound=self.latest)
        self.last, self.latest = int(now[-1]), int(latest[-1])
        open_from = (latest - 2 * self.size) // self.step + 1
        frame = pl.DataFrame({"low": (now - self.size) // self.step + 1, "high": now // self.step, "open_from": open_from})
        frame = frame.with_columns(pl.max_horizontal("low", "open_from").alias("low"), pl.max_horizontal("high", "open_from").alias("high"))
        changes = frame.select(pl.any_horizontal(pl.all().diff() != 0).fill_null(True).arg_true())
        starts: list[int] = changes.to_series().to_list()
        for start, stop in zip(starts, [*starts[1:], len(now)]):
            yield early + start, early + stop, *frame.row(start)


def _keys(attributes: pl.Series, name: str) -> list[str | None]:
    """An attribute of every record, as text: by its flat name, else by the way that its dots lead."""
    found = attributes.str.json_path_match(f"$[{json.dumps(name, ensure_ascii=False)}]")
    if "." in name:
        found = found.fill_null(attributes.str.json_path_match("$" + "".join(f'["{part}"]' for part in name.split("."))))
    keys: list[str | None] = found.to_list()
    return keys
