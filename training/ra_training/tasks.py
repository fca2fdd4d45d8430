"""What GRPO asks: log lines for a verdict, with what is known of them, and lines with a known entry that may explain them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ra_sdk.records import Mode

from ra_training.augment import hostile, shown_level
from ra_training.corpus import masked
from ra_training.examples import Choice, Encoder, Prepared, prepare
from ra_training.pairs import value_pairs
from ra_training.reasons import anchored

__all__ = ["Task", "choice_tasks", "hostile_copies", "pair_tasks", "verdict_task"]


@dataclass(frozen=True, slots=True)
class Task:
    """A question, and what its replies are measured by.

    ``text``: the masked line; ``severity``: the level that is shown with it. ``evidence``: the words that its label names; ``think``: the expert's reasoning;
    ``twin``: the same line with another value and the other verdict. ``meaning`` and ``fits``: of a known entry, where that is the question.
    """

    kind: Literal["direct", "think", "choice"]
    text: str
    severity: str | None = None
    abnormal: bool = False
    category: str | None = None
    evidence: str | None = None
    think: str | None = None
    twin: str | None = None
    meaning: str | None = None
    fits: bool | None = None

    def asked(self, encoder: Encoder) -> list[int]:
        """The prompt."""
        if self.kind == "choice":
            return encoder.entry_asked(self.text, self.meaning or "", self.severity)
        return encoder.asked(self.text, self.severity, self.kind)


def verdict_task(item: Prepared, mode: Mode, severity: str | None, twin: str | None = None) -> Task:
    """A row as a task."""
    return Task(mode, item.text, severity, item.row.abnormal, item.row.category, item.evidence, item.think, twin)


def hostile_copies(items: Sequence[Prepared], share: float, rng: random.Random) -> list[Prepared]:
    """Copies of a share of the rows with injected instructions, under their true label."""
    again = [item for item in items if rng.random() < share]
    texts = masked([hostile(item.row, rng).message for item in again])
    return [_copy(item, text) for item, text in zip(again, texts, strict=True) if text]


def _copy(item: Prepared, text: str) -> Prepared:
    """A row with another text. An injection may cut a quote in two: then there is no reference."""
    think = anchored(item.think, text, text) if item.think else None
    return Prepared(item.row, text, think, item.evidence if item.evidence and item.evidence in text else None)


def pair_tasks(count: int, mode: Mode, rng: random.Random) -> Iterator[Task]:
    """``count`` pairs of lines that differ in the deciding value only; each knows the other as its twin."""
    rows = list(value_pairs(count, rng))
    items = {item.row.id: item for item in prepare(rows)}
    for one, other in zip(rows[::2], rows[1::2], strict=True):
        both = items.get(one.id), items.get(other.id)
        if both[0] and both[1] and both[0].text != both[1].text:
            yield verdict_task(both[0], mode, shown_level(one, rng), both[1].text)
            yield verdict_task(both[1], mode, shown_level(other, rng), both[0].text)


def choice_tasks(choices: Sequence[Choice], count: int, rng: random.Random) -> list[Task]:
    """At most ``count`` of the labelled pairs of a line and a known entry, half of them fitting if there are so many."""
    fitting, others = ([choice for choice in choices if choice.fits is fits] for fits in (True, False))
    yes = rng.sample(fitting, min(len(fitting), max(count // 2, count - len(others))))
    no = rng.sample(others, min(len(others), count - len(yes)))
    return [Task("choice", choice.text, meaning=choice.meaning, fits=choice.fits) for choice in (*yes, *no)]
