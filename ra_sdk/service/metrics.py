"""What ``/metrics`` says, in Prometheus's text format. Labels are closed lists: no client's text ever becomes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["KIND", "Meters"]

KIND = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Meters:
    """The metrics of one service."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._records = Counter("ra_records", "Records that were given a verdict, by its label.", ["label"], registry=registry)
        for label in ("normal", "abnormal", "undecided"):
            self._records.labels(label)
        self._tokens = Counter("ra_model_tokens", "Tokens that the model has decoded.", registry=registry)
        self._judged = Counter("ra_model_templates", "Templates that the model was asked about.", registry=registry)
        self._rate = Gauge("ra_model_tokens_per_second", "Tokens per second while the model last worked.", registry=registry)
        self.not_queued = Counter("ra_cold_not_queued", "Times that a template was not queued for the model as the queue was full.", registry=registry)
        self.rejected = Counter("ra_records_rejected", "Records of OTLP requests that were rejected.", registry=registry)
        self.connections_refused = Counter("ra_connections_refused", "Connections refused or closed as there were too many.", registry=registry)
        self._mining = Histogram("ra_mining_seconds", "Time in which a block of waiting batches was mined.", buckets=_SECONDS, registry=registry)
        self._asking = Histogram("ra_model_seconds", "Time in which the model judged some templates.", buckets=_SECONDS, registry=registry)
        self._requests = Histogram("ra_request_seconds", "Time of a request.", ["route", "status"], buckets=_SECONDS, registry=registry)

    def watch(self, name: str, about: str, read: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(name, about, registry=self.registry).set_function(read)

    def count_records(self, labels: Mapping[str, int]) -> None:
        """Add to the records of each label."""
        for label, count in labels.items():
            self._records.labels(label).inc(count)

    def mined(self, seconds: float) -> None:
        """A block was mined."""
        self._mining.observe(seconds)

    def asked(self, templates: int, tokens: int, seconds: float) -> None:
        """The model judged some templates."""
        self._judged.inc(templates)
        self._tokens.inc(tokens)
        self._rate.set(tokens / max(seconds, 1e-9))
        self._asking.observe(seconds)

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered. ``route`` is one of the service's own, or "other"."""
        self._requests.labels(route, str(status)).observe(seconds)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self.registry)
