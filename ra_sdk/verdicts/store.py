"""The verdict store: SQLite, shared by all processes of a user. An operator's override wins over any model.

A key is a hash of (template text, severity, model digest, PROMPT_VERSION, mode), so that a verdict is not used once one
of these changes.

A corrupt file is set aside under a lock, so that only one of several processes does it. The others notice
that the path has another inode, and reopen it before they read or after they wrote
(https://www.sqlite.org/howtocorrupt.html).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from ra_sdk.errors import BadOption, Closed, StoreError
from ra_sdk.locks import locked
from ra_sdk.reasoner.prompt import PROMPT_VERSION
from ra_sdk.records import CATEGORIES, Verdict

__all__ = ["StoreWarning", "VerdictStore", "store_key"]

MEMORY = ":memory:"
JUDGED = ("normal", "abnormal")  # labels that are stored
CHUNK = 500  # parameters of one statement
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
_COLUMNS = "template, label, score, category, rationale, grounded, mode, model, severity"
_PUT = f"""INSERT INTO verdicts (key, {_COLUMNS}, judged_at) VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (key) DO UPDATE
    SET label = excluded.label, category = excluded.category, rationale = excluded.rationale, grounded = excluded.grounded
    WHERE excluded.rationale IS NOT NULL AND (verdicts.rationale IS NULL OR (verdicts.label = 'normal' AND excluded.label = 'abnormal'))"""
_OVERRIDE = "INSERT OR {} INTO overrides (template, label, category, rationale, by, at) VALUES (?,?,?,?,?,?)"
_Row = tuple[Any, ...]
_T = TypeVar("_T")


class StoreWarning(RuntimeWarning):
    """A store file was corrupt and has been set aside."""


class ClosedStore(StoreError, Closed):
    """A store was used after it was closed."""


def store_key(template: str, digest: str, mode: str, severity: str | None = None) -> str:
    """SHA-256 (hex) over template, model digest, PROMPT_VERSION, mode and severity (if any), as a JSON list, which keeps the parts apart."""
    parts = [template, digest, PROMPT_VERSION, mode, *([] if severity is None else [severity])]
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()


class VerdictStore:
    """Verdicts in SQLite (WAL). Safe to use from several threads and processes; a forked process must open its own.

    A verdict is stored with the label it was judged with, to which its category and rationale belong. The
    reader derives the label from the score; ``Detector`` does so with its threshold.

    ``path``: a file, ":memory:", or None for ``RA_STORE`` or else the user's cache. A corrupt store is set
    aside with a StoreWarning, and the overrides that can still be read are copied to a new one. Raises
    StoreError if the path cannot be used, or is a file that is not a store, which is left unchanged.
    ``statements`` counts the SQL statements run.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = _place(path)
        self.statements = 0
        self._lock, self._closed = threading.RLock(), False
        self._connection, self._file = _open(self.path)

    def get(self, templates: Sequence[str], digest: str, mode: str, severities: Sequence[str | None] = ()) -> list[Verdict | None]:
        """The verdict of each template, or None. Overrides win, whatever the severity.

        ``severities``: those that the model is shown with the templates; empty: none.
        """
        asked = list(zip(templates, severities or [None] * len(templates), strict=True))
        keys = [store_key(template, digest, mode, severity) for template, severity in asked]
        rows = self._select(f"SELECT {_COLUMNS} FROM verdicts WHERE key", keys)
        found = {(row[0], row[8]): _verdict(row) for row in rows if row[1] in JUDGED}
        names = list(dict.fromkeys(map(_safe, templates)))
        ruled = {row[0]: row for row in self._select("SELECT template, label, category, rationale FROM overrides WHERE template", names)}
        return [_overridden(ruled[name], severity) if (name := _safe(template)) in ruled else found.get((name, severity)) for template, severity in asked]

    def by_key(self, key: str) -> Verdict | None:
        """The verdict with this key, or None. An override of its template wins."""
        rows = self._read(f"SELECT {_COLUMNS} FROM verdicts WHERE key = ?", [key])
        if not rows or rows[0][1] not in JUDGED:
            return None
        names = self._read("SELECT template, label, category, rationale FROM overrides WHERE template = ?", [rows[0][0]])
        return _overridden(names[0], rows[0][8]) if names else _verdict(rows[0])

    def put(self, verdicts: Iterable[Verdict], digest: str, mode: str) -> None:
        """Store verdicts in one transaction, except undecided ones.

        The first writer of a key wins, so that a score does not change when other hardware computes a
        slightly different one. Only a missing rationale, or one for the label normal, can be replaced later.
        """
        now = time.time()
        rows = [(store_key(v.template, digest, mode, v.severity), *_row(v), now) for v in verdicts if v.label in JUDGED]
        if rows:
            self._write(_PUT, rows)

    def override(self, template: str, label: str, category: str | None = None, rationale: str | None = None, by: str = "") -> None:
        """An operator's own verdict on a template, for every model and mode.

        Raises BadOption for an invalid label or category.
        """
        if label not in JUDGED:
            raise BadOption(f"label must be 'normal' or 'abnormal', got {label!r}")
        if category is not None and (category not in CATEGORIES or label == "normal"):
            raise BadOption(f"category must be one of {', '.join(CATEGORIES)} for an abnormal verdict, and None for a normal one; got {category!r}")
        self._write(_OVERRIDE.format("REPLACE"), [(_safe(template), label, category, rationale, by, time.time())])

    def forget(self, template: str) -> None:
        """Remove an override."""
        self._write("DELETE FROM overrides WHERE template = ?", [(_safe(template),)])

    def overrides(self) -> list[Verdict]:
        """All overrides, by template."""
        return [_overridden(row) for row in self._read("SELECT template, label, category, rationale FROM overrides ORDER BY template")]

    def close(self) -> None:
        """Close the file. Any use of the store afterwards raises ClosedStore."""
        with self._lock:
            self._closed = True
            self._connection.close()

    def __len__(self) -> int:
        return int(self._read("SELECT count(*) FROM verdicts")[0][0])

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> VerdictStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _select(self, statement: str, values: Sequence[str]) -> list[_Row]:
        rows: list[_Row] = []
        for at in range(0, len(values), CHUNK):
            part = values[at : at + CHUNK]
            rows += self._read(f"{statement} IN ({','.join('?' * len(part))})", part)
        return rows

    def _read(self, statement: str, values: Sequence[str] = ()) -> list[_Row]:
        self.statements += 1
        return self._run(lambda connection: connection.execute(statement, values).fetchall())

    def _write(self, statement: str, rows: Sequence[_Row]) -> None:
        self.statements += 1
        self._run(lambda connection: _insert(connection, statement, rows))

    def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run ``work``, and run it again if the file is corrupt or another process has replaced it meanwhile."""
        with self._lock:
            if self._closed:
                raise ClosedStore(f"store {self.path!r} was closed; open it again")
            self._follow()
            try:
                done = self._attempt(work)
            except StoreError as error:
                if not isinstance(error, _Corrupt) and _identity(self.path) == self._file:
                    raise
                self._connection.close()
                self._connection, self._file = _open(self.path, broken=self._file)
                return self._attempt(work)
            return self._attempt(work) if self._follow() else done

    def _attempt(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            return work(self._connection)
        except sqlite3.Error as error:
            raise _store_error(self.path, error) from error

    def _follow(self) -> bool:
        """Reopen the path if another file is there now. Returns whether it was."""
        if _identity(self.path) == self._file:
            return False
        self._connection.close()
        self._connection, self._file = _open(self.path)
        return True


class _Corrupt(StoreError):
    """The store is corrupt and has to be set aside."""


def _place(path: str | Path | None) -> str:
    place = str(path or os.environ.get("RA_STORE") or "")
    if place == MEMORY:
        return place
    return str(Path(place).expanduser()) if place else _default()


def _default() -> str:
    from platformdirs import user_cache_dir

    return str(Path(user_cache_dir("ra_sdk")) / "verdicts.db")


def _identity(path: str) -> tuple[int, int] | None:
    """Which file is at the path now, or None."""
    try:
        status = os.stat(path)  # noqa: PTH116  a Path costs more than the call
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open(path: str, broken: tuple[int, int] | None = None) -> tuple[sqlite3.Connection, tuple[int, int] | None]:
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
            if broken is not None and _identity(path) == broken:
                aside = _set_aside(path)
            try:
                connection = _connect(path)
            except _Corrupt:
                _refuse_foreign(path)
                aside = _set_aside(path)
                connection = _connect(path)
            if aside:
                _insert(connection, _OVERRIDE.format("IGNORE"), _rescued(aside))
            file = _identity(path)
    except (OSError, ValueError, sqlite3.Error) as error:
        raise _store_error(path, error) from error
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
    """An open store of the current schema. Raises _Corrupt, StoreError, OSError."""
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
            raise _store_error(path, error) from error
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


def _insert(connection: sqlite3.Connection, statement: str, rows: Sequence[_Row]) -> None:
    with _transaction(connection):
        connection.executemany(statement, rows)


def _store_error(path: str, error: Exception) -> StoreError:
    reason = str(getattr(error, "strerror", None) or error)
    kind = _Corrupt if any(sign in reason for sign in ("not a database", "malformed", "decode to UTF-8", "no such table", "no such column")) else StoreError
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


def _rescued(aside: str) -> list[_Row]:
    """The overrides of a corrupt file, as far as they can be read: no model can recreate them."""
    rows: list[_Row] = []
    with suppress(sqlite3.Error), closing(sqlite3.connect(aside)) as connection:
        for row in connection.execute("SELECT template, label, category, rationale, by, at FROM overrides"):
            if row[1] in JUDGED:
                rows.append(row)
    return rows


def _verdict(row: _Row) -> Verdict:
    template, label, score, category, rationale, grounded, mode, model, severity = row
    return Verdict(template, label, score, category, rationale, None if grounded is None else bool(grounded), mode, model, severity=severity)


def _row(v: Verdict) -> _Row:
    """The columns of a verdict."""
    return _safe(v.template), v.label, v.score, v.category, v.rationale, v.grounded, v.mode, v.model, v.severity


def _overridden(row: _Row, severity: str | None = None) -> Verdict:
    template, label, category, rationale = row
    return Verdict(template, label, float(label == "abnormal"), category, rationale, None, "override", None, severity=severity)


def _safe(text: str) -> str:
    """Text without lone surrogates, which SQLite does not accept."""
    return text.encode("utf-8", "replace").decode("utf-8")
