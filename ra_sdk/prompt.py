"""A template's way into the model and a reply's way out: the only place that knows the prompt. Training imports it too.

The layout is ChatML. The template stands alone in the user's turn, between control tokens; it is tokenised with control tokens
switched off, so that no text in a log can close the turn. The two answers are words that logs hardly use.

    direct   <answer> incident hardware</answer>⏎<think> The drive reports "…".⏎</think>
    think    <think> The drive reports "…".⏎</think>⏎<answer> incident hardware</answer>

A rationale is one line, so the first newline ends it; the closing tags are forced by whoever decodes. In direct mode the verdict is
read after ``<answer>`` and the rationale, where it is wanted, is written after it, in the knowledge of the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ra_sdk.records import CATEGORIES

__all__ = ["ABNORMAL", "CATEGORY_WORDS", "NORMAL", "PROMPT_VERSION", "SAME_LAYOUT", "SHOTS", "Mode", "Prompt", "Shot", "answer", "prompt", "reply"]

Mode = Literal["direct", "think"]
PROMPT_VERSION = "2"  # of the layout and the masks: verdicts of another version are judged again
SAME_LAYOUT = ("1", PROMPT_VERSION)  # versions that differ in the masks only: their adapters can be used
SYSTEM = "Is this log message routine or an incident?"
NORMAL, ABNORMAL = " routine", " incident"  # each is one token, and they differ in it
CATEGORY_WORDS = {category: f" {category}" for category in CATEGORIES}

OPEN_ANSWER, CLOSE_ANSWER = "<answer>", "</answer>"
OPEN_THINK, CLOSE_THINK = "<think>", "\n</think>"
END = "<|im_end|>"
_USER, _ASSISTANT = "<|im_start|>user\n", f"{END}\n<|im_start|>assistant\n"


@dataclass(frozen=True, slots=True)
class Shot:
    """An example for a model that was not trained: a masked message and its answer (category None: normal)."""

    text: str
    category: str | None
    think: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """``head`` + template + ``tail``. ``head`` is the same for every template: its keys and values are computed once."""

    head: str
    tail: str


SHOTS: tuple[Shot, ...] = (
    Shot("session opened for user <*> by uid 0", None, '"session opened" is an ordinary login.'),
    Shot("I/O error on device sda, logical block <num>", "hardware", 'The disk could not read, "I/O error on device sda".'),
    Shot("check finished with 0 errors", None, '"0 errors" says that the check passed.'),
    Shot("worker <num> exited on signal 11", "system", 'The worker crashed, it "exited on signal 11".'),
    Shot("connect to <ip>:<num> failed: Connection refused", "network", 'The peer does not listen: "Connection refused".'),
    Shot("rotated <path> in <ms>", None, '"rotated" reports routine housekeeping.'),
    Shot("Failed password for <*> from <ip> port <num> ssh2", "security", '"Failed password" is a refused login.'),
    Shot("cannot open config <path>: No such file or directory", "software", 'A needed file is missing: "No such file".'),
)


def prompt(mode: Mode, shots: tuple[Shot, ...] = ()) -> Prompt:
    """The text round a template, up to the point where the model goes on.

    ``mode`` direct ends after ``<answer>``, think after ``<think>``. ``shots`` are for models without our training.
    """
    head = f"<|im_start|>system\n{SYSTEM}{END}\n"
    for shot in shots:
        head += f"{_USER}{shot.text}{_ASSISTANT}{reply(mode, shot.category, shot.think)}{END}\n"
    return Prompt(head + _USER, _ASSISTANT + (OPEN_ANSWER if mode == "direct" else OPEN_THINK))


def answer(category: str | None) -> str:
    """What stands between the answer's tags: the word, and for abnormal ones the category."""
    return NORMAL if category is None else ABNORMAL + CATEGORY_WORDS[category]


def reply(mode: Mode, category: str | None, think: str | None) -> str:
    """A whole reply, as a trained model gives it. ``think`` None leaves the rationale out (direct mode only)."""
    said = f"{OPEN_ANSWER}{answer(category)}{CLOSE_ANSWER}"
    if think is None:
        return said
    thought = f"{OPEN_THINK} {think.strip()}{CLOSE_THINK}"
    return f"{said}\n{thought}" if mode == "direct" else f"{thought}\n{said}"
