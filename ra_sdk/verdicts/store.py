"""The verdict store: SQLite, shared by all processes of a user. An operator's override wins over any model.

A key is a hash of (template text, severity, model digest, PROMPT_VERSION, mode), so that a verdict is not used once one
of these changes.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from ra_sdk.errors import BadOption, Closed, StoreError
from ra_sdk.reasoner.prompt import PROMPT_VERSION
from ra_sdk.records import CATEGORIES, Verdict
from ra_sdk.verdicts.database import JUDGED, OVERRIDE, Corrupt, Row, StoreWarning, fault, identity, insert, opened, place

__all__ = ["StoreWarning", "VerdictStore", "store_key"]

CHUNK = 500  # parameters of one statement
_COLUMNS = "template, label, score, category, rationale, grounded, mode, model, severity"
_PUT = f"""INSERT INTO verdicts (key, {_COLUMNS}, judged_at) VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (key) DO UPDATE
    SET label = excluded.label, category = excluded.category, rationale = excluded.rationale, grounded = excluded.grounded
    WHERE excluded.rationale IS NOT NULL AND (verdicts.rationale IS NULL OR (verdicts.label = 'normal' AND excluded.label = 'abnormal'))"""
_T = TypeVar("_T")


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
        self.path = place(path)
        self.statements = 0
        self._lock, self._closed = threading.RLock(), False
        self._connection, self._file = opened(self.path)

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
        self._write(OVERRIDE.format("REPLACE"), [(_safe(template), label, category, rationale, by, time.time())])

    def forget(self, template: str) -> None:
        """Remove an override."""
        self._write("DELETE FROM overrides WHERE template = ?", [(_safe(template),)])

    def clear(self) -> int:
        """Remove the verdicts of all models, and return how many there were. Overrides stay."""
        count = len(self)
        self._write("DELETE FROM verdicts", [()])
        return count

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

    def _select(self, statement: str, values: Sequence[str]) -> list[Row]:
        rows: list[Row] = []
        for at in range(0, len(values), CHUNK):
            part = values[at : at + CHUNK]
            rows += self._read(f"{statement} IN ({','.join('?' * len(part))})", part)
        return rows

    def _read(self, statement: str, values: Sequence[str] = ()) -> list[Row]:
        self.statements += 1
        return self._run(lambda connection: connection.execute(statement, values).fetchall())

    def _write(self, statement: str, rows: Sequence[Row]) -> None:
        self.statements += 1
        self._run(lambda connection: insert(connection, statement, rows))

    def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run ``work``, and run it again if the file is corrupt or another process has replaced it meanwhile."""
        with self._lock:
            if self._closed:
                raise ClosedStore(f"store {self.path!r} was closed; open it again")
            self._follow()
            try:
                done = self._attempt(work)
            except StoreError as error:
                if not isinstance(error, Corrupt) and identity(self.path) == self._file:
                    raise
                self._connection.close()
                self._connection, self._file = opened(self.path, broken=self._file)
                return self._attempt(work)
            return self._attempt(work) if self._follow() else done

    def _attempt(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            return work(self._connection)
        except sqlite3.Error as error:
            raise fault(self.path, error) from error

    def _follow(self) -> bool:
        """Reopen the path if another file is there now. Returns whether it was."""
        if identity(self.path) == self._file:
            return False
        self._connection.close()
        self._connection, self._file = opened(self.path)
        return True


def _verdict(row: Row) -> Verdict:
    template, label, score, category, rationale, grounded, mode, model, severity = row
    return Verdict(template, label, score, category, rationale, None if grounded is None else bool(grounded), mode, model, severity=severity)


def _row(v: Verdict) -> Row:
    """The columns of a verdict."""
    return _safe(v.template), v.label, v.score, v.category, v.rationale, v.grounded, v.mode, v.model, v.severity


def _overridden(row: Row, severity: str | None = None) -> Verdict:
    template, label, category, rationale = row
    return Verdict(template, label, float(label == "abnormal"), category, rationale, None, "override", None, severity=severity)


def _safe(text: str) -> str:
    """Text without lone surrogates, which SQLite does not accept."""
    return text.encode("utf-8", "replace").decode("utf-8")
