"""The database of a verdict store: where it is, its schema, and what is done about a corrupt file.

A corrupt file is set aside under a lock, so that only one of several processes does it. The others notice
that the path has another inode, and reopen it before they read or after they wrote
(https://www.sqlite.org/howtocorrupt.html).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from ra_sdk.errors import StoreError
from ra_sdk.locks import locked

__all__ = ["JUDGED", "OVERRIDE", "Corrupt", "Row", "StoreWarning", "fault", "identity", "insert", "opened", "place"]

MEMORY = ":memory:"
JUDGED = ("normal", "abnormal")  # labels that are stored
BUSY_SECONDS = 30.0
APPLICATION = 0x52615664  # "RaVd", the application id in the header of a store
# https://www.sqlite.org/fileformat.html; the application id ends at byte 72
_MAGIC, _HEADER = b"SQLite format 3\0", 72
MIGRATIONS: tuple[tuple[str, ...], ...] = (  # entry n takes a file from schema version n to n + 1
    (
        f"PRAGMA application_id = {APPLICATION}",
        """CREATE TABLE verdicts (
            key TEXT PRIMARY KEY, template TEXT NOT NULL, label TEXT NOT NULL, score REAL, category TEXT, rationale TEXT,
            grounded INTEGER, mode TEXT NOT NULL, model TEXT, judged_at REAL NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE overrides (
            template TEXT PRIMARY KEY, label TEXT NOT NULL, category TEXT, rationale TEXT, by TEXT NOT NULL, at REAL NOT NULL
        ) WITHOUT ROWID""",
    ),
    ("ALTER TABLE verdicts ADD COLUMN severity TEXT",),
)
OVERRIDE = "INSERT OR {} INTO overrides (template, label, category, rationale, by, at) VALUES (?,?,?,?,?,?)"
Row = tuple[Any, ...]


class StoreWarning(RuntimeWarning):
    """A store file was corrupt and has been set aside."""


class Corrupt(StoreError):
    """The store is corrupt and has to be set aside."""


def place(path: str | Path | None) -> str:
    """Where a store is: the given path, ``RA_STORE``, or the user's cache."""
    place = str(path or os.environ.get("RA_STORE") or "")
    if place == MEMORY:
        return place
    return str(Path(place).expanduser()) if place else _default()


def _default() -> str:
    from platformdirs import user_cache_dir

    return str(Path(user_cache_dir("ra_sdk")) / "verdicts.db")


def identity(path: str) -> tuple[int, int] | None:
    """Which file is at the path now, or None."""
    try:
        status = os.stat(path)  # noqa: PTH116  a Path costs more than the call
    except OSError:
        return None
    return status.st_dev, status.st_ino


def opened(path: str, broken: tuple[int, int] | None = None) -> tuple[sqlite3.Connection, tuple[int, int] | None]:
    """A connection of the current schema, and the identity of its file.

    A corrupt file, or the ``broken`` one, is set aside first.
    """
    if path == MEMORY:
        return _connect(path), None
    aside = None
    if not _MAGIC.startswith(_head(path)[: len(_MAGIC)]):  # before a lock file is created next to it
        _refuse_foreign(path)
    try:
        with _alone(path):
            if broken is not None and identity(path) == broken:
                aside = _set_aside(path)
            try:
                connection = _connect(path)
            except Corrupt:
                _refuse_foreign(path)
                aside = _set_aside(path)
                connection = _connect(path)
            if aside:
                insert(connection, OVERRIDE.format("IGNORE"), _rescued(aside))
            file = identity(path)
    except (OSError, ValueError, sqlite3.Error) as error:
        raise fault(path, error) from error
    if aside:
        warnings.warn(f"store {path!r} was corrupt; it has been set aside as {aside!r}, and a new one was created", StoreWarning, stacklevel=4)
    return connection, file


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Keep other processes from opening or setting aside this store.

    Creates its directory, readable by the user only.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a directory")
    Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(Path(path)):
        yield


def _connect(path: str) -> sqlite3.Connection:
    """An open store of the current schema. Raises Corrupt, StoreError, OSError."""
    if path != MEMORY and not Path(path).exists():
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))  # templates may hold private data
    elif path != MEMORY and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "it is read-only")
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
    try:
        _migrate(connection, path)  # first, so that another program's file is recognised and left unchanged
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise fault(path, error) from error
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring a file to the current schema step by step, each in its own transaction."""
    version = _pragma(connection, "user_version")
    if _pragma(connection, "application_id") != APPLICATION and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise StoreError(f"store {path!r} is another program's database; choose another with --store PATH")
    if version > len(MIGRATIONS):
        raise StoreError(f"store {path!r} has schema {version}, this ra-sdk knows {len(MIGRATIONS)}; upgrade ra-sdk, or choose another with --store PATH")
    while version < len(MIGRATIONS):
        with _transaction(connection):
            for statement in MIGRATIONS[version]:
                connection.execute(statement)
            version += 1
            connection.execute(f"PRAGMA user_version = {version}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that takes the write lock at once: taken later, it could be refused without waiting."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def insert(connection: sqlite3.Connection, statement: str, rows: Sequence[Row]) -> None:
    """Run a statement for every row, in one transaction."""
    with _transaction(connection):
        connection.executemany(statement, rows)


def fault(path: str, error: Exception) -> StoreError:
    """What SQLite or the system says, as an error of ours."""
    reason = str(getattr(error, "strerror", None) or error)
    kind = Corrupt if any(sign in reason for sign in ("not a database", "malformed", "decode to UTF-8", "no such table", "no such column")) else StoreError
    return kind(f"store {path!r} cannot be used: {reason}; choose another with --store PATH, or --store :memory: to keep nothing")


def _set_aside(path: str) -> str:
    """Rename a corrupt file; its journal first, as SQLite would apply a remaining one to the next file."""
    aside = f"{path}.corrupt-{time.time_ns()}"
    for end in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            Path(path + end).rename(aside + end)
    return aside


def _refuse_foreign(path: str) -> None:
    """Raise StoreError if the file is not a store.

    A corrupt store is recognised by its header or its default path.
    """
    head = _head(path)
    cut = not head or (len(head) < _HEADER and head.startswith(_MAGIC))
    if not (cut or head[68:_HEADER] == APPLICATION.to_bytes(4, "big") or path == _default()):
        raise StoreError(f"store {path!r} is not a file of ra-sdk, so it is left unchanged; choose another with --store PATH")


def _head(path: str) -> bytes:
    """The first bytes of a file; empty if there is none."""
    try:
        with Path(path).open("rb") as file:
            return file.read(_HEADER)
    except (OSError, ValueError):
        return b""


def _rescued(aside: str) -> list[Row]:
    """The overrides of a corrupt file, as far as they can be read: no model can recreate them."""
    rows: list[Row] = []
    with suppress(sqlite3.Error), closing(sqlite3.connect(aside)) as connection:
        for row in connection.execute("SELECT template, label, category, rationale, by, at FROM overrides"):
            if row[1] in JUDGED:
                rows.append(row)
    return rows
