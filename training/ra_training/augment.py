"""Variants of a row that keep its truth."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from ra_training.corpus import Row
from ra_training.hostile import inject

__all__ = ["hostile", "relevelled", "starred"]

_LEVELS = (
    "INFO|ERROR|WARN|WARNING|DEBUG|[info]|[error]|[warn]|level=info|level=error|level=warning|info:|error:|E|I|W|<info>|<err>|NOTICE|FATAL|severity=ERROR|"
    "(II)|ERR|[INFO]|[ERROR]"
).split("|")
_COMPONENTS = "main: |core |[worker-3] |svc.handler - |app[812]: |o.a.c.Service: |kernel: |(pool-2) |api | daemon: |controller.go:88] |lib.rs: ".split("|")
_LEVEL = re.compile(r"^(?:\[?(?:INFO|ERROR|WARN(?:ING)?|DEBUG|NOTICE|CRITICAL|FATAL|TRACE|info|error|warn(?:ing)?|debug|notice)\]?:?\s+|level=\w+\s+)")
_NAME = re.compile(r"[A-Za-z]+[-_][A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*|[A-Za-z]+[0-9]+(?:\.[a-z0-9]+)*")


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
