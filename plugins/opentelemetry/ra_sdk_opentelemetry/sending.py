"""OTLP out: a request is sent, and what the receiver said is sorted into what can be done about it. Retrying is another's job."""

from __future__ import annotations

import gzip
import http.client
import os
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import unquote

from ra_sdk.plugin import SinkError, otlp

from ra_sdk_opentelemetry.address import Address

__all__ = ["GrpcTransport", "HttpTransport", "Outcome", "Transport"]

HEADERS, CERTIFICATE = "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_CERTIFICATE"  # as for every exporter
MOST_ANSWER = 1 << 20  # bytes of an answer that are read
METHOD = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request.

    ``kind``: taken (but for ``rejected`` records, which ``why`` explains), again (a repeat may succeed, in ``after`` seconds if the receiver said so),
    smaller (it is too large), never (no repeat will succeed).
    """

    kind: Literal["taken", "again", "smaller", "never"]
    why: str = ""
    rejected: int = 0
    after: float | None = None


class Transport(Protocol):
    """Sends requests; may be used by several threads at once."""

    def send(self, data: bytes) -> Outcome:
        """Send one. Raises nothing of the network's."""
        ...

    def close(self) -> None:
        """Let go of connections."""


class GrpcTransport:
    """OTLP/gRPC. ``timeout``: seconds of one attempt. Raises SinkError for a certificate that cannot be read."""

    def __init__(self, address: Address, *, packed: bool, timeout: float) -> None:
        import grpc

        self._timeout, self._grpc = timeout, grpc
        compression = grpc.Compression.Gzip if packed else grpc.Compression.NoCompression
        options = [("grpc.max_send_message_length", -1), ("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 5_000)]
        if address.tls:
            credentials = grpc.ssl_channel_credentials(_certificate(address.url))
            self._channel = grpc.secure_channel(address.target, credentials, options, compression)
        else:
            self._channel = grpc.insecure_channel(address.target, options, compression)
        self._export = self._channel.unary_unary(METHOD)
        self._metadata = tuple((name.lower(), value) for name, value in _headers().items())

    def send(self, data: bytes) -> Outcome:
        """Send one request."""
        try:
            answer: bytes = self._export(data, timeout=self._timeout, metadata=self._metadata)
        except self._grpc.RpcError as error:
            return self._failed(error)
        except ValueError as error:  # the channel is closed
            return Outcome("never", str(error))
        return _taken(answer)

    def close(self) -> None:
        """Close the channel; what is being sent ends."""
        self._channel.close()

    def _failed(self, error: Any) -> Outcome:
        """By the table of https://opentelemetry.io/docs/specs/otlp/#failures"""
        from ra_sdk_opentelemetry.status import delay_of

        code, codes, after = error.code(), self._grpc.StatusCode, delay_of(error.trailing_metadata())
        why = f"{code.name}: {' '.join(str(error.details()).split())[:200]}"
        if code is codes.RESOURCE_EXHAUSTED and after is None:
            return Outcome("smaller", why)
        if code in (codes.CANCELLED, codes.DEADLINE_EXCEEDED, codes.ABORTED, codes.OUT_OF_RANGE, codes.UNAVAILABLE, codes.DATA_LOSS, codes.RESOURCE_EXHAUSTED):
            return Outcome("again", why, after=after)
        return Outcome("never", why)


class HttpTransport:
    """OTLP/HTTP with protobuf. ``timeout``: seconds for which the receiver may be silent. A connection for every thread, kept open."""

    def __init__(self, address: Address, *, packed: bool, timeout: float) -> None:
        self._address, self._packed, self._timeout = address, packed, timeout
        self._tls = ssl.create_default_context(cafile=os.environ.get(CERTIFICATE) or None) if address.tls else None
        self._headers = {**_headers(), "Content-Type": otlp.PROTOBUF, "User-Agent": "ra-sdk-opentelemetry", **({"Content-Encoding": "gzip"} if packed else {})}
        self._local = threading.local()
        self._open: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()

    def send(self, data: bytes) -> Outcome:
        """Send one request."""
        body = gzip.compress(data, 1) if self._packed else data
        reused = getattr(self._local, "connection", None) is not None
        try:
            answer = self._posted(body)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            if reused:  # the receiver may have closed an idle connection: that says nothing of the receiver
                return self.send(data)
            return Outcome("again", f"{type(error).__name__}: {error}")
        return answer

    def close(self) -> None:
        """Close the connections; what is being sent ends."""
        with self._lock:
            for connection in self._open:
                if (sock := getattr(connection, "sock", None)) is not None:
                    with suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)  # closing alone would not wake who reads from it
                connection.close()
            self._open.clear()

    def _posted(self, body: bytes) -> Outcome:
        connection = self._connection()
        connection.request("POST", self._address.path, body, self._headers)
        response = connection.getresponse()
        answer = response.read(MOST_ANSWER)
        if response.read(1) or response.will_close:
            self._drop()
        status, why = response.status, f"HTTP {response.status} {response.reason}"
        if 200 <= status < 300:
            return _taken(answer if response.headers.get_content_type() == otlp.PROTOBUF else b"")
        if status in (429, 502, 503, 504):
            return Outcome("again", why, after=_seconds(response.headers.get("Retry-After")))
        return Outcome("smaller" if status == 413 else "never", why)

    def _connection(self) -> http.client.HTTPConnection:
        found: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if found is None:
            place = self._address
            if self._tls is None:
                found = http.client.HTTPConnection(place.host, place.port, timeout=self._timeout)
            else:
                found = http.client.HTTPSConnection(place.host, place.port, timeout=self._timeout, context=self._tls)
            self._local.connection = found
            with self._lock:
                self._open.add(found)
        return found

    def _drop(self) -> None:
        found = getattr(self._local, "connection", None)
        self._local.connection = None
        if found is not None:
            with self._lock:
                self._open.discard(found)
            found.close()


def _taken(answer: bytes) -> Outcome:
    """A success, which may be a partial one."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    try:
        partial = ExportLogsServiceResponse.FromString(answer).partial_success
    except DecodeError:  # the receiver said that it has them; in what words does not matter
        return Outcome("taken")
    return Outcome("taken", partial.error_message, max(0, partial.rejected_log_records))


def _headers() -> dict[str, str]:
    """``OTEL_EXPORTER_OTLP_HEADERS``: ``name=value,name=value``, values percent-encoded (W3C Baggage)."""
    pairs = (part.partition("=") for part in os.environ.get(HEADERS, "").split(","))
    return {name.strip(): unquote(value.strip()) for name, equals, value in pairs if equals and name.strip()}


def _certificate(url: str) -> bytes | None:
    path = os.environ.get(CERTIFICATE)
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise SinkError(f"{url!r} cannot be opened: {CERTIFICATE} {path!r} cannot be read: {error.strerror or error}; give a PEM file") from error


def _seconds(value: str | None) -> float | None:
    """A Retry-After, in seconds or as a date (RFC 9110)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
