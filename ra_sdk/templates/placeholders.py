"""The placeholders: one table from which masking and the filling of rationales are made.

Masking works in two tiers. *Coarse* masks are Rust regular expressions (linear time, no look-around) over a whole
column; they take what would make every line distinct. *Fine* patterns are Python regular expressions over the
distinct texts that are left. ``fills`` is what a placeholder may stand for in a body with single blanks.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["GUARDS_TOGETHER", "JOINED", "MASKS", "PLACEHOLDERS", "PODS", "RARE", "TABLE", "WILDCARD", "Mask", "Placeholder"]

WILDCARD = "<*>"


class Mask(NamedTuple):
    """A coarse replacement. ``guard``: a cheaper pattern that a column must have for it to apply (empty: always).

    ``rare``: the pattern itself is looked for too, before a column is written anew for it. ``late``: hardly makes texts
    fewer, so it is applied to the distinct texts that the others leave.
    """

    guard: str
    pattern: str
    replacement: str
    late: bool = False
    rare: bool = False


RARE = (  # a guard that masks of uncommon things share: plain strings, found in one scan
    "%ASA-|%FTD-|%PIX-|%FWSM-|ORA-|TNS-|RMAN-|PLS-|MY-|BEA-|CRS-|OGG-|KUP-|DRG-|AADSTS|JBAS|ISPN|ARJUNA|SQLSTATE|sqlstate|sqlState|eyJ"
    "|AH0|AH1|IST0|UT0|IJ0|DEP0|AMQ[12]|0000:|0001:|E11000|SQL[0-3]|ERROR [1-3]"
)


class Placeholder(NamedTuple):
    """A row of the table."""

    name: str
    meaning: str
    fills: str
    coarse: tuple[Mask, ...] = ()
    fine: str = ""


def _bounded(pattern: str) -> str:
    """A coarse pattern between ASCII word boundaries (Unicode tables cost three times the time)."""
    return rf"(?-u:\b)(?:{pattern})(?-u:\b)"


def _hex(least: int) -> str:
    """At least so many hexadecimal digits, a letter among them; not digits with one letter at the end, as in 1048576B."""
    places = [f"[0-9]{{{k}}}[a-fA-F][0-9a-fA-F]{{{least - 1 - k},}}" for k in range(least - 1)]
    return "|".join([*places, f"[0-9]{{{least - 1},}}[a-fA-F][0-9a-fA-F]+"])


_NUMBER = r"[0-9]+(?:[.,][0-9]+)*"
_AMOUNT = r"(?:[0-9]+(?:[.,](?:[0-9]+|<num>))*|<num>)"
_ALONE = r"(?<![A-Za-z0-9_.])"  # what a number with a unit must not be glued to

_CLOCK = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?:[.,](?:[0-9]{1,9}|<num>))?"
_MERIDIEM = r"(?: ?[AaPp]\.?[Mm]\b\.?)?"
_ZONE_NAME = r"(?:UTC|GMT|[CEMPAB]E?[SD]?T|JST|IST|MSK|SAST|AEST|AEDT)\b"
_ZONE = rf"(?: ?(?:Z\b|[+-][0-9]{{2}}:?[0-9]{{2}}\b|{_ZONE_NAME}))?(?: \({_ZONE_NAME}\))?"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}\.?"
_DAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},? +)?"
_ISO = r"[0-9]{4}[-/.][0-9]{2}[-/.][0-9]{2}"
_OF_DAY = rf"{_CLOCK}{_MERIDIEM}{_ZONE}"
_THEN = r"(?:,? +(?:at +)?|[T:_-])"  # between a date and a time of day
_DATES = (
    rf"{_ISO}(?:(?:[T _-]|, ?){_OF_DAY}|[T_-][0-9]{{2}}[.-][0-9]{{2}}[.-][0-9]{{2}})?",
    rf"{_DAY}{_MONTH} +[0-9]{{1,2}}(?:st|nd|rd|th)?(?:,? +[0-9]{{4}})?{_THEN}{_OF_DAY}(?: [0-9]{{4}}\b)?",
    rf"{_DAY}{_MONTH} +[0-9]{{1,2}}(?:st|nd|rd|th)?,? +[0-9]{{4}}\b",
    rf"{_DAY}[0-9]{{1,2}}(?:st|nd|rd|th)?[-/. ]{_MONTH}[-/ ,]+[0-9]{{2,4}}\b(?:{_THEN}{_OF_DAY})?",
    rf"[0-9]{{1,2}}[/.-][0-9]{{1,2}}[/.-](?:19|20)[0-9]{{2}}\b(?:{_THEN}{_OF_DAY})?",
    rf"[0-9]{{1,2}}/[0-9]{{1,2}}/[0-9]{{2}},? {_OF_DAY}",
)
_COMPACT = (
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
    r"[T_-](?:[01][0-9]|2[0-3])[0-5][0-9](?:[0-5][0-9](?:[.,]?[0-9]{1,9})?)?(?:Z|[+-][0-9]{4})?"
)
_OF_DAY_ALONE = rf"[0-9]{{1,2}}:[0-9]{{2}}:[0-9]{{2}}(?:[.,](?:[0-9]{{1,9}}|<num>))?{_MERIDIEM}{_ZONE}"
_TIME = "|".join([_COMPACT, *_DATES, _OF_DAY])

_V4 = r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"
_LENGTH = r"(?:/[0-9]{1,5})?"  # of a prefix, or a port as firewalls write it
_GROUP = "[0-9a-fA-F]{1,4}"
_GROUP_WITH_DIGIT = r"(?:[0-9][0-9a-fA-F]{0,3}|[a-fA-F][0-9][0-9a-fA-F]{0,2}|[a-fA-F]{2}[0-9][0-9a-fA-F]?|[a-fA-F]{3}[0-9])"
_SHORT_V6 = rf"{_GROUP_WITH_DIGIT}(?::{_GROUP}){{0,6}}::(?:{_GROUP}(?::{_GROUP}){{0,6}}(?:\.[0-9.]{{5,11}})?)?"
_LONG_V6 = rf"(?:{_GROUP}:){{7}}{_GROUP}"
_LOCAL_V6 = rf"::(?:{_GROUP_WITH_DIGIT}|[fF]{{4}}:{_V4}|[fF]{{4}}:{_GROUP}:{_GROUP})"
_ZONE_ID = r"(?:%[A-Za-z][A-Za-z0-9.-]*)?"
_PCI = r"000[0-9a-fA-F]:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}(?:\.[0-7])?"  # domain, bus, device and function
_MAC = r"(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}|[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}"
_GROUPED = (  # what hardware addresses, whole IPv6 addresses, UUIDs and compact dates have in common; one scan for all
    r"(?:[0-9a-fA-F]{1,4}[:-]){5}|[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-|[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}|(?:19|20)[0-9]{6}[T_-][0-9]{4}"
)
_LONG_HEX = _bounded(_hex(8))
_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_URL = r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s\"'<>|,;)\]}]+"
_EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
_PATH = r"(?:~|\.{1,2})?/[A-Za-z0-9_.@%+~-](?:[A-Za-z0-9_.@%+~:/=-]*[A-Za-z0-9_@%+~/=-])?"
_JWT = r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]{4,}){1,4}"
_LONG_ID = (  # letters and digits in turn; shorter ones are left to the fine tier
    r"[A-Za-z0-9]{9,}[0-9][A-Za-z]+[0-9][A-Za-z0-9]*|[A-Za-z0-9]*[0-9][A-Za-z]+[0-9][A-Za-z0-9]{9,}"
)
_FRACTION = r"([0-9])\.(?:[0-9]{3,}[1-9]|[0-9]{0,2}[1-9][0-9]{3})[0-9]*"  # four digits and more, not all zero

_SIZE_UNIT = r"(?:[KMGTPE]i?[Bb]|[kmg]i?[Bb]|[KMGTP]i?|k|g|[Bb]|[KMGTkmg]bits?|[KMGkmg]bps)"
_TIME_UNIT = (
    r"(?i:ns|nsecs?|nanoseconds?|us|µs|μs|usecs?|microseconds?|ms|msecs?|millis(?:econds?)?|"
    r"s|secs?|seconds?|mins?|minutes?|hrs?|hours?|days?|weeks?)"
)
_SPAN = (
    rf"{_ALONE}(?:(?P<span>{_AMOUNT})\s?(?P<unit>{_TIME_UNIT})(?![A-Za-z0-9_/])"
    rf"|(?P<short>{_AMOUNT})(?P<letter>[mhd])(?![A-Za-z0-9_])"
    rf"|(?P<compound>(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|h|m|s|d)){{2,6}})(?![A-Za-z0-9_]))"
)
_QUANTITY = r"(?:(?:[0-9]+(?:[.,][0-9]+)*|<num>) ?[A-Za-zµμ]+)+"
_D = "(?:[0-9]|<num>)"
_PERCENTAGE = rf"(?:{_NUMBER}|<num>) ?%"

PODS = (  # the ends of the names of Kubernetes pods
    r"-(?:<hex>|[a-z0-9]*[0-9][a-z0-9]*|<num>)-[bcdfghjklmnpqrstvwxz2456789]{5}(?![A-Za-z0-9])"
    r"|-(?=[a-z]*[0-9])(?=[0-9]*[a-z])(?![a-z]{4}[0-9])[bcdfghjklmnpqrstvwxz2456789]{5}(?![A-Za-z0-9-])"
)
JOINED = r"(?:[A-Za-z0-9+/_-]|<num>|<hex>){10,}={0,2}(?![A-Za-z0-9])"  # words that may be parts of one generated name
_WORD = r"(?:[A-Za-z0-9]|<num>|<hex>){8,}(?![A-Za-z0-9])"

TABLE = (
    Placeholder(WILDCARD, "any text (where mining saw it vary)", r"\S+"),
    Placeholder("<url>", "a URL", r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>|,;)\]}]+", (Mask("://", rf"(?-u:\b){_URL}", "<url>"),)),
    Placeholder(
        "<id>",
        "a generated name of mixed digits and letters",
        r"[0-9A-Za-z](?:[0-9A-Za-z_.~+/-]*[0-9A-Za-z_=])?",
        (
            Mask(RARE, rf"(?-u:\b){_JWT}", "<id>"),
            Mask("", rf"(^|[^A-Za-z0-9>_+/-])(?:{_LONG_ID})($|[^A-Za-z0-9<_+/=-])", "${1}<id>${2}", late=True),
        ),
        _WORD,
    ),
    Placeholder(
        "<uuid>",
        "a UUID",
        _UUID,
        (Mask(_GROUPED, _UUID, "<uuid>", rare=True),),
    ),
    Placeholder("<email>", "a mail address", r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+", (Mask("@", _bounded(_EMAIL), "<email>"),)),
    Placeholder(
        "<mac>",
        "a hardware address: of a network interface, or of a PCI device",
        rf"{_MAC}|{_PCI}",
        (
            Mask(_GROUPED, _bounded(_MAC), "<mac>", rare=True),
            Mask(RARE, rf"(^|PCI:|[^:A-Za-z0-9]){_PCI}($|[^:A-Za-z0-9]|:[^0-9A-Za-z])", "${1}<mac>${2}", rare=True),
        ),
    ),
    Placeholder(
        "<ip>",
        "an IPv4 or IPv6 address, with its prefix length if it has one",
        rf"\b{_V4}{_LENGTH}|(?:[0-9a-fA-F]{{0,4}}(?::[0-9a-fA-F]{{0,4}}){{2,7}}(?:[.][0-9.]+)?){_ZONE_ID}{_LENGTH}",
        (
            Mask("::", rf"(?-u:\b){_SHORT_V6}{_ZONE_ID}{_LENGTH}", "<ip>", rare=True),
            Mask("::", rf"(^|[\s=\"'`(\[,@/]){_LOCAL_V6}{_LENGTH}(?-u:\b)", "${1}<ip>", rare=True),
            Mask("::", r"\[::\]", "[<ip>]", rare=True),
            Mask("", rf"(?-u:\b){_V4}(?-u:\b){_LENGTH}", "<ip>"),
            Mask(_GROUPED, rf"(?-u:\b){_LONG_V6}{_ZONE_ID}{_LENGTH}", "<ip>", rare=True),
        ),
    ),
    Placeholder(
        "<path>",
        "a file path",
        r"[^\s\"'<>|,;]+",
        (
            Mask("/", rf"(^|[\s=\"'`(\[:,<>])({_PATH})", "${1}<path>"),
            Mask(r"\\", r"(?-u:\b)[A-Za-z]:\\[^\s\"'<>|,;]+", "<path>"),
        ),
        r"(?<![\w/<>.])\.{0,2}/[\w.@%+~-]+(?:/[\w.@%+~:=-]*)+",
    ),
    Placeholder(
        "<time>",
        "a date, a time of day or both",
        rf"(?:{_TIME})",
        (
            Mask(_GROUPED, rf"(?-u:\b){_COMPACT}(?-u:\b)", "<time>", rare=True),
            Mask("[0-9]{4}[-/.][0-9]{2}[-/.]", rf"(?-u:\b){_DATES[0]}", "<time>", late=True),
            Mask(_MONTH, rf"(?-u:\b)(?:{_DATES[1]}|{_DATES[2]}|{_DATES[3]})", "<time>", late=True),
            Mask("[/.-](?:19|20)[0-9]{2}", rf"(?-u:\b){_DATES[4]}", "<time>", late=True),
            Mask("[0-9]/[0-9]{1,2}/[0-9]{2},? [0-9]", rf"(?-u:\b){_DATES[5]}", "<time>", late=True),
            Mask(":[0-9]{2}:", rf"(?-u:\b){_OF_DAY_ALONE}", "<time>", late=True),
        ),
        rf"(?<![A-Za-z0-9:.])[0-9]{{1,2}}:[0-9]{{2}}(?::[0-9]{{2}})?(?![A-Za-z0-9:]){_MERIDIEM}",
    ),
    Placeholder(
        "<ver>",
        "a version",
        r"[vV]?[0-9]+\.[0-9]+\.[0-9]+(?:[.\-+][0-9A-Za-z]+)*",
        fine=r"(?<![A-Za-z0-9.])[vV]?[0-9]+\.[0-9]+\.[0-9]+(?:[.\-+](?:[0-9A-Za-z]+|<num>|<hex>))*(?![A-Za-z0-9])",
    ),
    Placeholder("<pct>", "a percentage under 90", _PERCENTAGE, fine=rf"(?P<percentage>{_AMOUNT})\s?%"),
    Placeholder("<highpct>", "a percentage from 90 up, other than 100", _PERCENTAGE),
    Placeholder("<ms>", "a duration under a second", _QUANTITY, fine=_SPAN),
    Placeholder("<sec>", "a duration from a second up, under a minute", _QUANTITY),
    Placeholder("<min>", "a duration from a minute up, under an hour", _QUANTITY),
    Placeholder("<hours>", "a duration of an hour or more", _QUANTITY),
    Placeholder(
        "<size>",
        "an amount of data, with its unit",
        _QUANTITY,
        fine=rf"(?<![A-Za-z0-9_.])(?!0[0-9])(?P<size>{_AMOUNT})\s?{_SIZE_UNIT}(?![A-Za-z0-9_])",
    ),
    Placeholder(
        "<n>",
        "the same number on both sides of a slash, as in 3/3",
        "[0-9]+",
        fine=(
            rf"(?P<slashes>(?<![A-Za-z0-9/.])-?{_AMOUNT}(?:/[-+]?{_AMOUNT}){{2,}}(?![A-Za-z0-9/]))"
            r"|(?<![A-Za-z0-9/.])(?P<left>[0-9]+)(?P<over>/|\s(?:out\s)?of\s)(?P<right>[0-9]+)(?![A-Za-z0-9/.%])"
        ),
    ),
    Placeholder(
        "<hex>",
        "a hexadecimal number other than zero, with or without 0x",
        r"(?:0[xX])?[0-9a-fA-F]+",
        (
            Mask("0[xX]", r"(?-u:\b)0x0+(?-u:\b)", "0x0"),
            Mask("0[xX]", r"(?-u:\b)0[xX][0-9a-fA-F]*[1-9a-fA-F][0-9a-fA-F]*", "<hex>"),
            Mask(_LONG_HEX, _LONG_HEX, "<hex>"),
            Mask("_[0-9a-fA-F]{8}", rf"_(?:{_hex(8)})($|[^A-Za-z0-9_<])", "_<hex>${1}", late=True),
        ),
        "|".join(
            rf"(?:{_D}+[{letters}]+{_D}|[{letters}]+{_D}+[{letters}]|(?:{_D}{{2,}}|<num>)[{letters}]{{2,}}|[0-9][{letters}]{{3,}})(?:{_D}|[{letters}])*(?![A-Za-z0-9])"
            for letters in ("a-f", "A-F")
        ),
    ),
    Placeholder(
        "<num>",
        "a number other than zero",
        rf"(?:(?<=_)-)?{_NUMBER}",  # a mask takes the sign of names such as blk_-608999687919862906
        (
            Mask("_-", r"_-[0-9]{5,}", "_<num>"),
            Mask("", r"[1-9][0-9]{4,}(?:\.[0-9]+)?|0+[1-9][0-9]{4,}", "<num>"),
            Mask(r"\.[0-9]{4}", _FRACTION, "${1}.5", late=True),
        ),
        _AMOUNT,
    ),
)
PLACEHOLDERS = {row.name: row.meaning for row in TABLE}
GUARDS_TOGETHER = ((RARE, "://", "::", "0[xX]"), (_GROUPED, _LONG_HEX))  # of each, one scan tells which texts may have any
MASKS = tuple(mask for row in TABLE for mask in row.coarse)
