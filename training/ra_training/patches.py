"""Label correction, last step: the labels that move, as a file that RationAnomaly's own script applies too, and applying such a file.

The form is that of RationAnomaly's ``datasets/anomaly_patch.json`` as its reader ``datasets/anomaly_patch.py`` takes it: an array of objects whose
``input`` is a template and whose ``rectified`` its right label; templates are compared without the white space round them, and the last of several
entries to one template counts. Our ``original`` and ``category`` stand beside these, and that reader passes them over.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ra_sdk.records import CATEGORIES

from ra_training.agreement import consensus, read_reviews
from ra_training.corpus import read_rows
from ra_training.correct import Study, read_records, text_of
from ra_training.review import read_answers

__all__ = ["Applied", "Move", "apply_patch", "read_patch", "write_patch"]


@dataclass(frozen=True, slots=True)
class Move:
    """A label that is to be another. ``original`` and ``category`` may be unknown."""

    input: str
    rectified: str
    original: str | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What a patch did to a file: rows whose label changed, rows that had it already, and entries that no row answers to."""

    changed: int
    already: int
    missing: tuple[str, ...]


def write_patch(study: Study, *, least: int = 2, majority: bool = False) -> tuple[list[Move], list[str]]:
    """Write the labels that the panel moves. These, and the ids of the rows that it leaves open."""
    decided, unsettled = consensus(read_reviews(study), read_answers(study.adjudication), least=least, majority=majority)
    moves = [
        Move(suspect.message, decided[suspect.id].label, suspect.label, decided[suspect.id].category)
        for suspect in study.ranking()
        if suspect.id in decided and decided[suspect.id].label != suspect.label
    ]
    entries = [{"input": m.input, "original": m.original, "rectified": m.rectified, "category": m.category} for m in moves]
    study.patch.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return moves, unsettled


def read_patch(path: Path) -> dict[str, Move]:
    """A patch's moves, by template. Raises SystemExit with the entry if one lacks a template or a label."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"patch {str(path)!r} cannot be read ({error}); give a file that ra-train correct patch wrote, or RationAnomaly's") from None
    if not isinstance(entries, list):
        raise SystemExit(f"patch {str(path)!r} is no array; it needs objects with input and rectified in one")
    moves = [_move(entry, f"{path}, entry {number}") for number, entry in enumerate(entries, 1)]
    return {move.input: move for move in moves}


def _move(entry: Any, where: str) -> Move:
    said = entry if isinstance(entry, dict) else {}
    text, label = said.get("input"), said.get("rectified")
    if not isinstance(text, str) or label not in ("normal", "abnormal"):
        raise SystemExit(f"{where}: needs a template in input and normal or abnormal in rectified, not {label!r}")
    category = said.get("category")
    return Move(text.strip(), label, said.get("original"), category if category in CATEGORIES else None)  # others have other categories


def apply_patch(patch: Path, path: Path, label: str, out: Path) -> Applied:
    """Write ``path`` with the patch's labels in column ``label`` to ``out``; all else stays as it is, but for the category where the patch names one.

    Raises SystemExit if ``out`` is ``path``: the labels as they were are what a correction is measured against.
    """
    if out.resolve() == path.resolve():
        raise SystemExit(f"file {str(out)!r} would be overwritten; give another --out")
    if (out.suffix == ".csv") != (path.suffix == ".csv"):
        raise SystemExit(f"file {str(out)!r} would hold what its ending does not say; give it the ending {path.suffix!r}")
    moves, records = read_patch(patch), read_records(path)
    read_rows(path, label)  # for its errors: a column that is not there, a label that is none
    met = [(record, moves[text]) for record in records if (text := text_of(record).strip()) in moves]
    changed = sum(_relabel(record, label, move) for record, move in met)
    _write_records(records, out)
    known = {move.input for _, move in met}
    return Applied(changed, len(met) - changed, tuple(text for text in moves if text not in known))


def _relabel(record: dict[str, Any], label: str, move: Move) -> bool:
    """Give a row its new label; whether that changed it."""
    if record[label] == move.rectified:
        return False
    record[label] = move.rectified
    if move.rectified == "normal" and "category" in record:
        record["category"] = None
    elif move.category:
        record["category"] = move.category
    return True


def _write_records(records: Sequence[dict[str, Any]], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8", newline="") as file:
        if out.suffix == ".csv":
            columns = list(dict.fromkeys(name for record in records for name in record))
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(records)
        else:
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
