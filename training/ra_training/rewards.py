"""What a reply is worth: a format gate, the answer, and what can be checked of its reasons, each a pure function; and their weighted sum.

Errors cost unequally, as in RationAnomaly (arXiv 2509.14693, "Reinforcement Learning Alignment"). Where the paper asks a judge model whether a reason is
coherent, evidence and a chosen entry can be verified; see `ra_training.evidence`. Reasoning in think mode has the paper's rewards, see `ra_training.reasoning`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from ra_sdk.reasoner.prompt import ABNORMAL, CLOSE_THINK, END, EVIDENCE, FITS, OPEN_THINK, answer
from ra_sdk.records import CATEGORIES

from ra_training.evidence import erasure_reward, label_reward, line_reward, short_reward, shown, twin_reward
from ra_training.reasoning import MOST_INVENTIONS, brevity_reward, coherence_reward, grounding_reward
from ra_training.tasks import Task

__all__ = ["NAMES", "AnswerWeights", "Reading", "Rewards", "Sample", "Score", "answer_reward", "choice_reward", "format_reward", "means", "read", "score"]

NAMES = ("format", "answer", "category", "line", "short", "label", "erasure", "twin", "choice", "grounding", "coherence", "brevity")
_OF_EVIDENCE = ("line", "short", "label", "erasure", "twin")
LEAST_IMBALANCE = 1.25  # a found anomaly earns more than a confirmed normal line even where anomalies are the majority

_ANSWERS = "|".join(re.escape(answer(category)) for category in (None, *CATEGORIES))
_END = re.escape(END)
_REPLY = {
    "think": re.compile(rf"{OPEN_THINK} (?P<said>[^\s][^\n]*){CLOSE_THINK}(?P<answer>{_ANSWERS}){_END}"),
    "direct": re.compile(rf"(?P<answer>{_ANSWERS}){EVIDENCE} (?P<said>[^\s][^\n]*){_END}"),
}
_TAG = re.compile(r"</?think>")
_LOOSE_THINK = re.compile(r"<think>(.*?)(?:</think>|$)", re.DOTALL)
_LOOSE_ANSWER = re.compile(rf"(?:</think>|^)({_ANSWERS})(?:{EVIDENCE} ([^\n]*))?")


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
    """Weights of the rewards (0 switches one off), the outcomes of the answer, what a choice costs that does not fit, the targets, and what an invention costs.

    ``decisive``: the log odds that a verdict loses without its evidence if this decides it all.
    """

    format: float = 1.0
    answer: float = 1.0
    category: float = 0.25
    line: float = 0.1
    short: float = 0.1
    label: float = 0.5
    erasure: float = 0.25
    twin: float = 0.5
    choice: float = 1.0
    grounding: float = 0.5
    coherence: float = 0.25
    brevity: float = 0.25
    outcomes: AnswerWeights = field(default_factory=AnswerWeights)
    misfit: float = 1.5
    decisive: float = 4.0
    words: float = 23.0
    perplexity: float = 8.0
    invention: float = 1.0

    def __post_init__(self) -> None:
        for name in (*NAMES, "invention"):
            if getattr(self, name) < 0:
                raise ValueError(f"reward weight {name} {getattr(self, name):g} is below 0; give 0 to switch it off, or more")
        if min(self.words, self.perplexity, self.decisive) <= 0:
            raise ValueError(f"targets of {self.words:g} words, perplexity {self.perplexity:g} and log odds {self.decisive:g} must be above 0")
        if self.misfit < 1:
            raise ValueError(f"a choice that does not fit costs {self.misfit:g}; it must cost 1 or more, as one that is missed does")

    def __str__(self) -> str:
        weights = ", ".join(f"{name} {getattr(self, name):g}" for name in NAMES if getattr(self, name))
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

    def void(self, kind: str) -> float:
        """What a reply with a broken format earns: less than the worst of the others, by the format's weight."""
        return self.answer * self.outcomes.missed - (self.grounding * self.invention * MOST_INVENTIONS if kind == "think" else 0.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """A whole reply to a task, as `ra_training.rollout.Writer.text` gives it: opening tag and end of turn included.

    ``lost``: the log odds that its verdict loses without its evidence; ``perplexity``: of its reasoning; None where they are not known.
    """

    task: Task
    reply: str
    lost: float | None = None
    perplexity: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """The weighted sum, and by name the rewards that were looked at, before their weights."""

    total: float
    parts: dict[str, float]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply says: reasoning, or what was written as evidence; its verdict (None: none can be read), and its category."""

    said: str
    abnormal: bool | None
    category: str | None = None


def score(sample: Sample, rewards: Rewards) -> Score:
    """All rewards of a reply. A broken format voids the others, unless the format is switched off: then they take what can be read."""
    task = sample.task
    if task.kind == "choice":
        return _weighed({"choice": choice_reward(sample.reply == FITS, bool(task.fits), rewards.misfit)}, rewards)
    reading = read(sample.reply, task.kind)
    if reading is None and rewards.format:
        return Score(rewards.void(task.kind), {"format": 0.0})
    formed, reading = float(reading is not None), reading or _read_loosely(sample.reply)
    parts = {"format": formed, "answer": answer_reward(reading.abnormal, task.abnormal, rewards.outcomes)}
    if task.abnormal and reading.abnormal:
        parts["category"] = float(reading.category == task.category)
    if task.kind == "think":
        parts |= _of_reasoning(sample, reading.said, rewards)
    elif reading.abnormal is task.abnormal:
        parts |= _of_evidence(sample, shown(task.text, reading.said), rewards)
    return _weighed(parts, rewards)


def _weighed(parts: dict[str, float], rewards: Rewards) -> Score:
    looked_at = {name: value for name, value in parts.items() if getattr(rewards, name)}
    return Score(sum(getattr(rewards, name) * value for name, value in looked_at.items()), looked_at)


def _of_reasoning(sample: Sample, said: str, rewards: Rewards) -> dict[str, float]:
    return {
        "grounding": grounding_reward(sample.task.text, said, sample.task.think, rewards.invention),
        "coherence": coherence_reward(sample.perplexity, rewards.perplexity),
        "brevity": brevity_reward(len(said.split()), rewards.words),
    }


def _of_evidence(sample: Sample, evidence: str, rewards: Rewards) -> dict[str, float]:
    """The rewards of a right verdict's evidence; a wrong verdict's earns nothing. All are 0 if it is not in the line."""
    task = sample.task
    parts = {"line": line_reward(task.text, evidence), "short": short_reward(evidence), "erasure": erasure_reward(sample.lost, rewards.decisive)}
    if task.evidence:
        parts["label"] = label_reward(evidence, task.evidence)
    if task.twin:
        parts["twin"] = twin_reward(evidence, task.twin)
    return parts if parts["line"] else dict.fromkeys(parts, 0.0)


def means(scores: Sequence[Score]) -> dict[str, float]:
    """The mean of each reward over the replies that it looked at; one that looked at none is left out."""
    values = {name: [part.parts[name] for part in scores if name in part.parts] for name in NAMES}
    return {name: fmean(some) for name, some in values.items() if some}


def read(reply: str, kind: str) -> Reading | None:
    """What a reply says; None unless it is exactly as `ra_sdk.reasoner.prompt.reply` writes it; reasoning and verdict, or verdict and evidence."""
    match = _REPLY[kind].fullmatch(reply)
    if match is None or (kind == "think" and _TAG.search(match["said"])):
        return None
    return _reading(match["said"], match["answer"])


def _read_loosely(reply: str) -> Reading:
    think, said = _LOOSE_THINK.search(reply), _LOOSE_ANSWER.search(reply)
    told = think[1] if think else (said[2] or "").removesuffix(END) if said else ""
    return _reading(told, said[1]) if said else Reading(told.strip(), None)


def _reading(said: str, verdict: str) -> Reading:
    category = verdict.removeprefix(ABNORMAL).strip() if verdict.startswith(ABNORMAL) else None
    return Reading(said.strip(), category is not None, category)


def format_reward(reply: str, kind: str) -> float:
    """1 for a reply that is exactly as the product reads it, else 0."""
    return float(read(reply, kind) is not None)


def answer_reward(said: bool | None, abnormal: bool, weights: AnswerWeights) -> float:
    """The outcome of a verdict: ``said`` abnormal or not (None: no verdict, as bad as the wrong one), against the truth."""
    if abnormal:
        return weights.found if said else weights.missed
    return weights.confirmed if said is False else weights.false_alarm


def choice_reward(said: bool, fits: bool, misfit: float) -> float:
    """1 for the right answer to whether a known entry explains a line. A wrong no costs 1, a wrong yes, which misleads, ``misfit``."""
    if said is fits:
        return 1.0
    return -misfit if said else -1.0
