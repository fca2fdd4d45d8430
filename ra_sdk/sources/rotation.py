"""A rotated log is a row of files, oldest first: ``app.log.2.gz``, ``app.log.1``, ``app.log``. Which files stand in it, by their names."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["Entry", "is_rotated", "moved", "row", "same"]

_ROTATED = r"[-._]\d[\d_T:.-]*Z?"  # what rotation puts at the end of a name, or before its extension
_COMPRESSED = re.compile(r"\.(?:gz|xz|zst|bz2)$")
LOOKS, MOMENT = 50, 0.001  # a row is looked at until two looks agree, because files may be renamed between them; seconds between looks


class Entry(NamedTuple):
    """A file of a row. ``log``: the file it was rotated from. ``style`` tells rows of numbers, rows of dates and the log itself from each other."""

    path: Path
    log: Path
    inode: int
    changed: int  # ns
    style: str


def row(path: Path, since: Path) -> list[Entry]:
    """The files that a log consists of now, oldest first; the last is the one that has its name.

    ``since``: what ``path`` was when it was read last. Where it is a link, the row begins there: links are moved from file to file.
    """
    before = _listed(path, since)
    for _ in range(LOOKS):
        now = _listed(path, since)
        if same(now, before):
            return now
        before = now
        time.sleep(MOMENT)
    return before


def same(row: Sequence[Entry], other: Sequence[Entry]) -> bool:
    """Whether two rows consist of the same files, under the same names."""
    return [(entry.path, entry.inode) for entry in row] == [(entry.path, entry.inode) for entry in other]


def moved(folder: Path, inode: int) -> list[Path]:
    """The file that has an inode now, whatever it is called; none if it is not there."""
    with suppress(OSError), os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if entry.inode() == inode and entry.is_file(follow_symlinks=False)]
    return []


def is_rotated(path: Path, logs: Container[Path]) -> bool:
    """Whether rotation made this file of one of these logs."""
    name = _COMPRESSED.sub("", path.name)
    stripped = re.sub(rf"{_ROTATED}$", "", name), re.sub(rf"{_ROTATED}(?=\.[^.\d][^.]*$)", "", name)
    return any(base not in ("", path.name) and path.with_name(base) in logs for base in stripped)


def _listed(path: Path, since: Path) -> list[Entry]:
    targets = [path.resolve()]
    if path.is_symlink() and since != targets[0]:
        targets = [since, *_between(since, targets[0]), targets[0]]
    return [entry for target in targets for entry in (*_siblings(target), *_entry(target, target, "log"))]


def _between(first: Path, last: Path) -> list[Path]:
    """The files between two whose names differ in their numbers only, as of ``0.log`` and ``3.log``."""
    if first.parent != last.parent or _shape(first) != _shape(last):
        return []
    with suppress(OSError):
        alike = [path for path in last.parent.iterdir() if _shape(path) == _shape(last) and _numbers(first) < _numbers(path) < _numbers(last)]
        return sorted(alike, key=_numbers)
    return []


def _shape(path: Path) -> list[str]:
    return re.split(r"\d+", path.name)


def _numbers(path: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", path.name)]


def _siblings(path: Path) -> list[Entry]:
    """The files that rotation made of this one, oldest first within a style: numbers count down to now, dates count up."""
    stem, suffix = path.stem, path.suffix
    inserted = re.compile(rf"{re.escape(path.name)}({_ROTATED})|{re.escape(stem)}({_ROTATED}){re.escape(suffix)}")
    found: dict[tuple[str, int | str], Entry] = {}
    with suppress(OSError):
        for name in sorted(os.listdir(path.parent)):  # app.log.1 before app.log.1.gz, of which it may be half written  # noqa: PTH208
            match = inserted.fullmatch(_COMPRESSED.sub("", name))
            if match and name != path.name:
                digits = re.sub(r"\D", "", match[1] or match[2])
                style, order = ("date", digits) if len(digits) > 4 else ("number", -int(digits))
                for entry in _entry(path.with_name(name), path, style):
                    found.setdefault((style, order), entry)
    return [entry for _, entry in sorted(found.items(), key=lambda item: (item[0][0] == "date", item[0][1]))]


def _entry(path: Path, log: Path, style: str) -> Iterator[Entry]:
    with suppress(OSError):
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            yield Entry(path, log, status.st_ino, status.st_mtime_ns, style)
