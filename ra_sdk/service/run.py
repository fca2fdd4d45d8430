"""Runs the service: binds, loads the model while the door is open already, and at the end finishes what was accepted."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ra_sdk.errors import BadOption, WorldError
from ra_sdk.service.limits import Limits
from ra_sdk.service.tokens import Tokens, default_path

if TYPE_CHECKING:
    from ra_sdk.hookspecs import Listener
    from ra_sdk.service.app import Door

__all__ = ["Place", "Serving"]

INSTALL = "install it with: pip install 'ra-sdk[server]'"
HANDSHAKE_S = 10.0  # for TLS: until then a connection is not ours to watch
SWITCH_S = 0.001  # threads that wait for Python's lock are heard this soon: the event loop must not wait 5 ms for a miner
LAST_S = 1.0  # of the time of grace: in which those are answered who still wait for the model
BACKLOG = 1024
SPARE = 64  # files that the process needs besides its connections


@dataclass(frozen=True, slots=True)
class Place:
    """Where to serve. ``port`` 0: any that is free. ``tokens``: their file; None: the default one, if others than this machine can come.

    ``cert``, ``key``: PEM files; with them it is HTTPS. ``listeners``: URLs of further addresses, for plugins to listen on.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    tokens: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    limits: Limits = field(default_factory=Limits)
    listeners: tuple[str, ...] = ()


class Serving:
    """A service that is bound, and runs when told. ``detecting``: options of ``Detector``; ``say`` is told what an operator should know.

    ``url``: where it is. Raises BadOption and WorldError for a place that cannot be.
    """

    def __init__(self, place: Place, detecting: Mapping[str, Any], say: Callable[[str], None]) -> None:
        try:
            import opentelemetry.proto.collector.logs.v1.logs_service_pb2  # noqa: F401  now, with a hint, and not when the first records come
            import uvicorn  # noqa: F401

            from ra_sdk.service.app import Door, Outside
            from ra_sdk.service.connections import is_loopback
        except ImportError as error:
            raise WorldError(f"the service cannot be started ({error}); {INSTALL}") from error
        self.place, self._detecting, self._say = place, detecting, say
        abroad = [host for host in (place.host, *map(_host, place.listeners)) if not is_loopback(host)]
        local = not abroad
        path = place.tokens or (None if local else default_path())
        tokens = None if path is None else Tokens(path)
        if tokens is not None and not len(tokens):
            raise BadOption(f"no token is in {str(path)!r}, and {(abroad or [place.host])[0]!r} needs one; make one with: ra token NAME --tokens {path}")
        _check_tls(place)
        _allow_files(place.limits.connections + SPARE)
        self.door: Door = Door(place.limits, Outside(tokens, local))
        self._server = _server(self.door, place)
        self._listening = _bind(place.host, place.port)
        try:
            self.listeners = _opened(place, tokens)
        except BaseException:
            self._listening.close()
            raise
        host, port = self._listening.getsockname()[:2]
        self.url = f"http{'s' if place.cert else ''}://{f'[{host}]' if ':' in host else host}:{port}"
        say(f"listening on {self.url}, {f'with tokens of {path}' if tokens else 'for this machine only'}")
        for listener in self.listeners:
            say(f"listening on {listener.url}, too")

    def run(self) -> None:
        """Serve until SIGTERM, Ctrl-C or ``stop``. Raises what ``Detector`` raises."""
        sys.setswitchinterval(SWITCH_S)
        asyncio.run(self._run())

    def stop(self) -> None:
        """End it, from any thread, when what was accepted is done."""
        self._server.stop()

    async def _run(self) -> None:
        loading = asyncio.create_task(self._load())
        loading.add_done_callback(lambda task: self.stop() if not task.cancelled() and task.exception() else None)
        patrol = asyncio.create_task(self.door.watch.patrol())
        try:
            await self._server.serve(sockets=[self._listening])
        finally:
            patrol.cancel()
            await asyncio.wait([loading])  # a model that is half loaded cannot be let go of
            for listener in self.listeners:
                await asyncio.to_thread(listener.close, self._server.grace_left())
            if self.door.service is not None:
                await asyncio.to_thread(self.door.service.close, self._server.grace_left())
        await loading

    async def _load(self) -> None:
        from ra_sdk.detector import Detector
        from ra_sdk.service.core import Service

        await asyncio.to_thread(_warm)
        detector = await asyncio.to_thread(partial(Detector, **self._detecting))
        self.door.service = Service(detector, self.door.limits, self.door.meters)
        service, loop = self.door.service, asyncio.get_running_loop()

        def judge(bodies: Sequence[str], names: Sequence[Collection[str]] = (), severities: Sequence[str | None] = ()) -> Future[Any]:
            return asyncio.run_coroutine_threadsafe(service.judge(bodies, names=names, severities=severities), loop)

        for listener in self.listeners:
            listener.start(judge)
        self._say(f"ready, {detector.reasoner.name}")


