"""Which known entry explains a line: fits the weights of the product's choice, and measures it.

    ra-train choose                               how well the product chooses, on the dev lines
    ra-train choose --fit                         fit the weights on the train lines, and write them

A row of ``sets/choices.jsonl`` is a line (masked, as the product mines it) with the entries that it calls up, and those of them that truly
explain it: {"split", "system", "text", "label", "category", "candidates": [ids], "fits": [ids]}. Rows were labelled by hand; those of dev by
three readers, blind to each other. "None" is a right answer, and counts as such.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from ra_sdk.knowledge import Knowledge
from ra_sdk.knowledge.choosing import WEIGHTS_FILE, Candidate, Features, best
from ra_sdk.records import Verdict

__all__ = ["Line", "Measured", "add_choose", "fitted", "main", "measure", "read"]

SETS = Path(__file__).parent.parent / "sets" / "choices.jsonl"
RIDGE = 1.0  # keeps weights small that the rows say little about
STEPS = 30


@dataclass(frozen=True, slots=True)
class Line:
    """A labelled line: ``candidates`` as the product finds them, ``fits`` the ids of those that explain it."""

    split: str
    system: str
    candidates: list[Candidate]
    fits: frozenset[str]


@dataclass(frozen=True, slots=True)
class Measured:
    """``right``: the share of lines with a right entry, or rightly none. ``wrong``: with a wrong entry. ``missed``: none, where one fits."""

    lines: int
    right: float
    wrong: float
    missed: float


def read(path: Path, knowledge: Knowledge) -> list[Line]:
    """The labelled lines. Raises SystemExit for a row that is not one."""
    found = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(text)
            verdict = Verdict(row["text"], row["label"], float(row["label"] == "abnormal"), row.get("category"))
            known = [candidate for candidate in knowledge.candidates(row["text"], (), verdict) if candidate.entry.id in row["candidates"]]
            found.append(Line(row["split"], row["system"], known, frozenset(row["fits"])))
        except (ValueError, KeyError) as error:
            raise SystemExit(f"{path}:{number}: must be a labelled line, got {text[:80]!r}: {error}") from error
    return found


def fitted(lines: list[Line]) -> tuple[list[float], float]:
    """Weights of the features and the bias: logistic regression by Newton's method, with a ridge."""
    import numpy as np

    pairs = [(candidate, candidate.entry.id in line.fits) for line in lines for candidate in line.candidates]
    x = np.array([[*astuple(candidate.features), 1.0] for candidate, _ in pairs])
    y = np.array([float(fits) for _, fits in pairs])
    penalty = np.diag([RIDGE] * (x.shape[1] - 1) + [1e-6])
    weights = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (y - p) - penalty @ weights
        weights += np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + penalty, gradient)
    return [round(float(value), 3) for value in weights[:-1]], round(float(weights[-1]), 3)


def measure(lines: list[Line]) -> Measured:
    """How well the product chooses with the weights that it has."""
    right = wrong = missed = 0
    for line in lines:
        chosen = best(line.candidates)
        right += (chosen.entry.id in line.fits) if chosen else not line.fits
        wrong += chosen is not None and chosen.entry.id not in line.fits
        missed += chosen is None and bool(line.fits)
    size = max(len(lines), 1)
    return Measured(len(lines), right / size, wrong / size, missed / size)


def main(arguments: argparse.Namespace) -> int:
    """Fit if asked to, and print how well the product chooses."""
    lines = read(arguments.pairs, Knowledge(left_out=()))
    if arguments.fit:
        weights, bias = fitted([line for line in lines if line.split == "train"])
        named: dict[str, Any] = {field.name: weight for field, weight in zip(fields(Features), weights, strict=True)}
        WEIGHTS_FILE.write_text(json.dumps({**named, "bias": bias}, indent=1) + "\n", encoding="utf-8")
        print(f"written: {WEIGHTS_FILE.name}; run again to measure with them")
        return 0
    for split in ("train", "dev"):
        found = measure([line for line in lines if line.split == split])
        print(f"{split}: {found.lines} lines, right {found.right:.3f}, wrong {found.wrong:.3f}, missed {found.missed:.3f}")
    return 0


def add_choose(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--pairs", type=Path, default=SETS, help="labelled lines")
    parser.add_argument("--fit", action="store_true", help="fit the weights on the train lines, and write them into the product")
    parser.set_defaults(run=main)
