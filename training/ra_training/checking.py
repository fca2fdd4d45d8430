"""Figures on dev rows between steps: what the product would say, by the most probable replies, and whether it got worse."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ra_sdk.reasoner.rationale import grounded

from ra_training.evidence import label_reward, shown
from ra_training.examples import Encoder
from ra_training.likelihood import margins, probability
from ra_training.metrics import figures
from ra_training.rewards import Reading, read
from ra_training.rollout import Reply, Writer, greedy, write
from ra_training.tasks import Task

__all__ = ["brief", "dev_figures", "worse"]

WATCHED = {"f1": "F1", "average_precision": "AP", "evidence_f1": "evidence F1", "choice_accuracy": "choice"}
NOISE = 0.02  # what a figure may fall below the start's before it is called worse
AT_ONCE = 16


def dev_figures(model: Any, encoder: Encoder, writer: Writer, tasks: Sequence[Task], *, bf16: bool = False) -> dict[str, float]:
    """Figures of the verdicts by the probabilities of their two tokens, the share of well-formed replies, and what can be said of reasons and choices.

    ``evidence_f1``: words against the label's, over all rows with labelled evidence. ``choice_accuracy``; ``choice_misfits``: the share of wrong choices
    among all that were made.
    """
    verdicts, choices = ([task for task in tasks if (task.kind == "choice") is wanted] for wanted in (False, True))
    found = _of_verdicts(model, encoder, writer, verdicts, bf16) if verdicts else {}
    return found | (_of_choices(model, encoder, choices, bf16) if choices else {})


def _of_verdicts(model: Any, encoder: Encoder, writer: Writer, tasks: Sequence[Task], bf16: bool) -> dict[str, float]:
    tasks = sorted(tasks, key=lambda task: len(task.asked(encoder)))  # so that what is computed together is about equally long
    asked = [task.asked(encoder) for task in tasks]
    replies = [writer.start(task.kind, task.text) for task in tasks]
    scores: dict[int, float] = {}

    def seen(reply: Reply, tokens: Any, logits: Any) -> None:
        if reply.next == writer.verdicts:
            normal, abnormal = (float(logits[tokens == token]) for token in writer.verdicts)
            scores[id(reply)] = probability(abnormal - normal)

    for at in range(0, len(tasks), AT_ONCE):
        write(model.get_base_model(), asked[at : at + AT_ONCE], replies[at : at + AT_ONCE], greedy, bf16=bf16, seen=seen)
    readings = [read(writer.text(reply, task.kind), task.kind) for task, reply in zip(tasks, replies, strict=True)]
    said = [scores.get(id(reply), 0.0) for reply in replies]  # 0 for one that did not come to a verdict
    found = figures([task.abnormal for task in tasks], said, [score >= 0.5 for score in said])
    return found | {"formed": _mean([reading is not None for reading in readings])} | _of_reasons(list(zip(tasks, readings, strict=True)))


def _of_reasons(told: Sequence[tuple[Task, Reading | None]]) -> dict[str, float]:
    """Of the evidence in direct mode, of the reasoning in think mode."""
    found: dict[str, list[float]] = {"category_accuracy": [], "evidence_f1": [], "grounded": []}
    for task, reading in told:
        if reading and reading.abnormal and task.abnormal:
            found["category_accuracy"].append(reading.category == task.category)
        if task.kind == "direct" and task.evidence:
            found["evidence_f1"].append(label_reward(shown(task.text, reading.said), task.evidence) if reading else 0.0)
        if task.kind == "think" and reading:
            found["grounded"].append(grounded(task.text, reading.said))
    return {name: _mean(values) for name, values in found.items() if values}


def _of_choices(model: Any, encoder: Encoder, tasks: Sequence[Task], bf16: bool) -> dict[str, float]:
    said = [margin >= 0 for margin in margins(model, [task.asked(encoder) for task in tasks], (encoder.fits, encoder.fits_not), bf16=bf16)]
    made = [task.fits for task, yes in zip(tasks, said, strict=True) if yes]
    found = {"choices": float(len(tasks)), "choice_accuracy": _mean([yes is task.fits for task, yes in zip(tasks, said, strict=True)])}
    return found | ({"choice_misfits": _mean([not fits for fits in made])} if made else {})


def worse(start: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    """The figures that fell below those of the start by more than noise, with how much."""
    fallen = {name: round(start[name] - now[name], 4) for name in WATCHED if name in start and name in now}
    return {name: by for name, by in fallen.items() if by > NOISE}


def brief(dev: dict[str, float]) -> str:
    """The figures that matter, in a line."""
    return ", ".join(f"{title} {dev[name]:.3f}" for name, title in WATCHED.items() if name in dev)


def _mean(values: Sequence[float | bool]) -> float:
    return round(fmean(values), 4)
