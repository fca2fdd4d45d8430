"""What is known of a log's generations: where each was read and written to, under which identity, and how to find it again.

The last ``WATCHED`` generations, today's file among them, are watched for late lines: those of programs that
have not reopened their log since it was renamed. That takes one rotation as a rule, as logrotate's
``delaycompress`` assumes; the bound keeps the number of open files small where many logs are followed. An
older generation is let go of once all that was there is read and written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from ra_sdk.errors import SourceError
from ra_sdk.sources import rotation
from ra_sdk.sources.checkpoints import Checkpoint
from ra_sdk.sources.logfile import LogFile
from ra_sdk.trouble import LOG

__all__ = ["WATCHED", "Generations", "Moved", "find", "newer", "opened", "unread"]

WATCHED = 4  # generations in which late lines are looked for
REMEMBERED = 64  # identities that a new generation must not have: a file may be truncated and begin as before, or get a removed file's inode
_NOTHING = "0:"


class Moved(Exception):
    """A file was renamed between looking at the folder and opening it."""


class Generations:
    """The generations of one log, oldest first, kept in a checkpoint if there is one. Used by the thread that reads and the one that writes."""

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        entry = (checkpoint and checkpoint.entry) or {}
        before = entry.get("generations", [entry] if "offset" in entry else [])  # 0.1.0 kept one
        self._checkpoint, self._lock = checkpoint, Lock()
        self._of: dict[str, dict[str, Any]] = {str(each["identity"]): _complete(each) for each in before}
        self._past: list[str] = entry.get("past", list(self._of))
        self._given: dict[str, int] = {}

    @property
    def kept(self) -> bool:
        """Whether there is a checkpoint."""
        return self._checkpoint is not None

    @property
    def saved(self) -> list[dict[str, Any]]:
        """What an earlier run left."""
        return list(self._of.values())

    def register(self, file: LogFile, offset: int, line: int) -> None:
        """Before anything from ``offset`` on is given: see that the generation has an identity that no other has, and that a restart will know it."""
        with self._lock:
            fresh = not file.identity
            if fresh:
                file.identity = self._unused(file.identity_now)
                self._past = [*self._past, file.identity][-REMEMBERED:]
            self._given[file.identity] = file.offset
            if file.identity not in self._of:
                entry = {file.identity: {**file.checkpoint(), "offset": offset, "line": line}}
                # one that was let go of is not the newest
                self._of = {**self._of, **entry} if fresh else {**entry, **self._of}
                self._put()

    def acknowledge(self, position: Mapping[str, Any]) -> None:
        """Everything of a generation up to this position was written."""
        with self._lock:
            identity = str(position.get("identity", ""))
            self._of[identity] = {**self._of.get(identity, {}), **position}
            self._put()

    def lost(self, saved: Mapping[str, Any]) -> None:
        """A generation is nowhere to be found, so a file that looks like it is another one."""
        with self._lock:
            if saved["identity"] in self._of:
                self._of[saved["identity"]] = {**self._of[saved["identity"]], **saved, "lost": True}
                self._put()

    def settled(self, file: LogFile) -> bool:
        """Whether all that was given of a file was written."""
        with self._lock:
            return self._settled(file.identity)

    def _settled(self, identity: str) -> bool:
        return not self.kept or identity not in self._of or int(self._of[identity]["offset"]) >= self._given.get(identity, 0)

    def _unused(self, identity: str) -> str:
        found, life = identity, 1
        while found in self._past:
            found, life = f"{identity}~{life}", life + 1
        return found

    def _put(self) -> None:
        for identity in list(self._of)[:-WATCHED]:
            saved = self._of[identity]
            if self._settled(identity) and (identity in self._given or saved.get("lost") or not unread(saved)):
                del self._of[identity]
        if self._checkpoint is not None:
            generations = list(self._of.values())
            self._checkpoint.put({"identity": next(reversed(self._of)), "generations": generations, "past": self._past})


def unread(saved: Mapping[str, Any]) -> bool:
    """Whether more of a generation was seen than was read and written."""
    return bool(saved["offset"] < max(saved["read"], saved["size"]))


def find(entries: Sequence[rotation.Entry], saved: Mapping[str, Any], *, everywhere: bool = True) -> LogFile | None:
    """The file of a generation, at its position: by its inode under any name, else, ``everywhere``, by its content. Raises Moved."""
    if saved.get("lost"):
        return None
    inode = int(saved["inode"])
    paths = {entry.path: inode for entry in entries if entry.inode == inode}
    for folder in dict.fromkeys([Path(saved["log"]).parent, *(entry.path.parent for entry in entries)]):
        paths.update(dict.fromkeys(rotation.moved(folder, inode), inode))
    if everywhere:
        paths.update({entry.path: entry.inode for entry in (*reversed(entries[:-1]), *entries[-1:])})
    for path, expected in paths.items():
        with suppress(SourceError):
            file = _opened(path, expected)
            if file.holds(saved):
                return _resumed(file, saved)
            file.close()
    return None


def newer(entries: Sequence[rotation.Entry], file: LogFile | None, changed: int) -> list[rotation.Entry]:
    """The files that came after this one; if it is not among them, those that were written to since ``changed``."""
    at = next((at for at, entry in enumerate(entries) if file is not None and entry.inode == file.inode), None)
    if at is None:
        return [entry for entry in entries if entry.changed >= changed or entry is entries[-1]]
    style = entries[at].style
    return [entry for entry in entries[at + 1 :] if style == "log" or entry.style in (style, "log")]


def opened(entries: Sequence[rotation.Entry]) -> list[LogFile]:
    """All of these files, but those that are broken. Raises Moved."""
    with ExitStack() as stack:
        files = [file for entry in entries if (file := _if_whole(entry, stack)) is not None]
        stack.pop_all()
    return files


def _if_whole(entry: rotation.Entry, stack: ExitStack) -> LogFile | None:
    try:
        file = _opened(entry.path, entry.inode)
    except SourceError as error:
        LOG.warning("%s; its lines are missing", error)
        return None
    stack.callback(file.close)
    file.log = entry.log
    return file


def _opened(path: Path, inode: int) -> LogFile:
    """A file that was seen under this name and must be the same still."""
    if not path.exists():
        raise Moved
    file = LogFile(path, str(path), force=True)
    if file.inode != inode:
        file.close()
        raise Moved
    return file


def _resumed(file: LogFile, saved: Mapping[str, Any]) -> LogFile:
    if not file.plain:  # which cannot go back
        file.close()
        file = LogFile(file.path, file.name, force=True)
    file.log = Path(saved["log"])
    file.resume(saved)
    return file


def _complete(saved: Mapping[str, Any]) -> dict[str, Any]:
    """A position as this version keeps it."""
    return {"line": 1, "read": saved["offset"], "tail": _NOTHING, "size": saved["offset"], "changed": 0, "log": "", **saved}
