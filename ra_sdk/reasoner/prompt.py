"""A record's way into the model and a reply's way out: the only place that knows the prompt. Training imports it too.

The model is shown the severity that the source gave and the template, each on a line of its own, between control tokens:

    <|im_start|>user⏎error⏎I/O error on device <*><|im_end|>

The template is tokenised with control tokens switched off and holds no line break, so no text in a log can close the turn or pass for a
severity. What comes next is one of three short answers:

    verdict    <|im_end|> incident hardware: I/O error on device     the colon and the words that decide, where they are wanted
    think      <|im_end|><think> The drive reports "…".⏎</think> incident hardware
    fit        <|im_start|>The meaning of a known entry.<|im_end|> yes

The two verdicts are words that logs hardly use; each answer is read from the probabilities of its first token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ra_sdk.records import CATEGORIES, SEVERITIES, Mode

__all__ = [
    "ABNORMAL",
    "CATEGORY_WORDS",
    "CLOSE_THINK",
    "END",
    "EVIDENCE",
    "FITS",
    "FITS_NOT",
    "KNOWN",
    "LEVELS",
    "NORMAL",
    "OPEN_THINK",
    "PROMPT_VERSION",
    "SHOTS",
    "Shot",
    "answer",
    "head",
    "level",
    "reply",
    "tail",
]

PROMPT_VERSION = "3"  # of the layout and the masks: verdicts of another version are judged again
NORMAL, ABNORMAL = " routine", " incident"  # each is one token, and they differ in it
FITS, FITS_NOT = " yes", " no"
CATEGORY_WORDS = {category: f" {category}" for category in CATEGORIES}
UNKNOWN = "unknown"  # the level of a record whose source gives none
LEVELS = (UNKNOWN, *(severity.lower() for severity in SEVERITIES))

OPEN_THINK, CLOSE_THINK = "<think>", "\n</think>"
EVIDENCE = ":"  # between a verdict and the words on which it rests
END = "<|im_end|>"
KNOWN = "<|im_start|>"  # between a template and the known entry that may explain it
_START = "<|im_start|>user\n"
_ASKED = "Is this log message routine or an incident?"  # a model without our training is told what to do


@dataclass(frozen=True, slots=True)
class Shot:
    """An example for a model that was not trained: a masked message, its answer (category None: normal), and the words that decide."""

    text: str
    category: str | None
    evidence: str
    think: str


SHOTS: tuple[Shot, ...] = (
    Shot("session opened for user <*> by uid 0", None, "session opened", '"session opened" is an ordinary login.'),
    Shot("I/O error on device sda, logical block <num>", "hardware", "I/O error on device sda", 'The disk could not read, "I/O error on device sda".'),
    Shot("check finished with 0 errors", None, "0 errors", '"0 errors" says that the check passed.'),
    Shot("worker <num> exited on signal 11", "system", "exited on signal 11", 'The worker crashed, it "exited on signal 11".'),
    Shot("connect to <ip>:<num> failed: Connection refused", "network", "Connection refused", 'The peer does not listen: "Connection refused".'),
    Shot("rotated <path> in <ms>", None, "rotated", '"rotated" reports routine housekeeping.'),
    Shot("Failed password for <*> from <ip> port <num> ssh2", "security", "Failed password", '"Failed password" is a refused login.'),
    Shot("cannot open config <path>: No such file or directory", "software", "cannot open config", 'A needed file is missing: "No such file".'),
)


def level(severity: str | None) -> str:
    """How the model is told a severity (None: the source gives none). The line break ends it."""
    return f"{UNKNOWN if severity is None else severity.lower()}\n"


def head(mode: Mode, shots: Sequence[Shot] = ()) -> str:
    """What stands before the level: the same for every template, so its keys and values are computed once. ``shots`` are for models without our training."""
    told = f"<|im_start|>system\n{_ASKED}{END}\n" if shots else ""
    said = [f"{_START}{level(None)}{shot.text}{END}{reply(mode, shot.category, evidence=shot.evidence, think=shot.think)}{END}\n" for shot in shots]
    return told + "".join(said) + _START


def tail(mode: Mode) -> str:
    """What stands behind the template, up to where the model goes on."""
    return END if mode == "direct" else END + OPEN_THINK


def answer(category: str | None) -> str:
    """The verdict's word, and for abnormal ones the category."""
    return NORMAL if category is None else ABNORMAL + CATEGORY_WORDS[category]


def reply(mode: Mode, category: str | None, *, evidence: str | None = None, think: str | None = None) -> str:
    """A whole reply, as a trained model gives it: in direct mode with the evidence if there is one, in think mode behind the reasoning."""
    if mode == "direct":
        return answer(category) if evidence is None else f"{answer(category)}{EVIDENCE} {evidence}"
    return f"{OPEN_THINK} {(think or '').strip()}{CLOSE_THINK}{answer(category)}"
