"""The source of files: read once, resumed at a checkpoint, or followed through rotation.

A log that is rotated is a row of files: ``app.log`` now, ``app.log.1`` before it, ``app.log.2.gz`` before that. Each is a ``LogFile``, known again by its
inode or its first bytes, whatever it is called by then and however it is compressed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from threading import Event
from typing import IO, Any

from ra_sdk import streams
from ra_sdk.errors import BadOption, SourceError, StoreError
from ra_sdk.hookspecs import Lines

__all__ = ["FileSource", "LogFile"]

PIECE = 4 << 20  # bytes read at once
POLL_SECONDS = 0.2
HEAD = 256  # first bytes that tell one file from another
FIRST_LINE = 1_024  # bytes of it that go into an identity
_ROTATED = r"[-._]\d[\d_T:.-]*Z?"  # what rotation puts at the end of a name, or before its extension
_COMPRESSED = re.compile(r"\.(?:gz|xz|zst|bz2)$")


class LogFile:
    """An open file as UTF-8 text. ``offset``: bytes of text given so far; a byte order mark does not count, nor does compression.

    ``identity`` tells it from those that had its name before. Raises SourceError.
    """

    def __init__(self, path: Path, name: str, *, force: bool = False) -> None:
        self.path, self.name, self.offset = path, name, 0
        self.file = _opened(path, name)
        try:
            head = os.pread(self.file.fileno(), streams.HEAD, 0)
            self._mark = streams.byte_order_mark(head)
            self.plain = not streams.compression(head) and streams.encoding(head) == "utf-8"
            if self.plain and not force:
                streams.refuse_binary(head, name)
            self._chunks = iter(()) if self.plain else streams.text(self._raw(PIECE >> 4), name, force=force)
            first = next((piece for piece in self._chunks if piece), b"")
        except BaseException:
            self.file.close()
            raise
        self._start, self._chunks = first[:FIRST_LINE], chain([first], self._chunks)
        self.inode = os.fstat(self.file.fileno()).st_ino
        self._identity = ""
        if self.plain:
            self.seek(0)

    @property
    def identity(self) -> str:
        """Inode and a hash of the first line, once that is complete."""
        if self._identity:
            return self._identity
        first, newline, _ = self._first(FIRST_LINE).partition(b"\n")
        found = f"{self.inode:x}-{hashlib.sha256(first).hexdigest()[:16]}"
        self._identity = found if newline or len(first) == FIRST_LINE else ""
        return found

    @property
    def size(self) -> int:
        """Bytes on the disk, now."""
        return os.fstat(self.file.fileno()).st_size

    @property
    def cut(self) -> bool:
        """Whether the file is shorter than what was read of it: it was truncated."""
        return self.plain and self.size < self.offset + len(self._mark)

    def seek(self, offset: int) -> None:
        """Go to an offset of the text; in a compressed file by reading up to it."""
        if self.plain:
            self.file.seek(offset + len(self._mark))
            self.offset = offset
        while self.offset < offset and (piece := next(self._chunks, None)) is not None:
            rest = piece[offset - self.offset :]
            self.offset += len(piece) - len(rest)
            self._chunks = chain([rest] if rest else [], self._chunks)

    def pieces(self) -> Iterator[bytes]:
        """The text from here to where it ends now. A plain file may be asked again, when it has grown. Raises SourceError."""
        for piece in self._raw(PIECE) if self.plain else self._chunks:
            self.offset += len(piece)
            if piece:
                yield piece

    def skip_lines(self) -> int:
        """Go behind the last newline; how many there are before it."""
        count, end = 0, 0
        for piece in self.pieces():
            count += piece.count(b"\n")
            end = self.offset - len(piece) + piece.rfind(b"\n") + 1 if b"\n" in piece else end
        self.seek(end)
        return count

    def checkpoint(self) -> dict[str, Any]:
        """Where to resume, and how to know the file again."""
        length = min(self.offset, HEAD) if self.plain else min(self.offset, HEAD, len(self._start))
        return {"offset": self.offset, "inode": self.inode, "head": self._head(length), "identity": self.identity}

    def holds(self, saved: Mapping[str, Any]) -> bool:
        """Whether it is the file of a checkpoint. Without a first byte to go by, only the inode can tell."""
        length = int(str(saved["head"]).split(":")[0])
        if (not length and self.inode != saved["inode"]) or (self.plain and self.size < int(saved["offset"])):
            return False
        return self._head(length) == str(saved["head"])

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Go to a checkpoint, and be known as the file was known then."""
        self.seek(int(saved["offset"]))
        self._identity = str(saved["identity"])

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _raw(self, size: int) -> Iterator[bytes]:
        try:
            while piece := self.file.read(size):
                yield piece
        except OSError as error:
            raise SourceError(f"{self.name!r} cannot be read: {error.strerror or error}; check the disk") from error

    def _first(self, length: int) -> bytes:
        """The first bytes, as they were when they were first asked for: after a truncation they tell what was read."""
        if self.plain and len(self._start) < length:
            self._start = os.pread(self.file.fileno(), FIRST_LINE, len(self._mark))
        return self._start[:length]

    def _head(self, length: int) -> str:
        return f"{length}:{hashlib.sha256(self._first(length)).hexdigest()[:16]}"


