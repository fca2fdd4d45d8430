"""Pieces of a source -> blocks of records: splitting, decoding, joining of lines, and the format's parse.

Work is on columns; the only Python per line is what the format itself needs. Lines that continue a record are kept back
until it is known to be complete, and a block's checkpoint never passes what is kept back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import groupby
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from ra_sdk.blocks import Block, fields_of
from ra_sdk.errors import SourceError
from ra_sdk.formats import format_named
from ra_sdk.formats.patterns import COLOUR
from ra_sdk.formats.reading import Reader, Records
from ra_sdk.hookspecs import Items, Lines, Part
from ra_sdk.records import LogRecord
from ra_sdk.slabs import copied
from ra_sdk.text import dumped
from ra_sdk.trouble import LOG

if TYPE_CHECKING:
    import polars as pl

    from ra_sdk.hookspecs import Format, Source

__all__ = ["RawBlock", "raw_blocks", "without_ends"]

PIECE = 4 << 20  # bytes: what is split at once
# bytes: a longer line is read in parts, so that a stream without newlines cannot fill the memory
LONGEST_LINE = 16 << 20
_MAYBE_COLOUR = r"(?:\x1b|1b|1B|33|\^\[|\\e)\["  # quickly found, in what has none
_AS_TEXT = b"\n"  # before a piece: Polars would unpack one that begins as compressed files do, as a log line may, be it by chance or to do harm


@dataclass(frozen=True)
class RawBlock:
    """Records as text, before their formats have looked into them: ``parse`` makes the block, in whatever thread.

    ``records`` are texts with their formats, or LogRecords when the source has them ready.
    """

    source: str
    identity: str
    records: Records | Sequence[LogRecord]
    lines: pl.Series
    last_lines: pl.Series
    offsets: pl.Series
    now: datetime
    checkpoint: object = None
    origin: object = None

    def parse(self, *, severities: bool = False) -> Block:
        """The block, bodies cut out of the lines, and their ``severities`` if they are wanted. Fields are parsed when somebody asks for them."""
        import polars as pl

        records = self.records
        if isinstance(records, Records):
            bodies, levels = records.bodies_and_severities(self.now) if severities else (records.bodies(), None)
            return self._block(bodies, lambda: records.fields(self.now), levels)
        ready = list(records)
        bodies = pl.Series("body", [record.body for record in ready], dtype=pl.String)
        return self._block(bodies, lambda: fields_of(ready))

    def _block(self, bodies: pl.Series, fields: Any, severities: pl.Series | None = None) -> Block:
        programs, columns = getattr(self.records, "programs", None), (bodies, self.lines, self.last_lines, self.offsets)
        return Block(self.source, self.identity, *columns, fields, self.checkpoint, self._excerpt, severities, programs, self.origin)

    def _excerpt(self, places: Sequence[int]) -> Callable[[], pl.DataFrame]:
        """What reads the fields of some of the records later, from copies of them."""
        import polars as pl

        records, now = self.records, self.now
        if not isinstance(records, Records):
            ready = [records[place] for place in places]
            return lambda: fields_of(ready)
        reader, codes, outer = records.reader, records.codes, records.outer
        texts = copied(records.texts, places)
        kinds = codes if isinstance(codes, int) else copied(codes, places)
        around = None if outer is None else [copied(column, places) for column in outer.get_columns()]

        def read() -> pl.DataFrame:
            own = kinds if isinstance(kinds, int) else kinds()
            frame = None if around is None else pl.DataFrame([column() for column in around])
            return Records(reader, texts(), own, outer=frame).fields(now)

        return read


def raw_blocks(source: Source, formats: Sequence[Format], name: str | None, size: int, wait: float) -> Iterator[RawBlock | None]:
    """Blocks of at most ``size`` records from a source; None for an idle tick of a live one.

    ``name`` is a format's name; None detects it from the first lines. A live source is read in a thread, unless it is bound to this one, so that
    what it gave is handed on after ``wait`` seconds at the latest. Raises UnknownFormat, and what the source raises, after the whole lines that came before it.
    """
    cutters: dict[int, Cutter] = {}
    try:
        for item in _ticking(source, wait) if source.live and not getattr(source, "bound", False) else source:
            if item is None:
                for cutter in cutters.values():
                    yield from cutter.add(None)
                yield None
                continue
            part = item if isinstance(item, Part) else Part(source, item)
            if id(part.source) not in cutters:
                cutters[id(part.source)] = Cutter(part.source, formats, name, size, part=part is item)
            yield from cutters[id(part.source)].add(part.item)
            if part.ended:
                yield from cutters.pop(id(part.source)).flush()
    except SourceError:
        for cutter in cutters.values():
            yield from cutter.add(None)
        raise
    for cutter in cutters.values():
        yield from cutter.flush()


def _ticking(source: Iterable[Any], wait: float) -> Iterator[Any]:
    """The items of a source that may block, with a None whenever nothing came for ``wait`` seconds."""
    end, fetched, stop = object(), Queue[Any](maxsize=8), Event()

    def read() -> None:
        try:
            for item in source:
                _offer(fetched, item, stop)
                if stop.is_set():
                    return
            _offer(fetched, end, stop)
        except BaseException as error:  # noqa: BLE001  raised again where the items are used
            _offer(fetched, _Failure(error), stop)

    Thread(target=read, name="ra-read", daemon=True).start()
    try:
        while True:
            try:
                item = fetched.get(timeout=wait)
            except Empty:
                item = None
            if item is end:
                return
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        stop.set()


def _offer(fetched: Queue[Any], item: object, stop: Event) -> None:
    while not stop.is_set():
        with suppress(Full):
            fetched.put(item, timeout=0.2)
            return


@dataclass(frozen=True)
class _Failure:
    error: BaseException


@dataclass
class Cutter:
    """Collects what a source gives and cuts it into blocks."""

    source: Source
    formats: Sequence[Format]
    name: str | None
    size: int
    part: bool = False  # the source is one of those that another consists of
    number: int = 1  # of the next physical line, or item
    offset: int = 0  # of the first byte that is held, in the text of its file
    bytes_: list[bytes] = field(default_factory=list)
    held: int = 0  # bytes in bytes_
    kept: int = 0  # of them, those that were looked at before and kept back: an unfinished line or record
    items: list[Any] = field(default_factory=list)
    checkpoint: object = None
    earlier: object = None  # the checkpoint before the last piece
    # numbers of the lines of this file that were read in parts
    long_lines: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.identity = self.source.identity
        self.reader = Reader(self.formats, self.name and format_named(self.name, self.formats).name)
        self.now = getattr(self.source, "started", None) or datetime.now(timezone.utc)

    def add(self, item: object) -> Iterator[RawBlock]:
        """Take one item of the source; yield the blocks that it completes."""
        if isinstance(item, Lines):
            self.earlier, self.checkpoint = self.checkpoint, item.checkpoint
            self.identity = item.identity or self.identity
            if item.above:
                self.reader.next_file(item.above.decode("utf-8", "replace").rstrip())
            if not self.held:  # else the piece goes on with what is held
                self.number = self.number if item.line is None else item.line
                self.offset = self.offset if item.offset is None else item.offset
            if item.data:
                self.bytes_.append(item.data)
                self.held += len(item.data)
            if item.boundary:
                yield from self.flush()
                self.reader.next_file()
                self.number, self.offset = 1, 0
            elif self.held - self.kept >= PIECE or self.source.live:
                yield from self._cut(final=False)
        elif isinstance(item, Items):
            yield from self._ready(item)
        elif item is None:
            yield from self._rest()
        else:
            self.items.append(item)
            if len(self.items) >= self.size:
                yield from self._from_items()

    def flush(self) -> Iterator[RawBlock]:
        """Everything that is held, complete or not: the stream, or this file of it, is at its end."""
        yield from self._cut(final=True)
        yield from self._from_items()
        if len(self.long_lines) > 1:
            LOG.warning("%r: %d lines were longer than %d MiB", self.source.name, len(self.long_lines), LONGEST_LINE >> 20)
        self.long_lines = []

    def _rest(self) -> Iterator[RawBlock]:
        """Whole lines that wait for a continuation: a live source is idle, so none is coming."""
        yield from self._cut(final=False, idle=True)
        yield from self._from_items()

    def _cut(self, *, final: bool, idle: bool = False) -> Iterator[RawBlock]:
        data = b"".join(self.bytes_)
        end = len(data) if final else data.rfind(b"\n") + 1
        endless = len(data) - end >= LONGEST_LINE
        if endless:
            end += LONGEST_LINE
        if not end:
            self._hold(data)
            return
        whole = data[:end]
        texts = split(whole)
        offsets = line_offsets(whole, texts, self.offset)
        records = self.reader.read(texts, whole=final or idle or endless)
        count = len(texts) - records.back
        if records.back:
            end = int(offsets[count]) - self.offset
        self._hold(data[end:])
        self.offset += end
        if endless:
            self._tell_long(self.number + count - 1)
        yield from self._blocks(records, offsets, count, unfinished=endless)

    def _tell_long(self, line: int) -> None:
        """Log the first line of a file that is read in parts, and count the others."""
        if not self.long_lines:
            said = "%r: line %d is longer than %d MiB, so it is read in parts, each a record; check what writes it"
            LOG.warning(said, self.source.name, line, LONGEST_LINE >> 20)
        if line not in self.long_lines[-1:]:
            self.long_lines.append(line)

    def _hold(self, rest: bytes) -> None:
        self.bytes_, self.held, self.kept = [rest] if rest else [], len(rest), len(rest)

    def _blocks(self, records: Records, offsets: pl.Series, count: int, *, unfinished: bool) -> Iterator[RawBlock]:
        """Blocks of the records of the next ``count`` lines, which begin at ``offsets``.

        ``unfinished``: what comes next belongs to the last line.
        """
        import polars as pl

        first = self.number
        self.number += count - unfinished
        checkpoint = self._reached()
        if records.first is None or records.last is None:
            lines = last_lines = pl.int_range(first, first + count, dtype=pl.UInt64, eager=True)
            offsets = offsets.head(count)
        else:
            lines, last_lines = ((column + first).cast(pl.UInt64) for column in (records.first, records.last))
            offsets = offsets.gather(records.first) + _places(records.first)
        for start in range(0, len(records), self.size):
            part = slice(start, start + self.size)
            reached = checkpoint if part.stop >= len(records) else None
            yield self._raw(records[part], lines[part], last_lines[part], offsets[part], reached)

    def _ready(self, given: Items) -> Iterator[RawBlock]:
        """Ready records with offsets and a checkpoint of their own."""
        import polars as pl

        yield from self._from_items()
        self.identity = given.identity
        for start in range(0, len(given.items), self.size):
            part = slice(start, start + self.size)
            records = self._texts(given.items[part], given.format)
            lines = pl.int_range(self.number, self.number + len(records), dtype=pl.UInt64, eager=True)
            self.number += len(records)
            reached = given.checkpoint if start + self.size >= len(given.items) else None
            yield self._raw(records, lines, lines, pl.Series(given.offsets[part], dtype=pl.UInt64), reached, given.origin)

    def _texts(self, group: Sequence[Any], name: str | None = None) -> Records | Sequence[LogRecord]:
        """Items of one kind, each a record."""
        import polars as pl

        if isinstance(group[0], LogRecord):
            return group
        if isinstance(group[0], Mapping):
            return Reader(self.formats).whole(pl.Series([dumped(item) for item in group], dtype=pl.String))
        texts = without_ends(pl.Series(group, dtype=pl.String))
        return (Reader(self.formats, name) if name else self.reader).whole(texts)

    def _from_items(self) -> Iterator[RawBlock]:
        """Items are whole records: nothing is joined, and each has a detection of its own."""
        import polars as pl

        for group in _runs(self.items):
            first, self.number = self.number, self.number + len(group)
            lines = pl.int_range(first, self.number, dtype=pl.UInt64, eager=True)
            records = self._texts(group)
            rows = getattr(records, "first", None)  # of records that stand in one item with others
            lines = lines if rows is None else lines.gather(rows)
            yield self._raw(records, lines, lines, lines)
        self.items = []

    def _raw(self, records: Any, lines: pl.Series, last: pl.Series, offsets: pl.Series, reached: object = None, origin: object = None) -> RawBlock:
        reached = Part(self.source, reached) if self.part and reached is not None else reached
        return RawBlock(self.source.name, self.identity, records, lines, last, offsets, self.now, reached, origin)

    def _reached(self) -> object:
        """Where reading would resume: behind the last record cut, not behind what is still held."""
        if isinstance(self.checkpoint, Mapping) and isinstance(self.checkpoint.get("offset"), int):
            return {**self.checkpoint, "offset": self.checkpoint["offset"] - self.held, "line": self.number}
        return self.earlier if self.held else self.checkpoint


def split(data: bytes) -> pl.Series:
    """Bytes to lines. Only a newline ends a line, undecodable bytes become U+FFFD, and ``_cleaned`` removes colours and the like."""
    import polars as pl

    try:
        lines = pl.read_lines(_AS_TEXT + data).to_series()[1:]
    except pl.exceptions.ComputeError:  # not UTF-8
        lines = pl.read_lines(_AS_TEXT + data.decode("utf-8", "replace").encode()).to_series()[1:]
    return _cleaned(lines, mark=b"\xef" in data, nul=b"\0" in data, back=b"\r" in data)


def without_ends(texts: pl.Series) -> pl.Series:
    """Lines that came as strings, as ``split`` gives them."""
    return _cleaned(texts.str.strip_chars_end("\r\n"), mark=True, nul=True, back=True)


def _cleaned(lines: pl.Series, *, mark: bool, nul: bool, back: bool) -> pl.Series:
    """Lines without what only a terminal or a file system put there.

    Colours, also escaped ones; ``mark``: a byte order mark in front; ``nul``: NULs at either end, which a truncated file has; ``back``: of what
    carriage returns overwrite on a screen, all but what stands there last.
    """
    if nul:
        lines = lines.str.strip_chars("\0")
    if mark:
        lines = lines.str.strip_prefix("\ufeff")
    if back and lines.str.contains("\r", literal=True).any():
        lines = lines.str.replace("\r+$", "").str.replace("^(?s:.*)\r", "")
    return lines.str.replace_all(COLOUR, "") if lines.str.contains(_MAYBE_COLOUR).any() else lines


def line_offsets(data: bytes, texts: pl.Series, base: int = 0) -> pl.Series:
    """Where each line of ``data`` begins, ``base`` added. ``texts`` are its lines as ``split`` gave them.

    Where splitting changed no byte, the lengths of the texts tell it, which takes no Python per line.
    """
    import polars as pl

    lengths = texts.str.len_bytes().cast(pl.UInt64) + 1
    same_size = int(lengths.sum()) == len(data) + (not data.endswith(b"\n"))
    if not same_size or (not data.isascii() and texts.str.contains("\ufffd", literal=True).any()):  # as replaced bytes can make up for dropped ones
        lengths = pl.Series(map(len, data.split(b"\n")), dtype=pl.UInt64).head(len(texts)) + 1
    offsets: pl.Series = lengths.cum_sum() - lengths + base
    return offsets


def _places(rows: pl.Series) -> pl.Series:
    """Which of the records of its line each is: a byte of the line for each, so that no two of them have one id."""
    import polars as pl

    if rows.n_unique() == len(rows):
        return pl.repeat(0, len(rows), dtype=pl.UInt64, eager=True)
    return rows.alias("row").to_frame().select(pl.int_range(pl.len(), dtype=pl.UInt64).over("row")).to_series()


def _runs(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Consecutive items of one kind: records, mappings or texts."""
    for _, run in groupby(items, _kind):
        yield list(run)


def _kind(item: object) -> str:
    if type(item) is str:  # nearly always, and many times as fast as to ask whether it is a mapping
        return "text"
    return "record" if isinstance(item, LogRecord) else "mapping" if isinstance(item, Mapping) else "text"
