"""Choosing: of what is known about the words of a template, the entry that says why it is abnormal, or none.

Every candidate is described by a few numbers that can be read (``Features``), and their weighted sum is the log odds that it fits. The weights
were fitted by ``ra-train choose`` on pairs of lines and entries that were labelled by hand.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ra_sdk.knowledge.entries import GENERAL

if TYPE_CHECKING:
    from ra_sdk.knowledge.entries import Entry

__all__ = ["FITS", "WEIGHTS_FILE", "Candidate", "Features", "best", "features_of", "weights"]

WEIGHTS_FILE = Path(__file__).parent / "data" / "weights.json"
PLAINEST = f"{GENERAL}; last resort"  # the source of entries about words that say little: "failed to", "error while"
SPECIFIC = 2  # of an entry about words that belong to one program, standard or fault
FITS = 0.5  # P(fits) from which an entry is shown
LONG = 6  # words: a longer phrase is as specific as can be
_SAYS = {"fault": 1.0, "attack": 1.0, "warning": 0.6, "depends": 0.3, "routine": -1.0}


@dataclass(frozen=True, slots=True)
class Features:
    """What the choice is made of, each about 0..1.

    ``statement``: how much the template is this statement, 0 for phrases. ``length``: words of the phrase.
    ``share``: how much of the template it is. ``code``: it holds a digit or is written in capitals or joined words, as
    names of errors are. ``scoped``: it is confined to a program, and that speaks (1), or nobody knows who does (-1).
    ``says``: what the entry reports agrees with the verdict. ``category``: so does its kind of fault. ``last``: no
    other candidate stands behind it: messages name the cause last. ``first``: none stands before it. ``quoted``: it
    overlaps with the words that the model quotes.
    """

    statement: float
    length: float
    share: float
    code: float
    scoped: float
    says: float
    category: float
    last: float
    first: float
    quoted: float


@cache
def weights() -> tuple[Features, float]:
    """The weight of every feature, and what is added to their sum."""
    known = json.loads(WEIGHTS_FILE.read_text(encoding="utf-8"))
    bias = known.pop("bias")
    return Features(**known), bias


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that a template calls up: where its ``words`` stand in it, and P(fits)."""

    entry: Entry
    start: int
    end: int
    words: str
    features: Features

    @property
    def fits(self) -> float:
        """The probability that the entry says why the line is abnormal."""
        factors, total = weights()
        total += sum(weight * value for weight, value in zip(astuple(factors), astuple(self.features), strict=True))
        return 1.0 / (1.0 + math.exp(-total))


def features_of(
    entry: Entry, phrase: str, template: str, *, likeness: float, alone: tuple[bool, bool], category: str | None, quoted: bool, known: bool
) -> Features:
    """The features of an entry that a template calls up by ``phrase``. ``alone``: no candidate before it, none behind it. ``known``: who speaks is known."""
    size = len(phrase.split())
    return Features(
        statement=likeness,
        length=min(size, LONG) / LONG,
        share=min(1.0, size / max(len(template.split()), 1)),
        code=float(any(char.isdigit() for char in phrase) or (size == 1 and phrase[1:].lower() != phrase[1:])),
        scoped=0.0 if not entry.scope else 1.0 if known else -1.0,
        says=_SAYS[entry.says],
        category=float(category is not None and entry.category == category),
        last=float(alone[1]),
        first=float(alone[0]),
        quoted=float(quoted),
    )


def best(candidates: Sequence[Candidate], *, abnormal: bool = True) -> Candidate | None:
    """What is shown: a runbook before all else, then what fits best of the most specific kind; None if nothing fits.

    General wording that something is in order does not explain why a line is ``abnormal``.
    """
    runbooks = [candidate for candidate in candidates if candidate.entry.kind == "runbook"]
    if runbooks:
        return max(runbooks, key=lambda candidate: candidate.end - candidate.start)
    fitting = [one for one in candidates if one.fits >= FITS and not (abnormal and one.entry.says == "routine" and _specific(one) < SPECIFIC)]
    return max(fitting, key=lambda one: (_specific(one), one.fits), default=None)


def _specific(candidate: Candidate) -> int:
    """How much an entry says of its own: general wording is asked last, the plainest of it last of all."""
    source = candidate.entry.source
    return 0 if source.startswith(PLAINEST) else 1 if candidate.entry.general else SPECIFIC
