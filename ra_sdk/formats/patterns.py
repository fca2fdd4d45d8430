"""Fragments of patterns that headers are made of, and the words for severities.

Patterns are Rust regular expressions (https://docs.rs/regex): linear time, no look-around.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

__all__ = ["COLOUR", "FRAGMENTS", "SEVERITY", "ZONES", "ascii_classes", "expanded", "severity_of", "uncaptured"]

LONGEST_LEVEL = 32  # characters: longer texts are not levels, and are not kept in memory
SEVERITY = {  # what logs call it, in lower case -> OpenTelemetry's short name
    **dict.fromkeys("trace finest finer verbose v all silly t trc trce vrb verb d3 d4 d5 debug6 debug7 debug8 debug9".split(), "TRACE"),
    **dict.fromkeys("debug d d1 d2 dbg dbug deb debg fine config debug1 debug2 debug3 debug4 debug5 7".split(), "DEBUG"),
    **dict.fromkeys("info i inf information informational notice note n log hint statement".split(), "INFO"),
    **dict.fromkeys("detail context query location success system 6 5".split(), "INFO"),
    **dict.fromkeys("warn w warning wrn warni warnin 4".split(), "WARN"),
    **dict.fromkeys("error e err eror erro failure fail severe 3 err!".split(), "ERROR"),
    **dict.fromkeys("fatal f ftl fatl critical crit c cri alert emerg emergency panic dpanic".split(), "FATAL"),
    **dict.fromkeys("a wtf assert 0 1 2".split(), "FATAL"),
}

# Zones that logs name. What stands for several places (IST, BST) is left out; the American ones are those of RFC 822.
ZONES = dict(
    zone.split("=")
    for zone in "UTC=+0000 GMT=+0000 WEST=+0100 CET=+0100 CEST=+0200 EET=+0200 EEST=+0300 MSK=+0300 SGT=+0800 HKT=+0800 "
    "JST=+0900 KST=+0900 AEST=+1000 AEDT=+1100 NZST=+1200 NZDT=+1300 EST=-0500 EDT=-0400 CST=-0600 CDT=-0500 MST=-0700 "
    "MDT=-0600 PST=-0800 PDT=-0700".split()
)

COLOUR = r"(?:\x1b|#033|\^\[|\\+(?:u001[bB]|x1[bB]|033|e))\[[0-9;:]*[mK]"  # ECMA-48 SGR and EL, also escaped: they would hide header and words
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_ZONE = rf"(?:Z| ?[+-]\d\d:?\d\d|[+-]\d\d| (?:{'|'.join(ZONES)}))"
_ISO = rf"\d{{4}}[-/.]\d\d[-/.]\d\d[T ]{_CLOCK}{_ZONE}?"
_LEVEL = "(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|ERR|FATAL|CRIT(?:ICAL)?|SEVERE|ALERT|EMERG|D?PANIC|FINE(?:R|ST)?|CONFIG)"
_WORD = (
    "trace|finest|finer|verbose|debug|info|information|notice|warn|warning|error|err|eror|fatal|critical|crit|severe|alert|"
    "emerg|emergency|panic|dpanic|inf|wrn|dbg|dbug|ftl|vrb|verb|trc|trce|fail"
)

FRAGMENTS = {  # {NAME} in the headers of the registry
    "ISO": _ISO,
    "CLOCK": _CLOCK,
    "ZONE": _ZONE,
    "MONTH": _MONTH,
    "DAY": _DAY,
    "BSD": rf"{_MONTH} [ \d]\d \d\d:\d\d:\d\d",
    "LEVEL": _LEVEL,
    "WORD": f"(?i:{_WORD})",
    "ANYLEVEL": rf"(?:LOG|Note|System|(?i:{_WORD}))",
    "HOST": r"[\w.:-]+",
    "IP": r"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:]{2,39}(?:%\w+)?)",
    "QUOTED": r"(?:[^\"\\]|\\.)*".replace(r"\"", '"'),
    "NUMBER": r"-?\d+(?:\.\d+)?",
    "GAP": r"[ \t]+(?:[-|][ \t]+)?",
}
FRAGMENTS["TIME"] = (
    "(?:"
    + "|".join(
        [
            _ISO,
            r"\d{4}[-/.]\d\d[-/.]\d\d-\d\d[.:]\d\d[.:]\d\d(?:[.,]\d{1,9})?",
            rf"{_DAY} {_MONTH} [ \d]\d {_CLOCK}(?: (?:[A-Z]{{3,4}}|[+-]\d{{4}}))? \d{{4}}",
            rf"{_DAY}, \d{{1,2}} {_MONTH} \d{{4}} {_CLOCK}{_ZONE}?",
            rf"{_MONTH} +\d{{1,2}},? \d{{4}},? \d{{1,2}}:\d\d:\d\d(?:[.,]\d{{1,9}})?(?: [AP]M)?{_ZONE}?",
            rf"{_MONTH} [ \d]\d {_CLOCK}",
            rf"\d{{1,2}}[-/ ]{_MONTH}[-/ ]\d{{4}}[ :T]{_CLOCK}{_ZONE}?",
            rf"\d\d?\.\d\d?\.\d{{4}}[ T]{_CLOCK}{_ZONE}?",
            rf"\d\d?/\d\d?/\d{{2,4}},?[ T]\d{{1,2}}:\d\d:\d\d(?:[.,]\d{{1,9}})?(?: [AP]M)?{_ZONE}?",
            rf"\d{{8}}[T -]\d\d:?\d\d:?\d\d(?:[.,]\d{{1,9}})?{_ZONE}?",
            rf"{_CLOCK}{_ZONE}?",
        ]
    )
    + ")"
)


_BETWEEN = r"(?:[ \t]*[-|:]+[ \t]+|[ \t]+|(?m:$))"
FRAGMENTS["THREAD"] = (  # a thread or process, in brackets
    r"(?:(?:\[(?P<thread__name_2>\d+|main|[a-z][\w./ -]*[-#]\d+|[\w-]*[Tt]hread[\w-]*)\]"
    rf"|\((?P<thread__name_3>\d+|[\w-]*[Tt]hread[\w-]*)\)){_BETWEEN})"
)
FRAGMENTS["BEFORE"] = (  # what stands between a time and a level: brackets, numbers, pairs, names with dots and the like
    r"(?:(?:\[(?P<thread__name>[^\]\n]{1,80})\]|\([^)\n]{1,60}\)|(?P<process__pid>\d+)(?:[#:.]\d+)?|0x[0-9a-f]+|[\w-]+@[\w-]+|"
    r"[\w.-]+=[^\s\[\]]+|(?P<service__name>[\w.$/-]+)\[(?P<process__pid_2>\d+)\]|"
    rf"(?P<log__logger>\w[\w$-]*(?:(?:\.|::|/|-)[\w$-]+)+|[a-z]\w*_\w+)):?(?:{FRAGMENTS['GAP']}|[ \t]*[|][ \t]*))"
)
FRAGMENTS["LEVELS"] = (  # a level as headers have it: in brackets, as a pair, as a capital word, as a word with a mark
    rf"(?:[\[(<] *(?P<severity>{FRAGMENTS['ANYLEVEL']}|[A-Za-z]) *[\])>]:?(?:{_BETWEEN})?"
    rf'|(?:level|lvl|severity|sev)[=:] ?"?(?P<severity_2>[A-Za-z]+)"?{_BETWEEN}'
    rf"|(?P<severity_3>{FRAGMENTS['ANYLEVEL']}|[DIWEFTVCN])[ \t]*(?:[:|]|!)(?:{_BETWEEN})?"
    rf"|(?P<severity_4>{_LEVEL}){_BETWEEN})"
)
FRAGMENTS["AFTER"] = (  # what stands between a level and the message: a source line, a thread, a logger
    rf"(?:(?P<code__file__path>[\w./-]+\.\w+):(?P<code__line__number>\d+)(?::\w+)?:?(?:[ \t]+-)?[ \t]+|{FRAGMENTS['THREAD']}|"
    rf"(?P<log__logger_2>[A-Za-z_$][\w$-]*(?:(?:\.|::|/)[\w$-]+)+)(?: *:| -)[ \t]+)"
)


def ascii_classes(pattern: str) -> str:
    r"""The pattern with ``\d``, ``\w``, ``\s`` as ASCII: Unicode's tables make capturing several times slower."""
    ranges = {r"\d": "0-9", r"\w": "0-9A-Za-z_", r"\s": r" \t\r\n\f\v"}

    def spelled(match: re.Match[str]) -> str:
        text = match[0]
        if text == r"\S":
            return rf"[^{ranges[chr(92) + 's']}]"
        if text in ranges:
            return f"[{ranges[text]}]"
        return _ESCAPE.sub(lambda escape: ranges.get(escape[0], escape[0]), text) if text[0] == "[" and "\\" in text else text

    return _CLASS.sub(spelled, pattern)


_ESCAPE, _CLASS = re.compile(r"\\."), re.compile(r"\[(?:\\.|[^\]\\])*\]|\\.")


@lru_cache(4096)
def expanded(pattern: str) -> str:
    """The pattern with its ``{NAME}`` fragments put in, and with ASCII classes. Raises KeyError for an unknown name."""
    return ascii_classes(re.sub(r"(?<!\\[pPx])\{([A-Z]{2,})\}", lambda match: FRAGMENTS[match[1]], pattern))


def uncaptured(pattern: str, keep: Collection[str] = ()) -> str:
    """The pattern without groups, but for those of the names ``keep``: finding is many times as fast as capturing."""
    return re.sub(r"\(\?P<(\w+)>", lambda match: match[0] if match[1] in keep else "(?:", pattern)


def severity_of(level: str) -> str | None:
    """The short name of a word for a severity; None where it is unknown."""
    return _short_name(level) if len(level) <= LONGEST_LEVEL else None


@lru_cache(4096)
def _short_name(level: str) -> str | None:
    return SEVERITY.get(level.strip().lower())
