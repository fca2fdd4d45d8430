"""What a reply is worth: format, answer, grounding, coherence and brevity, each a pure function of a few values, and their weighted sum.

They follow RationAnomaly (arXiv 2509.14693, "Reinforcement Learning Alignment"), not its released code: errors cost unequally, overlap is counted
in words, grounding is measured against the log line itself and an invention costs more than overlap can earn, and length has a peak.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from ra_sdk.grounding import EDGES, invented
from ra_sdk.placeholders import PLACEHOLDERS
from ra_sdk.prompt import ABNORMAL, CLOSE_THINK, EVIDENCE, OPEN_THINK, Mode, answer
from ra_sdk.records import CATEGORIES

__all__ = [
    "NAMES",
    "AnswerWeights",
    "Reading",
    "Rewards",
    "Sample",
    "Score",
    "answer_reward",
    "bleu",
    "brevity_reward",
    "coherence_reward",
    "format_reward",
    "grounding_reward",
    "inventions",
    "means",
    "read",
    "rouge_l",
    "score",
    "words",
]

NAMES = ("format", "answer", "grounding", "coherence", "brevity")
MOST_INVENTIONS = 4  # beyond, one more costs nothing, so that the reward is bounded
COHERENT_TO = 8.0  # times the target perplexity: there coherence is worth nothing
LEAST_IMBALANCE = 1.25  # a found anomaly earns more than a confirmed normal line even where anomalies are the majority

_ANSWERS = "|".join(re.escape(answer(category)) for category in (None, *CATEGORIES))
_SAID = rf"(?P<answer>{_ANSWERS})"
_THOUGHT = rf"{OPEN_THINK} (?P<think>[^\s][^\n]*){CLOSE_THINK}"
_REPLY: dict[Mode, re.Pattern[str]] = {"think": re.compile(f"{_THOUGHT}{_SAID}"), "direct": re.compile(rf"{_SAID}{EVIDENCE} (?P<think>[^\s][^\n]*)")}
_TAG = re.compile(r"</?(?:think|answer)>")
_LOOSE_THINK = re.compile(r"<think>(.*?)(?:</think>|<answer>|$)", re.DOTALL)
_LOOSE_ANSWER = re.compile(rf"<answer>({_ANSWERS})")

_QUOTE = re.compile(r'"([^"]+)"')
_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS)))
_WORD = re.compile(rf"{_PLACEHOLDER.pattern}|[a-z0-9]+")
_NAMED = re.compile(  # specifics without a digit or a slash, which ra_sdk.grounding does not look for
    r"\b(?:E[A-Z]{3,}|SIG[A-Z]{2,}|[A-Z]{2,}(?:_[A-Z]+)+)\b"  # ENOSPC, SIGKILL, ERR_NAME
    r"|[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"  # user@host
    r"|\b[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]*[A-Za-z][A-Za-z0-9-]*){2,}"  # db.internal.example
)
_ORDINARY = frozenset({"ERROR", "ERRORS", "ETHERNET", "EXIT", "EMERG", "ENABLED", "EVENT", "EXCEPTION", "EMERGENCY", "SIGNAL", "SIGNALS"})


@dataclass(frozen=True, slots=True)
class AnswerWeights:
    """What the four outcomes of a verdict are worth. Raises ValueError unless found > confirmed > 0 > false alarm > missed."""

    found: float = 1.0
    confirmed: float = 0.66
    false_alarm: float = -0.66
    missed: float = -1.0

    def __post_init__(self) -> None:
        if not self.found > self.confirmed > 0 > self.false_alarm > self.missed:
            given = f"{self.found:g}, {self.confirmed:g}, {self.false_alarm:g}, {self.missed:g}"
            raise ValueError(f"answer weights {given} are out of order; give found > confirmed > 0 > false alarm > missed")

    @classmethod
    def balanced(cls, share: float) -> AnswerWeights:
        """Weights for a corpus of which ``share`` (0 to 1) is abnormal: both classes weigh the same in sum, so that no constant answer pays.

        Where anomalies are no minority, they are taken for a slight one: the order of the four stays.
        """
        imbalance = max((1 - share) / max(share, 1e-3), LEAST_IMBALANCE)
        return cls(1.0, 1 / imbalance, -1 / imbalance, -1.0)


@dataclass(frozen=True, slots=True)
class Rewards:
    """Weights of the five (0 switches one off), the outcomes of the answer, the targets, and what an invention costs of the grounding."""

    format: float = 1.0
    answer: float = 1.0
    grounding: float = 0.5
    coherence: float = 0.25
    brevity: float = 0.25
    outcomes: AnswerWeights = field(default_factory=AnswerWeights)
    words: float = 23.0
    perplexity: float = 8.0
    invention: float = 1.0

    def __post_init__(self) -> None:
        for name in (*NAMES, "invention"):
            if getattr(self, name) < 0:
                raise ValueError(f"reward weight {name} {getattr(self, name):g} is below 0; give 0 to switch it off, or more")
        if min(self.words, self.perplexity) <= 0:
            raise ValueError(f"targets of {self.words:g} words and perplexity {self.perplexity:g} must be above 0")

    def __str__(self) -> str:
        weights = ", ".join(f"{name} {getattr(self, name):g}" for name in NAMES)
        outcomes = self.outcomes
        worth = "/".join(f"{value:.2f}" for value in (outcomes.found, outcomes.confirmed, outcomes.false_alarm, outcomes.missed))
        return f"{weights}; outcomes {worth}; targets {self.words:g} words, perplexity {self.perplexity:.1f}"

    def weighed(self, weights: Mapping[str, float]) -> Rewards:
        """These rewards with other weights for some. Raises ValueError for a name that is none of `NAMES`."""
        for name in weights:
            if name not in NAMES:
                raise ValueError(f"reward {name!r} is none of {', '.join(NAMES)}")
        changed: dict[str, Any] = dict(weights)
        return replace(self, **changed)

    def without(self, names: Iterable[str]) -> Rewards:
        """These rewards with some switched off. Raises ValueError for a name that is none of `NAMES`."""
        return self.weighed(dict.fromkeys(names, 0.0))

    @property
    def void(self) -> float:
        """What a reply with a broken format earns: less than the worst of the others, by the format's weight."""
        return self.answer * self.outcomes.missed - self.grounding * self.invention * MOST_INVENTIONS


