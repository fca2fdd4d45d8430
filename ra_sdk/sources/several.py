"""Several sources as one: those that a user names together, and the files of a folder or a pattern."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any

from ra_sdk.errors import SourceError
from ra_sdk.hookspecs import Part, Source
from ra_sdk.sources.files import FileSource, polling
from ra_sdk.sources.rotation import is_rotated
from ra_sdk.trouble import LOG

__all__ = ["FilesSource", "JoinedSource", "Sources"]

WAIT_SECONDS = 0.2
SEARCH_SECONDS = 2.0  # how often a folder is searched for new files
FORGET_SECONDS = 60.0  # so long a removed file is kept open


class Sources(tuple[object, ...]):
    """Sources to be read as one, wherever one can be given: ``detector.detect(Sources("app.log", "journald:unit=ssh.service"))``.

    With ``follow`` they are read at the same time, each with its own format, blocks and checkpoint; else one after the other.
    """

    __slots__ = ()

    def __new__(cls, *sources: object) -> Sources:
        """Each as it would be given alone."""
        return super().__new__(cls, sources)


class _Group:
    """What sources that consist of others have in common."""

    def acknowledge(self, checkpoint: object) -> None:
        """Hand it to the source that it came from."""
        if isinstance(checkpoint, Part):
            checkpoint.source.acknowledge(checkpoint.item)


class JoinedSource(_Group):
    """Several open sources; if any is live, each is read in a thread. One that fails does not stop the others: its error is raised at the end."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources, self._stop = sources, Event()
        self.name = self.identity = " ".join(source.name for source in sources)
        self.live = any(source.live for source in sources)
        self.resumable = any(getattr(source, "resumable", False) for source in sources)

    @property
    def position(self) -> int:
        """Bytes read."""
        return sum(getattr(source, "position", 0) for source in self._sources)

    @property
    def size(self) -> int | None:
        """Bytes that there are to read, if that is known of all."""
        sizes = [getattr(source, "size", None) for source in self._sources]
        return None if None in sizes else sum(size for size in sizes if size)

    def __iter__(self) -> Iterator[Part]:
        failed: list[SourceError] = []
        for item in self._together() if self.live else self._in_turn():
            if isinstance(item, SourceError):
                failed.append(item)
                LOG.warning("%s; the other sources are still read", item)
            elif isinstance(item, Exception):
                raise item
            else:
                yield item
        if failed:
            raise failed[0]

    def close(self) -> None:
        """Close all."""
        self._stop.set()
        for source in self._sources:
            source.close()

    def _in_turn(self) -> Iterator[Part | Exception]:
        for source in self._sources:
            yield from _parts(source)

    def _together(self) -> Iterator[Part | Exception]:
        fetched, running = Queue[Part | Exception | None](maxsize=8), len(self._sources)
        for source in self._sources:
            Thread(target=self._fetch, args=(source, fetched), name="ra-read-one", daemon=True).start()
        while running and not self._stop.is_set():
            try:
                item = fetched.get(timeout=WAIT_SECONDS)
            except Empty:
                continue
            if item is None:
                running -= 1
            else:
                yield item

    def _fetch(self, source: Source, fetched: Queue[Part | Exception | None]) -> None:
        for item in _parts(source):
            if not self._offer(fetched, item):
                return
        self._offer(fetched, None)

    def _offer(self, fetched: Queue[Part | Exception | None], item: Part | Exception | None) -> bool:
        while not self._stop.is_set():
            try:
                fetched.put(item, timeout=WAIT_SECONDS)
            except Full:
                continue
            return True
        return False


