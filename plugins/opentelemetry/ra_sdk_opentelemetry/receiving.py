"""What both receivers have in common: who may send, where to listen, and an answer when a batch has arrived."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ra_sdk.plugin import BadOption, Limits, Refusal, WorldError

if TYPE_CHECKING:
    from ra_sdk.plugin import Tokens

__all__ = ["Receiver", "Rules", "Take", "Ticket", "bound", "rejection", "success"]

BACKLOG = 128


@dataclass(frozen=True)
class Rules:
    """Who may send, how, and how much. ``tokens``: None: anybody. ``cert``, ``key``: PEM files; with them it is TLS."""

    limits: Limits = field(default_factory=Limits)
    tokens: Tokens | None = None
    cert: str | Path | None = None
    key: str | Path | None = None

    def admit(self, authorization: str) -> None:
        """Raise Refusal (401) for who has no token that we know."""
        if self.tokens is None:
            return
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or self.tokens.name(token.strip()) is None:
            raise Refusal(
                401,
                "unauthorized",
                "a bearer token that is known is needed; send authorization: Bearer TOKEN, one made with ra token",
                {"WWW-Authenticate": "Bearer"},
            )

    def pem(self) -> tuple[bytes, bytes] | None:
        """Key and certificate; None: no TLS. Raises BadOption."""
        if self.cert is None:
            if self.key is not None:
                raise BadOption(f"key {str(self.key)!r} without a certificate makes no TLS; give cert, too")
            return None
        try:
            chain = Path(self.cert).read_bytes()
            key = chain if self.key is None else Path(self.key).read_bytes()
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self.cert, self.key, password="")
        except (OSError, ValueError) as error:  # of which ssl.SSLError is one
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise BadOption(f"certificate {str(self.cert)!r} or its key cannot be used: {reason}; give PEM files that belong together") from error
        return key, chain


class Ticket(Protocol):
    """A batch that was handed over: when it is ``settled``, in any thread, ``heard`` is called; then ``answer`` gives the response or raises Refusal."""

    def tell(self, heard: Callable[[], None]) -> None:
        """Have ``heard`` called once it is settled."""

    def answer(self) -> bytes:
        """The ExportLogsServiceResponse. Raises Refusal."""
        ...

    def leave(self, *, told: bool) -> None:
        """Nobody waits for it any more; whether the answer was sent."""


class Receiver(Protocol):
    """A server. Batches (protobuf, unpacked, counted) go to the ``take`` that it was made with, which gives a Ticket or raises Refusal."""

    port: int

    def start(self) -> None:
        """Begin to receive."""

    def stop(self, grace_s: float) -> None:
        """Take no new batches; answer those that were taken, within so many seconds."""


Take = Callable[[bytes, int], Ticket]


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises WorldError."""
    listening = None
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise WorldError(f"{host!r} port {port} cannot be listened on: {error.strerror or error}; choose another address or port") from error
    return listening


def rejection(error: BaseException) -> Refusal:
    """What a client is told of a failure of ours: to send it again, as it is not its fault."""
    return Refusal(503, "broken", f"{type(error).__name__} in the receiver; send it again later", {"Retry-After": "5"})


def success(rejected: int = 0, why: str = "") -> bytes:
    """An ExportLogsServiceResponse."""
    from ra_sdk.plugin import otlp

    return otlp.success(otlp.PROTOBUF, rejected, why)
