"""OpenTelemetry for ra-sdk: OTLP logs in and out, and a processor for the Python SDK.

The source and the sink come through ra-sdk's hooks, by their URLs (``otlp://``, ``otlp+http://``). ``RaLogRecordProcessor`` annotates the
records of the application that it is in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ra_sdk_opentelemetry.names import Names
    from ra_sdk_opentelemetry.processor import RaLogRecordProcessor
    from ra_sdk_opentelemetry.sink import OtlpSink
    from ra_sdk_opentelemetry.source import OtlpSource

__all__ = ["Names", "OtlpSink", "OtlpSource", "RaLogRecordProcessor"]
__version__ = "0.1.0"

_HOMES = {"Names": "names", "OtlpSink": "sink", "OtlpSource": "source", "RaLogRecordProcessor": "processor"}


def __getattr__(name: str) -> Any:
    """Imported when they are first asked for: who needs the processor does not pay for gRPC's server."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
