"""Stretches of a template: what can be left out of it, and what can be quoted of it."""

from __future__ import annotations

import re

__all__ = ["QUOTABLE", "clause", "shortened", "without", "words"]

QUOTABLE = 7  # words of a quote, at most

_WORD = re.compile(r"\S+")
_EDGES = " .,:;|='([{"
_BRACKETS = {")": "(", "]": "[", "}": "{"}
_UNFINISHED = frozenset("a an and as at but by for from in into is of on or that the this to was were which while with".split())
_OPENS, _CLOSES = '"([{', '"])},;|'  # what begins or ends a clause as a word's first or last character; so does a colon before a blank


def words(text: str) -> list[tuple[int, int]]:
    """Start and end of every word."""
    return [match.span() for match in _WORD.finditer(text)]


def without(text: str, start: int, end: int) -> str:
    """The text with a stretch left out."""
    return f"{text[:start].rstrip()} {text[end:].lstrip()}".strip()


def clause(text: str, start: int, end: int, most: int = QUOTABLE) -> str:
    """The words from start to end with those beside them that belong to the same clause, the ones before first; what stands in quotes, or outside."""
    every = words(text)
    inside = [number for number, (first, last) in enumerate(every) if first < end and last > start]
    if not inside:
        return ""
    first, last = inside[0], min(inside[-1], inside[0] + most - 1)
    while first and last - first + 1 < most and not _parted(text, every[first - 1], every[first]):
        first -= 1
    while last + 1 < len(every) and last - first + 1 < most and not _parted(text, every[last], every[last + 1]):
        last += 1
    pieces = [shortened(piece, most) for piece in text[every[first][0] : every[last][1]].split('"')]
    return max(reversed(pieces), key=len)


def shortened(piece: str, most: int = QUOTABLE) -> str:
    """A piece of at most so many words, without what is left over at its ends."""
    piece = _bare(" ".join(piece.split()[:most]))
    begun = re.search(r"[.!?] \w+$", piece)  # the first word of the next sentence
    piece = _bare(piece[: begun.start()]) if begun else piece
    while (last := piece.rpartition(" "))[0] and last[2].lower() in _UNFINISHED:
        piece = _bare(last[0])
    return piece


def _bare(piece: str) -> str:
    """A piece without what is only left over at its ends: punctuation, a dash, a bracket that closes nothing."""
    before, _, after = piece.partition("]")
    if "[" not in before and after.startswith((":", " ")):  # the end of a bracket that begins before the piece
        piece = after
    odd = piece.rstrip(" .,:;").endswith("'") and piece.count("'") % 2 == 0
    opened = "[" if piece.lstrip(_EDGES.replace("[", "")).startswith("[") and "]" in piece else ""
    piece = opened + piece.strip(_EDGES).removeprefix("- ").lstrip(_EDGES) + ("'" if odd else "")
    while piece[-1:] in _BRACKETS and piece.count(piece[-1]) > piece.count(_BRACKETS[piece[-1]]):
        piece = piece[:-1].rstrip(_EDGES)
    return piece


def _parted(text: str, one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether a clause ends between two neighbouring words."""
    before, after = text[one[0] : one[1]], text[other[0] : other[1]]
    return before[-1] in f"{_CLOSES}:.!?" or after[0] in _OPENS or after in ("-", "|", ":")