@dataclass(frozen=True, slots=True)
class Sample:
    """A whole reply (opening tag included, end of turn not) to a masked ``text``, with the truth, the expert's reasoning and the perplexity if known."""

    text: str
    reply: str
    mode: Mode
    abnormal: bool
    reference: str | None = None
    perplexity: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """The five rewards before their weights, and the weighted sum. None: not looked at."""

    total: float
    format: float
    answer: float | None = None
    grounding: float | None = None
    coherence: float | None = None
    brevity: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply says. ``abnormal`` None: no verdict can be read."""

    think: str
    abnormal: bool | None


def score(sample: Sample, rewards: Rewards) -> Score:
    """All rewards of a reply. A broken format voids the others, unless the format is switched off: then they take what can be read."""
    reading = read(sample.reply, sample.mode)
    if reading is None and rewards.format:
        return Score(rewards.void, 0.0)
    formed, reading = float(reading is not None), reading or _read_loosely(sample.reply)
    parts = {
        "answer": answer_reward(reading.abnormal, sample.abnormal, rewards.outcomes) if rewards.answer else None,
        "grounding": grounding_reward(sample.text, reading.think, sample.reference, rewards.invention) if rewards.grounding else None,
        "coherence": coherence_reward(sample.perplexity, rewards.perplexity) if rewards.coherence else None,
        "brevity": brevity_reward(len(reading.think.split()), rewards.words) if rewards.brevity else None,
    }
    total = rewards.format * formed + sum(getattr(rewards, name) * value for name, value in parts.items() if value is not None)
    return Score(total, formed, **parts)


def means(scores: Sequence[Score]) -> dict[str, float]:
    """The mean of each reward over the replies that it looked at; one that looked at none is left out."""
    values = {name: [value for value in (getattr(part, name) for part in scores) if value is not None] for name in NAMES}
    return {name: fmean(some) for name, some in values.items() if some}


def read(reply: str, mode: Mode) -> Reading | None:
    """What a reply says; None unless it is exactly one reasoning and one answer in the order of ``mode``, as `ra_sdk.prompt.reply` writes them."""
    match = _REPLY[mode].fullmatch(reply)
    if match is None or _TAG.search(match["think"]):
        return None
    return Reading(match["think"].strip(), match["answer"].startswith(ABNORMAL))


def _read_loosely(reply: str) -> Reading:
    think, said = _LOOSE_THINK.search(reply), _LOOSE_ANSWER.search(reply)
    return Reading(think[1].strip() if think else "", said[1].startswith(ABNORMAL) if said else None)


def format_reward(reply: str, mode: Mode) -> float:
    """1 for a reply that is exactly as the product reads it, else 0."""
    return float(read(reply, mode) is not None)


def answer_reward(said: bool | None, abnormal: bool, weights: AnswerWeights) -> float:
    """The outcome of a verdict: ``said`` abnormal or not (None: no verdict, as bad as the wrong one), against the truth."""
    if abnormal:
        return weights.found if said else weights.missed
    return weights.confirmed if said is False else weights.false_alarm


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
