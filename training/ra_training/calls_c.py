"""Log calls of C and C++: functions and macros named for a level, level constants, KERN_ prefixes, ereport, streams."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from ra_training.literals import Argument, Call, Syntax, arguments
from ra_training.messages import Judged, first_message, level_of, message, words_of

__all__ = ["C_CALL", "c_calls"]

C_CALL = re.compile(r"\b(?:(?P<name>[A-Za-z_][\w:]*)\b\s*\(|g_log\s*<<\s*Logger::(?P<stream>\w+)\s*(?=<<))")

_NOT_LOGGING = frozenset(  # words of functions that make, keep or send an error and do not log it
    "set get add reply put append str strings test assert expect make new create is has free init register throw raise usage parse parser syntax"
    " yy py lua json return send http xml to from of code codes num count counter stats stat type handle handler check ignore clear reset map cb"
    " callback last next begin end token snprintf fprintf sprintf asprintf strerror perror option opt opts help format fmt define case".split()
)
_LOGGING = frozenset(
    "log logs logger syslog ereport print printk printf msg message messages report write debug trace journal elog audit vlog zlog flog output event"
    " emit debugs dev pr lm die logging say logm tell condlog".split()
)
_CONSTANT = re.compile(r"[\s&!*]*(?:\w+(?:::|\.|->))?(?:[A-Z]\w+|E|W)(?:\s*[|:]\s*\w+)*\s*")
_BY_NUMBER = {"DEBUG", "DBGC", "DEBUGC", "DEBUGADD", "condlog"}  # samba, multipath: 0 is the most severe
_NUMBERS = {"0": "ERROR", "1": "ERROR", "2": "WARN", "3": "INFO"}
_OWN_LEVELS = {  # constants whose words do not tell
    "LDAP_DEBUG_ANY": "ERROR",
    "SSSDBG_OP_FAILURE": "ERROR",
    "SSSDBG_MINOR_FAILURE": "WARN",
    "LOG": "INFO",
    "COMMERROR": "INFO",
    "LOG_SERVER_ONLY": "INFO",
    "DBG_CRITICAL": "ERROR",
}
_SEVEREST_FIRST = ("FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE")
_LONGEST_STREAM = 2_000


def c_calls(source: str, found: re.Match[str], syntax: Syntax, _: Mapping[str, str]) -> Judged:
    """What a match of ``C_CALL`` logs."""
    if found["stream"]:
        yield from _streamed(source, found.end(), level_of(found["stream"]), syntax)
        return
    name = found["name"]
    if not _may_log(name):
        return
    given, end = arguments(source, found.end(), syntax)
    if source[end : end + 40].lstrip().startswith("<<"):
        yield from _streamed(source, end, _level(name, given), syntax)
    elif given and name.startswith("ereport"):
        yield from _ereport(given, syntax)
    elif given and name.startswith("printk"):
        yield from _printk(given, syntax)
    elif given:
        yield from _plain(name, given, syntax)


@lru_cache(maxsize=200_000)
def _may_log(name: str) -> bool:
    words = words_of(name)
    if not words or not _NOT_LOGGING.isdisjoint(words):
        return False
    return bool(level_of(name)) or not _LOGGING.isdisjoint(words) or "log" in name.lower()


def _plain(name: str, given: Sequence[Argument], syntax: Syntax) -> Judged:
    picked = first_message(given, syntax)
    level = _level(name, given[: picked[0]]) if picked else ""
    if picked and level:
        text = picked[1]
        yield level, text, "brace" if "{}" in text and "%" not in text else "printf"


def _level(name: str, before: Sequence[Argument]) -> str:
    """The level by a constant before the message or, where there is none, by the name of what is called.

    A severe name gives way to constants of syslog's kind only: others may name the error itself.
    """
    level = level_of(name)
    for argument in before:
        code = argument[0].strip() if len(argument) == 1 and isinstance(argument[0], str) else ""
        if level in ("FATAL", "ERROR", "WARN") and "LOG" not in code:
            continue
        told = _told(code) if _CONSTANT.fullmatch(code) else _NUMBERS.get(code, "") if name in _BY_NUMBER else ""
        if told:
            return told
    return level or ("DEBUG" if name in _BY_NUMBER else "INFO" if {"log", "syslog"} & set(words_of(name)) else "")


def _told(code: str) -> str:
    """The level of a constant such as LOG_ERR, LL_WARNING, Logger::Error or LOG_MAIN|LOG_PANIC."""
    if code in _OWN_LEVELS:
        return _OWN_LEVELS[code]
    told = {level_of(word) for word in re.findall(r"\w+", code) if word[0].isupper()}
    return next((level for level in _SEVEREST_FIRST if level in told), "")


def _printk(given: Sequence[Argument], syntax: Syntax) -> Judged:
    """The Linux kernel: printk(KERN_ERR "…", …)."""
    text = message(given[0], syntax)
    kern = re.search(r"KERN_(\w+)", " ".join(piece for piece in given[0] if isinstance(piece, str)))
    level = level_of(kern.group(1)) if kern else ""
    if text and level:
        yield level, text, "printf"


def _ereport(given: Sequence[Argument], syntax: Syntax) -> Judged:
    """PostgreSQL: ereport(ERROR, (errcode(…), errmsg("…", …), errhint("…")))."""
    level = _told(given[0][0].strip()) if isinstance(given[0][0], str) else ""
    for name, call in _within(given[1:]):
        picked = first_message(call.arguments, syntax) if level and re.fullmatch(r"err(?:msg|detail|hint)(?:_\w+)?", name) else None
        if picked:
            yield level, picked[1], "printf"


def _within(given: Sequence[Argument]) -> Iterator[tuple[str, Call]]:
    for argument in given:
        for piece in argument:
            if isinstance(piece, Call):
                yield piece.name.split()[-1] if piece.name else "", piece
                yield from _within(piece.arguments)


def _streamed(source: str, start: int, level: str, syntax: Syntax) -> Judged:
    """LOG(ERROR) << "…" << x: the stream goes on to the semicolon."""
    rest, _ = arguments(source[start : start + _LONGEST_STREAM].split(";")[0] + ")", 0, syntax)
    text = message(rest[0], syntax) if rest else None
    if level and text:
        yield level, text, "plain"
