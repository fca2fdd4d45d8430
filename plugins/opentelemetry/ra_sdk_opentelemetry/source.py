"""The source: OTLP logs of any client, an exporter or a Collector. A batch is answered when every sink has it.

So that nothing is lost: whoever sends keeps a batch until it is answered, and sends it again when we die before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ra_sdk.plugin import MEBIBYTE, BadOption, Items, Limits, Refusal, Tokens

from ra_sdk_opentelemetry.address import Address, parse
from ra_sdk_opentelemetry.batches import OVERHEAD, Batch, Inbox
from ra_sdk_opentelemetry.reading import records
from ra_sdk_opentelemetry.receiving import Receiver, Rules, Take, Ticket, success

__all__ = ["OPTIONS", "OtlpSource", "open_receiver"]

OPTIONS = frozenset({"ack", "batch", "cert", "key", "max_body", "queue", "tokens"})
QUEUE = 64  # MiB
CLOSING = "the receiver is being shut down; send it again later"
GRACE_S = 5.0


class OtlpSource:
    """Receives OTLP logs: ``otlp://HOST:PORT`` over gRPC, ``otlp+http://HOST:PORT`` over HTTP.

    The URL's query: ``ack``: sink, the default (a batch is answered when every sink has it), or receipt (as soon as the pipeline takes it, for
    programs that take long between two blocks of ``detect()``); ``queue``: MiB that may wait (64; beyond, clients are told to come
    again); ``batch``: records of one; ``max_body``: MiB of one; ``tokens``: a file made by ``ra token``, only who has one may send; ``cert`` and
    ``key``: PEM files, for TLS. Port 0 is any that is free; ``port`` tells which. Raises SourceError and BadOption.
    """

    live = True

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        address = parse(url, OPTIONS)
        if address is None:
            raise BadOption(f"{url!r} is no OTLP address; write otlp://HOST:PORT or otlp+http://HOST:PORT")
        if (form := (options or {}).get("format")) is not None:
            raise BadOption(f"--format {form!r} has no meaning for {url!r}, whose records need none; leave it out")
        self.name = self.identity = url.partition("?")[0]
        self._at_receipt = address.choice("ack", "sink", "receipt") == "receipt"
        rules = _rules(address)
        self.inbox = Inbox(self.name, max(address.whole("queue", QUEUE, most=1 << 20) * MEBIBYTE, rules.limits.body) + OVERHEAD)
        self._receiver = open_receiver(address, rules, self._taken)
        self.port = self._receiver.port
        self._receiver.start()

    def __iter__(self) -> Iterator[Items]:
        while (taken := self.inbox.take()) is not None:
            number, identity, batch = taken
            found = records(batch.data)
            yield Items(found, range(len(found)), identity, checkpoint=number, origin=batch.data)
            if self._at_receipt:
                self.inbox.acknowledge(number)

    def acknowledge(self, checkpoint: object) -> None:
        """Answer the batches up to this one: they are with every sink."""
        if isinstance(checkpoint, int):
            self.inbox.acknowledge(checkpoint)

    def stop(self) -> None:
        """Receive nothing more; what was accepted goes through, then the source ends. From any thread."""
        self.inbox.drain(CLOSING)

    def close(self) -> None:
        """End it now. Who waits for an answer is told to send the batch again."""
        self.inbox.close(CLOSING)
        self._receiver.stop(GRACE_S)

    def _taken(self, data: bytes, records: int) -> Ticket:
        return _Ticket(self.inbox, self.inbox.put(data, records) if records else None)


class _Ticket:
    """A batch in the inbox; None: it had no records, and has arrived."""

    def __init__(self, inbox: Inbox, batch: Batch | None) -> None:
        self._inbox, self._batch = inbox, batch

    def tell(self, heard: Callable[[], None]) -> None:
        """Have ``heard`` called once it is settled."""
        if self._batch is None:
            heard()
        else:
            self._batch.tell(heard)

    def answer(self) -> bytes:
        """The response. Raises Refusal (503) if the batch was not written."""
        if self._batch is not None and not self._batch.done:
            raise Refusal(503, "closing", CLOSING, {"Retry-After": "1"})
        return success()

    def leave(self, *, told: bool) -> None:
        """Nobody waits for it any more."""
        if self._batch is not None:
            self._inbox.leave(self._batch, told=told)


def open_receiver(address: Address, rules: Rules, take: Take) -> Receiver:
    """The server for an address. Raises SourceError, BadOption."""
    if address.http:
        from ra_sdk_opentelemetry.receive_http import HttpReceiver

        return HttpReceiver(address, rules, take)
    from ra_sdk_opentelemetry.receive_grpc import GrpcReceiver

    return GrpcReceiver(address, rules, take)


def _rules(address: Address) -> Rules:
    defaults = Limits()
    body = address.whole("max_body", defaults.body // MEBIBYTE, most=512) * MEBIBYTE
    batch = address.whole("batch", defaults.batch)
    limits = Limits(body=body, bodies=max(8 * body, defaults.bodies), batch=batch, queue=max(batch, defaults.queue))
    path = address.options.get("tokens")
    tokens = Tokens(Path(path)) if path else None
    if tokens is not None and not len(tokens):
        raise BadOption(f"no token is in {path!r}; make one with: ra token NAME --tokens {path}")
    cert, key = address.options.get("cert"), address.options.get("key")
    if address.tls and not cert:
        raise BadOption(f"{address.url!r} has TLS but no certificate; add ?cert=PEM&key=PEM")
    return Rules(limits, tokens, cert, key)
