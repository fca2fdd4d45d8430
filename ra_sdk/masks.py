"""The masks: one closed list of placeholders, used by the product and by training alike.

Masking keeps what decides. Zero stays ``0``; exit codes, signals and HTTP statuses stay as they are; percentages and
durations keep their class; ``3/3`` reads otherwise than ``2/3``. Everything else that varies becomes a placeholder.

Two tiers, always applied one after the other. *Coarse* masks run over whole columns (Rust regular expressions, linear time) and
take what would make every line distinct; *fine* masks are one pass of one Python pattern over the distinct texts that are left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["PLACEHOLDERS", "coarse", "fine", "mask", "without_times", "without_values"]

WILDCARD = "<*>"
PLACEHOLDERS = {
    WILDCARD: "any text (where mining saw it vary)",
    "<num>": "a number other than zero",
    "<n>": "the same number on both sides of a slash, as in 3/3",
    "<hex>": "a hexadecimal number other than zero, with or without 0x",
    "<id>": "a generated name of mixed digits and letters",
    "<uuid>": "a UUID",
    "<time>": "a date, a time of day or both",
    "<ip>": "an IPv4 or IPv6 address",
    "<mac>": "a hardware address",
    "<url>": "a URL",
    "<email>": "a mail address",
    "<path>": "a file path",
    "<ver>": "a version",
    "<pct>": "a percentage under 90",
    "<highpct>": "a percentage from 90 up, other than 100",
    "<ms>": "a duration under a second",
    "<sec>": "a duration from a second up, under a minute",
    "<min>": "a duration from a minute up, under an hour",
    "<hours>": "a duration of an hour or more",
}

LONGEST = 1024  # characters: a longer body is mined by its head and tail
HEAD, TAIL = 700, 300

# Rust regular expressions (no look-around), in this order. ASCII classes: Unicode tables cost three times the time.
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}"
_DATE = r"[0-9]{4}[-/.][0-9]{2}[-/.][0-9]{2}"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_FRACTION = r"(?:[.,](?:[0-9]{1,9}|<num>))?"
_GROUPS = "(?:[0-9a-fA-F]{1,4}[:-]){5}"  # what a hardware address and a whole IPv6 address have in common
VALUES: tuple[tuple[str, str, str], ...] = (  # (a pattern without which there is nothing to do or "", pattern, replacement)
    ("://", r"(?-u:\b)[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s\"'<>|,;)\]}]+", "<url>"),
    ("-", r"(?-u:\b)[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(?-u:\b)", "<uuid>"),
    ("@", r"(?-u:\b)[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}(?-u:\b)", "<email>"),
    (_GROUPS, r"(?-u:\b)(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}(?-u:\b)", "<mac>"),
    ("", r"(?-u:\b)[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?-u:\b)", "<ip>"),
    ("::", r"(?-u:\b)(?:[0-9a-fA-F]{1,4}:){1,7}:(?:[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){0,6})?(?-u:\b)", "<ip>"),
    (_GROUPS, r"(?-u:\b)(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?-u:\b)", "<ip>"),
    ("/", r"(^|[\s=\"'`(\[:,<>])((?:~|\.{1,2})?/[A-Za-z0-9_.@%+~-](?:[A-Za-z0-9_.@%+~:/=-]*[A-Za-z0-9_@%+~/=-])?)", "${1}<path>"),
    (r"\\", r"(?-u:\b)[A-Za-z]:\\[^\s\"'<>|,;]+", "<path>"),
    ("0x", r"(?-u:\b)0x0+(?-u:\b)", "0x0"),
    ("0[xX]", r"(?-u:\b)0[xX][0-9a-fA-F]*[1-9a-fA-F][0-9a-fA-F]*", "<hex>"),
    ("", r"(?-u:\b)(?:(?:[0-9]+[a-fA-F]|[a-fA-F]+[0-9])[0-9a-fA-F]{6,}|[0-9]{5,}[a-f][0-9a-f]+)(?-u:\b)", "<hex>"),
    ("_-", r"_-[0-9]{5,}", "_<num>"),
    ("", r"[1-9][0-9]{4,}(?:\.[0-9]+)?|0+[1-9][0-9]{4,}", "<num>"),
)
TIMES: tuple[tuple[str, str, str], ...] = (  # these hardly make texts fewer where the numbers are gone: distinct texts are enough
    (":", rf"(?-u:\b)(?:{_DAY},? )?{_MONTH} +[0-9]{{1,2}}(?: [0-9]{{4}})? {_CLOCK}{_FRACTION}(?: [0-9]{{4}})?(?-u:\b)", "<time>"),
    ("", rf"(?-u:\b){_DATE}(?:[T _-][0-9]{{2}}[:.][0-9]{{2}}[:.][0-9]{{2}}{_FRACTION})?(?:Z|[+-][0-9]{{2}}:?[0-9]{{2}})?", "<time>"),
    (":", rf"(?-u:\b)[0-9]{{1,2}}/{_MONTH}/[0-9]{{4}}:{_CLOCK}(?: [+-][0-9]{{4}})?", "<time>"),
    (":", rf"(?-u:\b){_CLOCK}{_FRACTION}", "<time>"),
)

COARSE = (*VALUES, *TIMES)

_NAMES = (  # names that carry digits and are words, not values
    "x86_64|x86|x509|sha1|sha256|sha384|sha512|md5|base64|utf-?8|utf-?16|ipv4|ipv6|i2c|ext[234]|jbd2|ec2|s3|k8s|k3s|log4j2?|oauth2|http/[123](?:\\.[01])?|h2|i18n|win32|"
    "amd64|arm64|aes128|aes256|rsa2048|tls1\\.[0123]|tlsv1\\.[0123]|tlsv1|raid(?:10|[0156])|nfsv?[34]|smb[123]|usb[123]|wpa[23]|p50|p90|p95|p99|l[1-7]|python[23]|v[1-9]|[2345]xx|int(?:8|16|32|64)|uint(?:8|16|32|64)"
)
_PHRASES = "OK|Created|No Content|Moved|Found|Bad |Unauth|Forbid|Not Found|Method|Conflict|Gone|Unproc|Too Many|Internal S|Service U|Gateway T".replace(
    " ", r"\ "
)
_FINE = re.compile(
    rf"""(?P<keep>\b(?:exit(?:ed)?|code|status|stat|signal|sig|errno|rc|err|ret(?:urn(?:ed)?)?|respond(?:ed)?|response|http/[0-9.]+)\w*[\s"'=:\[(]{{1,3}}(?:with|by|was|is|of|code|status|value|signal)?[\s"'=:\[(]{{0,3}}(?:code|status)?[\s"'=:\[(]{{0,3}})(?P<kept>-?[0-9]{{1,3}})(?!\w|%|[.:/]\d)
    |(?P<phrase>\b[1-5][0-9]{{2}}(?=\ (?:{_PHRASES})))
    |(?P<ver>(?<![A-Za-z0-9.])v?[0-9]+\.[0-9]+\.[0-9]+(?:[.\-+][0-9A-Za-z]+)*(?![A-Za-z0-9]))
    |(?P<name>(?<![A-Za-z0-9])(?:{_NAMES})(?![A-Za-z0-9]))
    |(?P<pct>(?:[0-9]+(?:\.[0-9]+)?|<num>)\s?%)
    |(?P<span>(?<![A-Za-z0-9_.])(?:[0-9]+(?:\.[0-9]+)?|<num>))(?P<gap>\s?)(?P<unit>ns|nsec|us|µs|usec|ms|msec|msecs|milliseconds?|s|sec|secs|seconds?|mins?|minutes?|hrs?|hours?|days?)\b(?!/)
    |(?P<short>(?<![A-Za-z0-9_.])[0-9]+)(?P<letter>[mhd])\b
    |(?P<clock>(?<![A-Za-z0-9:.])[0-9]{{1,2}}:[0-9]{{2}}(?::[0-9]{{2}})?(?![A-Za-z0-9:]))
    |(?P<left>(?<![A-Za-z0-9/.])[0-9]+)/(?P<right>[0-9]+)(?![A-Za-z0-9/.])
    |(?P<held><[a-z*]+>)
    |(?P<pod>-(?:<hex>|[a-z0-9]*[0-9][a-z0-9]*)-[bcdfghjklmnpqrstvwxz2456789]{{5}}\b)
    |(?P<bighex>(?<![A-Za-z0-9])(?=[0-9a-fA-F]*[0-9])(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{{4,}}(?![A-Za-z0-9]))
    |(?P<path>(?<![\w/<>.])\.{{0,2}}/[\w.@%+~-]+(?:/[\w.@%+~:=-]*)+)
    |(?P<number>[0-9]+(?:[.,][0-9]+)*)""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_SECONDS = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "ms": 1e-3, "mil": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def mask(bodies: Sequence[str]) -> list[str]:
    """Mask bodies: what mining and the model see of them, before any wildcard. Equal length, same order."""
    import polars as pl

    return [fine(text) for text in coarse(pl.Series(bodies, dtype=pl.String)).to_list()]


def coarse(bodies: pl.Series) -> pl.Series:
    """Shorten a column of bodies and apply the coarse masks to it."""
    return without_times(without_values(bodies))


def without_values(bodies: pl.Series) -> pl.Series:
    """The first part of ``coarse``: what leaves few texts of many."""
    return _replaced(_shorten(bodies), VALUES)


def without_times(texts: pl.Series) -> pl.Series:
    """The second part of ``coarse``, which may be left to the distinct texts."""
    return _replaced(texts, TIMES)


def _replaced(text: pl.Series, masks: Sequence[tuple[str, str, str]]) -> pl.Series:
    """Each mask in turn, but for those whose guard is nowhere: no replacement makes a guard appear, so each is looked for once."""
    if not len(text):
        return text
    found = {guard: not guard or bool(text.str.contains(guard).any()) for guard in dict.fromkeys(guard for guard, _, _ in masks)}
    for guard, pattern, replacement in masks:
        if found[guard]:
            text = text.str.replace_all(pattern, replacement)
    return text


def fine(text: str) -> str:
    """Apply the fine masks to one text that has passed the coarse ones."""
    return _FINE.sub(_placeholder, text)


def _shorten(bodies: pl.Series) -> pl.Series:
    import polars as pl

    long = bodies.str.len_bytes() > LONGEST
    if not long.any():
        return bodies
    frame = pl.DataFrame({"body": bodies})
    cut = pl.col("body").str.head(HEAD) + " … " + pl.col("body").str.tail(TAIL)
    return frame.select(pl.when(pl.col("body").str.len_chars() > LONGEST).then(cut).otherwise(pl.col("body"))).to_series()


def _placeholder(match: re.Match[str]) -> str:
    kind = match.lastgroup
    text = match.group()
    if kind in ("name", "phrase", "held"):
        return text
    if kind == "kept":
        return match["keep"] + _literal(match["kept"])
    if kind == "pct":
        return _percentage(text)
    if kind == "unit":
        return _duration(text, match["span"], match["unit"])
    if kind == "letter":
        return _duration(text, match["short"], match["letter"])
    if kind == "right":
        return _ratio(match["left"], match["right"])
    if kind == "number":
        return _number(match)
    return {"ver": "<ver>", "clock": "<time>", "pod": "-<id>", "bighex": "<hex>", "path": "<path>"}[str(kind)]


def _literal(digits: str) -> str:
    return digits.lstrip("0") or "0" if digits[0] != "-" else digits


def _percentage(text: str) -> str:
    number = text.rstrip("% ")
    value = 100.5 if number == "<num>" else float(number)
    if value == 0 or value == 100:
        return f"{value:.0f}%"
    return "<pct>" if value < 90 else "<highpct>"


def _duration(text: str, number: str, unit: str) -> str:
    value = 1e5 if number == "<num>" else float(number)
    if value == 0:
        return text
    unit = unit.lower()
    seconds = value * next(_SECONDS[u] for u in ("ms", "mil", unit[0]) if unit.startswith(u))
    if seconds < 1:
        return "<ms>"
    return "<sec>" if seconds < 60 else "<min>" if seconds < 3600 else "<hours>"


def _ratio(left: str, right: str) -> str:
    if left.strip("0") == "":
        return "0/0" if right.strip("0") == "" else "0/<num>"
    return "<n>/<n>" if left == right else "<num>/<num>"


def _number(match: re.Match[str]) -> str:
    text = match.group()
    if text.strip("0.,") == "":
        return "0"
    before = match.string[match.start() - 1 : match.start()]
    if len(text) == 1 and before.isalpha():
        return text  # eth0, node3: a name; mining tells whether it varies
    return "<num>"
