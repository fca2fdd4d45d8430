"""What the words are worth on which a verdict is said to rest: rewards that can be checked, without a judge model.

``text`` is the masked line, ``evidence`` what the product would show of what was written.
"""

from __future__ import annotations

import re
from collections import Counter

from ra_sdk.reasoner.llama import EVIDENCE_TOKENS
from ra_sdk.reasoner.rationale import whole_words
from ra_sdk.templates.quotes import shortened

from ra_training.reasoning import words

__all__ = ["SHORT", "erasure_reward", "label_reward", "left_out", "line_reward", "short_reward", "shown", "twin_reward"]

SHORT = 6  # words, up to which evidence is short


def shown(text: str, written: str) -> str:
    """The words that the product shows where this was written: whole ones, without what is left over at their ends. Empty if they are not in the line."""
    return shortened(whole_words(text, written).partition('"')[0], EVIDENCE_TOKENS)


def line_reward(text: str, evidence: str) -> float:
    """1 if the evidence stands in the line, else 0; there is always something of it where this is asked."""
    return float(bool(evidence) and evidence in text)


def short_reward(evidence: str) -> float:
    """1 for one to six words, falling in a straight line to 0 at twice as many. None at all: 0."""
    length = len(evidence.split())
    return min(1.0, max(0.0, 2 - length / SHORT)) if length else 0.0


def label_reward(evidence: str, labelled: str) -> float:
    """F1 over words, each counted as often as it is said, of the evidence and the words that the row's label names."""
    said, wanted = Counter(words(evidence)), Counter(words(labelled))
    same = (said & wanted).total() if said and wanted else 0
    return 2 * same / (said.total() + wanted.total()) if same else 0.0


def left_out(text: str, evidence: str) -> str:
    """The line without the evidence, wherever it stands in it."""
    return " ".join(text.replace(evidence, " ").split()) if evidence else text


def erasure_reward(lost: float | None, decisive: float) -> float:
    """How decisive the evidence is: the log odds that the verdict loses without it, as a share of ``decisive``, from 0 to 1. None: 0."""
    return min(max((lost or 0.0) / decisive, 0.0), 1.0)


def twin_reward(evidence: str, twin: str) -> float:
    """0 if the same words stand in the twin, a line with the other verdict, so that they cannot decide; else 1."""
    return float(re.search(rf"(?<!\w){re.escape(evidence)}(?!\w)", twin) is None)
