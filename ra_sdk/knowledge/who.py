"""Who speaks: the program, library or kernel subsystem that wrote a line."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ra_sdk.knowledge.phrases import Words, masked
from ra_sdk.slabs import fields_at

if TYPE_CHECKING:
    from ra_sdk.blocks import Block
    from ra_sdk.knowledge.entries import Speaker

__all__ = ["NAMING", "NOBODY", "Speakers", "agreed", "named"]

NAMING = (  # attributes that name the program
    *("program", "appname", "app", "ident", "tag", "service", "service.name", "process", "process.name", "process.executable.name"),
    *("SYSLOG_IDENTIFIER", "_COMM", "unit", "_SYSTEMD_UNIT", "container", "container.name", "k8s.container.name", "component", "logger"),
)
NOBODY = frozenset[str]()
LONGEST_HEAD = 120  # characters of a message in which its program's name may stand
_ENDINGS = re.compile(r"(?:\.service|\.scope|\[\d+\]|-\d+)$")
_HEADS = re.compile(  # a name at the beginning of a message: "pvestatd[12]: ", "nova.scheduler.manager ", "ERROR [cinder.volume] "
    r"(?:[^\w<]|<[a-z*]+>|\b(?:trace|debug|info|notice|warn|warning|err|error|fatal|critical|crit)\b)*"
    r"(?:(?P<tag>[a-z_][\w./@-]{2,50})(?:\[[^\]]*\]|\([^)]*\))?:\s|(?P<logger>[a-z_]\w*(?:[.-]\w+)+)[\s\]])",
    re.IGNORECASE,
)
_PACKAGE = re.compile(r"(?:org|com|io|net|java|javax|jakarta|de|dev)\.")  # a Java logger, whose parts say little alone


def named(attributes: Mapping[str, Any]) -> set[str]:
    """The names, in lower case, that a record's attributes have for the program that wrote it."""
    found: set[str] = set()
    for key in NAMING:
        value = attributes.get(key)
        if isinstance(value, str) and value and len(value) < 80:
            found |= _names(_ENDINGS.sub("", value.lower()))
    return found - {""}


def _names(name: str) -> set[str]:
    if not _PACKAGE.match(name):
        return {name, *re.split(r"[/.:@]", name)}
    parts = name.split(".")
    return {".".join(parts[:size]) for size in range(2, len(parts) + 1)}


def agreed(block: Block, places: Sequence[int]) -> frozenset[str]:
    """The names for the program that wrote them on which some records agree: those in their attributes, or else that of their format."""
    formats = [""] * len(places) if block.programs is None else block.programs(places)
    found = [
        frozenset((named(json.loads(text)) if text else set()) or filter(None, [program]))
        for (_, _, text), program in zip(fields_at(block, places), formats, strict=True)
    ]
    return frozenset.intersection(*found) if found else frozenset()


class Speakers:
    """The speakers that are known. ``scopes``: names that entries, such as a user's own, are confined to."""

    def __init__(self, speakers: Iterable[Speaker], scopes: Iterable[str] = ()) -> None:
        self._scopes = frozenset(scopes)
        self._by_name: dict[str, Speaker] = {}
        by_word: list[tuple[str, Speaker]] = []
        for speaker in speakers:
            for name in (speaker.id, *speaker.names):
                self._by_name.setdefault(name.lower(), speaker)
            by_word += [(word, speaker) for word in masked(speaker.words)]
        self._words = Words(by_word)

    def of(self, template: str, names: Collection[str]) -> list[Speaker]:
        """Who may speak, by the names that the record gives and by words of the template.

        Of a whole and its part, as of the kernel and a file system in it, the part.
        """
        found = {self._by_name[name].id: self._by_name[name] for name in sorted(names) if name in self._by_name}
        found |= {speaker.id: speaker for speaker, _, _ in self._words.found(template)}
        found |= {} if found else self._begins(template)
        wholes = {name for speaker in found.values() for name in speaker.also}
        return [speaker for speaker in found.values() if speaker.id not in wholes]

    def _begins(self, template: str) -> dict[str, Speaker]:
        """Who speaks by the name with which a message begins."""
        head = _HEADS.match(template[:LONGEST_HEAD])
        if head is None or (head["tag"] and head["tag"].isalpha() and head[0].rstrip()[-2:-1] not in ("]", ")")):  # an ordinary word before a colon
            return {}
        name = (head["tag"] or head["logger"]).lower()
        tried = [name, *re.split(r"[./@]", name)[:1], *([] if head["tag"] else [name.rpartition("-")[0]])]
        return next(({speaker.id: speaker} for each in tried if (speaker := self._by_name.get(each))), {})

    def scope(self, template: str, names: Collection[str]) -> frozenset[str]:
        """All names of those who may speak, and the names that were given; empty if none of them is known."""
        speakers = self.of(template, names)
        if not speakers and self._scopes.isdisjoint(names):
            return frozenset()
        return frozenset(names).union(*([speaker.id, *speaker.names, *speaker.also] for speaker in speakers))
