"""Pieces of a source -> blocks of records: splitting, decoding, joining of lines, and the format's parse.

Work is on columns; the only Python per line is what the format itself needs. Lines that continue a record are kept back
until it is known to be complete, and a block's checkpoint never passes what is kept back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import groupby
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from ra_sdk.blocks import Block, fields_of
from ra_sdk.errors import SourceError
from ra_sdk.formats import detect_format, format_named
from ra_sdk.hookspecs import Lines
from ra_sdk.jsontext import dumped
from ra_sdk.records import LogRecord

if TYPE_CHECKING:
    import polars as pl

    from ra_sdk.hookspecs import Format, Source

__all__ = ["RawBlock", "raw_blocks", "without_ends"]

PIECE = 4 << 20  # bytes: what is split at once
LONGEST_LINE = 64 << 20  # bytes: a longer line is cut, so that a stream without newlines cannot fill the memory
LONGEST_RECORD_LINES, LONGEST_RECORD_BYTES = 1_000, 1 << 20  # joining stops here; what follows is a record of its own
_COLOUR = re.compile(rb"\x1b\[[0-9;:]*[mK]")  # ECMA-48 SGR and EL: how a program paints its log on a terminal; it would hide header and words
_AS_TEXT = b"\n"  # before a piece: Polars would unpack one that begins as compressed files do, as a log line may, be it by chance or to do harm
SAMPLE = 200  # lines: when so many were seen, a format that is still plain stays plain


@dataclass(frozen=True)
class RawBlock:
    """Records as text, before the format has looked into them: ``parse`` makes the block, in whatever thread.

    ``records`` is a String column, or a list of LogRecords when the source has them ready.
    """

    source: str
    identity: str
    records: pl.Series | Sequence[LogRecord]
    lines: pl.Series
    last_lines: pl.Series
    offsets: pl.Series
    format: Format | None
    now: datetime
    checkpoint: object = None

    def parse(self) -> Block:
        """The block, bodies cut out of the lines. Fields are parsed when somebody asks for them."""
        import polars as pl

        form, texts = self.format, self.records
        if form is None or not isinstance(texts, pl.Series):
            ready = list(texts)
            bodies = pl.Series("body", [record.body for record in ready], dtype=pl.String)
            return self._block(bodies, lambda: fields_of(ready))
        return self._block(form.bodies(texts), lambda: form.fields(texts, self.now))

    def _block(self, bodies: pl.Series, read_fields: Any) -> Block:
        return Block(self.source, self.identity, bodies, self.lines, self.last_lines, self.offsets, read_fields, self.checkpoint)


def raw_blocks(source: Source, formats: Sequence[Format], name: str | None, size: int, wait: float) -> Iterator[RawBlock | None]:
    """Blocks of at most ``size`` records from a source; None for an idle tick of a live one.

    ``name`` is a format's name; None detects it from the first lines. A live source is read in a thread, so that what it gave is
    handed on after ``wait`` seconds at the latest. Raises UnknownFormat, and what the source raises, after the whole lines that came before it.
    """
    cut = Cutter(source, formats, name, size)
    try:
        for item in _ticking(source, wait) if source.live else source:
            yield from cut.add(item)
            if item is None:
                yield None
    except SourceError:
        yield from cut.add(None)
        raise
    yield from cut.flush()


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
    number: int = 1  # of the next physical line, or item
    offset: int = 0  # of the first byte that is held, in the text of its file
    seen: int = 0  # lines that the choice of a format rests on
    format: Format | None = None
    bytes_: list[bytes] = field(default_factory=list)
    held: int = 0  # bytes in bytes_
    kept: int = 0  # of them, those that were looked at before and kept back: an unfinished line or record
    items: list[Any] = field(default_factory=list)
    checkpoint: object = None
    earlier: object = None  # the checkpoint before the last piece

    def __post_init__(self) -> None:
        self.identity = self.source.identity
        if self.name:
            self.format = format_named(self.name, self.formats)
        self.now = getattr(self.source, "started", None) or datetime.now(timezone.utc)

    def add(self, item: object) -> Iterator[RawBlock]:
        """Take one item of the source; yield the blocks that it completes."""
        if isinstance(item, Lines):
            self.earlier, self.checkpoint = self.checkpoint, item.checkpoint
            self.identity = item.identity or self.identity
            if item.line is not None:
                self.number = item.line
            if item.offset is not None:
                self.offset = item.offset - self.held
            if item.data:
                self.bytes_.append(item.data)
                self.held += len(item.data)
            if item.boundary:
                yield from self.flush()
                self.number, self.offset = 1, 0
            elif self.held - self.kept >= PIECE or self.source.live:
                yield from self._cut(final=False)
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

    def _rest(self) -> Iterator[RawBlock]:
        """Whole lines that wait for a continuation: a live source is idle, so none is coming."""
        yield from self._cut(final=False, idle=True)
        yield from self._from_items()

    def _cut(self, *, final: bool, idle: bool = False) -> Iterator[RawBlock]:
        data = b"".join(self.bytes_)
        end = len(data) if final else data.rfind(b"\n") + 1
        if not end and len(data) >= LONGEST_LINE:
            end = len(data)
        if not end:
            self._hold(data)
            return
        whole = data[:end]
        texts = split(whole)
        offsets = line_offsets(whole, texts, self.offset)
        starts, back = self._starts(texts)
        if back and not final and not idle:
            keep = len(texts) - back
            end = int(offsets[keep]) - self.offset
            texts, offsets, starts = texts.head(keep), offsets.head(keep), None if starts is None else starts.head(keep)
        self._hold(data[end:])
        self.offset += end
        yield from self._records(texts, offsets, starts)

    def _starts(self, texts: pl.Series) -> tuple[pl.Series | None, int]:
        """Which lines begin a record, and how many lines at the end may yet be continued."""
        form = self._choose(texts)
        starts = form.starts(texts)
        if starts is None or not len(starts):
            return None, 0
        starts = _capped(texts, starts)
        positions = starts.arg_true()
        return starts, len(starts) - (int(positions[-1]) if len(positions) else 0)

    def _choose(self, texts: pl.Series) -> Format:
        if self.format is None or (self.format.name == "plain" and not self.name and self.seen < SAMPLE):
            self.format = detect_format(texts, self.formats)
        self.seen += len(texts)
        return self.format

    def _hold(self, rest: bytes) -> None:
        self.bytes_, self.held, self.kept = [rest] if rest else [], len(rest), len(rest)

    def _records(self, texts: pl.Series, offsets: pl.Series, starts: pl.Series | None) -> Iterator[RawBlock]:
        import polars as pl

        if not len(texts):
            return
        first = self.number
        self.number += len(texts)
        lines = pl.int_range(first, self.number, dtype=pl.UInt64, eager=True)
        records, last_lines = texts, lines
        if starts is not None and not starts.all():
            records, lines, last_lines, offsets = _join(texts, starts, lines, offsets)
        checkpoint = self._reached()
        for start in range(0, len(records), self.size):
            stop = start + self.size
            reached = checkpoint if stop >= len(records) else None
            part = slice(start, stop)
            yield self._raw(records[part], lines[part], last_lines[part], offsets[part], reached, self.format)

    def _from_items(self) -> Iterator[RawBlock]:
        """Items are whole records: nothing is joined, and each has a detection of its own."""
        import polars as pl

        for group in _runs(self.items):
            first, self.number = self.number, self.number + len(group)
            lines = pl.int_range(first, self.number, dtype=pl.UInt64, eager=True)
            if isinstance(group[0], LogRecord):
                yield self._raw(group, lines, lines, lines, None, None)
            elif isinstance(group[0], Mapping):
                texts = pl.Series([dumped(item) for item in group], dtype=pl.String)
                yield self._raw(texts, lines, lines, lines, None, format_named("json", self.formats))
            else:
                texts = without_ends(pl.Series(group, dtype=pl.String))
                yield self._raw(texts, lines, lines, lines, None, self._choose(texts))
        self.items = []

    def _raw(self, records: Any, lines: pl.Series, last: pl.Series, offsets: pl.Series, reached: object, form: Format | None) -> RawBlock:
        return RawBlock(self.source.name, self.identity, records, lines, last, offsets, form, self.now, reached)

    def _reached(self) -> object:
        """Where reading would resume: behind the last record cut, not behind what is still held."""
        if isinstance(self.checkpoint, Mapping) and isinstance(self.checkpoint.get("offset"), int):
            return {**self.checkpoint, "offset": self.checkpoint["offset"] - self.held, "line": self.number}
        return self.earlier if self.held else self.checkpoint


def split(data: bytes) -> pl.Series:
    """Bytes to lines. Only a newline ends a line; a carriage return before it is dropped, and colours are; undecodable bytes become U+FFFD."""
    import polars as pl

    data = _COLOUR.sub(b"", data) if b"\x1b[" in data else data
    try:
        return pl.read_lines(_AS_TEXT + data).to_series()[1:]
    except pl.exceptions.ComputeError:  # not UTF-8
        return pl.read_lines(_AS_TEXT + data.decode("utf-8", "replace").encode()).to_series()[1:]


def without_ends(texts: pl.Series) -> pl.Series:
    """Lines that came as strings: without their ends, and without colours."""
    texts = texts.str.strip_chars_end("\r\n")
    return texts.str.replace_all(_COLOUR.pattern.decode(), "") if texts.str.contains("\x1b[", literal=True).any() else texts


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


def _capped(texts: pl.Series, starts: pl.Series) -> pl.Series:
    """``starts``, with more of them where a record would grow beyond the caps."""
    import polars as pl

    if starts.all():
        return starts
    frame = pl.DataFrame({"start": starts, "bytes": texts.str.len_bytes().cast(pl.Int64)}).with_columns(record=pl.col("start").cum_sum())
    step = pl.int_range(pl.len()).over("record") // LONGEST_RECORD_LINES + pl.col("bytes").cum_sum().over("record") // LONGEST_RECORD_BYTES
    return frame.select(pl.col("start") | (step != step.shift(1, fill_value=0)).over("record")).to_series()


def _join(texts: pl.Series, starts: pl.Series, lines: pl.Series, offsets: pl.Series) -> tuple[pl.Series, pl.Series, pl.Series, pl.Series]:
    """Records, their first and their last lines, and their offsets."""
    import polars as pl

    frame = pl.DataFrame({"text": texts, "line": lines, "offset": offsets, "record": starts.cum_sum()})
    wanted = (pl.col("text").str.join("\n"), pl.col("line").first(), pl.col("line").last().alias("last"), pl.col("offset").first())
    joined = frame.group_by("record", maintain_order=True).agg(wanted)
    return joined["text"], joined["line"], joined["last"], joined["offset"]


def _runs(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Consecutive items of one kind: records, mappings or texts."""
    for _, run in groupby(items, _kind):
        yield list(run)


def _kind(item: object) -> str:
    if type(item) is str:  # nearly always, and many times as fast as to ask whether it is a mapping
        return "text"
    return "record" if isinstance(item, LogRecord) else "mapping" if isinstance(item, Mapping) else "text"
