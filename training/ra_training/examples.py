"""Rows become token sequences: the product's prompt, the masked message as plain text, and the reply that is learnt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ra_sdk.prompt import ABNORMAL, CLOSE_ANSWER, CLOSE_THINK, END, NORMAL, OPEN_ANSWER, OPEN_THINK, Mode, prompt, reply

from ra_training.augment import hostile, relevelled, starred
from ra_training.corpus import Row, masked
from ra_training.pairs import value_pairs
from ra_training.reasons import anchored, reason

__all__ = ["Encoder", "Example", "Kind", "Mixture", "Prepared", "batches", "epoch_examples", "prepare"]

Kind = Literal["verdict", "explain", "think"]


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids; what is learnt begins at ``start``. ``verdict`` is the position of the token that is the verdict."""

    ids: list[int]
    start: int
    verdict: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A row, masked, with its reasoning brought into line (None: verdict only)."""

    row: Row
    text: str
    think: str | None


@dataclass(frozen=True, slots=True)
class Mixture:
    """What an epoch is made of: shares of the rows that have reasoning, of the copies, and the number of value pairs."""

    explain: float = 0.5
    think: float = 0.33
    hostile: float = 0.25
    relevelled: float = 0.15
    starred: float = 0.25
    pairs: int = 150


class Encoder:
    """Text to tokens, as the product does it: control tokens in the prompt are tokens, in a message they are text."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ends = {mode: self._both(mode) for mode in get_args(Mode)}
        self.normal, self.abnormal = (self.tokens(word, special=False)[0] for word in (NORMAL, ABNORMAL))
        self._end = self.tokens(END, special=True)

    def tokens(self, text: str, *, special: bool) -> list[int]:
        """Token ids; with ``special``, names of control tokens become these."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not special)
        return ids

    def _both(self, mode: Mode) -> tuple[list[int], list[int]]:
        layout = prompt(mode)
        return self.tokens(layout.head, special=True), self.tokens(layout.tail, special=True)

    def asked(self, text: str, mode: Mode = "direct") -> list[int]:
        """A prompt: up to where the model goes on."""
        head, tail = self._ends[mode]
        return head + self.tokens(text, special=False) + tail

    def example(self, text: str, category: str | None, think: str | None, kind: Kind) -> Example:
        """A prompt with its reply. ``think`` is needed for the kinds explain and think."""
        mode: Mode = "think" if kind == "think" else "direct"
        opening = OPEN_THINK if mode == "think" else OPEN_ANSWER
        said = reply(mode, category, None if kind == "verdict" else think).removeprefix(opening)
        if mode == "direct":  # whoever decodes forces the closing tags: nothing is learnt from them
            said = said.removesuffix(CLOSE_ANSWER).removesuffix(CLOSE_THINK.lstrip())
        asked, learnt = self.asked(text, mode), self.tokens(said, special=False)
        word = self.abnormal if category else self.normal
        # in think mode the verdict is the last of its kind: the reasoning may say the word too
        at = len(learnt) - 1 - learnt[::-1].index(word) if mode == "think" else learnt.index(word)
        return Example(asked + learnt + (self._end if mode == "think" else []), len(asked), len(asked) + at)


def prepare(rows: Sequence[Row]) -> list[Prepared]:
    """Rows masked, all in one call, and their reasoning anchored in what is left."""
    texts = masked([row.message for row in rows])
    return [Prepared(row, text, reason(row.think, row.message, text)) for row, text in zip(rows, texts) if text]


def epoch_examples(prepared: Sequence[Prepared], encoder: Encoder, mixture: Mixture, rng: random.Random, longest: int) -> list[Example]:
    """The examples of one epoch, in random order; those of more than ``longest`` tokens are left out."""
    again = _copies(prepared, mixture, rng)
    pairs = prepare(list(value_pairs(mixture.pairs, rng)))
    examples = [_encode(item, encoder, _kind(item, mixture, rng), mixture, rng) for item in prepared]
    # copies teach the verdict above all: two thirds of them go without the reasoning, which is known already
    examples += [_encode(item, encoder, _kind(item, mixture, rng) if rng.random() < 0.34 else "verdict", mixture, rng) for item in (*again, *pairs)]
    kept = [example for example in examples if len(example.ids) <= longest]
    rng.shuffle(kept)
    return kept


def _copies(prepared: Sequence[Prepared], mixture: Mixture, rng: random.Random) -> list[Prepared]:
    """Copies with another level, and copies with injections; their reasoning is that of the true text."""
    rows: list[Row] = []
    thinks: list[str | None] = []
    for share, change in ((mixture.relevelled, relevelled), (mixture.hostile, hostile)):
        for item in prepared:
            if rng.random() < share:
                rows.append(change(item.row, rng))
                thinks.append(item.think)
    texts = masked([row.message for row in rows])
    # a quote may be cut in two by what was put in: then the copy teaches the verdict only
    return [Prepared(row, text, anchored(think, text, text) if think else None) for row, text, think in zip(rows, texts, thinks) if text]


def _kind(item: Prepared, mixture: Mixture, rng: random.Random) -> Kind:
    if item.think is None:
        return "verdict"
    chance = rng.random()
    return "explain" if chance < mixture.explain else "think" if chance < mixture.explain + mixture.think else "verdict"


def _encode(item: Prepared, encoder: Encoder, kind: Kind, mixture: Mixture, rng: random.Random) -> Example:
    kind = kind if item.think else "verdict"
    text = starred(item.text, item.think, rng) if rng.random() < mixture.starred else item.text
    return encoder.example(text, item.row.category, item.think, kind)


def batches(examples: Sequence[Example], size: int, rng: random.Random) -> list[list[Example]]:
    """Batches of about equal lengths, in random order. Sorting happens in stretches, so that any part of an epoch is a fair sample."""
    made: list[list[Example]] = []
    for at in range(0, len(examples), size * 20):
        stretch = sorted(examples[at : at + size * 20], key=lambda example: len(example.ids))
        part = [stretch[start : start + size] for start in range(0, len(stretch), size)]
        rng.shuffle(part)
        made += part
    return made
