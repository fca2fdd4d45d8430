"""The first characters that lines of a pattern may have, so that a line is tried with few of the patterns."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["common_beginning", "may_begin"]

_CLASSES = ("[0-9]", "[A-Z]", "[a-z]", "[ \t]", r"\[", "<", r"\{", '"', "")  # the last: any other character, or none
_ALL = (1 << len(_CLASSES)) - 1
_OTHER = len(_CLASSES) - 1
_TOKEN = re.compile(
    r"\\x[0-9A-Fa-f]{2}|\\.|\[(?:\\.|[^\]\\])*\]|\(\?(?:P?<\w+>|[a-z-]*:)|\(\?|[()|^$.]|[*+?]\??|\{[\d,]+\}\??|[^\\\[(){}|^$.*+?]+|.",
    re.DOTALL,
)
_OPTIONAL = ("*", "?", "*?", "??")


def common_beginning(lines: pl.Series) -> int | None:
    """The number of the class of characters that all lines begin with; None where they differ."""
    if not len(lines):
        return None
    number = _class_of(lines[0][:1])
    return number if number != _OTHER and lines.str.contains("^" + _CLASSES[number]).all() else None


@lru_cache(256)
def _class_of(character: str) -> int:
    return next((number for number, pattern in enumerate(_CLASSES[:-1]) if re.match(pattern, character)), _OTHER)


def may_begin(pattern: str, number: int | None) -> bool:
    """Whether a line that the pattern matches may begin with a character of this class; None is any."""
    return number is None or bool(_first(pattern) >> number & 1)


@lru_cache(4096)
def _first(pattern: str) -> int:
    """The classes that matching lines may begin with, as bits; all of them for a pattern that is not understood."""
    pieces = _TOKEN.findall(pattern)
    if not pieces or pieces[0] != "^" or _alternates(pieces):
        return _ALL
    try:
        found, optional, _ = _branches(pieces, 1, fold=False)
    except (ValueError, IndexError):
        return _ALL
    return _ALL if optional else found


def _alternates(pieces: list[str]) -> bool:
    """Whether the whole pattern is alternatives: ``^`` then stands for the first of them only."""
    depth = 0
    for piece in pieces:
        depth += (piece[0] == "(") - (piece == ")")
        if piece == "|" and not depth:
            return True
    return False


def _branches(pieces: list[str], at: int, *, fold: bool) -> tuple[int, bool, int]:
    """First characters of alternatives, whether one of them may be empty, and the place of what ends them."""
    found, empty, optional = 0, False, True
    while at < len(pieces) and pieces[at] != ")":
        if pieces[at] == "|":
            empty, optional, at = empty or optional, True, at + 1
            continue
        first, blank, at = _item(pieces, at, fold=fold, wanted=optional)
        if optional:
            found, optional = found | first, blank
    return found, empty or optional, at


def _item(pieces: list[str], at: int, *, fold: bool, wanted: bool) -> tuple[int, bool, int]:
    """First characters of one item, whether it may be empty, and the place behind it."""
    piece, blank = pieces[at], False
    if piece[0] == "(":
        first, blank, at = _branches(pieces, at + 1, fold=_folds(piece, fold))
    else:
        first, blank = _single(piece, fold) if wanted else (0, False)
    at += 1
    if at < len(pieces) and (pieces[at] in _OPTIONAL or pieces[at][:2] in ("{0", "{,")) and len(piece) > 0:
        blank = blank or piece[0] in "([\\." or len(piece) == 1
    return first, blank, at


def _folds(opening: str, fold: bool) -> bool:
    """Whether letters of the group stand for both cases. Raises ValueError for flags without a group."""
    if opening == "(?":
        raise ValueError(opening)
    on, _, off = opening[2:-1].partition("-") if opening[-1] == ":" else ("", "", "")
    if "x" in on:
        raise ValueError(opening)
    return ("i" in on or fold) and "i" not in off


@lru_cache(1024)
def _single(piece: str, fold: bool) -> tuple[int, bool]:
    """First characters of a piece that is not a group, and whether it can match the empty text."""
    if piece in ("^", "$", r"\b", r"\B") or (piece[0] in "*+?{" and len(piece) > 1) or piece in ("*", "+", "?"):
        return 0, True
    if piece == "." or piece.startswith("[^") or re.match(r"\\[A-Za-wyzA-Z]", piece):
        return _ALL, False
    characters = _members(piece[1:-1]) if piece[0] == "[" and len(piece) > 1 else {_character(piece)}
    if fold:
        characters |= {each for one in characters for each in (one.lower(), one.upper())}
        characters |= {"\u017f"} if characters & set("sSkK") else set()  # the long s and the like
    bits = 0
    for one in characters:
        bits |= 1 << _class_of(one)
    return bits, False


def _members(inner: str) -> set[str]:
    """The characters of a class. Raises ValueError for what is not understood."""
    parts = re.findall(r"\\x[0-9A-Fa-f]{2}|\\.|.", inner, re.DOTALL)
    if not parts or "[" in parts or "&&" in inner or "~~" in inner:  # classes in classes
        raise ValueError(inner)
    found, at = set[str](), 0
    while at < len(parts):
        low = high = _character(parts[at])
        if at + 2 < len(parts) and parts[at + 1] == "-":
            high, at = _character(parts[at + 2]), at + 2
        found |= {chr(code) for code in range(ord(low), min(ord(high), 128) + 1)}
        at += 1
    return found


_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}


def _character(piece: str) -> str:
    if piece[0] != "\\":
        return piece[0]
    if len(piece) == 4:
        return chr(int("0" + piece[1:], 0))
    if piece[1].isalnum() and piece[1] not in _ESCAPES:
        raise ValueError(piece)
    return _ESCAPES.get(piece[1], piece[1])
