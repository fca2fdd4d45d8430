"""One open file as text: where reading is in it, and how to know it again under another name, or after it was truncated."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import IO, Any

from ra_sdk.errors import SourceError
from ra_sdk.sources import streams

__all__ = ["EDGE", "LogFile"]

PIECE = (4 << 20) + (64 << 10)  # bytes read at once: what is split at once, and a line that is left for the next piece
HOLE = b"\0" * 8  # what a writer that does not append leaves at the start of a file that was truncated
FIELDS = b"#Fields:"  # the line of W3C's extended format that says what the lines below it hold
LONGEST_FIELDS = 64 << 10  # bytes of a ``#Fields:`` line
EDGE = 1_024  # bytes at the start of a file, and before the position in it, by which it is known again


class LogFile:
    """An open file as UTF-8 text. Raises SourceError.

    ``offset``: bytes of text given so far, and ``line`` the number of the next line; a byte order mark does not count, nor does
    compression. A plain file may be read again when it has grown. ``identity`` tells it from all other files, once it is given one;
    ``log`` is the file that it was rotated from, or itself; ``grown`` when it last gave something, by the monotonic clock; ``beside``
    the inodes and times of the files that stood in its row when it was opened.
    """

    def __init__(self, path: Path, name: str, *, force: bool = False) -> None:
        self.path, self.name = path, name
        self.offset, self.line, self.grown = 0, 1, time.monotonic()
        self.truncated: bool = False
        self.file = _opened(path, name)
        self.identity, self._lock = "", Lock()
        self._fields = _Fields()
        self.beside: frozenset[tuple[int, int]] = frozenset()
        try:
            self.log = path.resolve()
            status = os.fstat(self.file.fileno())
            self.device, self.inode, self.seen = status.st_dev, status.st_ino, status.st_size
            self._changed = status.st_mtime_ns  # the last that was seen of it before it was truncated
            self._look_inside(force)
        except BaseException:
            self.file.close()
            raise

    def _look_inside(self, force: bool) -> None:
        head = os.pread(self.file.fileno(), streams.HEAD, 0)
        self._mark = len(streams.byte_order_mark(head))
        self.plain = streams.is_plain(head, force=force)
        self._start, self._tail = head[self._mark :][:EDGE], b""
        self._chunks: Iterator[bytes] = iter(())
        if not self.plain:
            chunks = streams.text(self._raw(), self.name, force=force)
            first = next((piece for piece in chunks if piece), b"")
            self._start, self._chunks = first[:EDGE], chain([first], chunks)
        elif not force:
            streams.refuse_binary(head.lstrip(b"\0"), self.name)

    @property
    def identity_now(self) -> str:
        """Device, inode and a hash of the first line, as far as it is there."""
        first = hashlib.sha256(self._start.partition(b"\n")[0]).hexdigest()[:16]
        return f"{self.device:x}-{self.inode:x}-{first}"

    @property
    def size(self) -> int:
        """Bytes on the disk, now."""
        return self._status().st_size

    @property
    def position(self) -> int:
        """Bytes on the disk that were read."""
        return self.offset + self._mark if self.plain else self.file.tell()

    @property
    def unread(self) -> int:
        """Bytes that were seen in a plain file and not read."""
        return max(0, self.seen - self._mark - self.offset) if self.plain else 0

    def read(self, *, whole: bool) -> bytes:
        """The next piece of text; empty at the end, and where the file was truncated. ``whole``: a last line without its end is left for later."""
        piece = self._read_plain(whole) if self.plain else next((chunk for chunk in self._chunks if chunk), b"")
        if len(self._start) < EDGE and self.offset <= len(self._start):
            self._start += piece[len(self._start) - self.offset :][: EDGE - len(self._start)]
        self._tail = (self._tail + piece[-EDGE:])[-EDGE:]
        if piece:
            self._note(piece)
            self.offset += len(piece)
            self.line += piece.count(b"\n")
            self.grown = time.monotonic()
        return piece

    def _read_plain(self, whole: bool) -> bytes:
        if self.blank:
            self.peek()
        status = self._status()
        self.seen = max(self.seen, status.st_size)
        while True:
            data = self._pread(PIECE, self.offset + self._mark)
            if not self.intact():  # asked after reading, so that nothing of the file's next life is taken for a part of this one
                self.truncated = True
                return b""
            self._changed = status.st_mtime_ns
            if self._tail.strip(b"\0") or not data.startswith(b"\0" if self._tail else HOLE):
                break
            self._skip(len(data) - len(data.lstrip(b"\0")))
        end = data.rfind(b"\n") + 1 if whole else len(data)
        longer = not end and len(data) == PIECE  # the line is longer than a piece
        return data if longer else data[:end]

    def _skip(self, count: int) -> None:
        """Pass over the NULs at the start of a file."""
        self._start = (self._start + b"\0" * count)[:EDGE] if len(self._start) == self.offset else self._start
        self._tail = b"\0" * min(EDGE, self.offset + count)
        self.offset += count

    def intact(self) -> bool:
        """Whether what was read of it still stands where it stood. A file that was truncated and has grown again has not even to be shorter."""
        if not self.plain:
            return True
        before = self.offset - len(self._tail) + self._mark
        return self._pread(len(self._start), self._mark) == self._start and self._pread(len(self._tail), before) == self._tail

    def seek(self, offset: int) -> None:
        """Go to an offset of the text; in a compressed file by reading up to it, and no further than its end."""
        if self.plain:
            self._tail = self._pread(min(EDGE, offset), max(0, offset - EDGE) + self._mark)
            self.offset = offset
        while self.offset < offset and (piece := next(self._chunks, None)) is not None:
            rest = piece[offset - self.offset :]
            taken = piece[: len(piece) - len(rest)]
            self._tail = (self._tail + taken[-EDGE:])[-EDGE:]
            self._note(taken)
            self.offset += len(taken)
            self._chunks = chain([rest] if rest else [], self._chunks)

    @property
    def blank(self) -> bool:
        """Whether nothing of it was seen yet."""
        return self.plain and not self._start and not self.offset

    def peek(self) -> bool:
        """See how it begins, without reading on; whether there is anything."""
        self._mark = len(streams.byte_order_mark(self._pread(4, 0)))
        self._start = self._pread(EDGE, self._mark)
        return bool(self._start)

    def begins_as(self, other: LogFile) -> bool:
        """Whether the other is a copy of this one, as far as it goes."""
        length = other.size
        at = max(0, length - EDGE)
        starts = self.plain and other.plain and bool(other._start) and self._start.startswith(other._start)
        return starts and self._pread(length - at, at) == other._pread(length - at, at)

    def skip_lines(self) -> None:
        """Go behind the last newline that is there."""
        while self.read(whole=True):
            pass

    def checkpoint(self) -> dict[str, Any]:
        """Where to resume, and how to know the file again."""
        return {
            "identity": self.identity or self.identity_now,
            "offset": self.offset,
            "line": self.line,
            "read": self.offset,  # the offset may be moved back, to the first line of an unfinished record; ``tail`` is of here
            "head": _print(self._start),
            "tail": _print(self._tail),
            "inode": self.inode,
            "log": str(self.log),
            "size": self.seen - self._mark if self.plain else self.offset,
            "changed": self._changed,
        }

    def holds(self, saved: Mapping[str, Any]) -> bool:
        """Whether it is the file of a checkpoint, by its content. Where there was none to go by, only the inode can tell. Moves the position."""
        length, tail, read = _length(saved["head"]), str(saved["tail"]), int(saved["read"])
        if (not length and self.inode != saved["inode"]) or _print(self._start[:length]) != saved["head"]:
            return False
        self.seek(read)
        return self.offset == read and (not _length(tail) or _print(self._tail[-_length(tail) :]) == tail)

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Go to a checkpoint, and be known as the file was known then."""
        self.seek(int(saved["offset"]))
        self.line, self.identity = int(saved.get("line", 1)), str(saved["identity"])
        if self.plain and self._has_fields:  # a seek passes over the lines above without reading them
            self._fields = _Fields()
            for at in range(0, self.offset, PIECE):
                self._note(self._pread(min(PIECE, self.offset - at), at + self._mark))

    @property
    def fields(self) -> bytes:
        """The last ``#Fields:`` line above the position, which the lines that follow are read by; empty if there is none."""
        return self._fields.last

    @property
    def _has_fields(self) -> bool:
        """Whether the file may have ``#Fields:`` lines: one that has them begins with a directive."""
        return self._start.startswith(b"#")

    def _note(self, text: bytes) -> None:
        if self._has_fields:
            self._fields.feed(text)

    def close(self) -> None:
        """Close the file, in whatever thread."""
        with self._lock:
            self.file.close()

    def _pread(self, size: int, at: int) -> bytes:
        try:
            with self._lock:  # or the number of a file that is being closed could be that of another
                return os.pread(self.file.fileno(), size, at)
        except OSError as error:
            raise self._unreadable(error) from error

    def _status(self) -> os.stat_result:
        with self._lock:
            return os.fstat(self.file.fileno())

    def _raw(self) -> Iterator[bytes]:
        try:
            while piece := self.file.read(PIECE >> 4):
                yield piece
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> SourceError:
        return SourceError(f"{self.name!r} cannot be read: {error.strerror or error}; check the disk")


class _Fields:
    """Finds the last ``#Fields:`` line of a text that comes in pieces."""

    def __init__(self) -> None:
        self.last, self._unfinished = b"", b""

    def feed(self, text: bytes) -> None:
        """Take the next piece."""
        text = b"\n" + self._unfinished + text
        end = text.rfind(b"\n")
        at = text.rfind(b"\n" + FIELDS, 0, end)
        if at >= 0:
            self.last = text[at + 1 : text.index(b"\n", at + 1)]
        self._unfinished = text[end + 1 :][:LONGEST_FIELDS]


def _print(text: bytes) -> str:
    """A fingerprint: the length, and a hash."""
    return f"{len(text)}:{hashlib.sha256(text).hexdigest()[:16]}"


def _length(fingerprint: object) -> int:
    return int(str(fingerprint).partition(":")[0])


def _opened(path: Path, name: str) -> IO[bytes]:
    try:
        return path.open("rb")
    except IsADirectoryError as error:
        raise SourceError(f"{name!r} is a directory; name the files in it, as in {name.rstrip('/')}/*.log") from error
    except OSError as error:
        raise SourceError(f"{name!r} cannot be read: {error.strerror or error}; check the path and its permissions") from error
