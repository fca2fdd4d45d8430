"""OTLP/gRPC as another door of ``ra serve``: what comes is mined, judged and counted with the service's own model. No line is kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from ra_sdk.plugin import BadOption, Overloaded, RaError, Refusal, otlp

from ra_sdk_opentelemetry.address import parse
from ra_sdk_opentelemetry.receive_grpc import GrpcReceiver
from ra_sdk_opentelemetry.receiving import Rules, Ticket, success

__all__ = ["GrpcListener"]

Judge = Callable[[Sequence[str], Sequence[Collection[str]], Sequence["str | None"]], "Future[Any]"]


class GrpcListener:
    """Listens from the start, and has clients come again until ``start``. Raises BadOption and SourceError."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        address = parse(url, frozenset())
        if address is None or address.http:
            raise BadOption(f"{url!r} is no address for OTLP/gRPC; write HOST:PORT, OTLP/HTTP is at /v1/logs of the service itself")
        self._rules = Rules(options["limits"], options["tokens"], options["cert"], options["key"])
        self._judge: Judge | None = None
        self._receiver = GrpcReceiver(address, self._rules, self._taken)
        self.port = self._receiver.port
        host = f"[{address.host}]" if ":" in address.host else address.host
        self.url = f"otlp{'s' if self._rules.cert else ''}://{host}:{self.port}"
        self._receiver.start()

    def start(self, judge: Judge) -> None:
        """The model is loaded."""
        self._judge = judge

    def close(self, grace_s: float) -> None:
        """Take nothing more, and answer what was taken within so many seconds."""
        self._receiver.stop(max(0.0, grace_s))

    def _taken(self, data: bytes, _records: int) -> Ticket:
        if self._judge is None:
            raise Refusal(503, "not_ready", "the model is being loaded; send it again in a moment", {"Retry-After": "1"})
        found = otlp.spoken(data, otlp.PROTOBUF)
        fitting = [record for record in found if len(record.body) <= self._rules.limits.line]
        judged = self._judge(*otlp.columns(fitting))
        return _Ticket(judged, len(found) - len(fitting), self._rules.limits.line)


class _Ticket:
    """A batch that is being judged."""

    def __init__(self, judged: Future[Any], lost: int, longest: int) -> None:
        self._judged, self._lost, self._longest = judged, lost, longest

    def tell(self, heard: Callable[[], None]) -> None:
        """Have ``heard`` called once it is settled."""
        self._judged.add_done_callback(lambda _: heard())

    def answer(self) -> bytes:
        """The response: as at POST /v1/logs, a record that is too long is rejected. Raises Refusal."""
        try:
            self._judged.result()
        except Overloaded as error:
            raise Refusal(429, "busy", str(error), {"Retry-After": "1"}) from error
        except RaError as error:
            raise Refusal(503, "unusable", str(error), {"Retry-After": "10"}) from error
        return success(self._lost, f"{self._lost} records are longer than {self._longest} characters; cut them" if self._lost else "")

    def leave(self, *, told: bool) -> None:
        """It is judged all the same."""
