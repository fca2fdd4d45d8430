"""Which known statements a template is: an index over the words that masking leaves.

A statement answers for a template only if nearly all of its words stand there, and if the two do not differ in a word that decides: a
number, a negation, a state. So "degraded" never answers for "not degraded".
"""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ra_sdk.knowledge.entries import Entry

__all__ = ["Statements", "Told", "decisive", "words"]

LIKENESS_OF_OPEN = 0.9  # of a statement that ends in a reason, which is written out in the template
OPEN_WORDS = 3  # that such a statement has at least beside it
TELLING_WORDS = 6  # of a statement that is confined to a program, and says by itself that this speaks
RAREST = 4  # words of a template by which statements are looked up
COVERED, COVERING = 0.9, 0.6  # how much of a statement must stand in the template, and of the template in the statement, by weight
_WORD = re.compile(r"<(?:[a-z]+|\*)>|[A-Za-z][A-Za-z0-9_'-]*[A-Za-z0-9]|[A-Za-z]|[0-9][0-9A-Za-z.%]*")
_DECIDING = ("<n>", "<highpct>")  # a number that is all of a whole, and one near the limit
_PLACEHOLDERS = re.compile(r"<(?:[a-z]+|\*)>")
_STATES = frozenset(
    " ".join(
        (
            "no not non never none without cannot can't couldn't didn't doesn't isn't wasn't won't neither nor un nothing zero",
            "up down on off yes true false ok okay good bad online offline open opened closed close enabled disabled active inactive",
            "success successful successfully succeeded succeeds failed fails fail failure failing error errors warning",
            "healthy unhealthy ready unready available unavailable reachable unreachable valid invalid known unknown",
            "degraded full empty clean dirty synced unsynced primary secondary master replica leader follower",
            "accepted refused rejected denied allowed permitted granted expired renewed found missing lost restored recovered",
            "started stopped starting stopping running dead alive connected disconnected connect disconnect",
            "mounted unmounted locked unlocked loaded unloaded passed passing critical normal high low above below exceeded",
            "before after more less least most increased decreased corrected uncorrected corrupt corrupted consistent inconsistent",
            "complete completed incomplete aborted cancelled canceled finished interrupted timed timeout retry retrying retries",
        )
    ).split()
)


@dataclass(frozen=True, slots=True)
class Told:
    """A statement that a template is, and by how much (0..1): the share of the words of both, by weight, that both have."""

    entry: Entry
    likeness: float


def words(text: str) -> list[str]:
    """The words of a masked text in lower case, without placeholders but those that decide."""
    return [word.lower() for word in _WORD.findall(text) if word[0] != "<" or word in _DECIDING]


def decisive(word: str) -> bool:
    """Whether a word decides: it holds a digit, negates, or names a state."""
    return word in _STATES or word in _DECIDING or any(char.isdigit() for char in word)


class Statements:
    """An index of statements by their words. Their texts have to be masked already."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = list(entries)
        self._words = [tuple(map(sys.intern, words(entry.match[0]))) for entry in entries]
        self._deciding = [_deciding(own) for own in self._words]
        self._having: dict[str, array[int]] = {}
        for number, own in enumerate(self._words):
            for word in dict.fromkeys(own):
                self._having.setdefault(word, array("I")).append(number)
        total = len(self._entries) + 1
        self._weights = {word: math.log(total / len(numbers)) for word, numbers in self._having.items()}
        self._unknown = math.log(total)
        self._sizes = array("f", (sum(self._weights[word] for word in own) for own in self._words))

    def told(self, template: str, scope: Collection[str]) -> Iterator[Told]:
        """The statements that a template is."""
        found = words(template)
        counted, deciding = Counter(found), _deciding(found)
        rarest = sorted((word for word in counted if word in self._weights), key=self._weights.__getitem__, reverse=True)
        having = [self._having[word] for word in rarest[:RAREST]]
        alike = dict.fromkeys(number for each in having for number in each if self._deciding[number] == deciding)
        size = sum(self._weights.get(word, self._unknown) for word in found)
        for number in alike:
            if (likeness := self._likeness(number, counted, size)) and self._may_speak(number, scope):
                yield Told(self._entries[number], likeness)
        for number in (number for each in having[:1] for number in each if number not in alike):
            if self._open_ended(number, counted, template) and self._may_speak(number, scope):
                yield Told(self._entries[number], LIKENESS_OF_OPEN)

    def _may_speak(self, number: int, scope: Collection[str]) -> bool:
        """Whether its program may have written the line. Where nobody knows who did, a statement of several words speaks."""
        entry = self._entries[number]
        if not entry.scope or any(name in scope for name in entry.scope):
            return True
        return not scope and len(self._words[number]) >= TELLING_WORDS

    def _open_ended(self, number: int, counted: Counter[str], template: str) -> bool:
        """Whether the template is a statement that ends in a reason, such as ``cannot open <*>: <*>``, with the reason written out.

        What stands for the reason may hold words that decide, as "No space left on device" does; all other words have to agree.
        """
        text, own = self._entries[number].match[0], self._words[number]
        if not text.endswith(": <*>") or len(own) < OPEN_WORDS or not Counter(own) <= counted:
            return False
        head = text[: -len(" <*>")]
        pattern = r"\S+".join(map(re.escape, _PLACEHOLDERS.split(head)))
        found = re.search(rf"(?:^|\s){pattern} (?P<reason>.+)$", template, re.IGNORECASE)
        return found is not None and not any(map(decisive, words(template[: found.start()])))

    def _likeness(self, number: int, counted: Counter[str], template: float) -> float:
        """How alike a statement and a template with the same deciding words are; 0 if one cannot speak for the other. ``template``: its words' weight."""
        statement = self._sizes[number]
        if not statement or template < COVERED * statement or statement < COVERING * template:  # what both have is in each of them
            return 0.0
        own = Counter(self._words[number])
        both = sum(self._weights[word] * min(count, counted[word]) for word, count in own.items())
        if both < COVERED * statement or both < COVERING * template:
            return 0.0
        return 2 * both / (statement + template)


def _deciding(found: Iterable[str]) -> tuple[str, ...]:
    """The deciding words of a text, in order: statements with others cannot speak for it."""
    return tuple(sorted(filter(decisive, found)))
