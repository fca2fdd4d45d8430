"""The built-in sources: which of them opens what a user names; standard input, and what Python has in memory. Files: see ``files``."""

from __future__ import annotations

import glob
import io
import os
import re
import select
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote

from ra_sdk.errors import BadRecord, SourceError, UsageError
from ra_sdk.hookspecs import Lines, Source, hookimpl
from ra_sdk.records import LogRecord
from ra_sdk.sources import streams
from ra_sdk.sources.files import FileSource, polling
from ra_sdk.sources.journald import JournalSource
from ra_sdk.sources.several import FilesSource

__all__ = ["IterableSource", "StreamSource", "as_source", "ra_sdk_open_source"]

PIECE = 1 << 20  # bytes of a stream that make a piece, if they come
MOMENT = 0.02  # seconds in which they have to come: the work on a piece pays off with its size
FIRST = 256  # items of an iterable that are judged together before it is known how quickly they come
PATIENCE = 0.5  # seconds: the longest that an item waits for others
VALUES = ("to_list", "tolist", "to_pylist")  # what the values of a column are called
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+-]+:")  # two letters at least: C: is a drive


@hookimpl
def ra_sdk_open_source(url: str, options: Mapping[str, Any]) -> Source | None:
    """Paths and ``file:``, folders and patterns; ``stdin:`` and ``-``; ``journald:``.

    What is followed need not exist yet.
    """
    force = options.get("format") == "plain"
    if url in ("-", "stdin:", "stdin://"):
        if sys.stdin is None:
            raise SourceError(f"{url!r} cannot be read: this process has no standard input; name a file")
        return StreamSource(sys.stdin.buffer, url, "stdin:", force=force)
    if url.startswith("journald:"):
        return JournalSource(url, options)
    path = url
    if url.startswith("file:"):
        path = unquote(re.sub("^file:(?://(?:localhost(?=/))?)?", "", url))
    elif SCHEME.match(url) and ("://" in url or _mode(url) is None):
        return None
    mode = _mode(path)
    if (mode is None and (glob.has_magic(path) or _awaited(path, options))) or (mode and stat.S_ISDIR(mode)):
        return FilesSource(path, name=url, options=options)
    if mode is None or stat.S_ISREG(mode):  # what is missing too, for its error
        return FileSource(path, name=url, options=options)
    return StreamSource(_device(path, url), url, str(Path(path).absolute()), force=force, owned=True)


def as_source(thing: object, column: str | None = None) -> Source | None:
    """A source of what Python has in memory; None for a path or URL, which a plugin has to open. ``column``: of a frame. Raises UsageError."""
    if hasattr(type(thing), "columns") or hasattr(type(thing), "column_names"):  # of the type, since a lazy frame has to work for its own
        rows = column is None and hasattr(thing, "to_pylist")  # of Arrow: mappings, as another iterable may have them
        return IterableSource(_values(thing if rows else _column(thing, column)), nulls=True)
    if column is not None:
        raise UsageError(f"`column` is for data frames, got {_short(thing)} ({type(thing).__name__}); leave it out")
    if isinstance(thing, str | Path) or hasattr(thing, "__fspath__"):
        return None
    if all(hasattr(thing, name) for name in ("__iter__", "acknowledge", "identity", "close")):
        return cast("Source", thing)
    if isinstance(thing, io.RawIOBase | io.BufferedIOBase):
        name = str(getattr(thing, "name", "<stream>"))
        return StreamSource(cast("IO[bytes]", thing), name, name)
    if isinstance(thing, io.TextIOBase):
        return TextSource(cast("IO[str]", thing))
    if any(hasattr(thing, method) for method in VALUES):
        return IterableSource(_values(thing), nulls=True)
    kind = type(thing).__name__
    if isinstance(thing, Iterable) and not isinstance(thing, bytes | bytearray | Mapping):
        return IterableSource(thing)
    raise UsageError(f"{_short(thing)} ({kind}) is not a source; give a path, a URL, or an iterable of strings, mappings or LogRecords")


def _values(column: Any) -> list[Any]:
    """The values of a column of polars, pandas, numpy or pyarrow."""
    values: list[Any] = next(getattr(column, method) for method in VALUES if hasattr(column, method))()
    return values


def _column(frame: Any, name: str | None) -> Any:
    """A column of a frame. Raises UsageError."""
    kind = type(frame).__name__
    if kind == "LazyFrame":
        raise UsageError("a LazyFrame has no rows yet; give frame.collect(), or frame.select(column).collect()")
    known = [str(each) for each in getattr(frame, "column_names", None) or frame.columns]
    if name is None:
        raise UsageError(f"a {kind} is a table, not a column of log lines; say column=NAME, one of {', '.join(known) or 'none, it has no columns'}")
    if name not in known:
        raise UsageError(f"column {name!r} is not in the {kind}; it has {', '.join(known) or 'no columns'}")
    return frame[name]


