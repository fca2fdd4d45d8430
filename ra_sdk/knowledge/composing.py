"""Composing: one reason of the line's own words and of what is known about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ra_sdk.knowledge.entries import Entry, Speaker

__all__ = ["MOST_WORDS", "composed", "introduced"]

MOST_WORDS = 60


def composed(quote: str, entry: Entry) -> str:
    """A reason of at most ``MOST_WORDS`` words: the quoted words, what they mean, usual causes if there is room, the first check.

    General wording has no causes: what is usual depends on the program.
    """
    parts = [f'"{quote}": {entry.meaning}']
    check = f"Check: {entry.check}" if entry.check else ""
    causes = f"Usually: {_uncapitalised(entry.causes)}" if entry.causes and not entry.general else ""
    if causes and _size(*parts, causes, check) <= MOST_WORDS:
        parts.append(causes)
    if check and _size(*parts, check) <= MOST_WORDS:
        parts.append(check)
    return " ".join(map(_ended, parts))


def introduced(rationale: str, speaker: Speaker) -> str:
    """A reason that says who speaks."""
    return f"{_ended(rationale)} Logged by {_ended(speaker.clause)}"


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _uncapitalised(text: str) -> str:
    """The text after a colon: its first word in lower case, unless it is a name."""
    word = text.split(" ", 1)[0]
    plain = word.strip(",;:.").isalpha() and (word[1:].islower() or word == "A")
    return text[:1].lower() + text[1:] if plain else text


def _size(*parts: str) -> int:
    return sum(len(part.split()) for part in parts)