def _opened(place: Place, tokens: Tokens | None) -> list[Listener]:
    """The further addresses, each with the plugin that knows it."""
    if not place.listeners:
        return []
    from ra_sdk.plugins import PluginSet

    plugins, options = PluginSet(), {"limits": place.limits, "tokens": tokens, "cert": place.cert, "key": place.key}
    return [plugins.open_listener(url, options) for url in place.listeners]


def _warm() -> None:
    """Have loaded what the first batch needs, so that it takes no longer than the others."""
    import polars as pl

    from ra_sdk.templates.miner import Miner

    Miner().mine(pl.Series("body", ["a first line"]))


def _server(door: Door, place: Place) -> Any:
    import uvicorn

    from ra_sdk.service.connections import guarded

    config = uvicorn.Config(
        door,
        http=guarded(door.watch),
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=place.cert,
        ssl_keyfile=place.key,
        timeout_keep_alive=max(int(place.limits.head_s), 1),
        timeout_graceful_shutdown=max(int(place.limits.grace_s), 1),
        backlog=BACKLOG,
    )
    return _server_class()(config, door.hurry)


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and Ctrl-C stop it, and do no more."""
    before = {}
    with suppress(ValueError):  # not in the main thread, as in tests
        for kind in (signal.SIGINT, signal.SIGTERM):
            before[kind] = signal.signal(kind, lambda *_: stop())
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@cache
def _server_class() -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        """uvicorn's, which would end the process by the signal that it got, and wait a minute for a TLS handshake."""

        stopped: float | None = None

        def __init__(self, config: uvicorn.Config, hurry: Callable[[], None]) -> None:
            super().__init__(config)
            self.hurry = hurry

        def stop(self) -> None:
            self.stopped, self.should_exit = self.stopped or time.monotonic(), True

        def grace_left(self) -> float:
            """Seconds that are left of those in which everything has to end."""
            grace = float(self.config.timeout_graceful_shutdown or 0)
            return grace - (time.monotonic() - self.stopped) if self.stopped else grace

        def capture_signals(self) -> Any:
            return _signals(self.stop)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            if self.config.is_ssl:
                loop: Any = asyncio.get_running_loop()
                loop.create_server = partial(loop.create_server, ssl_handshake_timeout=HANDSHAKE_S)
            await super().startup(sockets)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            left = self.grace_left()
            timer = asyncio.get_running_loop().call_later(left - min(LAST_S, left / 2), self.hurry)  # else who waits then would be cut off, with a 500
            try:
                await super().shutdown(sockets)
            finally:
                timer.cancel()

    return Server


def _host(url: str) -> str:
    """The host of a URL, none if it is broken: whose plugin opens it will say so."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _bind(host: str, port: int) -> socket.socket:
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except (OSError, UnicodeError) as error:  # the latter of a name that none can be
        if listening is not None:
            listening.close()
        reason = getattr(error, "strerror", None) or error
        raise WorldError(f"{host!r} port {port} cannot be listened on: {reason}; choose another with --host and --port") from error
    return listening


def _check_tls(place: Place) -> None:
    """Raise BadOption for a certificate that cannot be used: now, with its name, and not in the middle of the start."""
    if place.key and not place.cert:
        raise BadOption(f"--key {str(place.key)!r} without --cert: a key alone makes no TLS; give the certificate, too")
    if place.cert is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(place.cert, place.key, password=_no_password)
    except (OSError, ValueError) as error:  # of which ssl.SSLError is one
        named = f"--cert {str(place.cert)!r}" + (f" and --key {str(place.key)!r}" if place.key else "")
        raise BadOption(
            f"{named} cannot be used: {error.strerror if isinstance(error, OSError) and error.strerror else error}; give PEM files that belong together"
        ) from error


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _allow_files(wanted: int) -> None:
    """Have room for as many connections as are allowed, as far as the system lets us."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
