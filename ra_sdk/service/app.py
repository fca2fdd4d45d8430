"""The service's door: HTTP. ``plugins/contract`` is what it speaks, ``service`` what it speaks of; ``serve`` runs it.

Starlette and not FastAPI: a batch is decoded by msgspec from bytes into what is mined, and no model of a framework may stand between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ra_sdk.errors import RaError, StoreError
from ra_sdk.service import otlp, wire
from ra_sdk.service.connections import Bodies, Watch, refuse_other_host
from ra_sdk.service.core import Overloaded, Service
from ra_sdk.service.limits import Limits
from ra_sdk.service.metrics import KIND, Meters
from ra_sdk.service.openapi import document
from ra_sdk.service.tokens import Tokens
from ra_sdk.service.wire import Refusal
from ra_sdk.text import inert_json
from ra_sdk.trouble import RateLimited

if TYPE_CHECKING:
    from ra_sdk.records import Template, Verdict

__all__ = ["Door", "Outside"]

SMALL = 32 * 1024  # bytes of a body that is decoded at once; a larger one in a thread
OPEN = ("/healthz", "/readyz", "/openapi.json")  # for everybody: probes have no token
JSON = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
REVISION = "RA-Revision"
SORTS: dict[str, Callable[[tuple[Template, Verdict]], Any]] = {
    "count": lambda row: row[0].count,
    "score": lambda row: -1.0 if row[1].score is None else row[1].score,
    "template": lambda row: row[0].text,
}
Work = Callable[[Request, Service], Awaitable[Response]]
About = tuple[list[frozenset[str]], list["str | None"]]  # for each record, what it calls the program that wrote it, and its severity


@dataclass(frozen=True, slots=True)
class Outside:
    """Where the service is reached: ``tokens`` (None: nobody needs one) and, with ``local``, from this machine only, by its own names."""

    tokens: Tokens | None = None
    local: bool = True


class Door:
    """The ASGI application. ``service`` is set once the model is loaded; until then work is refused, and /readyz says so."""

    def __init__(self, limits: Limits, outside: Outside) -> None:
        self.limits, self.outside = limits, outside
        self.service: Service | None = None
        self._trouble = RateLimited()
        self.meters, self.bodies = Meters(), Bodies(limits)
        self.watch = Watch(limits, self.meters.connections_refused.inc)
        self.meters.watch("ra_templates", "Templates that were mined.", lambda: len(self.service.detector.miner) if self.service else 0)
        self.meters.watch("ra_cold_queue", "Templates that wait for the model.", lambda: self.service.cold if self.service else 0)
        self.meters.watch("ra_connections", "Open connections.", lambda: len(self.watch.connections))
        self.meters.watch("ra_body_bytes", "Bytes of requests that are read or worked on.", lambda: self.bodies.held)
        routes = [
            Route("/v1/verdicts", self._route(self._verdicts), methods=["POST"]),
            Route("/v1/verdicts/{key}", self._route(self._verdict), methods=["GET"]),
            Route("/v1/templates", self._route(self._templates), methods=["GET"]),
            Route("/v1/logs", self._route(self._logs), methods=["POST"]),
            Route("/healthz", self._health, methods=["GET"]),
            Route("/readyz", self._ready, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
            Route("/openapi.json", self._openapi, methods=["GET"]),
        ]
        handlers: Any = {Refusal: self._refuse, HTTPException: self._refuse_path, Exception: self._fail}
        self.app = Starlette(routes=routes, exception_handlers=handlers)
        self.app.router.redirect_slashes = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request: may it in, and how long did it take."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def told(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        request = Request(scope, receive)
        try:
            self._admit(request)
        except Refusal as error:
            await self._refuse(request, error)(scope, receive, told)
        else:
            try:
                await self.app(scope, receive, told)
            except ClientDisconnect:
                return
            except Exception:
                self.meters.request(_route_name(scope), 500, time.perf_counter() - started)
                raise
        self.meters.request(_route_name(scope), status, time.perf_counter() - started)

    def hurry(self) -> None:
        """The service will end in a moment: answer everybody who waits."""
        if self.service is not None:
            self.service.hurry()

    def _admit(self, request: Request) -> None:
        """Raise Refusal for who may not come in. A page in a browser of this machine may not, whatever name it resolves to us."""
        if self.outside.local and self.outside.tokens is None:
            refuse_other_host(request.headers.get("host", ""))
        if self.outside.tokens is None or request.scope["path"] in OPEN:  # not request.url, in which a Host header may put another path
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not _is_known(token.strip(), self.outside.tokens, self._trouble):
            why = "no bearer token was given" if scheme.lower() != "bearer" else "the bearer token is not known"
            raise Refusal(401, "unauthorized", f"{why}; send Authorization: Bearer TOKEN, one made with ra token", {"WWW-Authenticate": 'Bearer realm="ra"'})

    def _route(self, work: Work) -> Callable[[Request], Awaitable[Response]]:
        """What needs the model; errors become answers."""

        async def handle(request: Request) -> Response:
            if self.service is None:
                raise Refusal(503, "not_ready", "the model is being loaded; try again in a moment", {"Retry-After": "1"})
            try:
                return await work(request, self.service)
            except Overloaded as error:
                raise Refusal(429, "busy", str(error), {"Retry-After": "1"}) from error
            except RaError as error:
                raise Refusal(503, "unusable", str(error), {"Retry-After": "10"}) from error

        return handle

    async def _verdicts(self, request: Request, service: Service) -> Response:
        _need_type(request, otlp.JSON)
        data = await self.bodies.read(request)
        revision = service.revision  # from before: what an override changes meanwhile must not be remembered as new
        try:
            texts, about, wait_s, fill = await _at_once_or_not(len(data), lambda: self._asked(data))
            judged = await service.judge(texts, wait_s, *about)
            told = fill and any(verdict.rationale for verdict in judged.verdicts)
            answer = await _at_once_or_not(len(data) if not told else SMALL, lambda: wire.encode_answer(judged, texts, filled=told))
            return _json(answer, {REVISION: revision})
        finally:
            self.bodies.release(data)

    def _asked(self, data: bytes) -> tuple[list[str], About, float, bool]:
        """Texts, what else is known of them, seconds to wait, whether to fill: what is kept of a request while it waits.

        All that was decoded is many times larger.
        """
        with otlp.turn(data):
            ask = wire.decode(data, wire.Ask)
            return wire.texts_of(ask, self.limits), (wire.names_of(ask), wire.severities_of(ask)), ask.wait_ms / 1000, ask.fill

    async def _verdict(self, request: Request, service: Service) -> Response:
        key = request.path_params["key"]
        verdict = await asyncio.to_thread(service.verdict, key) if len(key) == 64 else None
        if verdict is None:
            raise Refusal(404, "unknown_key", f"no verdict has the key {key[:80]!r}; keys come with the answers of /v1/verdicts")
        return _json(msgspec.json.encode(wire.entry(verdict, key)))

    async def _templates(self, request: Request, service: Service) -> Response:
        label = _choice(request, "label", ("", "normal", "abnormal", "undecided"))
        sort, order = _choice(request, "sort", tuple(SORTS)), _choice(request, "order", ("desc", "asc"))
        limit, offset = _number(request, "limit", 100, 1, 1000), _number(request, "offset", 0, 0, 1_000_000_000)

        def page() -> bytes:
            rows = [row for row in service.templates() if not label or row[1].label == label]
            rows.sort(key=SORTS[sort], reverse=order == "desc")
            listed = [wire.Listed(template.count, wire.entry(verdict, service.key(verdict.key))) for template, verdict in rows[offset : offset + limit]]
            more = offset + limit if offset + limit < len(rows) else None
            return msgspec.json.encode(wire.Page(len(rows), listed, more))

        return _json(await asyncio.to_thread(page))

    async def _logs(self, request: Request, service: Service) -> Response:
        kind = _need_type(request, otlp.PROTOBUF, otlp.JSON)
        data = await self.bodies.read(request)
        try:
            texts = await _at_once_or_not(len(data), lambda: otlp.spoken(data, kind, self.limits.batch))
            taken = [record for record in texts if len(record.body) <= self.limits.line]
            bodies, names, severities = otlp.columns(taken)
            await service.judge(bodies, names=names, severities=severities)
        finally:
            self.bodies.release(data)
        lost = len(texts) - len(taken)
        self.meters.rejected.inc(lost)
        why = f"{lost} records are longer than {self.limits.line} characters; cut them" if lost else ""
        return Response(otlp.success(kind, lost, why), headers={**JSON, "Content-Type": kind})

    async def _health(self, _request: Request) -> Response:
        return _json(b'{"status":"alive"}')

    async def _ready(self, _request: Request) -> Response:
        if self.service is None:
            return Response(b'{"status":"loading"}', 503, {**JSON, "Retry-After": "1"})
        return _json(b'{"status":"ready"}', {REVISION: await asyncio.to_thread(self.service.revised)})

    async def _metrics(self, _request: Request) -> Response:
        return Response(await asyncio.to_thread(self.meters.text), headers={**JSON, "Content-Type": KIND})

    async def _openapi(self, _request: Request) -> Response:
        return _json(document())

    def _refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)  # noqa: S101  Starlette's signature is wider
        headers = {**JSON, **error.headers}
        kind = _type(request)
        if request.scope["path"] == "/v1/logs" and kind in (otlp.PROTOBUF, otlp.JSON):
            return Response(otlp.failure(kind, error.status, error.message), error.status, {**headers, "Content-Type": kind})
        failure = wire.Failure(wire.Fault(error.code, error.message))
        return Response(msgspec.json.encode(failure), error.status, headers)

    def _refuse_path(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        code = {404: "no_such_path", 405: "other_method"}.get(error.status_code, "refused")
        message = f"{request.method} {request.scope['path'][:80]!r}: {error.detail}; /openapi.json lists what there is"
        return self._refuse(request, Refusal(error.status_code, code, message, dict(error.headers or {})))

    def _fail(self, request: Request, error: Exception) -> Response:
        return self._refuse(request, Refusal(500, "broken", f"{type(error).__name__} in the service; its log has more"))


def _is_known(token: str, tokens: Tokens, trouble: RateLimited) -> bool:
    """Whether it is somebody's token. Raises Refusal if nobody can tell; where the file is, is not the business of who has no token."""
    try:
        return tokens.name(token) is not None
    except StoreError as error:
        trouble.warning("tokens", f"all clients are refused: {error}")
        raise Refusal(503, "unusable", "the tokens cannot be read, the service's log has more; try again later", {"Retry-After": "10"}) from error


