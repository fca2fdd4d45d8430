"""The verdict store: SQLite, shared by every process of a user. What an operator overrode wins over any model.

A key is a hash of (template text, model digest, PROMPT_VERSION, mode), so that a verdict never outlives what it was made of.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ra_sdk.errors import BadOption, StoreError
from ra_sdk.prompt import PROMPT_VERSION
from ra_sdk.records import CATEGORIES, Verdict

__all__ = ["StoreWarning", "VerdictStore", "store_key"]

CHUNK = 500  # parameters of one statement
BUSY_SECONDS = 30.0
MIGRATIONS: tuple[str, ...] = (  # entry n takes a file from schema version n to n + 1
    """
    CREATE TABLE verdicts (
        key TEXT PRIMARY KEY, template TEXT NOT NULL, label TEXT NOT NULL, score REAL NOT NULL, category TEXT, rationale TEXT,
        grounded INTEGER, mode TEXT NOT NULL, model TEXT, judged_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE overrides (template TEXT PRIMARY KEY, label TEXT NOT NULL, category TEXT, rationale TEXT, by TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
    """,
)
_COLUMNS = "template, label, score, category, rationale, grounded, mode, model"


class StoreWarning(RuntimeWarning):
    """A store file was broken and has been set aside."""


def store_key(template: str, digest: str, mode: str) -> str:
    """SHA-256 (hex) over template, model digest, PROMPT_VERSION and mode, as a JSON list, so that no two differ only in their seams."""
    return hashlib.sha256(json.dumps([template, digest, PROMPT_VERSION, mode]).encode("utf-8", "backslashreplace")).hexdigest()


class VerdictStore:
    """Verdicts in SQLite (WAL): safe with several threads and processes.

    ``path``: a file, ":memory:", or None for ``RA_STORE`` or else the user's cache. A corrupt file is set aside with a StoreWarning and
    begun anew. Raises StoreError where the path cannot be used. ``statements`` counts the SQL statements that were run.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = _place(path)
        self.statements = 0
        self._lock = threading.RLock()
        self._connection = self._open()

    def get(self, templates: Sequence[str], digest: str, mode: str) -> list[Verdict | None]:
        """A verdict for every template, None where there is none."""
        keys = {store_key(template, digest, mode): template for template in templates}
        found = {row[0]: _verdict(row) for row in self._select(f"SELECT {_COLUMNS} FROM verdicts WHERE key IN", list(keys))}
        rows = self._select("SELECT template, label, category, rationale FROM overrides WHERE template IN", [_safe(text) for text in templates])
        for template, label, category, rationale in rows:
            found[template] = Verdict(template, label, float(label == "abnormal"), category, rationale, None, "override", None)
        return [found.get(_safe(template)) for template in templates]

    def put(self, verdicts: Iterable[Verdict], digest: str, mode: str) -> None:
        """Keep verdicts, in one transaction. The first writer of a key wins, so that all processes go on with the same verdict."""
        rows = [
            (
                store_key(v.template, digest, mode),
                _safe(v.template),
                v.label,
                v.score,
                v.category,
                v.rationale,
                v.grounded,
                v.mode,
                v.model,
                time.time(),
            )
            for v in verdicts
            if v.label != "undecided"
        ]
        if rows:
            self._write(f"INSERT OR IGNORE INTO verdicts (key, {_COLUMNS}, judged_at) VALUES (?,?,?,?,?,?,?,?,?,?)", rows)

    def override(self, template: str, label: str, category: str | None = None, rationale: str | None = None, by: str = "") -> None:
        """An operator's own verdict on a template. Raises BadOption for a label or category that does not exist."""
        if label not in ("normal", "abnormal"):
            raise BadOption(f"label {label!r} is neither 'normal' nor 'abnormal'; an override says one of them")
        if category is not None and category not in CATEGORIES:
            raise BadOption(f"category {category!r} does not exist; choose one of {', '.join(CATEGORIES)}")
        self._write("INSERT OR REPLACE INTO overrides VALUES (?,?,?,?,?,?)", [(_safe(template), label, category, rationale, by, time.time())])

    def forget(self, template: str) -> None:
        """Take an override back."""
        self._write("DELETE FROM overrides WHERE template = ?", [(_safe(template),)])

    def overrides(self) -> list[Verdict]:
        """All overrides, by template."""
        with self._guard() as connection:
            rows = connection.execute("SELECT template, label, category, rationale FROM overrides ORDER BY template").fetchall()
        return [Verdict(row[0], row[1], float(row[1] == "abnormal"), row[2], row[3], None, "override") for row in rows]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def __len__(self) -> int:
        with self._guard() as connection:
            return int(connection.execute("SELECT count(*) FROM verdicts").fetchone()[0])

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> VerdictStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _select(self, statement: str, values: list[str]) -> list[tuple[Any, ...]]:
        def select(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            rows: list[tuple[Any, ...]] = []
            for at in range(0, len(values), CHUNK):
                part = values[at : at + CHUNK]
                self.statements += 1
                rows += connection.execute(f"{statement} ({','.join('?' * len(part))})", part).fetchall()
            return rows

        found: list[tuple[Any, ...]] = self._mended(select)
        return found

    def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            self.statements += 1
            with connection:
                connection.executemany(statement, rows)

        self._mended(write)

    def _mended(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Do it; if the file turns out to be corrupt, set it aside and do it on a new one."""
        try:
            with self._guard() as connection:
                return work(connection)
        except _Corrupt as corrupt:
            with self._lock:
                self._connection.close()
                _set_aside(self.path, corrupt)
                self._connection = self._open()
            with self._guard() as connection:
                return work(connection)

    @contextmanager
    def _guard(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.DatabaseError as error:
                if _is_corrupt(error):
                    raise _Corrupt(str(error)) from error
                raise StoreError(f"store {self.path!r} cannot be used: {error}; choose another with --store, or --store :memory:") from error

    def _open(self) -> sqlite3.Connection:
        try:
            return _connect(self.path)
        except _Corrupt as corrupt:
            _set_aside(self.path, corrupt)
            return _connect(self.path)


class _Corrupt(Exception):
    pass


def _place(path: str | Path | None) -> str:
    place = str(path or os.environ.get("RA_STORE") or "")
    if not place:
        from platformdirs import user_cache_dir

        place = str(Path(user_cache_dir("ra_sdk")) / "verdicts.db")
    return place


def _connect(path: str) -> sqlite3.Connection:
    """An open store of the current schema. Raises _Corrupt, StoreError."""
    try:
        if path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        _migrate(connection, path)
        if path != ":memory:":
            with suppress(OSError):
                Path(path).chmod(0o600)  # templates may hold what is nobody else's business
    except sqlite3.DatabaseError as error:
        connection.close()
        if _is_corrupt(error):
            raise _Corrupt(str(error)) from error
        raise _unusable(path, error) from error
    except StoreError:
        connection.close()
        raise
    return connection


def _unusable(path: str, error: Exception) -> StoreError:
    reason = getattr(error, "strerror", None) or str(error)
    return StoreError(f"store {path!r} cannot be opened: {reason}; choose another with --store PATH, or --store :memory: to keep nothing")


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring a file to the current schema, one step after the other, each in a transaction of its own."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise StoreError(f"store {path!r} has schema {version}, this ra-sdk knows {len(MIGRATIONS)}; upgrade ra-sdk or choose another store")
    while version < len(MIGRATIONS):
        connection.execute("BEGIN IMMEDIATE")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])  # another process may have been faster
        if version < len(MIGRATIONS):
            for statement in MIGRATIONS[version].split(";"):
                connection.execute(statement)
            version += 1
            connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    text = str(error)
    return "not a database" in text or "malformed" in text or "file is encrypted" in text


def _set_aside(path: str, reason: Exception) -> None:
    """Rename a corrupt file, with its journal. If another process has done so, there is nothing left to rename."""
    aside = f"{path}.corrupt-{time.time_ns()}"
    for end in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(path + end).rename(aside + end)
    warnings.warn(f"store {path!r} is corrupt ({reason}); it was set aside as {aside!r} and begun anew", StoreWarning, stacklevel=3)


def _verdict(row: tuple[Any, ...]) -> Verdict:
    template, label, score, category, rationale, grounded, mode, model = row
    return Verdict(template, label, score, category, rationale, None if grounded is None else bool(grounded), mode, model)


def _safe(text: str) -> str:
    """SQLite takes no lone surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8")
