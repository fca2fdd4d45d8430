"""Masking: what varies becomes a placeholder of ``ra_sdk.templates.placeholders``, what decides (``ra_sdk.templates.codes``) stays.

The tiers are always applied one after the other: shields and coarse masks to whole columns, the fine pattern to the
distinct texts that are left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from ra_sdk.templates.codes import BREAK, CLOSE, MNEMONIC, OPEN, PHRASES, SHIELDS, WORDS, counted, decides, is_secret, notifies
from ra_sdk.templates.generated import is_generated, is_generated_whole
from ra_sdk.templates.placeholders import GUARDS_TOGETHER, JOINED, MASKS, PODS, TABLE, Mask

if TYPE_CHECKING:
    import polars as pl

__all__ = ["COARSE", "HEAD", "LONGEST", "TAIL", "coarse", "fine", "mask", "without_times", "without_values"]

LONGEST = 1024  # characters: a longer body is mined by its head and tail
HEAD, TAIL = 700, 300

VALUES = (*SHIELDS, *(mask for mask in MASKS if not mask.late))
TIMES = tuple(mask for mask in MASKS if mask.late)
COARSE = (*VALUES, *TIMES)

_NAMES = (  # words that carry digits
    r"x86_64|x86|x509|sha1|sha3|sha256|sha384|sha512|md5|base64|utf-?8|utf-?16|ipv4|ipv6|tcp[46]|udp6|icmpv?6|i2c|ext[234]|jbd2|ec2|s3|k8s|k3s|log4j2?"
    r"|oauth2|http/[123](?:\.[01])?|sip/2\.0|rtsp/1\.0|icap/1\.0|http[23]|h2c?|i18n|win32|amd64|arm64|aes128|aes256|rsa2048|tls1\.[0123]|tlsv1\.[0123]|tlsv1|sslv[23]|ssh[12]|raid(?:10|[0156])"
    r"|nfsv?[34]|smb[123]|usb[123]|wpa[23]|p50|p75|p90|p95|p99|p999|l[1-7]|python[23]|v[1-9]|[2345]xx|u?int(?:8|16|32|64)|float(?:32|64)|[123]d|mp[34]|bz2|lz4|7z"
    r"|sha2_password|slf4j|accept4|psycopg[23]|pipe2|dup2|802\.(?:1[qx]|3ad)|g1|neo4j|db2|web3|e2fsck|resize2fs|ps/2|p2p|b2b|ipv4/ipv6|utf8mb[34]|latin1|s390x|ia64|i[3-6]86|mips64|ppc64(?:le)?"
)
_FINE_OF = {row.name: row.fine for row in TABLE if row.fine}
_AT_WORD = r"(?<![A-Za-z0-9])(?=[A-Za-z]*[-_/.]?[0-9])"  # gates: most places of a text are passed over at once
_AT_MIXED = r"(?<![A-Za-z0-9])(?=[A-Za-z+/_-]*[0-9<])"
_PATTERNS = (  # gate, kind of what is found, pattern
    ("(?=[0-9])", "name", PHRASES),
    (_AT_WORD, "<ver>", _FINE_OF["<ver>"]),
    (_AT_WORD, "name", WORDS),
    (_AT_WORD, "name", rf"(?i:{_NAMES})(?![A-Za-z0-9])"),
    *(("(?=[0-9<])", name, _FINE_OF[name]) for name in ("<time>", "<pct>", "<ms>", "<size>")),
    ("(?=[0-9<-])", "<n>", _FINE_OF["<n>"]),
    (_AT_MIXED, "<hex>", _FINE_OF["<hex>"]),
    (_AT_MIXED, "joined", JOINED),
    (_AT_MIXED, "word", _FINE_OF["<id>"]),
    ("(?<![A-Za-z0-9])(?=[A-Za-z]{16})", "word", "[A-Za-z]+(?![A-Za-z0-9])"),
    ("(?=-)", "-<id>", PODS),
    ("(?=[./])", "<path>", _FINE_OF["<path>"]),
    ("(?=[0-9<])", "<num>", _FINE_OF["<num>"]),
    ("", "held", "<[a-z*]+>"),
    ("", "name", MNEMONIC),
    ("", "code", f"{OPEN}[^{CLOSE}]*{CLOSE}"),
)


_GROUP = {(kind, pattern): f"g{number}" for number, (_, kind, pattern) in enumerate(_PATTERNS)}
_KINDS = {group: kind for (kind, _), group in _GROUP.items()}


def _joined(patterns: Sequence[tuple[str, str, str]]) -> str:
    """One pattern of all, in which neighbours with the same gate pass it together. A group's name leads to the kind."""
    numbered = [(gate, f"(?P<{_GROUP[kind, pattern]}>{pattern})") for gate, kind, pattern in patterns]
    return "|".join(f"{gate}(?:{'|'.join(pattern for _, pattern in group)})" for gate, group in groupby(numbered, itemgetter(0)))


