"""Metrics through the OpenTelemetry API: nothing, until an application or ``opentelemetry-instrument`` sets a MeterProvider.

Labels are closed lists: no log's text ever becomes one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

from ra_sdk_opentelemetry import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from ra_sdk.plugin import Detections, Detector, TemplateKey

    from ra_sdk_opentelemetry.sending import Outcome

__all__ = ["ServiceMeters", "SinkMeters"]

_NAME = "ra_sdk_opentelemetry"
_REMEMBERED = 100_000  # templates that a sink has counted


class SinkMeters:
    """Of a sink: ``ra.records`` by label, ``ra.model.templates`` judged on the way, ``ra.export.requests`` by outcome, ``ra.export.duration`` (s)."""

    def __init__(self, provider: MeterProvider | None = None) -> None:
        meter = get_meter(_NAME, __version__, provider)
        self._records = meter.create_counter("ra.records", "{record}", "Records that were given a verdict, by its label.")
        self._requests = meter.create_counter("ra.export.requests", "{request}", "Requests to the receiver, by outcome.")
        self._rejected = meter.create_counter("ra.export.rejected", "{record}", "Records that the receiver rejected for good.")
        self._duration = meter.create_histogram("ra.export.duration", "s", "Time of a request.")
        self._judged = meter.create_counter("ra.model.templates", "{template}", "Templates that the model judged.")
        self._seen: set[TemplateKey] = set()

    def sent(self, outcome: Outcome, seconds: float) -> None:
        """A request was answered, or was not."""
        self._requests.add(1, {"outcome": outcome.kind})
        self._duration.record(seconds, {"outcome": outcome.kind})
        if outcome.rejected:
            self._rejected.add(outcome.rejected)

    def wrote(self, detections: Detections) -> None:
        """A block has arrived."""
        counts: dict[str, int] = {}
        for code, count in detections.codes.value_counts().iter_rows():
            label = detections.verdicts[code].label
            counts[label] = counts.get(label, 0) + count
        for label, count in counts.items():
            self._records.add(count, {"ra.label": label})
        fresh = {v.key for v, known in zip(detections.verdicts, detections.known) if not known and v.mode in ("direct", "think")} - self._seen
        if len(self._seen) > _REMEMBERED:
            self._seen.clear()
        self._seen |= fresh
        self._judged.add(len(fresh))


class _Ignored:
    """A metric that somebody counts and nobody wants."""

    def inc(self, _count: float = 1.0) -> None:
        """Nothing."""


class ServiceMeters:
    """What ``ra_sdk.service.core.Service`` tells of itself, and the processor of its queue.

    ``ra.records`` by label; ``ra.model.calls``, ``ra.model.templates`` (it was asked about), ``ra.model.tokens``; ``ra.model.duration`` and
    ``ra.mining.duration`` (s); ``ra.templates`` and ``ra.cold`` (now); ``ra.processor.queue`` (now), ``ra.processor.dropped``.
    """

    def __init__(self, provider: MeterProvider | None = None) -> None:
        self._meter = meter = get_meter(_NAME, __version__, provider)
        self.not_queued = _Ignored()
        self._records = meter.create_counter("ra.records", "{record}", "Records that were given a verdict, by its label.")
        self._templates = meter.create_counter("ra.model.templates", "{template}", "Templates that the model was asked about.")
        self._calls = meter.create_counter("ra.model.calls", "{call}", "Times that the model was asked, about several templates each.")
        self._tokens = meter.create_counter("ra.model.tokens", "{token}", "Tokens that the model has decoded.")
        self._asking = meter.create_histogram("ra.model.duration", "s", "Time in which the model judged some templates.")
        self._mining = meter.create_histogram("ra.mining.duration", "s", "Time in which a block of records was mined.")
        self._dropped = meter.create_counter("ra.processor.dropped", "{record}", "Records that were lost, by reason.")

    def count_records(self, labels: Mapping[str, int]) -> None:
        """Add to the records of each label."""
        for label, count in labels.items():
            self._records.add(count, {"ra.label": label})

    def mined(self, seconds: float) -> None:
        """A block was mined."""
        self._mining.record(seconds)

    def asked(self, templates: int, tokens: int, seconds: float) -> None:
        """The model judged some templates."""
        self._calls.add(1)
        self._templates.add(templates)
        self._tokens.add(tokens)
        self._asking.record(seconds)

    def dropped(self, count: int, reason: str) -> None:
        """Records were lost. ``reason``: full, refused, shutdown."""
        self._dropped.add(count, {"reason": reason})

    def watch(self, detector: Detector, cold: Callable[[], int]) -> None:
        """Gauges of a detector, read when somebody collects."""
        self._gauge("ra.templates", "{template}", "Templates that were mined.", lambda: len(detector.miner))
        self._gauge("ra.cold", "{template}", "Templates that wait for the model.", cold)

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        """A gauge of the processor's queue."""
        self._gauge("ra.processor.queue", "{record}", "Records that wait for their verdict.", waiting)

    def _gauge(self, name: str, unit: str, about: str, read: Callable[[], int]) -> None:
        def observed(_options: CallbackOptions) -> Iterable[Observation]:
            return [Observation(read())]

        callbacks: Any = [observed]
        self._meter.create_observable_gauge(name, callbacks, unit, about)
