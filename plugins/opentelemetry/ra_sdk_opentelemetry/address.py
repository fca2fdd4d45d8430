"""URLs of sources and sinks: ``otlp://HOST:PORT`` (gRPC), ``otlp+http://HOST:PORT``; with TLS ``otlps://`` and ``otlp+https://``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from ra_sdk.plugin import BadOption

__all__ = ["SCHEMES", "Address", "parse"]

SCHEMES = {"otlp": (False, False), "otlps": (False, True), "otlp+http": (True, False), "otlp+https": (True, True)}  # is it HTTP, has it TLS
PORTS = {False: 4317, True: 4318}  # https://opentelemetry.io/docs/specs/otlp: by whether it is HTTP
PATH = "/v1/logs"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Address:
    """Where OTLP is spoken, and what the URL's query asks for. ``host`` is without brackets; ``path`` is HTTP's."""

    url: str
    http: bool
    tls: bool
    host: str
    port: int
    path: str
    options: Mapping[str, str]

    @property
    def target(self) -> str:
        """``host:port``, as gRPC and HTTP have it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def number(self, name: str, default: float, *, least: float = 0.0) -> float:
        """A number of the query. Raises BadOption for what is none, or not above ``least``."""
        return self._option(name, default, float, lambda value: least < value < float("inf"), f"a number above {least:g}")

    def whole(self, name: str, default: int, *, most: int = 1 << 31) -> int:
        """A whole number of the query, at least 1. Raises BadOption."""
        return self._option(name, default, int, lambda value: 0 < value <= most, f"a whole number from 1 to {most}")

    def choice(self, name: str, *choices: str) -> str:
        """One of some words, the first by default. Raises BadOption."""
        return self._option(name, choices[0], str, lambda value: value in choices, f"one of {', '.join(choices)}")

    def _option(self, name: str, default: _T, kind: Callable[[str], _T], fits: Callable[[_T], bool], what: str) -> _T:
        if name not in self.options:
            return default
        try:
            value = kind(self.options[name])
        except ValueError:
            value = None
        if value is None or not fits(value):
            raise BadOption(f"{name}={self.options[name]!r} in {self.url!r} is not {what}; give one, or leave it out")
        return value


def parse(url: str, known: frozenset[str]) -> Address | None:
    """The address in a URL; None where the scheme is another's. ``known``: options that its query may have. Raises BadOption."""
    scheme = url.partition(":")[0].lower()
    if scheme not in SCHEMES:
        return None
    http, tls = SCHEMES[scheme]
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadOption(f"{url!r} is no address: {error}; write {scheme}://HOST:PORT") from error
    if not host or parts.fragment or parts.username or (parts.path not in ("", "/") and not http):
        raise BadOption(
            f"{url!r} is not of the form {scheme}://HOST:PORT{PATH if http else ''}?OPTION=VALUE; write it so, with headers in OTEL_EXPORTER_OTLP_HEADERS"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(options) - known):
        raise BadOption(f"{url!r} has the option {unknown[0]!r}, which is not known; there are {', '.join(sorted(known))}")
    return Address(url, http, tls, host, PORTS[http] if port is None else port, parts.path if parts.path not in ("", "/") else PATH, options)
