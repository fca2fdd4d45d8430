"""What stands between the network and the service: connections that are counted, heads and bodies that must come in time, and fit.

uvicorn limits neither how long a client may take for its request nor how many connections idle, so its protocol is watched from outside.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
import zlib
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from ra_sdk.service.limits import Limits
from ra_sdk.service.wire import Refusal

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["Bodies", "Watch", "guarded", "is_loopback", "refuse_other_host"]

PIECE = 4096  # bytes unpacked at once: zlib copies what it leaves of them, and a body may be made of many thousand empty members
_PORT = re.compile(r":[0-9]+$")
ROUND_S = 0.5  # how often connections are looked at
FULL = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Bodies:
    """Reads bodies, all of them together in bounded memory."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self._held = limits, 0

    @property
    def held(self) -> int:
        """Bytes of bodies that are being read or worked on."""
        return self._held

    async def read(self, request: Request) -> bytes:
        """The body, unpacked. What it takes is to be given back with ``release``. Raises Refusal: 400, 408, 413, 415, 429."""
        packing = request.headers.get("content-encoding", "identity").strip().lower()
        if packing not in ("identity", "gzip", ""):
            raise Refusal(
                415, "unknown_encoding", f"Content-Encoding {packing[:40]!r} is not understood; send gzip, or the body as it is", {"Accept-Encoding": "gzip"}
            )
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self.limits.body:
            raise self._too_large()
        try:
            data = await asyncio.wait_for(self._collect(request), self.limits.body_s)
        except asyncio.TimeoutError:
            raise Refusal(408, "too_slow", f"the body did not come in {self.limits.body_s:g} s; send it faster, or in parts", {"Connection": "close"}) from None
        if packing != "gzip":
            return data
        try:
            text = await asyncio.to_thread(self._unpack, data)
            self._take(len(text))
        finally:
            self.release(data)
        return text

    def release(self, data: bytes) -> None:
        """The body is done with."""
        self._held -= len(data)

    async def _collect(self, request: Request) -> bytes:
        pieces, size = [], 0
        try:
            async for piece in request.stream():
                if size + len(piece) > self.limits.body:
                    raise self._too_large()
                self._take(len(piece))
                size += len(piece)
                pieces.append(piece)
        except BaseException:
            self._held -= size
            raise
        return b"".join(pieces)

    def _take(self, size: int) -> None:
        if self._held + size > self.limits.bodies:
            raise Refusal(429, "busy", f"bodies of {self._held} bytes are being worked on, {size} more are too many; try later", {"Retry-After": "1"})
        self._held += size

    def _unpack(self, data: bytes) -> bytes:
        """Gzip of one member or several, never more than a body may have."""
        out, stream, at = bytearray(), zlib.decompressobj(wbits=31), 0
        try:
            while at < len(data):
                piece = data[at : at + PIECE]
                out += stream.decompress(piece, self.limits.body + 1 - len(out))
                if len(out) > self.limits.body:
                    raise self._too_large()
                at += len(piece) - len(stream.unused_data if stream.eof else stream.unconsumed_tail)
                if stream.eof and at < len(data):
                    stream = zlib.decompressobj(wbits=31)
        except zlib.error as error:
            raise Refusal(400, "no_gzip", f"the body is not valid gzip: {error}; send what Content-Encoding announces") from error
        if not stream.eof:
            raise Refusal(400, "no_gzip", "the body's gzip ends in the middle; send all of it")
        return bytes(out)

    def _too_large(self) -> Refusal:
        return Refusal(413, "body_too_large", f"the body has more than {self.limits.body} bytes, as sent or unpacked; send smaller batches")


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, and can be made to look so by nobody: other names may mean anything."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_other_host(header: str) -> None:
    """Raise Refusal (421) for a Host header that is not this machine: a page in a browser here, whose name resolves to us."""
    host = _PORT.sub("", header)
    if not is_loopback(host.lower().removeprefix("[").removesuffix("]")):
        why = f"host {host[:80]!r} is not this service, which is open to this machine only; ask localhost, or run it with tokens"
        raise Refusal(421, "other_host", why)


class Watch:
    """Knows the open connections, and closes those that take too long, or that have to make room."""

    def __init__(self, limits: Limits, refused: Callable[[], None]) -> None:
        self.limits, self._refused = limits, refused
        self.connections: set[Any] = set()

    def admit(self, connection: Any) -> bool:
        """Take a new connection in. If there are too many, the one that has been without a whole request for longest makes room."""
        if len(self.connections) >= self.limits.connections:
            self._refused()
            idle = [known for known in self.connections if not _busy(known)]
            if not idle:
                return False
            self._drop(min(idle, key=lambda known: known.since))
        self.connections.add(connection)
        return True

    async def patrol(self) -> None:
        """Look at the connections, round after round."""
        while True:
            await asyncio.sleep(ROUND_S)
            now = time.monotonic()
            for connection in list(self.connections):
                self._look(connection, now)

    def _look(self, connection: Any, now: float) -> None:
        """A head, an idle connection, and a client that does not read its answer have so long, then it ends. Who does read has as long as for a body."""
        cycle, unread = connection.cycle, connection.transport.get_write_buffer_size()
        waits = cycle is None or cycle.response_complete or unread
        if cycle is not connection.seen or not waits:
            connection.seen, connection.since, connection.begun = cycle, now, now
        elif 0 < unread < connection.unread and now - connection.begun < self.limits.body_s:
            connection.since = now
        elif now - connection.since > self.limits.head_s:
            self._drop(connection)
        connection.unread = unread

    def _drop(self, connection: Any) -> None:
        self.connections.discard(connection)
        connection.transport.abort()  # closing would wait until everything is sent, which a client that does not read can put off for ever


def _busy(connection: Any) -> bool:
    """Whether it has brought a whole request that is not answered yet."""
    cycle = connection.cycle
    return cycle is not None and not cycle.response_complete and not cycle.more_body


def guarded(watch: Watch) -> Any:
    """uvicorn's HTTP protocol, under watch."""
    return type("Guarded", (_protocol(),), {"watch": watch})


@cache
def _protocol() -> Any:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Watched(H11Protocol):
        watch: Watch

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.since = self.begun = time.monotonic()
            self.seen, self.unread = self.cycle, 0
            if not self.watch.admit(self):
                transport.write(FULL)
                transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            self.watch.connections.discard(self)
            super().connection_lost(exc)

    return Watched
