"""Reasoning brought into line with the masked message: what is quoted or named must stand in what the model sees."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ra_sdk.reasoner.rationale import grounded
from ra_sdk.templates.placeholders import PLACEHOLDERS

from ra_training.corpus import masked

__all__ = ["anchored", "reason", "shortened"]

LEAST, LONGEST = 4, 28  # words: that a shortened sentence has beside its quote, and that a sentence may have
_QUOTE = re.compile(r'"([^"]+)"')
_SENTENCE = re.compile(r'(?<=[.!?])\s+(?=[A-Z"<])|(?<=[.!?]")\s+(?=[A-Z"<])')
_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS)))
_CONCLUSION = re.compile(r"(?:[,;:]? (?:and )?(?:so|thus|hence|therefore)\b|;|, (?:which|and|but|while|since|as)\b)")
_EDGES = " .,;:"


def reason(think: str | None, message: str, text: str) -> str | None:
    """The reasoning that goes with ``text``, the masked ``message``: shortened, and anchored in it. None if that cannot be."""
    if not think:
        return None
    short = shortened(think)
    return None if short is None else anchored(short, message, text)


def anchored(think: str, message: str, text: str) -> str | None:
    """Quotes and values of the reasoning replaced by what the masks made of them. None if something then is not in ``text``."""
    parts = _QUOTE.split(think)
    for at in range(1, len(parts), 2):
        quote = _quote(parts[at], message, text)
        if quote is None:
            return None
        parts[at] = f'"{quote}"'
    for at in range(0, len(parts), 2):
        parts[at] = _plain(parts[at], message, text)
    said = "".join(parts)
    known = all(name in text for name in _PLACEHOLDER.findall(said))
    return said if known and grounded(text, said) else None


def _quote(quote: str, message: str, text: str) -> str | None:
    """The quote as it stands in ``text``, in its case; None if it is not there."""
    for candidate in _candidates(quote, message):
        words = " ".join(candidate.split()).strip(_EDGES)
        found = text.lower().find(words.lower()) if words else -1
        if found >= 0:
            ending = candidate[len(candidate.rstrip(_EDGES)) :].strip()
            return text[found : found + len(words)] + ending
    return None


def _candidates(quote: str, message: str) -> Iterator[str]:
    """What masking may have made of a quote. Masks look at what is before, so the message is masked up to both ends of the quote too."""
    yield quote
    start = message.lower().find(quote.lower())
    cut = start > 0 and quote[0].isdigit() and message[start - 1].isalnum()
    if start >= 0 and not cut:
        alone, before, until = masked([quote, message[:start], message[: start + len(quote)]])
        yield alone
        yield until.removeprefix(before)


def _plain(part: str, message: str, text: str) -> str:
    """Words outside quotes: values that the message has, masked as there; the rest as it is."""
    words = re.split(r"(\s+)", part)
    for at, word in enumerate(words):
        core = word.strip("(),;:.!?")
        stands = re.search(rf"(?<![A-Za-z0-9]){re.escape(core)}(?![A-Za-z0-9])", message, re.IGNORECASE)
        if stands and re.search(r"[0-9]|[/\\]", core) and core.lower() not in text.lower():
            there = masked([core])[0]
            if _PLACEHOLDER.search(there) and there in text:
                words[at] = word.replace(core, there)
    return "".join(words)


def shortened(think: str) -> str | None:
    """The sentence with the evidence, without what is concluded from it. None if none quotes, or it stays long.

    A small model says well what a quote means. Consequences need knowledge that it has not: taught to draw them, it makes them up.
    """
    quoting = [sentence for sentence in _SENTENCE.split(think.strip()) if '"' in sentence]
    said = _unconcluded(quoting[0]) if quoting else ""
    return said if said and len(said.split()) <= LONGEST else None


def _unconcluded(sentence: str) -> str:
    """A sentence up to its conclusion, if what is left still says something of the quote."""
    ends = [match.end() for match in _QUOTE.finditer(sentence)]
    for cut in _CONCLUSION.finditer(sentence, ends[0] if ends else 0):
        left = sentence[: cut.start()]
        if left.count('"') % 2 == 0 and len(_QUOTE.sub("", left).split()) >= LEAST:
            return left.rstrip(" ,;:") + "."
    return sentence
