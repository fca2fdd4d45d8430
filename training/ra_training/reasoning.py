"""Reasoning against its source: overlap counted in words, things made up, coherence and brevity.

They follow RationAnomaly (arXiv 2509.14693, "Reinforcement Learning Alignment"), not its released code: overlap is counted in words, grounding is measured
against the log line itself and an invention costs more than overlap can earn, and length has a peak.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from ra_sdk.reasoner.rationale import EDGES, invented
from ra_sdk.templates.placeholders import PLACEHOLDERS

__all__ = ["MOST_INVENTIONS", "bleu", "brevity_reward", "coherence_reward", "grounding_reward", "inventions", "rouge_l", "words"]

MOST_INVENTIONS = 4  # beyond, one more costs nothing, so that the reward is bounded
COHERENT_TO = 8.0  # times the target perplexity: there coherence is worth nothing

_QUOTE = re.compile(r'"([^"]+)"')
_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS)))
_WORD = re.compile(rf"{_PLACEHOLDER.pattern}|[a-z0-9]+")
_NAMED = re.compile(  # specifics without a digit or a slash, which ra_sdk.reasoner.rationale does not look for
    r"\b(?:E[A-Z]{3,}|SIG[A-Z]{2,}|[A-Z]{2,}(?:_[A-Z]+)+)\b"  # ENOSPC, SIGKILL, ERR_NAME
    r"|[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"  # user@host
    r"|\b[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]*[A-Za-z][A-Za-z0-9-]*){2,}"  # db.internal.example
)
_ORDINARY = frozenset({"ERROR", "ERRORS", "ETHERNET", "EXIT", "EMERG", "ENABLED", "EVENT", "EXCEPTION", "EMERGENCY", "SIGNAL", "SIGNALS"})


def grounding_reward(text: str, think: str, reference: str | None = None, invention: float = 1.0) -> float:
    """Overlap with the masked log line and, if there is one, the expert's reasoning (0 to 1), less ``invention`` for each thing made up.

    Overlap is the mean of ROUGE-L and BLEU. Reasoning without any quote counts as one invention: else not to quote would be the safe way.
    At least ``-4 * invention``.
    """
    said = words(think)
    sources = [words(source) for source in (text, reference) if source]
    overlap = sum((rouge_l(said, source) + bleu(said, source)) / 2 for source in sources) / max(len(sources), 1)
    quoted = any(quote.strip(EDGES) for quote in _QUOTE.findall(think))
    made_up = len(inventions(text, think)) + (not quoted)
    return overlap - invention * made_up if made_up < MOST_INVENTIONS else -invention * MOST_INVENTIONS


def inventions(text: str, think: str) -> list[str]:
    """Numbers, paths, addresses, codes, quotes and placeholders of the reasoning that the masked log line lacks, each time they are named."""
    low = text.lower()
    bare = _QUOTE.sub(" ", think)
    named = [name for name in _NAMED.findall(bare) if name not in _ORDINARY and name.lower() not in low]
    found = [*invented(text, think), *(name for name in _PLACEHOLDER.findall(bare) if name not in text)]
    return found + [name for name in named if not any(name in other for other in found)]


def coherence_reward(perplexity: float | None, target: float) -> float:
    """1 up to the ``target`` perplexity of the reasoning, falling with its logarithm to 0 at eight times that. None or not finite: 0.

    It is flat below the target, so that dull repetition, the text of least perplexity, gains nothing over an expert's sentence.
    """
    if perplexity is None or not math.isfinite(perplexity):
        return 0.0
    return 1 - min(max(math.log(max(perplexity, 1.0) / target) / math.log(COHERENT_TO), 0.0), 1.0)


def brevity_reward(length: int, target: float) -> float:
    """1 at ``target`` words, falling in a straight line on both sides to 0 at none and at twice as many."""
    return max(0.0, 1 - abs(length - target) / target)


def words(text: str) -> list[str]:
    """The words that overlap is counted in: lower case, placeholders whole, no punctuation."""
    return _WORD.findall(text.lower())


def rouge_l(said: Sequence[str], source: Sequence[str]) -> float:
    """ROUGE-L, F-measure with beta 1: harmonic mean of the longest common subsequence's shares of both (Lin 2004, eq. 2 to 4)."""
    row = [0] * (len(source) + 1)
    for word in said:
        before = row
        row = [0]
        for at, other in enumerate(source):
            row.append(before[at] + 1 if word == other else max(before[at + 1], row[at]))
    return 2 * row[-1] / (len(said) + len(source)) if said and source else 0.0


def bleu(said: Sequence[str], source: Sequence[str], most: int = 4) -> float:
    """BLEU of one sentence (Papineni et al. 2002), n-grams up to ``most`` or the sentence's length.

    Counts of two words and more are smoothed by one (Lin and Och 2004; method 2 of Chen and Cherry 2014).
    """
    logs = []
    for size in range(1, min(most, len(said)) + 1):
        grams, known = _grams(said, size), _grams(source, size)
        same, smooth = sum((grams & known).values()), int(size > 1)
        if same + smooth == 0:
            return 0.0
        logs.append(math.log((same + smooth) / (sum(grams.values()) + smooth)))
    if not logs:
        return 0.0
    penalty = min(0.0, 1 - len(source) / len(said))
    return math.exp(penalty + sum(logs) / len(logs))


def _grams(sequence: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(sequence[at : at + size]) for at in range(len(sequence) - size + 1))
