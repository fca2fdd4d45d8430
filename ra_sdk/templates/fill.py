"""From a template back to a line: placeholders in a rationale are replaced by what the line has in their place."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from ra_sdk.templates.masks import HEAD, LONGEST, TAIL
from ra_sdk.templates.placeholders import PLACEHOLDERS, TABLE, WILDCARD

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EDGES", "align", "fill", "fillable"]

MOST_PLACEHOLDERS, MOST_PIECES, MOST_STEPS = 40, 200, 5_000  # beyond, a rationale keeps its placeholders
EDGES = " .,;:"  # a quote may be cut out with them

_QUOTE = re.compile(r'"([^"]+)"')
_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS)))
_FILLABLE = re.compile(rf"{_PLACEHOLDER.pattern}|[0-9]")
_FILLS = {row.name: row.fills for row in TABLE}
_SEVERAL_WORDS = re.compile(rf"[^\s0-9]*(?:{_FILLS['<time>']}|{_FILLS['<pct>']}|{_FILLS['<ms>']})\S*")  # what is one word when masked, and may have become <*>
_PIECE = re.compile(  # placeholders, and what masking writes in one way where logs have several
    rf"(?P<place>{_PLACEHOLDER.pattern})"
    r"|(?P<percent>(?<![0-9.])(?:100|0)%)"
    r"|(?P<nothing>\b0x0\b)"
    r"|(?P<zero>(?<![0-9])(?<![0-9][.,])0(?![0-9]|[.,][0-9]))"
    r"|(?P<code>(?<![A-Za-z0-9.])[1-9][0-9]{0,2}(?![A-Za-z0-9]))"
)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of a template: a placeholder (``name``) or words, and the patterns of what it may be in a body (none: itself)."""

    start: int
    text: str
    name: str | None = None
    patterns: tuple[re.Pattern[str], ...] = ()

    def ends(self, body: str, start: int) -> Iterator[int]:
        """Where this piece may end in the body if it begins at ``start``, the likeliest first."""
        if not self.patterns:
            if body.startswith(self.text, start):
                yield start + len(self.text)
            return
        for pattern in self.patterns:
            match = pattern.match(body, start)
            if match:
                yield match.end()
                yield from (end for end in range(match.end() - 1, start, -1) if pattern.fullmatch(body, start, end))


def align(template: str, body: str) -> list[tuple[str, str]] | None:
    """The template's placeholders in order, each with its text in the body. None if they do not fit.

    Takes a bounded number of steps, whatever the body. White space is that of the template: single blanks.
    """
    pieces, body = _pieces(template), _as_mined(body)
    ends = _ends(pieces, body)
    if ends is None:
        return None
    return [(piece.name, body[start:end]) for piece, (start, end) in zip(pieces, pairwise([0, *ends]), strict=True) if piece.name]


def fill(rationale: str, template: str, body: str) -> str:
    """The rationale in this body's own words: what it quotes of the template, and placeholders that stand for one value only.

    Double quotes of the body become single ones, so that quotes stay in pairs. What cannot be told apart stays a placeholder.
    """
    if not fillable(rationale):
        return rationale
    pieces, body = _pieces(template), _as_mined(body)
    ends = _ends(pieces, body)
    if not ends:
        return rationale
    values: dict[str, set[str]] = {}
    for piece, (start, end) in zip(pieces, pairwise([0, *ends]), strict=True):
        if piece.name:
            values.setdefault(piece.name, set()).add(body[start:end])
    parts = _QUOTE.split(rationale)
    for at, part in enumerate(parts):
        quoted = _in_body(part, template, body, ends) if at % 2 else None
        text = _PLACEHOLDER.sub(lambda match: _only(values, match[0]), part) if quoted is None else quoted
        parts[at] = f'"{text}"' if at % 2 else text
    return "".join(parts)


def fillable(rationale: str | None) -> bool:
    """Whether ``fill`` may write it otherwise: it has a placeholder, or quotes a number, which a body may write with more zeros."""
    if rationale is None or _FILLABLE.search(rationale) is None:
        return False
    return _PLACEHOLDER.search(rationale) is not None or any(map(_FILLABLE.search, _QUOTE.findall(rationale)))


