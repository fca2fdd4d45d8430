"""The sink: records with their verdicts, to a Collector or whatever else receives OTLP. It waits for a receiver that is down, as long as it takes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from ra_sdk.plugin import BadOption, SinkError

from ra_sdk_opentelemetry.address import Address, parse
from ra_sdk_opentelemetry.delivery import Backoff, Closed, Delivery, Refused, Report
from ra_sdk_opentelemetry.metrics import SinkMeters
from ra_sdk_opentelemetry.names import FIELDS, Names
from ra_sdk_opentelemetry.sending import GrpcTransport, HttpTransport, Transport
from ra_sdk_opentelemetry.writing import Writer

if TYPE_CHECKING:
    from ra_sdk.plugin import Detections

__all__ = ["OPTIONS", "OtlpSink"]

OPTIONS = frozenset({*FIELDS, "batch", "compression", "pause", "queue", "service", "timeout"})


class OtlpSink:
    """Sends to ``otlp://HOST:PORT`` (gRPC; ``otlps://`` with TLS) or ``otlp+http://HOST:PORT`` (``otlp+https://``).

    What came in as OTLP goes out as it was, its resource and scope too, with the attributes of its verdict. The URL's query: ``label``,
    ``score``, ``category``, ``rationale``, ``template``, ``uid`` name those (empty: leave it out, see ``Names``); ``batch``: records of a
    request (512); ``queue``: requests under way at once (4); ``compression``: gzip or none; ``timeout``: seconds of an attempt (10);
    ``pause``: seconds before the second one (1; doubled, up to 30 times as much); ``service``: ``service.name`` of records that are no OTLP.
    Headers and the CA come from OTEL_EXPORTER_OTLP_HEADERS and OTEL_EXPORTER_OTLP_CERTIFICATE. Raises BadOption and SinkError.
    """

    def __init__(self, url: str) -> None:
        address = parse(url, OPTIONS)
        if address is None:
            raise BadOption(f"{url!r} is no OTLP address; write otlp://HOST:PORT or otlp+http://HOST:PORT")
        self.name = url.partition("?")[0]
        self.names = Names.of(address.options)
        self._writer = Writer(self.names, records=address.whole("batch", 512), service=address.options.get("service"))
        pause = address.number("pause", 1.0)
        self._meters = SinkMeters()
        self._delivery = Delivery(_transport(address), Backoff(pause, 30 * pause), address.whole("queue", 4, most=64), self._meters.sent)
        self._said: str | None = None
        self._rejected = 0

    @property
    def report(self) -> Report:
        """What was delivered so far."""
        return self._delivery.report

    def write(self, detections: Detections) -> None:
        """Return when the receiver has every record of the block; wait for it as long as it takes.

        Records that it rejects for good (partial success) are counted, and told of in a RuntimeWarning. Raises SinkError where it refuses the request itself.
        """
        try:
            self._delivery.deliver(self._writer.chunks(detections), self._heed)
        except Refused as error:
            raise SinkError(f"{self.name!r} refused records for good: {error}; see what it takes, and its headers (OTEL_EXPORTER_OTLP_HEADERS)") from error
        except Closed as error:
            raise SinkError(f"{self.name!r} was closed before it had everything; write again to another") from error
        self._meters.wrote(detections)

    def stop(self) -> None:
        """End the waiting: ``write`` raises SinkError. From any thread."""
        self._delivery.stop()

    def close(self) -> None:
        """Close the connections."""
        self._delivery.close()

    def _heed(self) -> None:
        """Say once that the receiver is down, and that it rejected something; in the thread that writes, where warnings are heard."""
        report = self.report
        if report.trouble is None:
            self._said = None
        elif self._said is None:
            self._said = report.trouble
            warnings.warn(f"{self.name!r} takes nothing just now ({report.trouble}); waiting for it, nothing is lost", RuntimeWarning, stacklevel=4)
        if report.rejected > self._rejected:
            fresh, self._rejected = report.rejected - self._rejected, report.rejected
            warnings.warn(f"{self.name!r} rejected {fresh} records for good: {report.rejection}", RuntimeWarning, stacklevel=4)


def _transport(address: Address) -> Transport:
    settings: dict[str, Any] = {"packed": address.choice("compression", "gzip", "none") == "gzip", "timeout": address.number("timeout", 10.0)}
    try:
        return HttpTransport(address, **settings) if address.http else GrpcTransport(address, **settings)
    except OSError as error:
        raise SinkError(f"{address.url!r} cannot be opened: {error.strerror or error}; see OTEL_EXPORTER_OTLP_CERTIFICATE") from error
