"""Rationales stay with the text: what a model may write, and how inventions are found.

A rationale is grounded when it quotes the template and every specific in it (a number, an address, a path, a code) stands in the template.
"""

from __future__ import annotations

import re

from ra_sdk.templates.fill import EDGES
from ra_sdk.templates.placeholders import PLACEHOLDERS

__all__ = ["EDGES", "grounded", "invented", "keeps_to", "whole", "whole_words"]


_QUOTE = re.compile(r'"([^"]+)"')
_TOKEN = re.compile(r"[A-Za-z0-9_./:\-\\]+")
_PATHLIKE = re.compile(r"^[/\\]|[/\\].*[/\\]")
_SPECIFIC = re.compile(r"[A-Za-z0-9_./:\-\\]*[0-9][A-Za-z0-9_./:\-\\]*[A-Za-z0-9]|[0-9]")
_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS)))
_DOMAIN = frozenset(  # words that carry a digit: knowledge of the domain, not values
    " ".join(
        (
            "base64 i18n md5 sha1 sha256 sha512 utf-8 utf8 x509",
            "2xx 3xx 4xx 5xx bgp4 h2 http/1 http/2 http/3 http2 ip4 ip6 ipv4 ipv6 l1 l2 l3 l4 l7 nfs3 nfs4 nfsv3 nfsv4",
            "oauth2 ospfv2 ospfv3 smb1 smb2 smb3 tls1 wpa2 wpa3",
            "e2fsprogs ext2 ext3 ext4 jbd2 raid0 raid1 raid5 raid6 raid10 resize2fs",
            "a100 h100 i2c ps2 t4 usb2 usb3 x86 x86_64",
            "db2 ec2 g1 k3s k8s log4j mvapich2 nav2 neo4j python3 resilience4j rsyslog7 s3 v8 web3",
            "1gi e1 p50 p95 p99",
        )
    ).split()
)


def invented(message: str, rationale: str) -> list[str]:
    """Specifics of the rationale that the message lacks: quotes, and words with a digit or the form of a path."""
    low = " ".join(message.lower().split())
    found = [quote for quote in _QUOTE.findall(rationale) if " ".join(quote.lower().split()).strip(EDGES) not in low]
    for word in _TOKEN.findall(_QUOTE.sub(" ", rationale)):
        token = word.strip(".,;:-/")
        specific = any(char.isdigit() for char in token) or _PATHLIKE.search(word)
        if token and specific and token.lower() not in _DOMAIN and not _stands_in(message, token):
            found.append(token)
    return found


def grounded(template: str, rationale: str) -> bool:
    """Whether the rationale quotes the template and invents nothing."""
    return any(quote.strip(EDGES) for quote in _QUOTE.findall(rationale)) and not invented(template, rationale)


def keeps_to(text: str, written: str) -> bool:
    """Whether what is written so far quotes only what the text says, and names no number that the text lacks."""
    pieces = written.split('"')
    if any(not piece.strip() or piece not in text for piece in pieces[1:-1:2]):
        return False
    if len(pieces) % 2 == 0 and pieces[-1] not in text:
        return False
    outside = " ".join(pieces[0::2])
    return all(number in text for number in _SPECIFIC.findall(outside))


def whole_words(text: str, quote: str) -> str:
    """A quote that may begin or end inside a word of the text, or inside a placeholder, as whole words; empty if it is not there."""
    said = quote.strip(EDGES)
    start = text.find(said) if said else -1
    if start < 0:
        return ""
    end = start + len(said)
    while start and text[start].isalnum() and text[start - 1].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum() and text[end - 1].isalnum():
        end += 1
    opened = _PLACEHOLDER.match(text, text.rfind("<", start, end)) if "<" in text[start:end] else None
    return text[start : max(end, opened.end())] if opened else text[start:end]


def whole(written: str) -> str:
    """One line of printable text, cut at the end of a sentence if the budget ended it."""
    line = " ".join("".join(char if char.isprintable() else " " for char in written).split())
    if line.count('"') % 2:
        line = line[: line.rindex('"')].rstrip() if line.endswith('"') else f'{line}"'
    if line and line[-1] not in '.!?"':
        end = max(line.rfind(". "), line.rfind('." '))
        line = line[: end + 1] if end > 0 else f"{line}."
    return line


def _stands_in(message: str, token: str) -> bool:
    """As a whole, not as a piece of a longer word or number."""
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(token)}(?![A-Za-z0-9])", message, re.IGNORECASE) is not None
