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
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from ra_sdk.knowledge import Knowledge
from ra_sdk.knowledge.choosing import WEIGHTS_FILE, Candidate, Features, best
from ra_sdk.records import Verdict

from ra_training.corpus import Row, masked, read_rows

__all__ = ["Line", "Measured", "add_choose", "coverage", "fitted", "main", "measure", "read", "reasons", "twin_errors"]

SETS = Path(__file__).parent.parent / "sets" / "choices.jsonl"
TWINS = SETS.with_name("twins.jsonl")
RIDGE = 1.0  # keeps weights small that the rows say little about
STEPS = 30


@dataclass(frozen=True, slots=True)
class Line:
    """A labelled line: ``candidates`` as the product finds them, ``fits`` the ids of those that explain it."""

    split: str
    system: str
    candidates: list[Candidate]
    fits: frozenset[str]
    abnormal: bool = True


@dataclass(frozen=True, slots=True)
class Measured:
    """``right``: the share of lines with a right entry, or rightly none. ``wrong``: with a wrong entry. ``missed``: none, where one fits."""

    lines: int
    right: float
    wrong: float
    missed: float


def read(path: Path, knowledge: Knowledge) -> list[Line]:
    """The labelled lines. Raises SystemExit for a row that is not one."""
    texts = path.read_text(encoding="utf-8").splitlines()
    return [_line(text, f"{path}:{number}", knowledge) for number, text in enumerate(texts, 1)]


def _line(text: str, where: str, knowledge: Knowledge) -> Line:
    try:
        row = json.loads(text)
        verdict = Verdict(row["text"], row["label"], float(row["label"] == "abnormal"), row.get("category"))
        known = [candidate for candidate in knowledge.candidates(row["text"], (), verdict) if candidate.entry.id in row["candidates"]]
        return Line(row["split"], row["system"], known, frozenset(row["fits"]), verdict.abnormal)
    except (ValueError, KeyError) as error:
        raise SystemExit(f"{where}: must be a labelled line, got {text[:80]!r}: {error}") from error


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
        chosen = best(line.candidates, abnormal=line.abnormal)
        right += (chosen.entry.id in line.fits) if chosen else not line.fits
        wrong += chosen is not None and chosen.entry.id not in line.fits
        missed += chosen is None and bool(line.fits)
    size = max(len(lines), 1)
    return Measured(len(lines), right / size, wrong / size, missed / size)


def coverage(rows: Sequence[Row], knowledge: Knowledge) -> Counter[str]:
    """How many abnormal messages have a reason from which source; "none" is left to the model's quote."""
    abnormal = [row for row in rows if row.abnormal]
    texts = masked([row.message for row in abnormal])
    verdicts = [Verdict(text, "abnormal", 1.0, row.category) for text, row in zip(texts, abnormal, strict=True)]
    return Counter(knowledge.explain(verdict).reason_source or "none" for verdict in verdicts)


def twin_errors(path: Path, knowledge: Knowledge) -> tuple[list[str], int]:
    """The pairs of which both lines have the same entry though their outcomes differ, and how many pairs there are."""
    pairs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    wrong = []
    for pair in pairs:
        one, other = (knowledge.explain(Verdict(text, "abnormal", 1.0)).knowledge for text in masked([pair["abnormal"], pair["twin"]]))
        if set(one) & set(other):
            wrong.append(f"{pair['abnormal']} | {pair['twin']}: {one[0]}")
    return wrong, len(pairs)


def reasons(files: Sequence[str], split: str | None) -> str:
    """A report on reasons without a model: coverage of labelled files, the choice on dev lines, twins."""
    knowledge, said = Knowledge(left_out=()), []
    for file in files:
        path, _, label = file.partition(":")
        rows = [row for row in read_rows(Path(path), label or "label") if split in (None, row.split)]
        found = coverage(rows, knowledge)
        shares = ", ".join(f"{source} {count / found.total():.2f}" for source, count in found.most_common())
        said.append(f"{Path(path).name}: {found.total()} abnormal messages; {shares}")
    if SETS.exists():
        dev = measure([line for line in read(SETS, knowledge) if line.split == "dev"])
        said.append(f"choice on {dev.lines} dev lines: right {dev.right:.3f}, wrong {dev.wrong:.3f}, missed {dev.missed:.3f}")
    if TWINS.exists():
        wrong, size = twin_errors(TWINS, knowledge)
        said += [f"twins: {len(wrong)} of {size} pairs have one entry for both lines", *wrong]
    return "\n".join(said) + "\n"


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