async def _at_once_or_not(size: int, work: Callable[[], Any]) -> Any:
    """Small work is done where we are, as a thread takes longer to be told than the work; larger in a thread, not to hold up others."""
    return work() if size < SMALL else await asyncio.to_thread(work)


def _json(data: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> Response:
    return Response(inert_json(data), headers={**JSON, **headers})


def _type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _need_type(request: Request, *kinds: str) -> str:
    """The body's type. Raises Refusal for any other; a page in a browser cannot send these to another site unasked."""
    kind = _type(request)
    if kind not in kinds:
        raise Refusal(415, "unknown_type", f"Content-Type {kind[:80]!r} is not understood; send {' or '.join(kinds)}")
    return kind


def _choice(request: Request, name: str, choices: tuple[str, ...]) -> str:
    value = request.query_params.get(name, choices[0])
    if value not in choices or (value == "" and name in request.query_params):
        raise Refusal(422, "bad_parameter", f"{name} {value[:80]!r} is not one of {', '.join(filter(None, choices))}")
    return value


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    value = request.query_params.get(name, str(default))
    if not (value.isascii() and value.isdecimal() and len(value) <= 12 and least <= int(value) <= most):
        raise Refusal(422, "bad_parameter", f"{name} must be a number from {least} to {most}, got {value[:80]!r}")
    return int(value)


def _route_name(scope: Any) -> str:
    """The route for the metrics: a closed list, so that clients cannot make metrics grow."""
    path = scope["path"]
    if path.startswith("/v1/verdicts/"):
        return "/v1/verdicts/{key}"
    return path if path in (*OPEN, "/v1/verdicts", "/v1/templates", "/v1/logs", "/metrics") else "other"