class FileSource:
    """A file, plain or compressed (gzip, zstd, xz, bzip2, by their first bytes), UTF-8 or UTF-16 by its byte order mark.

    Options: ``follow`` waits for more, like tail -F, through rotation and truncation, from the start of the file, or with ``tail`` from its end;
    ``poll`` is how many seconds it waits between looks; ``stop``, a threading.Event, ends it after what is there. ``checkpoint`` is a file
    that keeps the position up to which every sink has written; reading resumes there, in a file that was rotated away meanwhile too.
    ``format="plain"`` reads even what looks binary. Raises SourceError, StoreError for the checkpoint, BadOption.
    """

    def __init__(self, path: str, *, name: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        options = options or {}
        self.path, self.name = Path(path), name or path
        self._home = _resolved(self.path, self.name)
        self.live = _flag(options, "follow")
        self._force = options.get("format") == "plain"
        self._poll = _seconds(options.get("poll", POLL_SECONDS))
        self._stop: Event = options.get("stop") or Event()
        self._closed = False
        self._positions = _Positions(Path(options["checkpoint"])) if options.get("checkpoint") else None
        self._saved = self._positions.get(self._home) if self._positions else None
        self._file = LogFile(self.path, self.name, force=self._force)
        if self.live and not self._file.plain:
            self._file.close()
            raise SourceError(f"{self.name!r} is compressed or UTF-16 and cannot be followed; read it without --follow")
        self.identity = f"{self._home}#{self._file.identity}"
        self.started = datetime.fromtimestamp(os.fstat(self._file.file.fileno()).st_mtime, timezone.utc)
        self.size, self.position = self._file.size, 0
        self._line: int | None = None  # of the next piece
        if self.live and self._saved is None and _flag(options, "tail"):
            self._line = self._file.skip_lines() + 1

    def __iter__(self) -> Iterator[Lines | None]:
        try:
            yield from self._resumed()
            yield from self._current()
        except ValueError:  # "I/O operation on closed file"
            if not self._closed:
                raise

    def acknowledge(self, checkpoint: object) -> None:
        """Write the position down, atomically."""
        if self._positions is not None:
            self._positions.put(self._home, checkpoint)

    def close(self) -> None:
        """Stop following, and close the file."""
        self._closed = True
        self._file.close()

    def _resumed(self) -> Iterator[Lines]:
        """Go to the saved position; first finish the file that has it, if that was rotated away."""
        saved, file = self._saved, self._file
        if saved is None:
            return
        if not (file.inode == saved["inode"] and file.holds(saved)):
            found = self._find(saved)
            if found is not None:
                self._line = saved.get("line")
                yield from self._catch_up(found, saved)
                return
        if file.holds(saved):
            file.resume(saved)
            self._line = saved.get("line")

    def _current(self) -> Iterator[Lines | None]:
        """The file to its end, or, when it is followed, to the end of all things. None where nothing came for a whole poll."""
        waited = False
        while True:
            over = not self.live or self._closed or self._stop.is_set()
            quiet = True
            for piece in self._give(self._file):
                quiet = waited = False
                yield piece
            if over:
                return
            if quiet and not (yield from self._turned()):
                if waited:
                    yield None
                waited = True
                self._stop.wait(self._poll)

    def _give(self, file: LogFile) -> Iterator[Lines]:
        for piece in file.pieces():
            self.position, self.size = file.file.tell(), file.size
            line, self._line = self._line, None
            yield Lines(piece, file.checkpoint(), line=line, offset=file.offset - len(piece), identity=f"{self._home}#{file.identity}")

    def _turned(self) -> Generator[Lines, None, bool]:
        """Whether the file was truncated, or another has its name. If so, finish the old one and go on with the new one."""
        old = self._file
        try:
            info = self.path.stat()
            # Until something stands in the new file, its writer may still be writing to the old one.
            if not old.cut and (info.st_ino == old.inode or not info.st_size):
                return False
            fresh = LogFile(self.path, self.name, force=True)
        except (OSError, SourceError):
            return False  # between rotation and re-creation, or not yet ours to read
        if not old.cut:
            yield from self._give(old)
        saved = old.checkpoint()
        yield from self._catch_up(self._find(saved), saved)
        old.close()
        self._file = fresh
        return True

    def _catch_up(self, found: LogFile | None, saved: Mapping[str, Any]) -> Iterator[Lines]:
        """What is unread of a file that was rotated away, and the files that came between it and now."""
        between: list[Path] = []
        if found is not None:
            between = _newer(self.path, found.path)
            with closing(found):
                found.resume(saved)
                yield from self._give(found)
                saved = found.checkpoint()
        yield Lines(b"", saved, boundary=True)
        for path in between:
            with closing(LogFile(path, str(path), force=True)) as file:
                yield from self._give(file)
                yield Lines(b"", file.checkpoint(), boundary=True)

    def _find(self, saved: Mapping[str, Any]) -> LogFile | None:
        """The file that a checkpoint speaks of, under another name."""
        with os.scandir(self.path.parent) as entries:
            moved = [Path(entry.path) for entry in entries if entry.inode() == saved["inode"] and entry.name != self.path.name and entry.is_file()]
        for path in chain(moved, reversed(_rotated(self.path).values())):
            with suppress(SourceError):
                file = LogFile(path, str(path), force=True)
                if file.holds(saved):
                    return file
                file.close()
        return None


class _Positions:
    """A file of checkpoints, one for every source that was read with it. Raises StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.parent.is_dir():
            raise StoreError(f"checkpoint {str(path)!r} cannot be written: its folder does not exist; make it, or choose another path")
        self._read()
        try:
            with tempfile.TemporaryFile(dir=path.parent):  # better now than after the first block was judged
                pass
        except OSError as error:
            raise self._unwritable(error) from error

    def get(self, key: str) -> dict[str, Any] | None:
        """The checkpoint of a source; None if there is none that can be used."""
        saved = self._read().get(key)
        return saved if isinstance(saved, dict) and {"offset", "inode", "head", "identity"} <= saved.keys() else None

    def put(self, key: str, checkpoint: object) -> None:
        """Keep a checkpoint: on the disk, whole, or not at all."""
        positions = {**self._read(), key: checkpoint}
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}.tmp")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                json.dump(positions, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink()
            raise self._unwritable(error) from error

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            reason = getattr(error, "strerror", None)  # of the system; else it is the content
            remedy = "choose another path" if reason else "remove it to start at the beginning"
            raise StoreError(f"checkpoint {str(self._path)!r} cannot be read: {reason or error}; {remedy}") from error

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(f"checkpoint {str(self._path)!r} cannot be written: {error.strerror or error}; choose another path")


def _opened(path: Path, name: str) -> IO[bytes]:
    try:
        return path.open("rb")
    except IsADirectoryError as error:
        raise SourceError(f"{name!r} is a directory; name the files in it, as in {name.rstrip('/')}/*.log") from error
    except OSError as error:
        raise SourceError(f"{name!r} cannot be read: {error.strerror or error}; check the path and its permissions") from error


def _resolved(path: Path, name: str) -> str:
    try:
        return str(path.resolve())
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in it, or links in a circle
        raise SourceError(f"{name!r} is no path: {error}; name a file") from error


def _rotated(path: Path) -> dict[tuple[bool, int | str], Path]:
    """The files that rotation made of this one, oldest first within a style: numbers count down to now, dates count up."""
    stem, suffix = path.stem, path.suffix
    inserted = re.compile(rf"{re.escape(path.name)}({_ROTATED})|{re.escape(stem)}({_ROTATED}){re.escape(suffix)}")
    found: dict[tuple[bool, int | str], Path] = {}
    for sibling in sorted(path.parent.iterdir()):  # app.log.1 before app.log.1.gz, of which it may be half written
        match = inserted.fullmatch(_COMPRESSED.sub("", sibling.name))
        if match and sibling.name != path.name and sibling.is_file():
            digits = re.sub(r"\D", "", match[1] or match[2])
            found.setdefault((True, digits) if len(digits) > 4 else (False, -int(digits)), sibling)
    return dict(sorted(found.items()))


def _newer(path: Path, found: Path) -> list[Path]:
    """The rotated files of ``path`` that are newer than ``found``, oldest first."""
    rotated = _rotated(path)
    at = next((key for key, sibling in rotated.items() if sibling == found), None)
    return [] if at is None else [sibling for key, sibling in rotated.items() if key[0] == at[0] and key > at]


def _flag(options: Mapping[str, Any], name: str) -> bool:
    """An option that is on or off; from the command line it comes as a text."""
    return str(options.get(name) or "no").lower() not in ("no", "false", "off", "0")


def _seconds(value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 3600:
        raise BadOption(f"poll {value!r} is no time to wait; give seconds, as in poll=0.2")
    return seconds