_FINE = re.compile(_joined(_PATTERNS), re.ASCII)
_WITHIN = {  # a word that is not generated is masked by what comes after it here
    "joined": re.compile(_joined([row for row in _PATTERNS if row[1] != "joined"]), re.ASCII),
    "word": re.compile(_joined([row for row in _PATTERNS if row[1] not in ("joined", "word")]), re.ASCII),
}
_MASKABLE = re.compile(f"[0-9</{OPEN}]|[A-Za-z]{{16}}")  # all that the fine pattern finds has one of these
_SECONDS = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "ms": 1e-3, "mil": 1e-3, "mic": 1e-6, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PARTS = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|h|m|s|d)")
_UNSHIELD = str.maketrans("", "", OPEN + CLOSE + BREAK)


def mask(bodies: Sequence[str], own: Sequence[Mask] = ()) -> list[str]:
    """Mask bodies: what mining and the model see of them, before any wildcard. Equal length, same order.

    ``own``: masks of the user, applied before all others.
    """
    import polars as pl

    return [fine(text) for text in coarse(pl.Series(bodies, dtype=pl.String), own).to_list()]


def coarse(bodies: pl.Series, own: Sequence[Mask] = ()) -> pl.Series:
    """Shorten a column of bodies and apply the coarse masks to it."""
    return without_times(without_values(bodies, own))


def without_values(bodies: pl.Series, own: Sequence[Mask] = ()) -> pl.Series:
    """The first part of ``coarse``: what leaves few texts of many."""
    return _replaced(_replaced(_shorten(bodies), own), VALUES)


def without_times(texts: pl.Series) -> pl.Series:
    """The second part of ``coarse``, which may be left to the distinct texts."""
    return _replaced(texts, TIMES)


def _replaced(text: pl.Series, masks: Sequence[Mask]) -> pl.Series:
    """The masks in turn. No replacement makes a guard appear, so each guard is looked for once, and first."""
    if not len(text):
        return text
    found = _found(text, dict.fromkeys(mask.guard for mask in masks))
    for mask in masks:
        if found[mask.guard] and (not mask.rare or _has(text, mask.pattern)):
            text = text.str.replace_all(mask.pattern, mask.replacement)
    return text


def _found(text: pl.Series, guards: Iterable[str]) -> dict[str, bool]:
    """Which guards the column has. Those of ``GUARDS_TOGETHER`` are looked for in the few texts that have one of them."""
    asked = set(guards)
    found = {"": True}
    for group in GUARDS_TOGETHER:
        together = asked.intersection(group)
        if len(together) > 1:
            some = text.filter(text.str.contains("|".join(sorted(together))))
            found |= {guard: _has(some, guard) for guard in together}
    return found | {guard: _has(text, guard) for guard in asked.difference(found)}


def _has(text: pl.Series, pattern: str) -> bool:
    return bool(text.str.contains(pattern).any())


def fine(text: str) -> str:
    """Apply the fine masks to one text that has passed the coarse ones."""
    return _FINE.sub(_placeholder, text) if _MASKABLE.search(text) else text


def _shorten(bodies: pl.Series) -> pl.Series:
    import polars as pl

    long = bodies.str.len_bytes() > LONGEST
    if not long.any():
        return bodies
    frame = pl.DataFrame({"body": bodies})
    cut = pl.col("body").str.head(HEAD) + " … " + pl.col("body").str.tail(TAIL)
    return frame.select(pl.when(pl.col("body").str.len_chars() > LONGEST).then(cut).otherwise(pl.col("body"))).to_series()