def _as_mined(body: str) -> str:
    """The part of a body that is mined, with single blanks."""
    if len(body) > LONGEST:
        body = f"{body[:HEAD]} … {body[-TAIL:]}"
    return " ".join(body.split())


def _in_body(quote: str, template: str, body: str, ends: list[int]) -> str | None:
    """What stands in the body where the quote stands in the template. None if it is not of the template."""
    span = _span(quote, template)
    if span is None:
        return None
    first, before, last, after = span
    return _unquoted(body[(ends[first - 1] if first else 0) + before : ends[last] - after])


@lru_cache(maxsize=4_096)
def _span(quote: str, template: str) -> tuple[int, int, int, int] | None:
    """Where a quote lies in a template: its first piece and the characters of it before the quote, its last piece and those after it."""
    words, pieces = " ".join(quote.split()).strip(EDGES), _pieces(template)
    match = re.search(re.escape(words), template, re.IGNORECASE) if words else None
    if match is None:
        return None
    starts = [piece.start for piece in pieces]
    first, last = bisect_right(starts, match.start()) - 1, bisect_right(starts, match.end() - 1) - 1
    before = 0 if pieces[first].patterns else match.start() - pieces[first].start
    after = 0 if pieces[last].patterns else pieces[last].start + len(pieces[last].text) - match.end()
    return first, before, last, after


def _only(values: dict[str, set[str]], name: str) -> str:
    """The placeholder's value if it has just one."""
    single = values.get(name, set())
    return _unquoted(next(iter(single))) if len(single) == 1 else name


def _unquoted(text: str) -> str:
    return text.strip('"').replace('"', "'")


def _ends(pieces: tuple[_Piece, ...], body: str) -> list[int] | None:
    """Where every piece ends in the body: a search that never tries the same place twice, and gives up after MOST_STEPS."""
    if not pieces:
        return None
    if straight := _straight(pieces, body):
        return straight
    choices, ends = [pieces[0].ends(body, 0)], [0]
    tried: set[tuple[int, int]] = set()
    for _ in range(MOST_STEPS):
        end = next(choices[-1], None)
        if end is None:
            choices.pop()
            ends.pop()
            if not choices:
                return None
        elif len(choices) == len(pieces):
            if end == len(body):
                return [*ends[1:], end]
        elif (len(choices), end) not in tried:
            tried.add((len(choices), end))
            choices.append(pieces[len(choices)].ends(body, end))
            ends.append(end)
    return None


def _straight(pieces: tuple[_Piece, ...], body: str) -> list[int] | None:
    """The first way that the search would try, which mostly is the right one, without the means for others."""
    at, ends = 0, []
    for piece in pieces:
        if not piece.patterns:
            if not body.startswith(piece.text, at):
                return None
            at += len(piece.text)
        elif match := piece.patterns[0].match(body, at):
            at = match.end()
        else:
            return None
        ends.append(at)
    return ends if at == len(body) else None


@lru_cache(maxsize=4_096)
def _pieces(template: str) -> tuple[_Piece, ...]:
    """The template cut at everything that a body may write otherwise; empty if that is too much."""
    pieces, at, places = [], 0, 0
    for match in _PIECE.finditer(template):
        if match.start() > at:
            pieces.append(_Piece(at, template[at : match.start()]))
        name = match["place"]
        places += name is not None
        pieces.append(_Piece(match.start(), match[0], name, _patterns(match[0], str(match.lastgroup))))
        at = match.end()
    if at < len(template):
        pieces.append(_Piece(at, template[at:]))
    return tuple(pieces) if places <= MOST_PLACEHOLDERS and len(pieces) <= MOST_PIECES else ()


@lru_cache(maxsize=4_096)
def _patterns(text: str, kind: str) -> tuple[re.Pattern[str], ...]:
    if text == WILDCARD:
        return re.compile(r"\S+"), _SEVERAL_WORDS
    value = {
        "percent": rf"0*{text[:-1]}(?:\.0+)? ?%",
        "nothing": "0[xX]0+",
        "zero": "0+(?:[.,]0+)*",
        "code": f"0*{text}",
        "place": f"{_FILLS.get(text)}|{re.escape(text)}",  # a body may hold the placeholder's own name
    }[kind]
    return (re.compile(value),)
