"""Verdicts of sessions: a session is abnormal if one of its templates is.

A sessions file has a row for each session, with ``template_ids``, the 0-based row numbers of a templates file, separated by blanks. The
truth is recomputed from the labels of the templates, since labels of sessions follow alerts and not meaning.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ra_training.corpus import Row

__all__ = ["Counted", "read_sessions", "session_sets"]


@dataclass(frozen=True, slots=True)
class Counted:
    """A distinct session: its templates, whether it is abnormal, and whether all of them are of the test split."""

    templates: tuple[str, ...]
    abnormal: bool
    held_out: bool


def read_sessions(sessions: Path, templates: Path, labelled: Sequence[Row]) -> list[Counted]:
    """The distinct sessions whose templates all have a label among ``labelled``. Raises SystemExit if none has."""
    known = {row.message: row for row in labelled}
    with templates.open(encoding="utf-8", newline="") as file:
        texts = [record["EventTemplate"] for record in csv.DictReader(file)]
    csv.field_size_limit(1 << 30)
    with sessions.open(encoding="utf-8", newline="") as file:
        distinct = {tuple(sorted(set(map(int, record["template_ids"].split())))) for record in csv.DictReader(file)}
    found = [_counted([texts[at] for at in ids], known) for ids in sorted(distinct) if all(texts[at] in known for at in ids)]
    if not found:
        raise SystemExit(f"sessions {str(sessions)!r}: no session has labels for all of its templates; give the file that labels them")
    return found


def _counted(texts: list[str], known: Mapping[str, Row]) -> Counted:
    rows = [known[text] for text in texts]
    return Counted(tuple(texts), any(row.abnormal for row in rows), all(row.split == "test" for row in rows))


def session_sets(sessions: Sequence[Counted], scores: Mapping[str, float]) -> dict[str, tuple[list[bool], list[float]]]:
    """Truth and P(abnormal), the highest of a session's templates, for all sessions and for those of the test split alone."""
    sets = {"sessions, all": sessions, "sessions, test templates only": [session for session in sessions if session.held_out]}
    return {
        name: ([session.abnormal for session in part], [max(scores[text] for text in session.templates) for session in part])
        for name, part in sets.items()
        if part
    }
