"""What clients send to the service, and what they wait for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ra_sdk.records import TemplateKey, Verdict
    from ra_sdk.verdicts.resolver import Who

__all__ = ["Batch", "Judged", "Waiter", "speaking"]

SPEAKING = 3  # records of a template that are looked at for who wrote it


@dataclass(frozen=True, slots=True)
class Judged:
    """A batch with its verdicts: record ``i`` has ``verdicts[codes[i]]`` with the key ``keys[codes[i]]``."""

    codes: list[int]
    verdicts: list[Verdict]
    keys: list[str]


class Waiter:
    """A request that waits for some cold templates."""

    def __init__(self, templates: Sequence[TemplateKey]) -> None:
        self.templates, self.left = templates, len(templates)
        self.done: Future[None] = Future()
        # so that a client that gives up cannot cancel it while the model's thread uses it
        self.done.set_running_or_notify_cancel()


@dataclass(slots=True)
class Batch:
    """Bodies, what each record calls the program that wrote it, its severity, whether the client waits for cold templates; ``mined``: what was found."""

    bodies: Sequence[str]
    names: Sequence[Collection[str]]
    severities: Sequence[str | None]
    waits: bool
    mined: Future[tuple[Judged, Waiter | None]] = field(default_factory=Future)


def speaking(batches: Sequence[Batch], places: Sequence[int], templates: Sequence[TemplateKey]) -> Who:
    """Says of each template of a block on which names for the program that wrote them its first records agree."""

    @cache
    def agreed() -> dict[TemplateKey, frozenset[str]]:
        found: dict[int, list[frozenset[str]]] = {}
        for names, place in zip(chain.from_iterable(batch.names for batch in batches), places):
            own = found.setdefault(place, [])
            if len(own) < SPEAKING:
                own.append(frozenset(names))
        return {templates[place]: frozenset.intersection(*own) for place, own in found.items()}

    return lambda template: agreed()[template]
