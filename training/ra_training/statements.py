"""Messages of source code as templates: what the product's masks make of them once values stand in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count

from ra_sdk.templates.masks import mask
from ra_sdk.templates.placeholders import PLACEHOLDERS, WILDCARD

from ra_training.messages import HOLE

__all__ = ["LONGEST", "templates", "worth"]

LONGEST = 300  # characters of a template
LEAST = 3  # words

_NUMBERS = (  # stand-ins for numbers; what the masks keep of either is a value that decides, so its place stays open
    (47, 59, 38, 26, 83, 64, 71, 92),
    (503, 404, 137, 139, 429, 255, 143, 111),
)
_PRINTF = re.compile(
    r"(?P<kernel>%p[A-Z]\w{0,4})|(?P<percent>%%)|(?P<own>%[A-Z]{1,2}(?![A-Za-z]))"  # own: %V, %HL of formatters of their own
    r"|(?:%\([^)]*\)|%(?:\d+\$)?)[#0+'`-]*(?:\*|\d+)?(?:\.(?:\*|\d*))?(?:hh|h|ll|l|L|q(?=[duxi])|j|z|t|I64|I32)*(?P<kind>[diuoxXeEfFgGaAcspmvqTtUnr@bS])"
)
_STANDARD = ("%X", "%E", "%F", "%G", "%A", "%LX")
_BRACE = re.compile(r"\{[\w.!:?#@,<>^+\-$\[\]/ ]{0,40}\}")
_TILDE = re.compile(r"~[\d.*]*[a-zA-Z]")
_UNIT = r"ms|msecs?|milliseconds?|s|secs?|seconds?|min|minutes?|hours?|days?|bytes|[KMG]i?B"
_MEASURED = re.compile(rf"{HOLE}( ?(?:%|(?:{_UNIT})(?![A-Za-z0-9_])))")  # what has a unit is a number
_KERNEL = {"M": "00:1b:44:11:3a:b7", "m": "001b44113ab7", "I": "198.51.100.7", "U": "6f1c2b3a-8d4e-4f5a-9b6c-7d8e9f0a1b2c"}  # %pM, %pI4, %pUb
_BYTE, _WORD_OF_MEMORY, _POINTER = "a7", "3fa9c1e2", "0x7f3a5c2b"


def templates(texts: Sequence[str], styles: Sequence[str]) -> list[str]:
    """The templates of messages. Equal length, same order.

    ``styles``: the conversions of each: printf (%d), brace ({}), both, tilde (~p), or plain for none.
    """
    first, second = ([_filled(text, style, numbers) for text, style in zip(texts, styles)] for numbers in _NUMBERS)
    return [_agreed(one, other) for one, other in zip(mask(first), mask(second))]


def _filled(text: str, style: str, numbers: Sequence[int]) -> str:
    """The first line of a message, with stand-ins for its values."""
    turn = count()
    text = text.strip().partition("\n")[0]
    if style in ("printf", "both"):
        text = _PRINTF.sub(lambda found: _stand_in(found, numbers, turn), text)
    if style in ("brace", "both"):
        text = _BRACE.sub(HOLE, text.replace("{{", "\x01").replace("}}", "\x02")).replace("\x01", "{").replace("\x02", "}")
    if style == "tilde":
        text = _TILDE.sub(HOLE, text)
    text = _MEASURED.sub(lambda found: _number(numbers, turn) + found[1], " ".join(text.split()))
    text = re.sub(r"\S+", _path, re.sub(f"{HOLE}+", HOLE, text))
    return text.replace(HOLE, WILDCARD)


def _stand_in(found: re.Match[str], numbers: Sequence[int], turn: count[int]) -> str:
    if found["percent"]:
        return "%"
    if found["kernel"]:
        return _KERNEL.get(found.group()[2], HOLE)
    if found["own"] and found["own"] not in _STANDARD:
        return HOLE
    kind = found["kind"] or found["own"][1]
    if kind in "diuo":
        return _number(numbers, turn)
    if kind in "eEfFgGaA":
        return f"{_number(numbers, turn)}.5"
    if kind in "xX":
        return _POINTER if "#" in found.group() else _BYTE if found.group()[-2] == "2" else _WORD_OF_MEMORY
    return _POINTER if kind == "p" else HOLE


def _number(numbers: Sequence[int], turn: count[int]) -> str:
    return str(numbers[next(turn) % len(numbers)])


def _path(word: re.Match[str]) -> str:
    """A word that starts like a path is one, whatever its parts are."""
    return word.group().replace(HOLE, "name") if re.match(r"[\"'(\[`]?/[\w.-]", word.group()) else word.group()


_NUMBER = re.compile(r"(?<![A-Za-z0-9.])\d+(?:\.5)?(?![A-Za-z0-9])")


def _agreed(one: str, other: str) -> str:
    """What two maskings agree on; a number that stands in either is open where they differ."""
    words, others = one.split(" "), other.split(" ")
    if len(words) != len(others):
        return one
    return " ".join(word if word == twin else _open(word, twin) for word, twin in zip(words, others))


def _open(word: str, twin: str) -> str:
    for kept in (word, twin):
        if _NUMBER.search(kept):
            return _NUMBER.sub(WILDCARD, kept)
    return word


_PLAIN_WORD = re.compile(r"(?<![^\s(\"'\[])[A-Za-z][A-Za-z'-]+(?=[)\"'\],.:;!?]*(?:\s|$))")
_CODE = re.compile(r"\b(?:E[A-Z]{3,}|SIG[A-Z]{3,}|[A-Z]{2,}[-_][A-Z0-9_-]{2,}|[A-Z]{3,}\d{2,})\b")
_PLACEHOLDER = re.compile("|".join(re.escape(placeholder) for placeholder in PLACEHOLDERS))
_NOT_LOGGED = re.compile(r"usage:", re.IGNORECASE)  # what a command prints to its user


def worth(template: str) -> bool:
    """Whether a template says enough to be explained: three words, or a code and a word; and is not too long."""
    if len(template) > LONGEST or _NOT_LOGGED.match(template):
        return False
    bare = _PLACEHOLDER.sub(" ", template)
    words = len(_PLAIN_WORD.findall(bare))
    return words >= LEAST or (words >= 1 and bool(_CODE.search(bare)))
