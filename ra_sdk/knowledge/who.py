"""Who speaks: the program, library or kernel subsystem that wrote a line."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ra_sdk.knowledge.phrases import folded, stands_alone
from ra_sdk.slabs import fields_at

if TYPE_CHECKING:
    from ra_sdk.blocks import Block
    from ra_sdk.knowledge.entries import Speaker

__all__ = ["NAMING", "Speakers", "agreed", "named"]

NAMING = (  # attributes that name the program
    *("program", "appname", "app", "ident", "tag", "service", "service.name", "process", "process.name", "process.executable.name"),
    *("SYSLOG_IDENTIFIER", "_COMM", "unit", "_SYSTEMD_UNIT", "container", "container.name", "k8s.container.name", "component", "logger"),
)
_ENDINGS = re.compile(r"(?:\.service|\.scope|\[\d+\]|-\d+)$")


def named(attributes: Mapping[str, Any]) -> set[str]:
    """The names, in lower case, that a record's attributes have for the program that wrote it."""
    found: set[str] = set()
    for key in NAMING:
        value = attributes.get(key)
        if isinstance(value, str) and value and len(value) < 80:
            low = _ENDINGS.sub("", value.lower())
            found |= {low, *re.split(r"[/.:@]", low)}
    return found - {""}


def agreed(block: Block, places: Sequence[int]) -> frozenset[str]:
    """The names for the program that wrote them on which some records agree."""
    found = [frozenset(named(json.loads(text))) if text else frozenset[str]() for _, _, text in fields_at(block, places)]
    return frozenset.intersection(*found) if found else frozenset()


class Speakers:
    """The speakers that are known."""

    def __init__(self, speakers: Iterable[Speaker]) -> None:
        self._by_name: dict[str, Speaker] = {}
        self._by_word: list[tuple[str, Speaker]] = []
        for speaker in speakers:
            for name in (speaker.id, *speaker.names):
                self._by_name.setdefault(name.lower(), speaker)
            self._by_word += [(folded(word), speaker) for word in speaker.words]

    def of(self, template: str, names: Collection[str]) -> list[Speaker]:
        """Who may speak: by the names that the record gives, then by words of the template."""
        text = folded(template)
        found = {self._by_name[name].id: self._by_name[name] for name in sorted(names) if name in self._by_name}
        for word, speaker in self._by_word:
            place = text.find(word)
            if place >= 0 and stands_alone(text, place, place + len(word)):
                found.setdefault(speaker.id, speaker)
        return list(found.values())

    def scope(self, template: str, names: Collection[str]) -> frozenset[str]:
        """All names of those who may speak, and the names that were given."""
        speakers = self.of(template, names)
        return frozenset(names).union(*([speaker.id, *speaker.names] for speaker in speakers))