class FilesSource(_Group):
    """The files of a folder, with those of the folders in it, of a pattern like ``/var/log/app/*.log``, or of a path that nothing has yet.

    With ``follow``, all are read, a piece of each in turn, and new ones are picked up. With ``follow`` or a ``checkpoint``, a rotated file
    is a part of the log that it was; else it is read like any other. What is not text is skipped with a warning. Raises SourceError where
    there is no file, unless it is followed.
    """

    size = None

    def __init__(self, place: str, *, name: str, options: Mapping[str, Any]) -> None:
        self.name = self.identity = name
        self._place, self._options = place, dict(options)
        self.live, self._poll, self._stop = polling(options)
        self.resumable = bool(options.get("checkpoint"))
        self._files: dict[str, FileSource] = {}
        self._skipped: set[str] = set()
        self._closed, self._read = False, 0
        self._first = frozenset(self._found())
        if not self._first:
            if not self.live:
                raise SourceError(f"{name!r} has no files to read; check the folder or the pattern")
            missing = not (Path(place).is_dir() or glob.has_magic(place))
            LOG.warning("%r %s", name, "does not exist yet; waiting for it" if missing else "has no files yet; waiting for them")

    @property
    def position(self) -> int:
        """Bytes read."""
        return self._read + sum(source.position for source in list(self._files.values()))

    def __iter__(self) -> Iterator[Part]:
        return self._followed() if self.live else self._once()

    def close(self) -> None:
        """Stop, and close all files."""
        self._closed = True
        for source in list(self._files.values()):
            source.close()

    def _once(self) -> Iterator[Part]:
        for path in self._found():
            source = self._opened(path)
            if source is None:
                continue
            with closing(source):
                for item in _parts(source):
                    if isinstance(item, SourceError):
                        LOG.warning("%s", item)
                    elif isinstance(item, Exception):
                        raise item
                    else:
                        yield item
                self._read += source.position

    def _followed(self) -> Iterator[Part]:
        looks: dict[FileSource, Iterator[Any]] = {}
        lately: dict[FileSource, float] = {}
        searched = -SEARCH_SECONDS
        while not self._closed:
            over, now = self._stop.is_set(), time.monotonic()
            if now - searched >= SEARCH_SECONDS:
                yield from self._forget()
                self._pick_up()
                searched = now
            gave = yield from self._round(looks)
            lately |= dict.fromkeys(gave, now)
            for source in [source for source, when in lately.items() if source not in gave and now - when >= self._poll]:
                del lately[source]
                yield Part(source, None)
            if over and not gave:
                return
            if not gave:
                self._stop.wait(self._poll)

    def _round(self, looks: dict[FileSource, Iterator[Any]]) -> Generator[Part, None, set[FileSource]]:
        """A piece of each file. Which gave one. What is left of the looks at them is for the next round."""
        gave = set[FileSource]()
        for source in list(self._files.values()):
            piece = self._next(source, looks.setdefault(source, source.look()))
            if piece is None:
                del looks[source]
            else:
                gave.add(source)
                yield Part(source, piece)
        return gave

    def _next(self, source: FileSource, pieces: Iterator[Any]) -> Any:
        try:
            return next(pieces, None)
        except SourceError as error:
            LOG.warning("%s; it is left out from here on", error)
            self._leave_out(str(source.path))
            return None

    def _pick_up(self) -> None:
        """Open what is new. A file that only has another name is not."""
        for path in self._found():
            if path in self._files or self._known(path):
                continue
            source = self._opened(path, whole=path not in self._first)
            if source is not None:
                self._files[path] = source
        self._first = frozenset()

    def _known(self, path: str) -> bool:
        try:
            status = os.stat(path)  # noqa: PTH116  one call for each file and search
        except OSError:
            return True  # it was removed or renamed while we looked; the next search tells
        return any(source.reads(status) for source in self._files.values())

    def _forget(self) -> Iterator[Part]:
        """Close files that were removed a while ago and are read to their end."""
        for path, source in list(self._files.items()):
            if not Path(path).exists() and source.idle(FORGET_SECONDS):
                yield Part(source, None, ended=True)
                self._leave_out(path)
                self._skipped.discard(path)

    def _leave_out(self, path: str) -> None:
        source = self._files.pop(path)
        self._read += source.position
        source.close()
        self._skipped.add(path)

    def _opened(self, path: str, *, whole: bool = False) -> FileSource | None:
        """A file as a source; what is not text, or cannot be read, is left out. ``whole``: from its start, whatever is asked for the others."""
        if path in self._skipped:
            return None
        options = {**self._options, "tail": None} if whole else self._options
        try:
            return FileSource(path, options=options)
        except SourceError as error:
            self._skipped.add(path)
            LOG.warning("%s; it is left out", error)
            return None

    def _found(self) -> list[str]:
        """The files there are, without those that rotation made of them where they are read as parts of these."""
        kept = str(self._options.get("checkpoint") or "")
        paths = [path for path in self._paths() if Path(path).is_file() and not (kept and Path(kept).exists() and Path(kept).samefile(path))]
        logs = {Path(path) for path in (*paths, *self._files)}
        return [path for path in paths if not (self.live or self.resumable) or path in self._files or not is_rotated(Path(path), logs)]

    def _paths(self) -> list[str]:
        if not Path(self._place).is_dir():
            return sorted(glob.glob(self._place, recursive=True))  # noqa: PTH207  the pattern may be absolute
        walked = os.walk(self._place)
        return sorted(str(Path(folder, name)) for folder, _, names in walked for name in names if not name.startswith("."))


def _parts(source: Source) -> Iterator[Part | Exception]:
    """What a source gives, and at its end that it ended; the error in place of it, if there is one."""
    try:
        for item in source:
            yield item if isinstance(item, Part) else Part(source, item)
    except SourceError as error:
        yield Part(source, None)  # what is whole comes before the error
        yield error
    except Exception as error:  # noqa: BLE001  raised again in the thread that asks
        yield error
    else:
        yield Part(source, None, ended=True)
