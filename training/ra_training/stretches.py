"""Which tokens may come next where a reply quotes its line: those with which what is written stays a stretch of it.

The product's rule (``ra_sdk.reasoner.llama``) is that what is written stands in the line, blanks at its ends aside. This is the same rule for replies that
begin as `ra_sdk.reasoner.prompt.reply` writes them, with a blank; blanks that lead nowhere are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

__all__ = ["Pieces"]

LONGEST = 32  # letters of a token, at most: the longer ones are rulers of dashes and blanks
KEPT = 4_096  # answers that are remembered: a group's replies ask the same


class Pieces:
    """The letters of a tokenizer's tokens. ``newlines``: tokens with a line break in them; ``controls``: those that are no text."""

    def __init__(self, tokenizer: Any) -> None:
        self.texts: list[str] = tokenizer.batch_decode([[token] for token in range(len(tokenizer))], clean_up_tokenization_spaces=False)
        self.controls = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
        self.newlines = {token for token, text in enumerate(self.texts) if "\n" in text and token not in self.controls}
        self._known: dict[str, list[int]] = {}
        for token, text in enumerate(self.texts):
            if 0 < len(text) <= LONGEST and "\n" not in text and "\ufffd" not in text and token not in self.controls:
                self._known.setdefault(text, []).append(token)
        self.following = lru_cache(KEPT)(self._following)

    def _following(self, text: str, written: str) -> tuple[int, ...]:
        """The tokens that may follow what is written of a stretch of the text, in ascending order; none at its end."""
        before, found = ("" if written else " "), set[int]()
        if not written:
            found.update(self._known.get(" ", ()))
        for place in _places(text, written[1:]):
            for end in range(place + 1, min(place + LONGEST - len(before), len(text)) + 1):
                found.update(self._known.get(before + text[place:end], ()))
        return tuple(sorted(found))


def _places(text: str, said: str) -> Iterator[int]:
    """Where the text goes on after each of the places where this is said; where any word or part of one begins, if nothing is."""
    if not said:
        yield from (at for at, letter in enumerate(text) if letter != " ")
        return
    at = text.find(said)
    while at >= 0:
        yield at + len(said)
        at = text.find(said, at + 1)
