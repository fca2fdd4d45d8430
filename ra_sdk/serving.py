"""Runs the service: binds, loads the model while the door is open already, and at the end finishes what was accepted."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ra_sdk.errors import BadOption, WorldError
from ra_sdk.limits import Limits
from ra_sdk.tokens import Tokens, default_path

if TYPE_CHECKING:
    from ra_sdk.server import Door

__all__ = ["Place", "run"]

INSTALL = "install it with: pip install 'ra-sdk[server]'"
HANDSHAKE_S = 10.0  # for TLS: until then a connection is not ours to watch
SWITCH_S = 0.001  # threads that wait for Python's lock are heard this soon: the event loop must not wait 5 ms for a miner
BACKLOG = 1024
SPARE = 64  # files that the process needs besides its connections


@dataclass(frozen=True, slots=True)
class Place:
    """Where to serve. ``port`` 0: any that is free. ``tokens``: their file; None: the default one, if others than this machine can come.

    ``cert``, ``key``: PEM files; with them it is HTTPS.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    tokens: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    limits: Limits = field(default_factory=Limits)


def run(place: Place, detecting: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C. ``detecting``: options of ``Detector``; ``say`` is told what an operator should know.

    Raises BadOption, WorldError, and what ``Detector`` raises.
    """
    try:
        from ra_sdk.server import Door, Outside
    except ImportError as error:
        raise WorldError(f"the service cannot be started ({error}); {INSTALL}") from error
    local = _is_loopback(place.host)
    path = place.tokens or (None if local else default_path())
    tokens = None if path is None else Tokens(path)
    if tokens is not None and not len(tokens):
        raise BadOption(f"no token is in {str(path)!r}, and {place.host!r} needs one; make one with: ra token NAME --tokens {path}")
    _check_tls(place)
    _allow_files(place.limits.connections + SPARE)
    door = Door(place.limits, Outside(tokens, local))
    listening = _bind(place.host, place.port)
    host, port = listening.getsockname()[:2]
    url = f"http{'s' if place.cert else ''}://{f'[{host}]' if ':' in host else host}:{port}"
    say(f"listening on {url}, {'with tokens of ' + str(path) if tokens else 'for this machine only'}")
    sys.setswitchinterval(SWITCH_S)
    asyncio.run(_serve(door, place, listening, detecting, say))


async def _serve(door: Door, place: Place, listening: socket.socket, detecting: Mapping[str, Any], say: Callable[[str], None]) -> None:
    server = _server(door, place)
    loading = asyncio.create_task(_load(door, detecting, say))
    loading.add_done_callback(lambda task: server.stop() if not task.cancelled() and task.exception() else None)
    patrol = asyncio.create_task(door.watch.patrol())
    try:
        await server.serve(sockets=[listening])
    finally:
        patrol.cancel()
        await asyncio.wait([loading])  # a model that is half loaded cannot be let go of
        if door.service is not None:
            await asyncio.to_thread(door.service.close)
    await loading


async def _load(door: Door, detecting: Mapping[str, Any], say: Callable[[str], None]) -> None:
    from ra_sdk.detector import Detector
    from ra_sdk.service import Service

    await asyncio.to_thread(_warm)
    detector = await asyncio.to_thread(partial(Detector, **detecting))
    door.service = Service(detector, door.limits, door.meters)
    say(f"ready, {detector.reasoner.name}")


def _warm() -> None:
    """Have loaded what the first batch needs, so that it takes no longer than the others."""
    import polars as pl

    from ra_sdk.templates import Miner

    Miner().mine(pl.Series("body", ["a first line"]))


def _server(door: Door, place: Place) -> Any:
    import uvicorn

    from ra_sdk.guard import guarded

    class Server(uvicorn.Server):
        """uvicorn's, which would end the process by the signal that it got, and wait a minute for a TLS handshake."""

        def stop(self) -> None:
            self.should_exit = True

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            kinds = (signal.SIGINT, signal.SIGTERM)
            with suppress(ValueError):  # not in the main thread, as in tests
                before = {kind: signal.signal(kind, lambda *_: self.stop()) for kind in kinds}
            try:
                yield
            finally:
                with suppress(ValueError, UnboundLocalError):
                    for kind, handler in before.items():
                        signal.signal(kind, handler)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            loop: Any = asyncio.get_running_loop()
            if place.cert:
                loop.create_server = partial(loop.create_server, ssl_handshake_timeout=HANDSHAKE_S)
            await super().startup(sockets)

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
        timeout_keep_alive=int(place.limits.head_s) or 1,
        timeout_graceful_shutdown=int(place.limits.grace_s) or 1,
        backlog=BACKLOG,
    )
    return Server(config)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name may mean anything
        return False


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        raise WorldError(
            f"{host!r} port {port} cannot be listened on: {getattr(error, 'strerror', None) or error}; choose another with --host and --port"
        ) from error
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