def _placeholder(match: re.Match[str]) -> str:
    """What a match of the fine pattern becomes."""
    kind = _KINDS[match.lastgroup or ""]
    if kind in ("name", "held"):
        return match.group()
    make = _MADE.get(kind)
    return kind if make is None else make(match)


def _code(match: re.Match[str]) -> str:
    """A code that was shielded, unless it counts something after all."""
    if counted(match.string, match.end()):
        return "<num>"
    code = match.group().translate(_UNSHIELD)
    return "0x0" if code[:2] in ("0x", "0X") and not code[2:].strip("0") else code


def _percentage(match: re.Match[str]) -> str:
    number = match["percentage"].replace(",", ".", 1)
    value = 100.5 if number == "<num>" else _value(number)
    if value in (0, 100):
        return f"{value:.0f}%"
    return "<pct>" if value < 90 else "<highpct>"


def _duration(match: re.Match[str]) -> str:
    if match["compound"]:
        seconds = sum(float(number) * _unit(unit) for number, unit in _PARTS.findall(match["compound"]))
    else:
        number = match["span"] or match["short"]
        value = 1e5 if number == "<num>" else _value(number)
        if "." not in number and "," not in number and not number.strip("0"):
            return match.group()
        seconds = value * _unit(match["unit"] or match["letter"])
    if seconds < 1:
        return "<ms>"
    return "<sec>" if seconds < 60 else "<min>" if seconds < 3600 else "<hours>"


def _unit(unit: str) -> float:
    unit = unit.lower()
    return next(_SECONDS[start] for start in ("ms", "mil", "mic", unit[0]) if unit.startswith(start))


def _value(number: str) -> float:
    """A number that may have separators of thousands."""
    whole, dot, fraction = number.replace("<num>", "5").replace(",", "").partition(".")
    return float(f"{whole}{dot}{fraction.replace('.', '')}")


def _size(match: re.Match[str]) -> str:
    return match.group() if _is_zero(match["size"]) else "<size>"


def _ratio(match: re.Match[str]) -> str:
    if match["slashes"]:
        return _slashes(match["slashes"])
    if notifies(match.string, match.start()):
        return match.group()
    left, over, right = match["left"], match["over"], match["right"]
    if _is_zero(left):
        return f"0{over}{'0' if _is_zero(right) else '<num>'}"
    return f"<n>{over}<n>" if left == right else f"<num>{over}<num>"


def _slashes(text: str) -> str:
    """Three numbers and more: none of them decides by being zero, but -1 does."""
    return "/".join("-1" if part == "-1" else "<num>" for part in text.split("/"))


def _word(match: re.Match[str]) -> str:
    """A word of digits and letters: a generated one, or one with values in it."""
    text = match.group()
    kind = _KINDS[match.lastgroup or ""]
    plain = text.replace("<num>", "12345").replace("<hex>", "12ab34cd").rstrip("=")
    if not plain.strip("0123456789abcdefABCDEF") and not plain.isdigit():
        return "<hex>"
    if (is_secret(match.string, match.start()) and not text.isalpha()) or (is_generated(plain) if kind == "word" else is_generated_whole(plain)):
        return "<id>"
    return _WITHIN[kind].sub(_placeholder, text)


def _number(match: re.Match[str]) -> str:
    """A number that decides stays, and so does zero where it counts something: not behind a letter."""
    number, start = match.group(), match.start()
    before = match.string[start - 1 : start]
    if before.isascii() and before.isalpha():
        return "<num>"
    if _is_zero(number):
        return "0"
    return (number.lstrip("0") or "0") if number.isdigit() and decides(match.string, start, match.end()) else "<num>"


def _is_zero(number: str) -> bool:
    return not number.strip("0.,")


_MADE: dict[str, Callable[[re.Match[str]], str]] = {
    "code": _code,
    "joined": _word,
    "word": _word,
    "<pct>": _percentage,
    "<ms>": _duration,
    "<size>": _size,
    "<n>": _ratio,
    "<num>": _number,
}
