"""What ra-sdk finds of this package: its source and sink, the port of the service, and the model that does not make hosts wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ra_sdk.plugin import Listener, Reasoner, Sink, Source, hookimpl

from ra_sdk_opentelemetry.address import SCHEMES

__all__ = ["ra_sdk_open_listener", "ra_sdk_open_reasoner", "ra_sdk_open_sink", "ra_sdk_open_source"]


@hookimpl
def ra_sdk_open_source(url: str, options: Mapping[str, Any]) -> Source | None:
    """``otlp:``, ``otlps:``, ``otlp+http:``, ``otlp+https:``."""
    if not _is_ours(url):
        return None
    from ra_sdk_opentelemetry.source import OtlpSource

    return OtlpSource(url, options)


@hookimpl
def ra_sdk_open_sink(url: str) -> Sink | None:
    """The same schemes."""
    if not _is_ours(url):
        return None
    from ra_sdk_opentelemetry.sink import OtlpSink

    return OtlpSink(url)


@hookimpl
def ra_sdk_open_listener(url: str, options: Mapping[str, Any]) -> Listener | None:
    """OTLP/gRPC for ``ra serve``."""
    if not _is_ours(url):
        return None
    from ra_sdk_opentelemetry.listening import GrpcListener

    return GrpcListener(url, options)


@hookimpl
def ra_sdk_open_reasoner(model: str | None, options: Mapping[str, Any]) -> Reasoner | None:
    """``background:MODEL``: any model, asked in the background."""
    from ra_sdk_opentelemetry.background import open_background

    return open_background(model, options)


def _is_ours(url: str) -> bool:
    return url.partition(":")[0].lower() in SCHEMES
