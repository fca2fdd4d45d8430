"""The operating point: how often a verdict is right at which threshold, where abnormal lines are as rare as in real logs.

The lines of `sets/excerpts.jsonl` stand in their context, and three readers labelled each. They are read as the product reads a log: with its formats,
its masks, and each record's severity.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

__all__ = ["EXCERPTS", "POINTS", "Point", "Read", "curve", "named_points", "read_excerpts"]

EXCERPTS = Path(__file__).parent.parent / "sets" / "excerpts.jsonl"
POINTS = {"low": 0.95, "default": 0.85, "high": 0.65}  # by sensitivity, the precision that its threshold keeps on the excerpts


@dataclass(frozen=True, slots=True)
class Read:
    """A record of an excerpt: its masked text, its severity, whether it is abnormal, and how many records say the same in its excerpt."""

    text: str
    severity: str | None
    abnormal: bool
    count: int


@dataclass(frozen=True, slots=True)
class Point:
    """A threshold with what it gives: precision and recall over records."""

    threshold: float
    precision: float
    recall: float


def read_excerpts(path: Path = EXCERPTS) -> list[Read]:
    """The records of all excerpts, as the product reads them; equal ones of an excerpt once, with their count. Raises SystemExit for an unreadable file."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        groups = [list(group) for _, group in groupby(rows, key=lambda row: row["excerpt"])]
        return [read for group in groups for read in _records([row["line"] for row in group], [row["label"] == "abnormal" for row in group])]
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"excerpts {str(path)!r} cannot be read: {error!r}; give a JSONL file with excerpt, line and label") from error


def _records(lines: Sequence[str], abnormal: Sequence[bool]) -> list[Read]:
    """A record of several lines is abnormal if one of them is."""
    from ra_sdk import Detector

    with tempfile.TemporaryDirectory() as place, Detector(model="echo", store=":memory:", knowledge=None) as detector:
        log = Path(place) / "excerpt.log"
        log.write_text("\n".join(lines) + "\n", encoding="utf-8")
        found = list(detector.detect(log))
    counted: dict[tuple[str, str | None, bool], int] = {}
    for record in found:
        key = record.template, record.severity, any(abnormal[record.line - 1 : record.last_line])
        counted[key] = counted.get(key, 0) + 1
    return [Read(*key, count) for key, count in counted.items()]


def curve(scores: Sequence[float], reads: Sequence[Read]) -> list[Point]:
    """Precision and recall at every score, the highest threshold first. ``scores``: P(abnormal), one for each of ``reads``."""
    total = sum(read.count for read in reads if read.abnormal)
    points, right, told = [], 0, 0
    for threshold, group in groupby(sorted(zip(scores, reads, strict=True), key=lambda pair: -pair[0]), key=lambda pair: pair[0]):
        for _, read in group:
            told += read.count
            right += read.count * read.abnormal
        points.append(Point(threshold, right / told, right / max(total, 1)))
    return points


def named_points(points: Sequence[Point]) -> dict[str, Point]:
    """For each sensitivity the point of best recall among those that keep its precision; the most precise one where none does."""
    found = {}
    for name, least in POINTS.items():
        kept = [point for point in points if point.precision >= least] or [max(points, key=lambda point: (point.precision, point.recall))]
        found[name] = max(kept, key=lambda point: (point.recall, point.threshold))
    return found
