"""Which phrases stand in a template: one pass of an Aho-Corasick automaton, then word boundaries, scope and what turns an entry off."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from ra_sdk.templates.masks import mask

if TYPE_CHECKING:
    from ra_sdk.knowledge.entries import Entry

__all__ = ["Hit", "Phrases", "Words", "as_mined", "folded", "masked", "stands_alone"]

T = TypeVar("T")
TELLING_WORDS = 5  # of a phrase that is confined to a program, and says by itself that this speaks
REPORTS = ("fault", "attack", "warning")  # what entries say that report something
LITERAL_WORDS = 3  # a phrase of which the masks hide a value needs so many other words
_PLACEHOLDER = re.compile(r"<(?:[a-z]+|\*)>")
_ZERO = re.compile(r"(?:\s*[:=]\s*|(?<=s)\s|(?<=ed)\s|(?<=lost)\s)0(?![\w%]|[.,:-]\d)")  # "failed=0", "parity errors 0", not "sensor 0"
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
    """Whether a phrase is not a piece of a longer word.

    A boundary is asked for only where the phrase's own edge is a letter or a digit.
    """
    before = start and text[start].isalnum() and _in_word(text[start - 1])
    after = end < len(text) and text[end - 1].isalnum() and _in_word(text[end])
    return not before and not after


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_"


class Words(Generic[T]):
    """An index of phrases, each with what it stands for. They have to be masked already, as templates are."""

    def __init__(self, owned: Sequence[tuple[str, T]]) -> None:
        from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

        self._meant: dict[str, list[T]] = {}
        for phrase, meant in owned:
            self._meant.setdefault(folded(phrase), []).append(meant)
        self._texts = list(self._meant)
        self._automaton = AhoCorasick(self._texts, matchkind=MatchKind.Standard, store_patterns=False, implementation=Implementation.ContiguousNFA)

    def found(self, template: str) -> Iterator[tuple[T, int, int]]:
        """What the phrases in a template stand for, each with its start and end there."""
        text = folded(template)
        for number, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True):
            if stands_alone(text, start, end):
                for meant in self._meant[self._texts[number]]:
                    yield meant, start, end


class Phrases:
    """An index of the phrases of entries."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._words = Words([(phrase, entry) for entry in entries for phrase in entry.match])

    def hits(self, template: str, scope: Collection[str]) -> Iterator[Hit]:
        """The entries that a template calls up, each by its longest phrase. ``scope``: programs that may have written it."""
        text = folded(template)
        best: dict[str, Hit] = {}
        for entry, start, end in self._words.found(template):
            before = best.get(entry.id)
            if before is None or end - start > before.end - before.start:
                best[entry.id] = Hit(entry, start, end, template[start:end])
        for hit in best.values():
            if _in_scope(hit, scope) and not _none_counted(hit, text) and not any(_stands(text, folded(phrase)) for phrase in hit.entry.unless):
                yield hit


def as_mined(entries: Iterable[Entry]) -> tuple[list[Entry], list[tuple[str, Entry]]]:
    """The entries with their phrases as they stand in templates, and the phrases that can never be found there.

    Those are phrases with a number that is masked, and too few words beside it.
    """
    found, hidden = [], []
    for entry in entries:
        seen = list(zip(entry.match, masked(entry.match), strict=True))
        kept = tuple(masked for phrase, masked in seen if entry.kind == "statement" or _enough(phrase, masked))
        hidden += [(phrase, entry) for phrase, masked in seen if masked not in kept]
        found += [replace(entry, match=kept)] if kept else []
    return found, hidden


def masked(phrases: Sequence[str]) -> list[str]:
    """The phrases as they stand in templates. Most have nothing that a mask could take, and masking takes long."""
    open_ = [phrase for phrase in phrases if _MASKABLE.search(phrase)]
    found = dict(zip(open_, mask(open_), strict=True))
    return [found.get(phrase, phrase) for phrase in phrases]


def _enough(phrase: str, masked: str) -> bool:
    """Whether a phrase says as much after masking as before: no code of it is hidden, or enough is left."""
    if len(_PLACEHOLDER.findall(masked)) == len(_PLACEHOLDER.findall(phrase)):
        return True
    return len(re.findall(r"[A-Za-z]{2,}", _PLACEHOLDER.sub(" ", masked))) >= LITERAL_WORDS


def _in_scope(hit: Hit, scope: Collection[str]) -> bool:
    """Whether the entry may speak. Where nobody knows who wrote the line, a phrase of several words speaks for itself."""
    if not hit.entry.scope or any(name in scope for name in hit.entry.scope):
        return True
    return not scope and len(hit.phrase.split()) >= TELLING_WORDS


def _none_counted(hit: Hit, text: str) -> bool:
    """Whether the line says that what the entry reports happened zero times."""
    return hit.entry.says in REPORTS and _ZERO.match(text, hit.end) is not None


def _stands(text: str, phrase: str) -> bool:
    start = text.find(phrase)
    while start >= 0:
        if stands_alone(text, start, start + len(phrase)):
            return True
        start = text.find(phrase, start + 1)
    return False
