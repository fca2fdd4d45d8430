"""Verdicts for records that are in a hurry: what is known at once, what is not in the background; some may be held until it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any

from ra_sdk.plugin import Detector, Limits, Service, TemplateKey, Verdict, fill

from ra_sdk_opentelemetry.metrics import ServiceMeters
from ra_sdk_opentelemetry.names import Names
from ra_sdk_opentelemetry.sdk import ReadableLogRecord, annotate, names_of, severity_of, text_of

__all__ = ["Annotator", "Unannotated"]

CLOSE_S = 1.0  # for the model to finish what it is at


class _Held:
    """A record whose template waits for the model, until ``end``."""

    __slots__ = ("body", "end", "record", "template")

    def __init__(self, record: ReadableLogRecord, body: str, template: TemplateKey, end: float) -> None:
        self.record, self.body, self.template, self.end = record, body, template, end


class Annotator:
    """Used by one thread. ``hold_s``: how long a record may be held for its verdict, ``most``: how many at once; 0 holds none.

    Records come back in their order, but for those that were held. Raises what ``Detector`` raises.
    """

    def __init__(self, detecting: dict[str, Any], names: Names, meters: ServiceMeters, *, hold_s: float, most: int) -> None:
        self._names, self._hold_s, self._most = names, hold_s, most
        meters_for_service: Any = meters
        self._service = Service(Detector(**detecting), Limits(), meters_for_service)
        meters.watch(self._service.detector, lambda: self._service.cold)
        self._loop = asyncio.new_event_loop()
        self._held: list[_Held | Any] = []  # records, and marks that come back when all before them did

    @property
    def holds(self) -> bool:
        """Whether something is held."""
        return bool(self._held)

    def annotated(self, items: Sequence[Any]) -> list[Any]:
        """The items that are ready: records with their verdict, and marks (anything else), which never overtake a record."""
        records = [item for item in items if isinstance(item, ReadableLogRecord) and not _is_ours(item)]
        bodies = [text_of(record) for record in records]
        about = [names_of(record) for record in records], [severity_of(record) for record in records]
        found = iter(zip(bodies, self._verdicts(bodies, *about)))
        ready: list[Any] = []
        end = time.monotonic() + self._hold_s
        for item in items:
            if isinstance(item, ReadableLogRecord) and _is_ours(item):
                ready.append(item)
                continue
            if not isinstance(item, ReadableLogRecord):
                if self._held:
                    self._held.append(item)
                else:
                    ready.append(item)
                continue
            body, verdict = next(found)
            if verdict.label == "undecided" and verdict.template and len(self._held) < self._most and self._hold_s:
                self._held.append(_Held(item, body, verdict.key, end))
            else:
                ready.append(self._with(item, body, verdict))
        return ready

    def released(self, *, all_of_them: bool = False) -> list[Any]:
        """What was held and is judged by now, or has been held for long enough."""
        if not self._held:
            return []
        templates = {held.template for held in self._held if isinstance(held, _Held)}
        known = self._service.detector.judging.remembered(list(templates))
        now = time.monotonic()
        ready: list[Any] = []
        kept: list[Any] = []
        for held in self._held:
            if not isinstance(held, _Held):
                (kept or ready).append(held)
            elif held.template in known or held.end <= now or all_of_them:
                verdict = known[held.template][0] if held.template in known else Verdict(held.template.text, severity=held.template.severity)
                ready.append(self._with(held.record, held.body, verdict))
            else:
                kept.append(held)
        self._held = kept
        return ready

    def close(self) -> None:
        """Let the model and the store go."""
        self._service.close(CLOSE_S)
        self._loop.close()

    def _verdicts(self, bodies: Sequence[str], names: Sequence[Collection[str]], severities: Sequence[str | None]) -> list[Verdict]:
        """One for every body. Whatever fails here leaves them undecided: an application's logs do not depend on it."""
        if not bodies:
            return []
        try:
            judged = self._loop.run_until_complete(self._service.judge(bodies, names=names, severities=severities))
        except Exception:  # noqa: BLE001  a store that is full, a panic of Polars
            return [Verdict("")] * len(bodies)
        return [judged.verdicts[code] for code in judged.codes]

    def _with(self, record: ReadableLogRecord, body: str, verdict: Verdict) -> ReadableLogRecord:
        attributes = self._names.attributes(verdict)
        if verdict.rationale and self._names.rationale:
            attributes[self._names.rationale] = fill(verdict.rationale, verdict.template, body) if "<" in verdict.rationale else verdict.rationale
        annotate(record, attributes)
        return record


def _is_ours(record: ReadableLogRecord) -> bool:
    """Whether ra-sdk itself has logged it: to judge that a model fails, that model would be asked."""
    scope = record.instrumentation_scope
    return scope is not None and scope.name.partition(".")[0] == "ra_sdk"


class Unannotated:
    """In an Annotator's place where there can be none, after a fork: every record as it is."""

    holds = False

    def annotated(self, items: Sequence[Any]) -> list[Any]:
        """The items."""
        return list(items)

    def released(self, *, all_of_them: bool = False) -> list[Any]:  # noqa: ARG002
        """Nothing is held."""
        return []

    def close(self) -> None:
        """Nothing to let go of."""
