"""Rationales stay with the text: placeholders are filled from the line, and inventions are found.

A rationale is grounded when it quotes the template and every specific in it (a number, an address, a path, a code) stands in the template.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ra_sdk.masks import PLACEHOLDERS

__all__ = ["align", "fill", "grounded", "invented"]

LONGEST_BODY, MOST_PLACEHOLDERS = 4_096, 40  # beyond, a rationale keeps its placeholders
_NAMES = frozenset(  # words that carry a digit: knowledge of the domain, not values
    """s3 ec2 g1 v8 e1 l1 l2 l3 l4 l7 ext2 ext3 ext4 jbd2 ipv4 ipv6 i2c x86 x86_64 x509 sha1 sha256 sha512 md5 base64 utf8 utf-8 http2 http/1 http/2 h2
    k8s k3s log4j oauth2 nfs3 nfs4 nfsv3 nfsv4 smb1 smb2 smb3 raid0 raid1 raid5 raid6 raid10 usb2 usb3 p50 p95 p99 2xx 3xx 4xx 5xx wpa2 wpa3 http/3
    ip4 ip6 db2 python3 i18n""".split()
)
_QUOTE = re.compile(r'"([^"]+)"')
_TOKEN = re.compile(r"[A-Za-z0-9_./:\-\\]+")
_PLACEHOLDER = re.compile("|".join(re.escape(name) for name in PLACEHOLDERS))
_VALUES = {  # what a placeholder may stand for, inside one word or, for times and durations, over a few
    "<num>": r"[0-9][0-9.,]*",
    "<n>": r"[0-9]+",
    "<hex>": r"(?:0[xX])?[0-9a-fA-F]+",
    "<ip>": r"[0-9a-fA-F.:]+",
    "<pct>": r"[0-9.]+\s?%",
    "<highpct>": r"[0-9.]+\s?%",
    "<time>": r"[0-9A-Za-z][0-9A-Za-z:.,/+\-]*(?: {1,2}[0-9][0-9:.,+\-]*){0,4}",
    **dict.fromkeys(["<ms>", "<sec>", "<min>", "<hours>"], r"[0-9.]+\s?[A-Za-zµ]+"),
}
_ANYTHING = r"\S+"


def align(template: str, body: str) -> list[tuple[str, str]] | None:
    """The template's placeholders in order, each with its text in the body. None if they do not fit, or the body is too long."""
    if len(body) > LONGEST_BODY:
        return None
    pattern = _pattern(template)
    if pattern is None:
        return None
    values: list[str] = []
    position = 0
    for piece in pattern:
        match = piece.match(body, position)
        if match is None:
            return None
        values += match.groups()
        position = match.end()
    if body[position:].strip():
        return None
    return list(zip(_PLACEHOLDER.findall(template), values))


def fill(rationale: str, template: str, body: str) -> str:
    """The rationale with this body's own values in place of the placeholders it names; what cannot be told apart stays."""
    if "<" not in rationale or not _PLACEHOLDER.search(rationale):
        return rationale
    values = align(template, body)
    if not values:
        return rationale
    quoted = _QUOTE.sub(lambda match: f'"{_fill_quote(match[1], template, values)}"', rationale)
    single = {name: {value for other, value in values if other == name} for name, _ in values}
    pieces = _QUOTE.split(quoted)
    for at in range(0, len(pieces), 2):
        pieces[at] = _PLACEHOLDER.sub(lambda match: _only(single.get(match[0], set()), match[0]), pieces[at])
    return "".join(f'"{piece}"' if at % 2 else piece for at, piece in enumerate(pieces))


def invented(message: str, rationale: str) -> list[str]:
    """Specifics of the rationale that the message lacks: quotes, and words with a digit or the form of a path."""
    low = " ".join(message.lower().split())
    found = [quote for quote in _QUOTE.findall(rationale) if " ".join(quote.lower().split()).strip(" .,;:") not in low]
    for word in _TOKEN.findall(_QUOTE.sub(" ", rationale)):
        token = word.strip(".,;:-/")
        specific = any(char.isdigit() for char in token) or re.match(r"[/\\]", token) or len(re.findall(r"[/\\]", token)) > 1
        if specific and token.lower() not in _NAMES and not _stands_in(message, token):
            found.append(token)
    return found


def grounded(template: str, rationale: str) -> bool:
    """Whether the rationale quotes the template and invents nothing."""
    quotes = [quote.strip() for quote in _QUOTE.findall(rationale)]
    return any(quotes) and not invented(template, rationale)


def _stands_in(message: str, token: str) -> bool:
    """As a whole, not as a piece of a longer word or number."""
    return re.search(r"(?<![A-Za-z0-9])" + re.escape(token) + r"(?![A-Za-z0-9])", message, re.IGNORECASE) is not None


def _fill_quote(quote: str, template: str, values: list[tuple[str, str]]) -> str:
    """A quote of the template: its place there tells which values belong to it."""
    at = template.lower().find(quote.lower().strip())
    names = _PLACEHOLDER.findall(quote)
    if at < 0 or not names:
        return quote
    before = len(_PLACEHOLDER.findall(template[:at]))
    texts = iter(value for _, value in values[before : before + len(names)])
    return _PLACEHOLDER.sub(lambda match: next(texts, match[0]).replace('"', "'"), quote)


def _only(values: set[str], otherwise: str) -> str:
    return next(iter(values)).replace('"', "'") if len(values) == 1 else otherwise


@lru_cache(maxsize=4_096)
def _pattern(template: str) -> tuple[re.Pattern[str], ...] | None:
    """One small pattern for every word of the template, matched one after the other: linear, whatever the body."""
    if len(_PLACEHOLDER.findall(template)) > MOST_PLACEHOLDERS:
        return None
    return tuple(re.compile(r"\s*" + _word(word)) for word in template.split())


def _word(word: str) -> str:
    pieces, at = [], 0
    for match in _PLACEHOLDER.finditer(word):
        pieces.append(_literal(word[at : match.start()]))
        alone = match.end() == len(word) and match.start() == 0
        value = _VALUES.get(match[0], _ANYTHING)
        pieces.append(f"({value})" if alone or value != _ANYTHING else r"(\S+?)" if match.end() < len(word) else r"(\S+)")
        at = match.end()
    return "".join(pieces) + _literal(word[at:])


def _literal(text: str) -> str:
    """Masking writes zeros in one way: 0 for 0.00, 0x0 for 0x0000."""
    text = re.sub(r"(?<![A-Za-z0-9])0x0(?![A-Za-z0-9])", "\0", text)
    return re.sub(r"(?<![0-9])0(?![0-9])", "[0][0.,]*", re.escape(text)).replace("\0", "0[xX]0+").replace("\\\x00", "0[xX]0+")
