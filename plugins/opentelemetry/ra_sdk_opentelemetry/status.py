"""Refusals as gRPC and HTTP say them, and what a receiver said as we understand it.

https://opentelemetry.io/docs/specs/otlp/#failures
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from ra_sdk.plugin import Refusal

__all__ = ["abort", "delay_of"]

_CODES = {  # of an HTTP status, as a receiver of OTLP/gRPC has to say it
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    413: grpc.StatusCode.INVALID_ARGUMENT,  # RESOURCE_EXHAUSTED would be sent again, and again
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
_DETAILS, _RETRY = "grpc-status-details-bin", "google.rpc.retryinfo-bin"  # the first is what Go's Collector reads, the second what Python's exporter does


def abort(context: Any, error: Refusal) -> None:
    """End the call. Where it may be sent again, clients are told when: without RetryInfo a Collector would drop it."""
    code = _CODES.get(error.status, grpc.StatusCode.INTERNAL)
    after = error.headers.get("Retry-After")
    if after:
        info = RetryInfo()
        info.retry_delay.FromNanoseconds(int(float(after) * 1e9))
        status = Status(code=code.value[0], message=error.message)
        status.details.add().Pack(info)
        context.set_trailing_metadata(((_DETAILS, status.SerializeToString()), (_RETRY, info.SerializeToString())))
    context.abort(code, error.message)


def delay_of(metadata: Iterable[tuple[str, Any]] | None) -> float | None:
    """Seconds after which a receiver wants it again; None: it did not say."""
    found = dict(metadata or ())
    for name in (_DETAILS, _RETRY):
        if isinstance(found.get(name), bytes) and (info := _retry_info(name, found[name])) is not None:
            return max(0.0, float(info.retry_delay.ToNanoseconds()) / 1e9)
    return None


def _retry_info(name: str, data: bytes) -> Any:
    """A RetryInfo, out of a Status or as it is; None: there is none."""
    from google.protobuf.message import DecodeError

    info = RetryInfo()
    try:
        if name == _RETRY:
            return RetryInfo.FromString(data)
        return next((info for detail in Status.FromString(data).details if detail.Unpack(info)), None)
    except DecodeError:
        return None
