"""The source of files: a log is read once, resumed at a checkpoint, or followed, through rotation and truncation.

A log is a row of generations: the files that had its name, one after the other. A position is a generation and an offset in it.
Files stay open, so that renaming them changes nothing; after a restart a generation is known again by its content.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from ra_sdk.errors import BadOption, SourceError
from ra_sdk.hookspecs import Lines
from ra_sdk.sources import rotation
from ra_sdk.sources.checkpoints import Checkpoint
from ra_sdk.sources.generations import WATCHED, Generations, Moved, find, newer, opened, unread
from ra_sdk.sources.logfile import LogFile
from ra_sdk.trouble import LOG

__all__ = ["FileSource", "polling"]

POLL_SECONDS = 0.2
GRACE_SECONDS = 5.0  # after this, the last line of a file that was renamed is taken as it is, though its end is missing
COPY_SECONDS = 2.0  # between copying a file and truncating it
TRIES = 50  # how often a row of files is read again, when it changes under our hands
T = TypeVar("T")


class FileSource:
    """A file, plain or compressed (gzip, zstd, xz, bzip2, by their first bytes), UTF-8 or UTF-16 by its byte order mark.

    Options: ``follow`` waits for more, like tail -F, through rotation and truncation, from the start of the file, or with ``tail`` from its end;
    ``poll`` is how many seconds it waits between looks; ``stop``, a threading.Event, ends it after what is there. ``checkpoint`` is a file
    that keeps the position up to which every sink has written; reading resumes there, also in a file that has since been rotated away, and
    a last line without its end waits for it. ``format="plain"`` reads even what looks binary. Bytes that were there and are gone, because a
    file was truncated or removed before it was read, are logged, and counted in ``lost``. Raises SourceError, StoreError for the
    checkpoint, BadOption.
    """

    def __init__(self, path: str, *, name: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        options = options or {}
        self.path, self.name = Path(path), name or path
        self.live, self._poll, self._stop = polling(options)
        self.lost, self._begun = 0, False
        self._force = options.get("format") == "plain"
        self._closed = False
        key = _absolute(self.path, self.name)
        self._known = Generations(Checkpoint(Path(options["checkpoint"]), key) if options.get("checkpoint") else None)
        file = LogFile(self.path, self.name, force=self._force)
        if self.live and not file.plain:
            file.close()
            raise SourceError(f"{self.name!r} is compressed, UTF-16 or a journal export, and cannot be followed; read it without --follow")
        self.identity = file.identity_now
        self.started = datetime.fromtimestamp(os.fstat(file.file.fileno()).st_mtime, timezone.utc)
        self.size, self.position = file.size, 0
        self._row = [file]
        if file.blank:
            file.beside = _places(rotation.row(self.path, file.log))
        self._given: Lines | None = None
        if self.live and not self._known.saved and _flag(options, "tail"):
            file.skip_lines()

    @property
    def resumable(self) -> bool:
        """Whether a later run goes on where this one ends, so that an unfinished line is left to it."""
        return self._known.kept

    def __iter__(self) -> Iterator[Lines | None]:
        try:
            waited = False
            while not self._over():
                quiet = True
                for piece in self.look():
                    quiet = waited = False
                    yield piece
                if quiet:
                    if waited:
                        yield None
                    waited = True
                    self._stop.wait(self._poll)
            yield from self.look()
            if not self.resumable:
                yield from self._give(self._row[-1], whole=False)
        except ValueError:  # "I/O operation on closed file"
            if not self._closed:
                raise

    def look(self) -> Iterator[Lines]:
        """What is there now, and was not given yet."""
        if not self._begun:
            self._resume()
        turned = self._begun = True
        while turned:
            self._begin_last()
            for file in filter(self._ready, self._row[:]):
                settling = self.live and time.monotonic() - file.grown < GRACE_SECONDS
                yield from self._give(file, whole=settling or file is self._row[-1])
            turned = (self.live or self.resumable or self._row[-1].truncated) and self._turned()
        self._forget()

    def acknowledge(self, checkpoint: object) -> None:
        """Write the position down, atomically."""
        if isinstance(checkpoint, Mapping):
            self._known.acknowledge(checkpoint)

    def close(self) -> None:
        """Stop following, and close the files."""
        self._closed = True
        for file in self._row:
            file.close()

    def reads(self, status: os.stat_result) -> bool:
        """Whether this file is one of those that are read."""
        return any((file.inode, file.device) == (status.st_ino, status.st_dev) for file in self._row)

    def idle(self, seconds: float) -> bool:
        """Whether nothing has come for so long, and all that came was written."""
        return all(time.monotonic() - file.grown > seconds and self._known.settled(file) for file in self._row)

    def _over(self) -> bool:
        return not self.live or self._closed or self._stop.is_set()

    def _give(self, file: LogFile, *, whole: bool) -> Iterator[Lines]:
        offset, line, fields = file.offset, file.line, file.fields
        while piece := file.read(whole=whole):
            self._known.register(file, offset, line)
            begins = self._given is None or self._given.identity != file.identity
            if self._given is not None and begins:
                yield Lines(b"", self._given.checkpoint, boundary=True)
            self.position, self.size = file.position, file.size
            at, above = file.offset - len(piece), fields if begins else b""
            self._given = Lines(piece, file.checkpoint(), line=line, offset=at, identity=file.identity, above=above)
            yield self._given
            offset, line = file.offset, file.line

    def _turned(self) -> bool:
        """Whether there is another file to read, as the last one was truncated, or another has its name. Adds it, and those between them."""
        last = self._row[-1]
        try:
            status = self.path.stat()
            again = next((file for file in self._row if (file.inode, file.device) == (status.st_ino, status.st_dev)), None)
            if again is not None and not again.truncated:
                self._row.sort(key=lambda file: file is again)  # a link may be moved back
                return False
            fresh = self._after(last.checkpoint(), None if last.truncated else last)
        except (OSError, SourceError):  # between rotation and re-creation, or not yet ours to read
            return False
        if not fresh:
            return False
        reappeared = {file.inode for file in fresh}
        for file in [file for file in self._row if file.truncated or file.inode in reappeared]:
            self._row.remove(file)
            file.close()
        self._row += fresh
        return True

    def _resume(self) -> None:
        """Begin where an earlier run ended, in whatever files that is now."""
        if not self._known.saved:
            return
        *older, newest = self._known.saved
        row, self._row = self._row, []
        for saved in older:
            file = self._steadily(Path(saved["log"]), partial(find, saved=saved, everywhere=unread(saved)))
            if file is not None:
                self._row.append(file)
            elif unread(saved) and not saved.get("lost"):
                self._lose(saved, "the file that {name} was before the last one is gone")
        self._row += self._after(newest, None)
        if self._row:
            row.pop().close()
        else:
            self._row = row

    def _after(self, saved: Mapping[str, Any], held: LogFile | None) -> list[LogFile]:
        """What to read after a position, oldest first: its generation, unless it is ``held`` open, and those that came later. Raises SourceError."""

        def look(entries: list[rotation.Entry]) -> list[LogFile]:
            taken = {each.inode for each in self._row if each is held or (each.identity and not each.truncated)}
            file = held or find(entries, saved)
            fresh = [entry for entry in newer(entries, file, saved["changed"]) if entry.inode not in taken]
            with ExitStack() as stack:
                if file is not None and file is not held:
                    stack.callback(file.close)
                files = opened(fresh)
                for each in files:
                    stack.callback(each.close)
                if not rotation.same(entries, rotation.row(self.path, Path(saved["log"]))):  # the last may just have been copied and emptied
                    raise Moved
                stack.pop_all()
            for each in files[-1:]:
                each.beside = _places(entries)
            if held is None:
                self._tell(saved, file, entries)
            return [file, *files] if file is not None and file is not held else files

        return self._steadily(Path(saved["log"]), look)

    def _ready(self, file: LogFile) -> bool:
        """Whether a file may be read: not while one before it may be a copy of the last, which is emptied in a moment. Nothing would tell them apart then."""
        last, now = self._row[-1], time.monotonic()
        for each in self._row[:-1] if self.live else ():
            if each.plain and not each.identity and now - each.grown < COPY_SECONDS and (not each.blank or each.peek()):
                last.truncated = last.truncated or not last.intact()
                if last.truncated or last.begins_as(each):
                    return bool(file.identity) and file is not last
        return True

    def _begin_last(self) -> None:
        """Before anything of the last file is given: what was copied from it, when it had been emptied and nothing of it was read since, comes first."""
        last = self._row[-1]
        if not last.blank or not last.peek():
            return

        def look(entries: list[rotation.Entry]) -> list[LogFile]:
            taken = {each.inode for each in self._row}
            return opened([entry for entry in entries[:-1] if (entry.inode, entry.changed) not in last.beside and entry.inode not in taken])

        self._row[-1:-1] = self._steadily(last.log, look)

    def _steadily(self, since: Path, look: Callable[[list[rotation.Entry]], T]) -> T:
        """What is found in the row of files, once nothing was renamed while looking."""
        for _ in range(TRIES):
            with suppress(Moved):
                return look(rotation.row(self.path, since))
        raise SourceError(f"{self.name!r} cannot be read: its files are renamed faster than they can be opened; rotate it less often")

    def _tell(self, saved: Mapping[str, Any], file: LogFile | None, entries: list[rotation.Entry]) -> None:
        """Say what of a generation cannot be read, as it is gone, or was cut off."""
        truncated = bool(entries) and entries[-1].inode == saved["inode"]
        if file is None and not saved.get("lost"):
            self._lose(saved, "{name} was truncated" if truncated else "the file that {name} was is gone")
        elif file is not None and file.inode != saved["inode"] and truncated and file.plain:
            self._lose({**saved, "offset": max(saved["offset"], file.size)}, "{name} was copied and truncated", lost=False)

    def _lose(self, saved: Mapping[str, Any], what: str, *, lost: bool = True) -> None:
        count = max(0, saved["size"] - saved["offset"])
        self.lost += count
        said = "%s after byte %d was read: %d bytes seen behind it are lost, and any that were written later"
        LOG.warning(said, what.format(name=repr(self.name)), saved["offset"], count)
        if lost:
            self._known.lost(saved)

    def _forget(self) -> None:
        """Close what was read to its end long ago."""
        for file in self._row[:-WATCHED] + [file for file in self._row[-WATCHED:-1] if not file.plain]:
            if time.monotonic() - file.grown > GRACE_SECONDS and self._known.settled(file):
                self._row.remove(file)
                file.close()


def _places(entries: list[rotation.Entry]) -> frozenset[tuple[int, int]]:
    return frozenset((entry.inode, entry.changed) for entry in entries)


def _absolute(path: Path, name: str) -> str:
    try:
        path.stat()
    except (FileNotFoundError, PermissionError):
        pass  # said when it is opened
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in it, or links in a circle
        raise SourceError(f"{name!r} is not a path: {error}; name a file") from error
    return os.path.abspath(path)  # noqa: PTH100  links are not followed: a log is known by the name that it was given


def polling(options: Mapping[str, Any]) -> tuple[bool, float, Event]:
    """The options ``follow``, ``poll`` and ``stop``. Raises BadOption."""
    return _flag(options, "follow"), _seconds(options.get("poll", POLL_SECONDS)), options.get("stop") or Event()


def _flag(options: Mapping[str, Any], name: str) -> bool:
    """An option that is on or off; from the command line it comes as a text."""
    return str(options.get(name) or "no").lower() not in ("no", "false", "off", "0")


def _seconds(value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 3600:
        raise BadOption(f"poll must be a number of seconds above 0 and below 3600, such as poll=0.2, got {value!r}")
    return seconds
