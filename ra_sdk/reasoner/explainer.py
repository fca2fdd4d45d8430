"""A larger model that writes reasons, if the user has one (``RA_EXPLAINER``): from the template, its neighbours and the chosen entries, under checks.

What it writes is shown only if it is grounded: it quotes the template, and names no number, path, command or setting
that neither the template nor an entry has. Else the composed reason stays.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ra_sdk.reasoner.batching import run
from ra_sdk.reasoner.files import resolve
from ra_sdk.reasoner.llama_cpp import Llama
from ra_sdk.reasoner.rationale import invented, whole
from ra_sdk.records import TemplateKey

if TYPE_CHECKING:
    from ra_sdk.knowledge import Entry
    from ra_sdk.records import Verdict

__all__ = ["MOST_WORDS", "Around", "Explainer", "kept", "named"]

MOST_WORDS = 60
MOST_QUOTED = 12  # words of one quote
TOKENS = 110  # of a reply
CONTEXT = 1_024
WIDTH = 4  # templates at once: a larger model fills the cores with few
HEAD = (
    "<|im_start|>system\nYou explain abnormal log lines to an on-call engineer. Use only the notes. In at most 50 words of plain English: "
    "quote the deciding words of the line in double quotes, say what they mean, then one first check from the notes. Lines before and after "
    "only show what else happened. No other commands, no lists.<|im_end|>\n"
)
NEIGHBOUR = 160  # characters of a line before or after
Around = Callable[[TemplateKey], tuple[Sequence[str], Sequence[str]]]  # the templates that stand before and behind one
_PLACEHOLDER = re.compile(r"<[a-z*]+>")
_COMMAND = re.compile(r"`([^`]+)`")
_SETTING = re.compile(r"\b[a-z]+(?:[_.-][a-z0-9]+)+\b|\b[A-Z]{2,}(?:_[A-Z]+)+\b|--?[a-z][a-z-]+")


def named() -> str | None:
    """The model that ``RA_EXPLAINER`` names, None if it names none."""
    return os.environ.get("RA_EXPLAINER") or None


class Explainer:
    """Writes reasons with an instruct model in GGUF that knows ChatML. Raises ModelError."""

    def __init__(self, model: str, *, threads: int = 2, gpu_layers: int = 0) -> None:
        self.files = resolve(model, "none")
        self._llama = Llama(self.files.ready(), None, gpu_layers)
        self._llama.open(threads, CONTEXT, WIDTH + 1)
        self.name = self._llama.metadata("general.name") or self.files.path.stem
        self._head = self._llama.tokens(HEAD, special=True)

    def written(self, verdicts: Sequence[Verdict], entries: Mapping[str, Entry], around: Around) -> list[Verdict]:
        """The verdicts with the reason that the model wrote, or as they are where it did not keep to the line and its entries."""
        notes = [[entries[name] for name in verdict.knowledge if name in entries] for verdict in verdicts]
        tasks = [partial(self._task, verdict, known, around(verdict.key))() for verdict, known in zip(verdicts, notes, strict=True)]
        replies: list[Any] = list(run(self._llama, tasks, self._head, WIDTH))
        return [self._told(*found) for found in zip(verdicts, replies, notes, strict=True)]

    def close(self) -> None:
        """Free the model."""
        self._llama.close()

    def _told(self, verdict: Verdict, reply: str, known: Sequence[Entry]) -> Verdict:
        if not kept(reply, verdict.template, known):
            return verdict
        return replace(verdict, rationale=reply, grounded=True, reason_source="model")

    def _task(self, verdict: Verdict, known: Sequence[Entry], around: tuple[Sequence[str], Sequence[str]]) -> Generator[list[int], Any, str]:
        """Greedy decoding of one reply, up to a newline."""
        asked = self._llama.tokens("<|im_start|>user\n", special=True)
        before, after = (" | ".join(text[:NEIGHBOUR] for text in side) for side in around)
        lines = [f"Before: {before}" if before else "", f"Line: {verdict.template}", f"After: {after}" if after else ""]
        told = "\n".join([*filter(None, lines), *(f"Note: {entry.meaning} {entry.causes} {entry.check}" for entry in known)])
        asked += self._llama.tokens(told, special=False)[: CONTEXT - len(self._head) - TOKENS - 32]
        logits = yield asked + self._llama.tokens("<|im_end|>\n<|im_start|>assistant\n", special=True)
        reply = ""
        for _ in range(TOKENS):
            token = int(logits.argmax())
            if token in self._llama.ends or "\n" in (piece := self._llama.text(token)):
                break
            reply += piece
            logits = yield [token]
        return whole(reply)


def kept(reply: str, template: str, known: Sequence[Entry]) -> bool:
    """Whether a reply may be shown: short, with a quote of the template, and no specific that neither the template nor an entry has."""
    notes = " ".join([template, *(f"{entry.meaning} {entry.causes} {entry.check}" for entry in known)])
    quotes = reply.split('"')[1::2]
    if not quotes or len(reply.split()) > MOST_WORDS:
        return False
    if any(quote.strip(" .,;:").lower() not in template.lower() or len(quote.split()) > MOST_QUOTED for quote in quotes):
        return False
    if _PLACEHOLDER.search("".join(reply.split('"')[0::2])):
        return False
    specifics = [*_COMMAND.findall(reply), *_SETTING.findall(reply)]
    return all(word.lower() in notes.lower() for word in specifics) and not invented(notes, reply)
