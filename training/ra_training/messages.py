"""What a log call says: the level that a name tells, and the message that an argument makes of its literals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from ra_training.literals import Argument, Call, Literal, Syntax

__all__ = ["HOLE", "Found", "Judged", "first_message", "is_log", "level_of", "message", "words_of"]

HOLE = "\x00"  # where the source gives a value as an expression


class Found(NamedTuple):
    """A log call: ``text`` has HOLE for expressions, and still the conversions of its format."""

    line: int
    level: str
    text: str
    style: str  # of the conversions: printf, brace, both, tilde or plain


Judged = Iterator[tuple[str, str, str]]  # level, text, style

_LEVELS = {
    "FATAL": "emerg emergency alert crit critical fatal panic die",
    "ERROR": "e err error errors severe failure exception loge",
    "WARN": "w warn warning warnx logw important",
    "INFO": "notice info inform information informational logi infos",
    "DEBUG": "debug dbg fine verbose logd",
    "TRACE": "trace finer finest logt",
}
_LEVEL_OF = {word: level for level, words in _LEVELS.items() for word in words.split()}
_GLUED = re.compile(r"(?:dm|p|x|cli|ha|sys|log|msg|my|re|i|ntf)(err|error|warn|warning|fatal|crit)")  # as in DMERR, cli_warnmsg's cousins
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@lru_cache(maxsize=200_000)
def words_of(name: str) -> tuple[str, ...]:
    """The words of an identifier, in lower case."""
    return tuple(word.lower() for word in _WORD.findall(name))


@lru_cache(maxsize=200_000)
def level_of(name: str) -> str:
    """The level that an identifier tells (its last word that tells one), or an empty text."""
    for word in reversed(words_of(name)):
        if word in _LEVEL_OF and (len(word) > 1 or "log" in name.lower()):
            return _LEVEL_OF[word]
        glued = _GLUED.fullmatch(word)
        if glued:
            return _LEVEL_OF[glued.group(1)]
    return ""


_LOG = re.compile(r"log|lg\b|console|winston|\btrace\b", re.IGNORECASE)
_NO_LOG = re.compile(r"dialog|catalog|blog|login|logic|logout|analog|logarithm|logs\b|math", re.IGNORECASE)


@lru_cache(maxsize=200_000)
def is_log(name: str) -> bool:
    """Whether something of this name is a log."""
    return bool(_LOG.search(name)) and not _NO_LOG.search(name)


_TRANSPARENT = re.compile(  # calls that only format or translate their argument
    r"(?:^|[.:>])(?:_|N_|L|T|G_|gettext\w*|_[a-z]\w?|tr|i18n|format|\w*[sS]printf\w*|formatted|concat|\w*Message(?:Format)?|errmsg\w*|f|s"
    r"|errors\.New|fmt\.Errorf|of|str|Text|Supplier|lazy)$"
)
_PASSES = re.compile(r"->\s*$|=>\s*$|^(?:return|new|throw)\b")
_INTEGER_MACRO = re.compile(r"PR[IiuXxod]+[A-Z]*?([dioxXu])(?:8|16|32|64|PTR|MAX)\b")  # "%" PRIu64
_STREAM_WORD = re.compile(r"\b(?:endl|std::|dec|hex|setw|flush|sv|s)\b")


def message(argument: Argument, syntax: Syntax) -> str | None:
    """What an argument makes of its literals, with HOLE for what is not literal; None if it has none."""
    chosen = _alternative(argument)
    if chosen:
        return message(chosen, syntax)
    out = []
    for before, piece in zip([None, *argument], argument):
        if isinstance(piece, Literal):
            out.append(_interpolated(piece, syntax))
        elif isinstance(piece, Call) and isinstance(before, Literal) and piece.name.startswith("."):
            continue  # "…".formatted(x)
        elif isinstance(piece, Call):
            out.append(_called(piece, syntax))
        else:
            out.append(_code(piece, out[-1] if out else "", syntax))
    return "".join(out) if any(text.strip(HOLE) for text in out) else None


def first_message(given: Sequence[Argument], syntax: Syntax) -> tuple[int, str] | None:
    """The first argument with a message of several words, else with any text; and its place."""
    found = [(at, text) for at, text in enumerate(message(argument, syntax) for argument in given) if text]
    return next((one for one in found if re.search(r"[A-Za-z]{2}\S*\s", one[1])), found[0] if found else None)


def _alternative(argument: Argument) -> Argument:
    """The first of two messages, of ``x ? "…" : "…"``; else nothing."""
    codes = [(at, piece.strip()) for at, piece in enumerate(argument) if isinstance(piece, str)]
    asked = next((at for at, code in codes if code.endswith("?")), None)
    other = next((at for at, code in codes if asked is not None and at > asked and code.startswith(":")), None)
    return argument[asked + 1 : other] if asked is not None and other is not None else []


def _called(call: Call, syntax: Syntax) -> str:
    if not call.name and not call.arguments[0]:  # of a lambda
        return ""
    if (call.name and not _TRANSPARENT.search(call.name)) or any(map(_alternative, call.arguments)):
        return HOLE
    return next((text for text in (message(one, syntax) for one in call.arguments) if text), HOLE)


def _code(code: str, before: str, syntax: Syntax) -> str:
    """What code after a text stands for: nothing where it only joins literals, a HOLE where it is a value."""
    streamed = syntax.joins == "<<" and "<<" in code
    bare = code.replace("<<", " ").strip() if streamed else code.strip().strip(syntax.joins).strip()
    if _PASSES.search(bare):
        return ""
    if syntax.adjacent and not streamed:
        conversion = _INTEGER_MACRO.search(bare)
        if conversion:
            return "x" if conversion.group(1) in "xX" else "d"
        if re.fullmatch(r"\w*(?:FMT|FORMAT)\w*", bare):
            return "d" if before.endswith("%") else "%s"
        if re.fullmatch(r"KERN_\w+|pr_fmt|L|u8|", bare):
            return ""
    bare = _STREAM_WORD.sub("", bare).strip(" :")
    return HOLE if bare else ""


def _interpolated(literal: Literal, syntax: Syntax) -> str:
    """The text of a string, its expressions replaced."""
    if not syntax.interpolation or syntax.interpolates not in literal.quote:
        return literal.text
    return re.sub(syntax.interpolation, HOLE, literal.text)
