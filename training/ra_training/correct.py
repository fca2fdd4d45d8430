"""Label correction, first step: which labels deserve a second look, and how good that list is.

A row is suspect if a model that has not seen it, nor its twins, disagrees with its label by more than the labels of that class usually are disagreed
with (confident learning: Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", section 3.1), or if messages that
are its equal but for their values mostly carry the other label. Only messages and the one label column decide; no other column reaches the finding.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ra_training.baselines import tfidf
from ra_training.corpus import Row, digest, masked, read_rows

__all__ = ["Study", "Suspect", "confident", "find", "out_of_fold", "rank", "read_records", "score", "text_of", "twins", "value_blind"]

_VALUE = re.compile(r"<[^<>]*>|\S*[0-9]\S*")  # a placeholder of the masks, or a word with a digit in it


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row of the ranking. ``score`` is the margin for the other label, from -2 to 2; ``why`` says what made it suspect, and is empty if nothing did."""

    id: str
    message: str
    label: str
    p_abnormal: float
    score: float
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Study:
    """A correction's directory: what was found, each reviewer's answers, what they disagree on, and the patch."""

    path: Path

    @property
    def reviews(self) -> Path:
        """One file of answers a reviewer."""
        return self.path / "reviews"

    @property
    def disagreements(self) -> Path:
        """What is left to the adjudicator."""
        return self.path / "disagreements.jsonl"

    @property
    def adjudication(self) -> Path:
        """The adjudicator's answers."""
        return self.path / "adjudication.jsonl"

    @property
    def patch(self) -> Path:
        """The labels that move, in RationAnomaly's form."""
        return self.path / "anomaly_patch.json"

    def write(self, ranking: Sequence[Suspect], config: dict[str, Any]) -> None:
        """Keep a ranking. Raises SystemExit if reviews of another one are there: their answers would speak of other rows."""
        if self.reviews.is_dir() and any(self.reviews.iterdir()):
            raise SystemExit(f"study {str(self.path)!r} has been reviewed already; give another --out")
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        lines = (json.dumps({"rank": at, **asdict(suspect)}) + "\n" for at, suspect in enumerate(ranking, 1))
        (self.path / "ranking.jsonl").write_text("".join(lines), encoding="utf-8")

    def config(self) -> dict[str, Any]:
        """What was searched and how. Raises SystemExit if nothing was."""
        file = self.path / "config.json"
        if not file.is_file():
            raise SystemExit(f"study {str(self.path)!r} holds no ranking; run ra-train correct find with --out {str(self.path)!r} first")
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def ranking(self) -> list[Suspect]:
        """All rows, the most suspect first. Raises SystemExit if there are none."""
        self.config()
        lines = [json.loads(line) for line in (self.path / "ranking.jsonl").read_text(encoding="utf-8").splitlines()]
        return [Suspect(**{**{key: value for key, value in line.items() if key != "rank"}, "why": tuple(line["why"])}) for line in lines]


