"""Rows become token sequences: the product's prompt, the level, the masked message as plain text, and the reply that is learnt."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ra_sdk.reasoner.prompt import ABNORMAL, END, FITS, FITS_NOT, KNOWN, NORMAL, OPEN_THINK, head, level, reply, tail
from ra_sdk.records import Mode

from ra_training.augment import hostile, relevelled, shown_level, starred
from ra_training.corpus import Row, masked
from ra_training.pairs import value_pairs
from ra_training.reasons import anchored, reason

__all__ = ["Choice", "Encoder", "Example", "Kind", "Mixture", "Prepared", "Statement", "batches", "epoch_examples", "prepare"]

Kind = Literal["verdict", "evidence", "think"]
QUOTE = 8  # words of evidence, at most: a longer quote does not say what decides
_QUOTED = re.compile(r'"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids; what is learnt begins at ``start``. ``verdict`` is the position of the token that is the answer."""

    ids: list[int]
    start: int
    verdict: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A row, masked, with its reasoning brought into line (None: none is learnt), and the words on which its verdict hangs."""

    row: Row
    text: str
    think: str | None
    evidence: str | None


def _evidence(think: str | None, text: str) -> str | None:
    """The first words that a reasoning quotes, as they stand in the text."""
    quoted = _QUOTED.search(think or "")
    words = quoted[1].strip(" .,;:") if quoted else ""
    return words if words and words in text and len(words.split()) <= QUOTE else None


@dataclass(frozen=True, slots=True)
class Statement:
    """A log statement mined from source code, with its level in the prompt's words."""

    text: str
    level: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A masked line, the meaning of a known entry, and whether it explains the line."""

    text: str
    meaning: str
    fits: bool


@dataclass(frozen=True, slots=True)
class Mixture:
    """What an epoch is made of: shares of the rows that have reasoning, of the copies, and numbers of value pairs, statements and choices."""

    evidence: float = 0.5
    think: float = 0.1
    hostile: float = 0.25
    relevelled: float = 0.15
    starred: float = 0.25
    pairs: int = 150
    statements: int = 4000
    choices: int = 2000


class Encoder:
    """Text to tokens, as the product does it: control tokens in the prompt are tokens, in a message they are text."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._heads = {mode: self.tokens(head(mode), special=True) for mode in get_args(Mode)}
        self._tails = {mode: self.tokens(tail(mode), special=True) for mode in get_args(Mode)}
        self.normal, self.abnormal = (self.tokens(word, special=False)[0] for word in (NORMAL, ABNORMAL))
        self.fits, self.fits_not = (self.tokens(word, special=False)[0] for word in (FITS, FITS_NOT))
        self._end, self._known = self.tokens(END, special=True), self.tokens(KNOWN, special=True)
        self.end = self._end[0]

    def tokens(self, text: str, *, special: bool) -> list[int]:
        """Token ids; with ``special``, names of control tokens become these."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not special)
        return ids

    def _shown(self, text: str, severity: str | None, mode: Mode = "direct") -> list[int]:
        return self._heads[mode] + self.tokens(level(severity), special=False) + self.tokens(text, special=False)

    def asked(self, text: str, severity: str | None = None, mode: Mode = "direct") -> list[int]:
        """A prompt: up to where the model goes on."""
        return self._shown(text, severity, mode) + self._tails[mode]

    def entry_asked(self, text: str, meaning: str, severity: str | None = None) -> list[int]:
        """The prompt that asks whether a known entry explains a line."""
        return self._shown(text, severity) + self._known + self.tokens(meaning, special=False) + self._end

    def example(self, item: Prepared, text: str, severity: str | None, kind: Kind) -> Example:
        """A prompt with its reply. ``text`` is the item's, or a variant of it."""
        mode: Mode = "think" if kind == "think" else "direct"
        category, evidence = item.row.category, item.evidence if kind == "evidence" else None
        asked, learnt = self.asked(text, severity, mode), self._reply(mode, category, evidence, item.think)
        word = self.abnormal if category else self.normal
        # in think mode the verdict is the last of its kind: the reasoning may say the word too
        at = len(learnt) - 1 - learnt[::-1].index(word) if mode == "think" else 0
        return Example(asked + learnt, len(asked), len(asked) + at)

    def _reply(self, mode: Mode, category: str | None, evidence: str | None, think: str | None) -> list[int]:
        said = reply(mode, category, evidence=evidence, think=think).removeprefix(OPEN_THINK)
        return self.tokens(said, special=False) + ([] if mode == "direct" and evidence is None else self._end)

    def choice(self, item: Choice, severity: str | None) -> Example:
        """Whether a known entry explains a line: its answer's one token is learnt."""
        asked = self.entry_asked(item.text, item.meaning, severity)
        return Example(asked + self.tokens(FITS if item.fits else FITS_NOT, special=False)[:1], len(asked), len(asked))

    def statement(self, item: Statement) -> Example:
        """A statement whose level is not told: its text is learnt, and then its level."""
        before = self._heads["direct"] + self.tokens(level(None), special=False)
        ids = before + self.tokens(item.text, special=False) + self.tokens("\n", special=False)
        return Example(ids + self.tokens(item.level, special=False)[:1], len(before), len(ids))


