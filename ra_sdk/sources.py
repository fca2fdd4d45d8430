"""The built-in sources: files (compressed, followed, resumed), standard input, and what Python has in memory."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from threading import Event
from typing import IO, Any, cast
from urllib.parse import unquote

from ra_sdk.errors import BadRecord, SourceError, StoreError, UsageError
from ra_sdk.hookspecs import Lines, Source, hookimpl
from ra_sdk.records import LogRecord

__all__ = ["FileSource", "IterableSource", "StdinSource", "as_source", "ra_sdk_open_source"]

PIECE = 4 << 20  # bytes read at once
POLL_SECONDS = 0.2
HEAD = 256  # bytes that tell one file from another at the same inode
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2"}
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


@hookimpl
def ra_sdk_open_source(url: str, options: Mapping[str, Any]) -> Source | None:
    """Paths, ``file:``, ``stdin:`` and ``-``."""
    if url in ("-", "stdin:", "stdin://"):
        return StdinSource(url)
    if url.startswith("file:"):
        path = url[len("file:") :]
        return FileSource(unquote(path.removeprefix("//")), name=url, options=options)
    if "://" in url or (":" in url and url.split(":")[0].isalpha() and len(url.split(":")[0]) > 1 and not Path(url).exists()):
        return None
    return FileSource(url, options=options)


def as_source(thing: object) -> Source | None:
    """A source of what Python has in memory; None for a path or URL, which a plugin has to open. Raises UsageError."""
    if isinstance(thing, str | os.PathLike):
        return None
    if all(hasattr(thing, name) for name in ("__iter__", "acknowledge", "identity")):
        return cast("Source", thing)
    for method in ("to_list", "tolist", "to_pylist"):  # columns of polars, pandas, numpy and pyarrow
        if hasattr(thing, method):
            return IterableSource(getattr(thing, method)(), nulls=True)
    if isinstance(thing, Iterable) and not isinstance(thing, bytes | Mapping):
        return IterableSource(thing)
    kind = type(thing).__name__
    raise UsageError(f"{_short(thing)} ({kind}) is no source; give a path, a URL, or an iterable of strings, mappings or LogRecords")


class IterableSource:
    """Strings, mappings or LogRecords: each is a record of its own. ``nulls``: None is an empty record, as in a column."""

    live = False
    identity = name = "<iterable>"

    def __init__(self, items: Iterable[Any], *, nulls: bool = False) -> None:
        self._items, self._nulls = items, nulls
        self.live = not hasattr(items, "__len__")  # what is made as it goes may take its time

    def __iter__(self) -> Iterator[str | Mapping[str, Any] | LogRecord]:
        for position, item in enumerate(self._items):
            if isinstance(item, str | Mapping | LogRecord):
                yield item
            elif isinstance(item, bytes):
                yield item.decode("utf-8", "replace")
            elif self._nulls and (item is None or item != item):
                yield ""
            else:
                raise BadRecord(f"item {position} is {_short(item)} ({type(item).__name__}), no log record; give strings, mappings or LogRecords")

    def acknowledge(self, checkpoint: object) -> None:
        """Nothing to keep: an iterable cannot be resumed."""

    def close(self) -> None:
        """Close a generator."""
        close = getattr(self._items, "close", None)
        if close is not None and not self.live:
            close()


class StdinSource:
    """Standard input, as it comes; compressed input is recognised."""

    live = True
    size = None

    def __init__(self, name: str, stream: IO[bytes] | None = None) -> None:
        self.name, self.identity = name, "stdin:"
        self.position = 0
        self._stream = stream or sys.stdin.buffer

    def __iter__(self) -> Iterator[Lines]:
        read = getattr(self._stream, "read1", self._stream.read)
        first = read(1 << 16)
        if _compression(first):
            yield from _decompressed(_Joined(first, self._stream), _compression(first), self)
            return
        while first:
            self.position += len(first)
            yield Lines(first)
            first = read(1 << 18)

    def acknowledge(self, checkpoint: object) -> None:
        """Nothing to keep: standard input cannot be resumed."""

    def close(self) -> None:
        """Standard input is not ours to close."""


class FileSource:
    """A file, plain or compressed (gzip, zstd, xz, bzip2, by their first bytes), UTF-8 or UTF-16 by its byte order mark.

    Options: ``follow`` waits for more, like tail -F: through rotation and truncation, from the start of the file. ``checkpoint`` is a file
    that keeps the position up to which every sink has written; reading resumes there. ``format="plain"`` reads even what looks
    binary. ``stop``, a threading.Event, ends a followed file. Raises SourceError.
    """

    def __init__(self, path: str, *, name: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        options = options or {}
        self.path, self.name = Path(path), name or path
        self.identity = str(self.path.resolve())
        self.live = bool(options.get("follow"))
        self.position = 0
        self._line: int | None = None
        self._stop = options.get("stop") or Event()
        self._checkpoint = Path(options["checkpoint"]) if options.get("checkpoint") else None
        self._file = self._opened()
        info = os.fstat(self._file.fileno())
        self.size = info.st_size if stat.S_ISREG(info.st_mode) else None
        self.started = datetime.fromtimestamp(info.st_mtime, timezone.utc)
        head = _peek(self._file)
        self._compression, self._mark = _compression(head), next((mark for mark in _MARKS if head.startswith(mark)), b"")
        if self.live and (self._compression or "16" in _MARKS.get(self._mark, "")):
            self._file.close()
            raise SourceError(f"{self.name!r} is compressed or UTF-16 and cannot be followed; read it without --follow")
        if not self._compression and _is_binary(head, self._mark) and options.get("format") != "plain":
            self._file.close()
            raise SourceError(f"{self.name!r} looks binary, it holds no lines of text; name a text file, or force it with --format plain")

    def __iter__(self) -> Iterator[Lines | None]:
        if self._compression:
            yield from _decompressed(self._file, self._compression, self)
        elif "16" in _MARKS.get(self._mark, ""):
            yield from self._utf16()
        else:
            yield from self._from_rotated()
            yield from self._plain()

    def acknowledge(self, checkpoint: object) -> None:
        """Write the position down, atomically."""
        if self._checkpoint is None or checkpoint is None:
            return
        fresh = self._checkpoint.with_name(f"{self._checkpoint.name}.{os.getpid()}.tmp")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                json.dump({self.identity: checkpoint}, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._checkpoint)
        except OSError as error:
            raise StoreError(f"checkpoint {str(self._checkpoint)!r} cannot be written: {error.strerror}; choose another path") from error

    def close(self) -> None:
        """Stop following, and close the file."""
        self._stop.set()
        self._file.close()

    def _opened(self) -> IO[bytes]:
        try:
            if self.path.is_dir():
                raise SourceError(f"{self.name!r} is a directory; name the files in it, as in {self.name.rstrip('/')}/*.log")
            return self.path.open("rb", buffering=0) if self.path.is_fifo() else self.path.open("rb")
        except OSError as error:
            raise SourceError(f"{self.name!r} cannot be read: {error.strerror or error}; check the path and its permissions") from error
        except ValueError as error:
            raise SourceError(f"{self.name!r} is no path: {error}; name a file") from error

    def _mark_of(self, file: IO[bytes], offset: int) -> dict[str, Any]:
        """A checkpoint: where to resume, and how to know the file again."""
        info = os.fstat(file.fileno())
        return {"offset": offset, "inode": info.st_ino, "device": info.st_dev, "head": _head(file, min(offset, HEAD))}

    def _saved(self) -> dict[str, Any] | None:
        if self._checkpoint is None or not self._checkpoint.exists():
            return None
        try:
            saved = json.loads(self._checkpoint.read_text(encoding="utf-8")).get(self.identity)
        except (OSError, ValueError, AttributeError) as error:
            raise StoreError(f"checkpoint {str(self._checkpoint)!r} cannot be read: {error}; remove it to start at the beginning") from error
        return saved if isinstance(saved, dict) else None

    def _from_rotated(self) -> Iterator[Lines]:
        """Resume: go to the saved position, or first finish the file that has it and was rotated away."""
        saved = self._saved()
        if saved is None:
            return
        if _is_same(self._file, saved):
            self._file.seek(saved["offset"])
            self._line = saved.get("line")
            return
        for sibling in sorted(self.path.parent.glob(f"{self.path.name}?*")):
            if not sibling.is_file():
                continue
            with sibling.open("rb") as file:
                if os.fstat(file.fileno()).st_ino == saved["inode"] and _is_same(file, saved):
                    file.seek(saved["offset"])
                    line = saved.get("line")
                    while piece := file.read(PIECE):
                        yield Lines(piece, self._mark_of(file, file.tell()), line=line)
                        line = None
                    yield Lines(b"", self._mark_of(file, file.tell()), boundary=True)
                    return

    def _plain(self) -> Iterator[Lines | None]:
        if self._file.seekable() and self._file.tell() == 0:
            self._file.seek(len(self._mark))
        while True:
            piece = self._read()
            if piece:
                self.position = self._file.tell() if self._file.seekable() else self.position + len(piece)
                yield Lines(piece, self._mark_of(self._file, self.position) if self._file.seekable() else None, line=self._line)
                self._line = None
            elif not self.live or self._stop.is_set():
                return
            else:
                yield from self._wait()

    def _read(self) -> bytes:
        try:
            return self._file.read(PIECE)
        except OSError as error:
            raise SourceError(f"{self.name!r} cannot be read at byte {self.position}: {error.strerror}; check the disk") from error

    def _wait(self) -> Iterator[Lines | None]:
        """Until the file has grown, was truncated, or another has taken its place."""
        yield None
        try:
            info = self.path.stat()
        except OSError:
            self._stop.wait(POLL_SECONDS)  # between rotation and re-creation
            return
        own = os.fstat(self._file.fileno())
        if (info.st_ino, info.st_dev) != (own.st_ino, own.st_dev):
            if piece := self._file.read():
                yield Lines(piece, self._mark_of(self._file, self._file.tell()))
            yield Lines(b"", self._mark_of(self._file, self._file.tell()), boundary=True)
            self._file.close()
            self._file = self._opened()
        elif info.st_size < self._file.tell():
            yield Lines(b"", None, boundary=True)
            self._file.seek(0)
        elif info.st_size == self._file.tell():
            self._stop.wait(POLL_SECONDS)
        self.size = info.st_size

    def _utf16(self) -> Iterator[Lines]:
        import codecs

        decoder = codecs.getincrementaldecoder(_MARKS[self._mark])("replace")
        self._file.seek(len(self._mark))
        while piece := self._read():
            self.position = self._file.tell()
            yield Lines(decoder.decode(piece).encode("utf-8", "replace"))
        yield Lines(decoder.decode(b"", final=True).encode("utf-8", "replace"))


class _Joined:
    """A stream whose first bytes were read already."""

    def __init__(self, first: bytes, rest: IO[bytes]) -> None:
        self._first, self._rest = first, rest

    def read(self, size: int = -1) -> bytes:
        if self._first:
            part, self._first = (self._first, b"") if size < 0 else (self._first[:size], self._first[size:])
            return part if size >= 0 else part + self._rest.read()
        return self._rest.read(size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    closed = False


def _decompressed(file: Any, kind: str, source: FileSource | StdinSource) -> Iterator[Lines]:
    """Pieces of a compressed stream. What could be read before it breaks off is delivered first. Raises SourceError."""
    done = 0
    try:
        with _reader(file, kind) as reader:
            while piece := reader.read(PIECE):
                done += len(piece)
                source.position = file.tell() if hasattr(file, "tell") else done
                yield Lines(piece)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _broken(source.name, kind, done, error) from error
    except Exception as error:
        if type(error).__name__ not in ("ZstdError", "error"):
            raise
        raise _broken(source.name, kind, done, error) from error


def _broken(name: str, kind: str, done: int, error: Exception) -> SourceError:
    return SourceError(f"{name!r} breaks off after {done} bytes of its {kind} content: {error}; what came before was read, get a whole copy")


def _reader(file: Any, kind: str) -> Any:
    if kind == "gzip":
        return _Salvaging(gzip.GzipFile(fileobj=file))
    if kind == "xz":
        return _Salvaging(lzma.LZMAFile(file))
    if kind == "bzip2":
        return _Salvaging(bz2.BZ2File(file))
    import zstandard

    return _Salvaging(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False))


class _Salvaging:
    """Reads in small steps, so that a stream that breaks off loses only its last one."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._error = inner, cast("Exception | None", None)

    def __enter__(self) -> _Salvaging:
        return self

    def __exit__(self, *_: object) -> None:
        self._inner.close()

    def read(self, size: int) -> bytes:
        if self._error is not None:
            raise self._error
        pieces: list[bytes] = []
        while size > 0:
            try:
                piece = self._inner.read(min(size, 1 << 16))
            except Exception as error:  # noqa: BLE001  raised at the next read, after what was read
                self._error = error
                break
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        if self._error is not None and not pieces:
            raise self._error
        return b"".join(pieces)


def _peek(file: IO[bytes]) -> bytes:
    """The first bytes; nothing of a stream that cannot go back."""
    if not file.seekable():
        return b""
    head = file.read(8192)
    file.seek(0)
    return head


def _compression(head: bytes) -> str:
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


def _is_binary(head: bytes, mark: bytes) -> bool:
    """More than a tenth NULs and other bytes that no text has."""
    odd = sum(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in head)
    return not mark and odd > len(head) / 10


def _head(file: IO[bytes], length: int) -> str:
    """A hash of the first bytes, and how many they are."""
    return f"{length}:{hashlib.sha256(os.pread(file.fileno(), length, 0)).hexdigest()[:16]}"


def _is_same(file: IO[bytes], saved: Mapping[str, Any]) -> bool:
    """Whether this is the file that a checkpoint speaks of; it may have been copied meanwhile, but not cut."""
    length = int(str(saved["head"]).split(":")[0])
    return os.fstat(file.fileno()).st_size >= int(saved["offset"]) and _head(file, length) == str(saved["head"])


def _short(thing: object) -> str:
    text = repr(thing)
    return text if len(text) <= 60 else f"{text[:57]}..."