def read_records(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV or JSONL file as they are written there."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file)) if path.suffix == ".csv" else [json.loads(line) for line in file if line.strip()]


def text_of(record: dict[str, Any]) -> str:
    """A row's message or template, as it is written."""
    return str(record.get("message") or record["template"])


def find(path: Path, label: str, out: Path, *, folds: int = 5, seed: int = 1) -> list[Suspect]:
    """Rank the rows of a labelled file by how likely their label is wrong, and keep that in ``out``. Raises SystemExit if two rows have one id."""
    rows = read_rows(path, label)
    twice = [name for name, count in Counter(row.id for row in rows).items() if count > 1]
    if twice:
        raise SystemExit(f"{path}: id {twice[0]!r} stands there more than once; make ids distinct, or leave the column out")
    # a Row of message and label alone: a category, reasoning or other label column may know what is to be found out
    plain = [Row(row.id, "", text, row.label) for row, text in zip(rows, masked([row.message for row in rows]))]
    ranking, thresholds = rank(plain, folds=folds, seed=seed)
    raw = {row.id: text_of(record) for row, record in zip(rows, read_records(path), strict=True)}  # a patch has to name rows as their file does
    ranking = [Suspect(s.id, raw[s.id], s.label, s.p_abnormal, s.score, s.why) for s in ranking]
    config = {"source": str(path.resolve()), "sha256": digest(path), "label": label, "folds": folds, "seed": seed, "thresholds": thresholds}
    Study(out).write(ranking, config)
    return ranking


def rank(rows: Sequence[Row], *, folds: int = 5, seed: int = 1) -> tuple[list[Suspect], dict[str, float]]:
    """Suspects first, then the others, each by falling margin; and the thresholds of both labels. Messages must be masked."""
    scores = out_of_fold(rows, folds=folds, seed=seed)
    labels = [row.abnormal for row in rows]
    margins, odd, thresholds = confident(labels, scores)
    twin = twins([row.message for row in rows], labels)
    found = []
    for row, p, margin, disagrees, outvoted in zip(rows, scores, margins, odd, twin):
        why = [name for name, true in (("out-of-fold", disagrees), ("twins", outvoted)) if true]
        found.append(Suspect(row.id, row.message, row.label, round(p, 4), round(margin, 4), tuple(why)))
    found.sort(key=lambda suspect: (not suspect.why, -suspect.score))  # stable: equals keep the file's order
    return found, thresholds


def out_of_fold(rows: Sequence[Row], *, folds: int = 5, seed: int = 1) -> list[float]:
    """P(abnormal) of each row by a model fitted without its fold. Twins share a fold: a wrong label must not vouch for its copies.

    Raises SystemExit if a label has too few distinct messages for the folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    groups, labels = [value_blind(row.message) for row in rows], [row.abnormal for row in rows]
    for label in (False, True):
        kinds = len({group for group, said in zip(groups, labels) if said == label})
        if kinds < folds:
            name = "abnormal" if label else "normal"
            raise SystemExit(f"{kinds} distinct {name} messages are too few for {folds} folds; give more rows, or --folds from 2 up")
    scores = [0.0] * len(rows)
    for train, held in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(groups, labels, groups):
        told = tfidf([rows[at] for at in train], [rows[at].message for at in held])
        for at, p in zip(held, told):
            scores[at] = p
    return scores


def confident(labels: Sequence[bool], scores: Sequence[float]) -> tuple[list[float], list[bool], dict[str, float]]:
    """Margins, off-diagonal or not, and the thresholds.

    A label's threshold is the mean probability that its own rows give it. A row counts as the other label's if that label reaches its threshold there and
    the given one does not, or is less probable. The margin is the other label's excess over its threshold, less the given one's.
    """
    given = {label: [p if label else 1 - p for said, p in zip(labels, scores) if said == label] for label in (False, True)}
    threshold = {label: sum(held) / len(held) for label, held in given.items()}
    margins, odd = [], []
    for label, p in zip(labels, scores):
        own, other = (p, 1 - p) if label else (1 - p, p)
        margins.append((other - threshold[not label]) - (own - threshold[label]))
        odd.append(other >= threshold[not label] and (own < threshold[label] or other > own))
    return margins, odd, {"normal": round(threshold[False], 4), "abnormal": round(threshold[True], 4)}


def value_blind(message: str) -> str:
    """A masked message without its values, zeros and codes included, and without case."""
    return _VALUE.sub("#", message).lower()


def twins(messages: Sequence[str], labels: Sequence[bool]) -> list[bool]:
    """Whether the messages that are equal but for values mostly, or half of them, say otherwise. Values may well be the reason; a reviewer sees."""
    groups: dict[str, Counter[bool]] = defaultdict(Counter)
    keys = [value_blind(message) for message in messages]
    for key, label in zip(keys, labels):
        groups[key][label] += 1
    return [groups[key][not label] >= groups[key][label] for key, label in zip(keys, labels)]


def score(study: Study, truth: str, ks: Iterable[int], splits: Sequence[str] = ()) -> str:
    """How a ranking fares against another label column of its file: a table in Markdown. ``splits``: only these rows.

    Raises SystemExit if the file is not the one that was searched.
    """
    config, ranking = study.config(), study.ranking()
    source = Path(config["source"])
    if not source.is_file() or digest(source) != config["sha256"]:
        raise SystemExit(f"file {str(source)!r} is no longer what was searched; run ra-train correct find again")
    true = {row.id: row.label for row in read_rows(source, truth) if not splits or row.split in splits}
    kept = [suspect for suspect in ranking if suspect.id in true]
    if not kept:
        raise SystemExit(f"no row of {str(source)!r} is in split {', '.join(splits)!r}; give another --split, or none")
    moves = [suspect.label != true[suspect.id] for suspect in kept]
    suspects = sum(bool(suspect.why) for suspect in kept)
    found, whole = sum(moves), len(moves)
    wanted = sorted({k for k in (*ks, found, suspects) if 0 < k <= whole})
    marks = {suspects: " (all suspects)", found: " (as many as moves)"}
    lines = [f"{config['label']} against {truth}: {whole} rows, {found} moves (by chance, precision is {found / whole:.3f}), {suspects} suspects"]
    lines += ["", "| k | moves found | to abnormal | to normal | precision | recall |", "|---|---|---|---|---|---|"]
    up = [move and suspect.label == "normal" for move, suspect in zip(moves, kept)]
    for k in wanted:
        hits, raised = sum(moves[:k]), sum(up[:k])
        recall = f"{hits / found:.3f}" if found else "–"
        lines.append(f"| {k}{marks.get(k, '')} | {hits} | {raised} of {sum(up)} | {hits - raised} of {found - sum(up)} | {hits / k:.3f} | {recall} |")
    return "\n".join(lines) + "\n"
