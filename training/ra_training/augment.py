"""Variants of a row that keep its truth."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from ra_training.corpus import Row
from ra_training.hostile import inject

__all__ = ["hostile", "relevelled", "shown_level", "starred"]

_LEVELS = (
    "INFO|ERROR|WARN|WARNING|DEBUG|[info]|[error]|[warn]|level=info|level=error|level=warning|info:|error:|E|I|W|<info>|<err>|NOTICE|FATAL|severity=ERROR|"
    "(II)|ERR|[INFO]|[ERROR]"
).split("|")
_COMPONENTS = "main: |core |[worker-3] |svc.handler - |app[812]: |o.a.c.Service: |kernel: |(pool-2) |api | daemon: |controller.go:88] |lib.rs: ".split("|")
_LEVEL = re.compile(r"^(?:\[?(?:INFO|ERROR|WARN(?:ING)?|DEBUG|NOTICE|CRITICAL|FATAL|TRACE|info|error|warn(?:ing)?|debug|notice)\]?:?\s+|level=\w+\s+)")
_NAME = re.compile(r"[A-Za-z]+[-_][A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*|[A-Za-z]+[0-9]+(?:\.[a-z0-9]+)*")


UNTOLD, ASTRAY = 0.3, 0.08  # shares of rows whose level is kept back, or another's: levels help and do not decide
_LIKELY = {  # how often a record of each label has a level, about: for rows whose source is not known to give one
    "abnormal": {"ERROR": 0.56, "WARN": 0.2, "FATAL": 0.1, "INFO": 0.12, "DEBUG": 0.02},
    "normal": {"INFO": 0.6, "DEBUG": 0.13, "WARN": 0.15, "ERROR": 0.1, "FATAL": 0.02},
}
INVENTED = 0.5  # share of such rows that get one


def shown_level(row: Row, rng: random.Random) -> str | None:
    """The level that the model is shown with a row: most often its own."""
    if row.level is None and rng.random() >= INVENTED:
        return None
    chance = rng.random()
    if row.level is not None and chance >= UNTOLD + ASTRAY:
        return row.level
    if row.level is not None and chance < UNTOLD:
        return None
    likely = _LIKELY[row.label if row.level is None else "normal" if row.abnormal else "abnormal"]
    return rng.choices(list(likely), list(likely.values()))[0]


def relevelled(row: Row, rng: random.Random) -> Row:
    """The row with its level taken off, or with one put before it: levels do not decide."""
    bare = _LEVEL.sub("", row.message)
    if bare != row.message and rng.random() < 0.4 and len(bare) > 15:
        return replace(row, message=bare)
    before = rng.choice(_LEVELS)
    if rng.random() < 0.3:
        before = before.swapcase()
    component = rng.choice(_COMPONENTS) if rng.random() < 0.4 else ""
    return replace(row, message=f"{before} {component}{bare}")


def starred(text: str, keep: str | None, rng: random.Random) -> str:
    """A masked text as mining leaves it where names vary: some names become ``<*>``, none of them in ``keep`` (the reasoning)."""
    said = (keep or "").lower()
    words = text.split(" ")
    for at, word in enumerate(words):
        if _NAME.fullmatch(word) and word.lower() not in said and rng.random() < 0.5:
            words[at] = "<*>"
    return " ".join(words)


def hostile(row: Row, rng: random.Random) -> Row:
    """The row with an injected text, more often against its label than for it, its label unchanged."""
    against = rng.random() < 0.65
    return replace(row, message=inject(row.message, rng, wrong=row.abnormal != against))
