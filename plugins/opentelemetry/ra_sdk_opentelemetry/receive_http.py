"""OTLP/HTTP in: protobuf and JSON, gzip, under the watch that ``ra serve`` has over its connections."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import uvicorn
from ra_sdk.plugin import Bodies, Refusal, SourceError, Watch, WorldError, guarded, is_loopback, otlp, refuse_other_host
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ra_sdk_opentelemetry.address import Address
from ra_sdk_opentelemetry.receiving import Rules, Take, Ticket, bound, rejection
from ra_sdk_opentelemetry.unpack import counted, from_json

__all__ = ["HttpReceiver"]

START_S = 10.0


class HttpReceiver:
    """Listens from the start, so that a port that is taken is known at once. Raises SourceError for one that cannot be had."""

    def __init__(self, address: Address, rules: Rules, take: Take) -> None:
        self._rules, self._take, self._path = rules, take, address.path
        self._bodies, self._watch = Bodies(rules.limits), Watch(rules.limits, lambda: None)
        self._local = rules.tokens is None and is_loopback(address.host)
        rules.pem()
        try:
            self._listening = bound(address.host, address.port)
        except WorldError as error:
            raise SourceError(f"{address.url!r}: {error}") from error
        self.port = int(self._listening.getsockname()[1])
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app,
                http=guarded(self._watch),
                interface="asgi3",
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ssl_certfile=rules.cert,
                ssl_keyfile=rules.key,
                timeout_keep_alive=max(int(rules.limits.head_s), 1),
            )
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="ra-otlp-http", daemon=True)

    def start(self) -> None:
        """Begin to receive."""
        self._thread.start()

    def stop(self, grace_s: float) -> None:
        """Refuse new requests, answer those that wait, within so many seconds."""
        self._server.config.timeout_graceful_shutdown = max(int(grace_s), 1)
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(grace_s + START_S)
        self._listening.close()

    async def _serve(self) -> None:
        patrol = asyncio.create_task(self._watch.patrol())
        try:
            await self._server.serve(sockets=[self._listening])
        finally:
            patrol.cancel()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        with suppress(ClientDisconnect):
            await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            return await self._export(request, kind)
        except Refusal as error:
            refusal = error
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001  a client must hear that it may send again
            refusal = rejection(error)
        kind = kind if kind in (otlp.JSON, otlp.PROTOBUF) else otlp.JSON
        body = otlp.failure(kind, refusal.status, refusal.message)
        return Response(body, refusal.status, {**refusal.headers, "Content-Type": kind, "X-Content-Type-Options": "nosniff"})

    async def _export(self, request: Request, kind: str) -> Response:
        if self._local:
            refuse_other_host(request.headers.get("host", ""))
        if request.scope["path"] != self._path:  # not request.url, in which a Host header may put another path
            raise Refusal(404, "no_such_path", f"{request.scope['path'][:80]!r} is nothing here; logs go to {self._path}")
        if request.method != "POST":
            raise Refusal(405, "other_method", f"{request.method[:20]!r} is not understood; send POST", {"Allow": "POST"})
        if kind not in (otlp.JSON, otlp.PROTOBUF):
            raise Refusal(415, "unknown_type", f"Content-Type {kind[:80]!r} is not understood; send {otlp.PROTOBUF} or {otlp.JSON}")
        self._rules.admit(request.headers.get("authorization", ""))
        body = await self._bodies.read(request)
        try:
            ticket = await asyncio.to_thread(self._taken, body, kind)
        finally:
            self._bodies.release(body)
        told = False
        try:
            await _settled(ticket, request)
            told = True
        finally:
            ticket.leave(told=told)
        answer = ticket.answer()
        return Response(b"{}" if kind == otlp.JSON and not answer else _as(kind, answer), headers={"Content-Type": kind, "X-Content-Type-Options": "nosniff"})

    def _taken(self, body: bytes, kind: str) -> Ticket:
        data = from_json(body, self._rules.limits) if kind == otlp.JSON else body
        return self._take(data, counted(data, self._rules.limits))


async def _settled(ticket: Ticket, request: Request) -> None:
    """Wait for the batch, as long as the client does. Raises ClientDisconnect."""
    loop, settled = asyncio.get_running_loop(), asyncio.Event()

    def heard() -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it who waited
            loop.call_soon_threadsafe(settled.set)

    ticket.tell(heard)
    waits = asyncio.ensure_future(settled.wait())
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait([waits, gone], return_when=asyncio.FIRST_COMPLETED)
        if not settled.is_set():
            raise ClientDisconnect
    finally:
        waits.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _as(kind: str, answer: bytes) -> bytes:
    """A response (protobuf) as its client has to have it."""
    if kind == otlp.PROTOBUF:
        return answer
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    partial = ExportLogsServiceResponse.FromString(answer).partial_success
    return otlp.success(otlp.JSON, partial.rejected_log_records, partial.error_message)