def prepare(rows: Sequence[Row]) -> list[Prepared]:
    """Rows masked, all in one call, and their reasoning anchored in what is left."""
    texts = masked([row.message for row in rows])
    return [_prepared(row, text, reason(row.think, row.message, text)) for row, text in zip(rows, texts) if text]


def _prepared(row: Row, text: str, think: str | None) -> Prepared:
    told = anchored(f'"{row.evidence}"', row.message, text) if row.evidence else think
    return Prepared(row, text, think, _evidence(told, text))


def epoch_examples(
    prepared: Sequence[Prepared],
    encoder: Encoder,
    mixture: Mixture,
    rng: random.Random,
    longest: int,
    statements: Sequence[Statement] = (),
    choices: Sequence[Choice] = (),
) -> list[Example]:
    """The examples of one epoch, in random order; those of more than ``longest`` tokens are left out."""
    again = _copies(prepared, mixture, rng)
    pairs = prepare(list(value_pairs(mixture.pairs, rng)))
    examples = [_encode(item, encoder, _kind(item, mixture, rng), mixture, rng) for item in prepared]
    # copies teach the verdict above all: two thirds of them go without the reasoning, which is known already
    examples += [_encode(item, encoder, _kind(item, mixture, rng) if rng.random() < 0.34 else "verdict", mixture, rng) for item in (*again, *pairs)]
    examples += map(encoder.statement, _some(statements, mixture.statements, rng))
    examples += [encoder.choice(choice, None) for choice in _some(choices, mixture.choices, rng)]
    kept = [example for example in examples if len(example.ids) <= longest]
    rng.shuffle(kept)
    return kept


def _some(items: Sequence[Any], count: int, rng: random.Random) -> Iterable[Any]:
    return items if len(items) <= count else rng.sample(items, count)


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
    return [_prepared(row, text, anchored(think, text, text) if think else None) for row, text, think in zip(rows, texts, thinks) if text]


def _kind(item: Prepared, mixture: Mixture, rng: random.Random) -> Kind:
    chance = rng.random()
    if chance < mixture.think and item.think is not None:
        return "think"
    return "evidence" if item.evidence is not None and chance < mixture.evidence + mixture.think else "verdict"


def _encode(item: Prepared, encoder: Encoder, kind: Kind, mixture: Mixture, rng: random.Random) -> Example:
    text = starred(item.text, item.think, rng) if rng.random() < mixture.starred else item.text
    return encoder.example(item, text, shown_level(item.row, rng), kind)


def batches(examples: Sequence[Example], size: int, rng: random.Random) -> list[list[Example]]:
    """Batches of about equal lengths, in random order. Sorting happens in stretches, so that any part of an epoch is a fair sample."""
    made: list[list[Example]] = []
    for at in range(0, len(examples), size * 20):
        stretch = sorted(examples[at : at + size * 20], key=lambda example: len(example.ids))
        part = [stretch[start : start + size] for start in range(0, len(stretch), size)]
        rng.shuffle(part)
        made += part
    return made