class IterableSource:
    """Strings, mappings or LogRecords: each is a record of its own. ``nulls``: None and NaN are empty records, as a column may have them.

    It is read in the thread that asks for detections: a database cursor may not be used in another. A generator may
    be slow, so a None follows items that came slowly: no other thread could see whether more comes. Iterating raises BadRecord for anything else.
    """

    bound = True

    def __init__(self, items: Iterable[Any], *, nulls: bool = False) -> None:
        self.name = self.identity = "<iterable>"
        self.live = not hasattr(items, "__len__")  # what is made as it goes may take its time
        self._items, self._nulls = items, nulls

    def __iter__(self) -> Iterator[str | Mapping[str, Any] | LogRecord | None]:
        return _paced(self._records()) if self.live else self._records()

    def _records(self) -> Iterator[str | Mapping[str, Any] | LogRecord]:
        for position, item in enumerate(self._items):
            if isinstance(item, str):
                yield item if item.isascii() else _speakable(item)
            elif isinstance(item, LogRecord):
                body = str(item.body)
                yield item if body is item.body and body.isascii() else replace(item, body=_speakable(body))
            elif isinstance(item, Mapping):
                yield item
            elif isinstance(item, bytes):
                yield item.decode("utf-8", "replace")
            elif self._nulls and _is_null(item):
                yield ""
            else:
                kind = type(item).__name__
                raise BadRecord(f"item {position} is {_short(item)} ({kind}), not a log record; give strings, mappings or LogRecords")

    def acknowledge(self, checkpoint: object) -> None:
        """Nothing to keep: an iterable cannot be resumed."""

    def close(self) -> None:
        """Nothing to let go of: the items are the caller's."""


class TextSource:
    """An open text file, read as its path would be, from where it is now. It is left open. Iterating raises SourceError."""

    size, live = None, False

    def __init__(self, stream: IO[str]) -> None:
        self.name = self.identity = str(getattr(stream, "name", "<stream>"))
        self.position, self._stream = 0, stream

    def __iter__(self) -> Iterator[Lines]:
        try:
            while piece := self._stream.read(PIECE):
                self.position += len(piece)
                yield Lines(_speakable(piece).encode())
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SourceError(f"{self.name!r} cannot be read any further: {reason}; open it in binary mode, or give its path") from error

    def acknowledge(self, checkpoint: object) -> None:
        """Nothing to keep: an open file cannot be resumed."""

    def close(self) -> None:
        """Nothing to close: the file is the caller's."""


class StreamSource:
    """Bytes as they come: standard input, a pipe, a device, an open binary file. What is compressed or UTF-16 is recognised.

    ``force`` reads even what looks binary; ``owned`` closes the stream with the source. Iterating raises SourceError.
    """

    size = None

    def __init__(self, stream: IO[bytes], name: str, identity: str, *, force: bool = False, owned: bool = False) -> None:
        self.name, self.identity, self.position = name, identity, 0
        self._stream, self._force, self._owned = stream, force, owned
        self._descriptor = _descriptor(stream)
        self.live = self._descriptor is not None and not stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def __iter__(self) -> Iterator[Lines]:
        for piece in streams.text(self._chunks(), self.name, force=self._force):
            yield Lines(piece)

    def acknowledge(self, checkpoint: object) -> None:
        """Nothing to keep: a stream cannot be resumed."""

    def close(self) -> None:
        """Close what was opened here; standard input is not."""
        if self._owned:
            self._stream.close()

    def _chunks(self) -> Iterator[bytes]:
        read: Callable[[int], bytes] = getattr(self._stream, "read1", self._stream.read)
        try:
            while chunk := read(PIECE):
                pieces, taken, end = [chunk], len(chunk), time.monotonic() + MOMENT
                while taken < PIECE and self._has_more(end) and (chunk := read(PIECE)):
                    pieces.append(chunk)
                    taken += len(chunk)
                self.position += taken
                yield b"".join(pieces)
        except OSError as error:
            raise SourceError(f"{self.name!r} cannot be read any further: {error.strerror or error}; check the program that writes to it") from error

    def _has_more(self, end: float) -> bool:
        """Whether more comes in time."""
        if not self.live or self._descriptor is None:
            return False
        look = select.poll()
        look.register(self._descriptor, select.POLLIN)
        return bool(look.poll(max(0.0, end - time.monotonic()) * 1_000))


def _paced(items: Iterable[Any]) -> Iterator[Any]:
    """The items, and a None after each that took its time, after a few others at first and ever more as long as they come quickly."""
    held, most, since = 0, FIRST, time.monotonic()
    asked = since
    for item in items:
        now = time.monotonic()
        slow = now - asked > MOMENT
        yield item
        held += 1
        if slow or held >= most or now - since > PATIENCE:
            yield None
            held, most, since = 0, 1 if slow else 2 * most, time.monotonic()
        asked = time.monotonic()


def _descriptor(stream: IO[bytes]) -> int | None:
    try:
        return stream.fileno()
    except (OSError, AttributeError):  # in memory
        return None


def _mode(path: str) -> int | None:
    """What kind of file it is; None if there is none, or the text cannot be a path."""
    try:
        return Path(path).stat().st_mode
    except (OSError, ValueError):
        return None


def _awaited(path: str, options: Mapping[str, Any]) -> bool:
    """Whether it is followed and does not exist yet, so that it is read like a pattern that nothing matches so far."""
    try:
        return polling(options)[0] and not Path(path).exists()
    except (OSError, ValueError):  # a folder that may not be entered, or no path
        return False


def _device(path: str, name: str) -> IO[bytes]:
    """A pipe or a device, unbuffered: what it has is handed on at once."""
    try:
        return cast("IO[bytes]", Path(path).open("rb", buffering=0))
    except OSError as error:
        raise SourceError(f"{name!r} cannot be read: {error.strerror or error}; check the path and its permissions") from error


def _speakable(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which UTF-8 cannot encode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _is_null(item: object) -> bool:
    return item is None or (isinstance(item, float) and item != item) or type(item).__name__ in ("NAType", "NaTType")


def _short(thing: object) -> str:
    text = repr(thing)
    return text if len(text) <= 60 else f"{text[:57]}..."
