"""One table over labelled files: the model as the product runs it, and the baselines, on the same rows.

Every prediction goes through `ra_sdk.reasoner.llama.LlamaReasoner`, and rationales are filled from the message, as the product shows them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ra_sdk.templates.fill import fill

from ra_training.baselines import keywords, minilm, tfidf
from ra_training.corpus import Row, corpus_files, masked, read_rows, training_rows
from ra_training.metrics import figures, rationale_figures
from ra_training.sessions import read_sessions, session_sets

if TYPE_CHECKING:
    from ra_sdk.reasoner.llama import LlamaReasoner

__all__ = ["EvaluateConfig", "Prediction", "evaluate", "evaluation_sets", "markdown"]

FEW = 3  # a file with at most so many systems is shown system by system


@dataclass(frozen=True, slots=True)
class Prediction:
    """What something says of a row. ``score`` is P(abnormal)."""

    score: float
    abnormal: bool
    category: str | None = None
    rationale: str | None = None


@dataclass(frozen=True, slots=True)
class EvaluateConfig:
    """``files``: paths, with ``:column`` where the label is not in ``label``. ``adapter`` "none": the base as it is, few-shot.

    ``corpus``: what the baselines are fitted on. ``untrained``: the default base without an adapter as one more baseline. ``sessions``: a file of
    sessions and one of their templates (see `ra_training.sessions`); labels come from ``files``.
    ``hostile``: rows with a ``message`` and the same with an injected text, ``hostile``; what counts is how many verdicts flip.
    """

    files: tuple[str, ...]
    out: Path
    split: str | None = None
    corpus: Path | None = None
    model: str | None = None
    adapter: str | None = None
    modes: tuple[Literal["direct", "think"], ...] = ("direct",)
    limit: int | None = None
    threads: int | None = None
    explain: Literal["abnormal", "always", "never"] = "abnormal"
    untrained: bool = False
    sessions: tuple[Path, Path] | None = None
    hostile: Path | None = None


def evaluate(config: EvaluateConfig) -> list[dict[str, Any]]:
    """Predict, score, and write ``results.json``, ``results.md`` and the predictions. The table's rows."""
    sets = evaluation_sets(config)
    config.out.mkdir(parents=True, exist_ok=True)
    table = [line for mode in config.modes for line in _model_rows(config, mode, sets)]
    if config.untrained:
        table += _model_rows(replace(config, model=None, adapter="none", explain="never"), "direct", sets, title="untrained base, few-shot")
    if config.corpus is not None:
        table += _baseline_rows(config, config.corpus, sets)
    if config.sessions is not None:
        table += _session_rows(config, *config.sessions)
    if config.hostile is not None:
        table += [_hostile_row(config, mode, config.hostile) for mode in config.modes]
    (config.out / "results.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    (config.out / "results.md").write_text(markdown(table), encoding="utf-8")
    return table


def evaluation_sets(config: EvaluateConfig) -> dict[str, list[Row]]:
    """The rows to predict, by the name of their set. Raises SystemExit if a file has no row of the split."""
    sets: dict[str, list[Row]] = {}
    for name in config.files:
        path, _, label = name.partition(":")
        rows = [row for row in read_rows(Path(path), label or "label") if config.split in (None, row.split)]
        if not rows:
            raise SystemExit(f"file {path!r} has no row of split {config.split!r}; give another --split, or none")
        systems = sorted({row.system for row in rows})
        stem = f"{Path(path).stem} {label}".strip()
        for system in systems if 1 < len(systems) <= FEW else [None]:
            chosen = [row for row in rows if system in (None, row.system)]
            sets[f"{stem} {system}" if system else stem] = chosen[: config.limit]
    return sets


def _model_rows(config: EvaluateConfig, mode: Literal["direct", "think"], sets: dict[str, list[Row]], title: str | None = None) -> list[dict[str, Any]]:
    table = []
    with _reasoner(config, config.explain) as reasoner:
        for name, rows in sets.items():
            texts, began = masked([row.message for row in rows]), time.perf_counter()
            verdicts = list(reasoner.judge(texts, mode, severities=[row.level for row in rows]))
            seconds = time.perf_counter() - began
            predictions = [
                Prediction(v.score or 0.0, v.label == "abnormal", v.category, v.rationale and fill(v.rationale, text, row.message))
                for v, text, row in zip(verdicts, texts, rows, strict=True)
            ]
            _write_predictions(config.out / f"{name} {title or mode}.jsonl".replace(" ", "-").replace(",", ""), rows, predictions)
            said = [reasoner.tokens(v.rationale) for v in verdicts if v.rationale]
            line = _line(title or f"model, {mode}", name, rows, predictions) | {"templates_per_second": round(len(rows) / seconds, 1)}
            line["thinking_tokens"] = round(sum(said) / len(said), 1) if said else None
            table.append(line | {"model": reasoner.name, "digest": reasoner.digest})
    return table


def _reasoner(config: EvaluateConfig, explain: Literal["abnormal", "always", "never"]) -> LlamaReasoner:
    from ra_sdk.reasoner.llama import LlamaReasoner

    return LlamaReasoner(config.model, adapter=config.adapter, threads=config.threads, explain=explain)


def _session_rows(config: EvaluateConfig, sessions: Path, templates: Path) -> list[dict[str, Any]]:
    """The model's direct verdicts carried to sessions, and what it takes to beat: calling every session abnormal."""
    labelled = [row for name in config.files for row in read_rows(Path(name.partition(":")[0]), name.partition(":")[2] or "label")]
    counted = read_sessions(sessions, templates, labelled)
    texts = sorted({text for session in counted for text in session.templates})
    with _reasoner(config, "never") as reasoner:
        scores = dict(zip(texts, (verdict.score or 0.0 for verdict in reasoner.judge(masked(texts))), strict=True))
    table = []
    for name, (truth, found) in session_sets(counted, scores).items():
        table.append({"what": "model, direct", "set": name, **figures(truth, found, [score >= 0.5 for score in found])})
        table.append({"what": "always abnormal", "set": name, **figures(truth, [1.0] * len(truth), [True] * len(truth))})
    return table


def _hostile_row(config: EvaluateConfig, mode: Literal["direct", "think"], path: Path) -> dict[str, Any]:
    """How the hostile lines are judged, and how many otherwise than the same lines without the injected text."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    plain, injected = (masked([record[key] for record in records]) for key in ("message", "hostile"))
    with _reasoner(config, "never") as reasoner:
        found = list(reasoner.judge([*plain, *injected], mode))
    pairs = list(zip(found[: len(plain)], found[len(plain) :], strict=True))
    flipped = [record["id"] for record, (one, other) in zip(records, pairs, strict=True) if one.label != other.label]
    truth = [record["label"] == "abnormal" for record in records]
    scores = [other.score or 0.0 for _, other in pairs]
    line = {"what": f"model, {mode}", "set": "hostile pairs", **figures(truth, scores, [other.label == "abnormal" for _, other in pairs])}
    return line | {"flips": len(flipped), "flipped": flipped}


def _baseline_rows(config: EvaluateConfig, corpus: Path, sets: dict[str, list[Row]]) -> list[dict[str, Any]]:
    """Fitted on the train split; on dev too if the question is test."""
    splits = ("train", "dev") if config.split == "test" else ("train",)
    train = [row for split in splits for row in training_rows(corpus_files(corpus), split, plain=1_000_000)]
    messages = [row.message for rows in sets.values() for row in rows]
    table = []
    found = {"keyword regex": keywords(messages), "TF-IDF, logistic regression": tfidf(train, messages), "MiniLM, logistic regression": minilm(train, messages)}
    for title, scores in found.items():
        left = iter(scores or [])
        for name, rows in sets.items():
            if scores is not None:
                table.append(_line(title, name, rows, [Prediction(score, score >= 0.5) for _, score in zip(rows, left)]))
    return table


def _line(title: str, name: str, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """A row of the table."""
    truth, said = [row.abnormal for row in rows], [prediction.abnormal for prediction in predictions]
    line: dict[str, Any] = {"what": title, "set": name, **figures(truth, [prediction.score for prediction in predictions], said)}
    if any(prediction.category for prediction in predictions):
        found = [(row.category, prediction.category) for row, prediction in zip(rows, predictions) if row.category and prediction.category]
        line["category_accuracy"] = round(sum(true == guess for true, guess in found) / len(found), 4) if found else None
        line |= rationale_figures([row.message for row in rows], [prediction.rationale for prediction in predictions], said)
    return line


def _write_predictions(path: Path, rows: Sequence[Row], predictions: Sequence[Prediction]) -> None:
    """One JSON object a row, in the form that other scorers read."""
    with path.open("w", encoding="utf-8") as file:
        for row, p in zip(rows, predictions):
            label = "abnormal" if p.abnormal else "normal"
            file.write(json.dumps({"id": row.id, "label": label, "score": p.score, "category": p.category, "rationale": p.rationale}) + "\n")


_COLUMNS = (
    ("what", "what"),
    ("set", "set"),
    ("n", "rows"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("f1", "F1"),
    ("macro_f1", "macro F1"),
    ("balanced_accuracy", "balanced"),
    ("average_precision", "AP"),
    ("ece", "ECE"),
    ("category_accuracy", "category"),
    ("ungrounded_share", "ungrounded"),
    ("flips", "flips"),
    ("words", "words"),
    ("thinking_tokens", "tokens"),
    ("templates_per_second", "templates/s"),
)


def markdown(table: Sequence[dict[str, Any]]) -> str:
    """The table, set by set, in Markdown. What does not apply is a dash."""
    lines = ["| " + " | ".join(title for _, title in _COLUMNS) + " |", "|---" * len(_COLUMNS) + "|"]
    order = list(dict.fromkeys(line["set"] for line in table))
    for line in sorted(table, key=lambda line: order.index(line["set"])):
        cells = [line.get(key) for key, _ in _COLUMNS]
        lines.append("| " + " | ".join("–" if cell is None else f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"
