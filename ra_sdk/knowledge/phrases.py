"""Which entries have a phrase in a template: one pass of an Aho-Corasick automaton, then word boundaries, scope and what turns an entry off."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ra_sdk.masks import mask

if TYPE_CHECKING:
    from ra_sdk.knowledge.entries import Entry

__all__ = ["Hit", "Phrases", "folded", "stands_alone"]

TELLING_WORDS = 3  # of a phrase that is confined to a program, and says by itself that this speaks
LITERAL_WORDS = 3  # a phrase of which the masks hide a value needs so many other words
_PLACEHOLDER = re.compile(r"<(?:[a-z]+|\*)>")
_MASKABLE = re.compile(r"[0-9/@<]|[A-Za-z]{16}|\\")
_FOLD = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})


@dataclass(frozen=True, slots=True)
class Hit:
    """A phrase of an entry that stands in a template, from ``start`` to ``end``."""

    entry: Entry
    start: int
    end: int
    phrase: str


def folded(text: str) -> str:
    """The text in lower case, at its length: only ASCII letters are changed, so that places stay the same."""
    return text.translate(_FOLD)


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whether a phrase is not a piece of a longer word. A boundary is asked for only where the phrase's own edge is a letter or a digit."""
    before = start and text[start].isalnum() and text[start - 1].isalnum()
    after = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return not before and not after


class Phrases:
    """An index of the phrases of entries. ``hidden``: phrases, with their entry, that the masks leave too little of to be found."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        from ahocorasick_rs import AhoCorasick, MatchKind

        owned = [(entry, phrase) for entry in entries for phrase in entry.match]
        masked = _masked([phrase for _, phrase in owned])
        self.hidden: list[tuple[Entry, str]] = []
        self._entries: dict[str, list[Entry]] = {}
        for (entry, phrase), seen in zip(owned, masked, strict=True):
            if _enough(phrase, seen):
                self._entries.setdefault(folded(seen), []).append(entry)
            else:
                self.hidden.append((entry, phrase))
        self._texts = list(self._entries)
        self._automaton = AhoCorasick(self._texts, matchkind=MatchKind.Standard)

    def hits(self, template: str, scope: Collection[str]) -> Iterator[Hit]:
        """The entries that a template calls up, each by its longest phrase. ``scope``: programs that may have written it."""
        text = folded(template)
        best: dict[str, Hit] = {}
        for number, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True):
            if not stands_alone(text, start, end):
                continue
            for entry in self._entries[self._texts[number]]:
                before = best.get(entry.id)
                if before is None or end - start > before.end - before.start:
                    best[entry.id] = Hit(entry, start, end, template[start:end])
        for hit in best.values():
            if _in_scope(hit, scope) and not _turned_off(text, hit.entry):
                yield hit


def _masked(phrases: Sequence[str]) -> list[str]:
    """The phrases as they stand in templates. Most have nothing that a mask could take; masking the others is most of the time that an index takes."""
    open_ = [phrase for phrase in phrases if _MASKABLE.search(phrase)]
    found = dict(zip(open_, mask(open_), strict=True))
    return [found.get(phrase, phrase) for phrase in phrases]


def _in_scope(hit: Hit, scope: Collection[str]) -> bool:
    """Whether the entry may speak. Where nobody knows who wrote the line, a phrase of several words speaks for itself."""
    if not hit.entry.scope or any(name in scope for name in hit.entry.scope):
        return True
    return not scope and len(hit.phrase.split()) >= TELLING_WORDS


def _enough(phrase: str, masked: str) -> bool:
    """Whether a phrase says as much after masking as before: no code of it is hidden, or enough is left."""
    if len(_PLACEHOLDER.findall(masked)) == len(_PLACEHOLDER.findall(phrase)):
        return True
    return len(re.findall(r"[A-Za-z]{2,}", _PLACEHOLDER.sub(" ", masked))) >= LITERAL_WORDS


def _turned_off(text: str, entry: Entry) -> bool:
    return any(_stands(text, folded(phrase)) for phrase in entry.unless)


def _stands(text: str, phrase: str) -> bool:
    start = text.find(phrase)
    while start >= 0:
        if stands_alone(text, start, start + len(phrase)):
            return True
        start = text.find(phrase, start + 1)
    return False
