"""What came over the wire -> an ExportLogsServiceRequest that is safe to hold: unpacked within a bound, counted before it is built.

gRPC's own decompression has no bound but the packed size, so that a small message could become gigabytes: the server leaves messages packed
(``grpc.per_message_decompression``), and they are unpacked here.
"""

from __future__ import annotations

import base64
import threading
import zlib
from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from ra_sdk.limits import Limits
from ra_sdk.otlp import parsed
from ra_sdk.wire import Refusal, decode

__all__ = ["counted", "from_json", "parsed", "unpacked"]

_ALONE = threading.Lock()  # JSON takes many times its size while it is read: one at a time
_RESOURCE_LOGS, _SCOPE_LOGS, _LOG_RECORDS = 1, 2, 2  # field numbers, https://github.com/open-telemetry/opentelemetry-proto
_FIXED = {1: 8, 5: 4}  # bytes of a field, by wire type


def unpacked(data: bytes, most: int) -> bytes:
    """A gRPC message as it was before it was packed with gzip or deflate. Raises Refusal: 400, 413.

    Its first bytes tell: the first tag of an ExportLogsServiceRequest is 0x0a, while 0x1f is no tag at all and 0x78 one that OTLP has not.
    """
    if not data.startswith((b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")):
        return data
    stream = zlib.decompressobj(wbits=47)  # gzip or zlib, whichever it is
    try:
        out = stream.decompress(data, most + 1)
    except zlib.error as error:
        raise Refusal(400, "no_gzip", f"the message cannot be unpacked: {error}; send what grpc-encoding says") from error
    if len(out) > most:
        raise Refusal(413, "body_too_large", f"the message has more than {most} bytes when it is unpacked; send smaller batches")
    if not stream.eof:
        raise Refusal(400, "no_gzip", "the message's gzip ends in the middle; send all of it")
    return out


def counted(data: bytes, limits: Limits) -> int:
    """Records of a request, which is then known to be one. Raises Refusal: 400, 413.

    An empty record takes two bytes on the wire and a hundred when it is built, so they are counted before.
    """
    count = 0
    try:
        for resource in _fields(memoryview(data), _RESOURCE_LOGS):
            for scope in _fields(resource, _SCOPE_LOGS):
                for _ in _fields(scope, _LOG_RECORDS):
                    count += 1
                    if count > limits.batch:
                        raise Refusal(413, "batch_too_large", f"the batch has more than {limits.batch} records; send smaller ones")
    except (IndexError, ValueError) as error:
        raise Refusal(400, "no_protobuf", f"the body ({len(data)} bytes) is no ExportLogsServiceRequest; send OTLP logs in protobuf") from error
    with _ALONE:
        parsed(data)  # the whole of it, since what is accepted must never fail later
    return count


def from_json(data: bytes) -> bytes:
    """OTLP's JSON as protobuf. It is protobuf's own mapping, but for ids, which are hexadecimal. Raises Refusal (400)."""
    with _ALONE:
        try:
            found: Any = decode(data, dict)
            for record in _records(found):
                for name in ("traceId", "spanId", "trace_id", "span_id"):
                    if record.get(name):
                        record[name] = base64.b64encode(bytes.fromhex(record[name])).decode()
            request: bytes = ParseDict(found, ExportLogsServiceRequest(), ignore_unknown_fields=True).SerializeToString()
        except Refusal as error:
            raise Refusal(400, error.code, error.message) from error
        except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
            why = " ".join(str(error).split())[:200]
            raise Refusal(400, "no_otlp", f"the body ({len(data)} bytes) is no OTLP logs in JSON: {why}; see opentelemetry-proto for its shape") from error
    return request


def _records(found: Any) -> Iterator[dict[str, Any]]:
    for resource in found.get("resourceLogs") or found.get("resource_logs") or ():
        for scope in resource.get("scopeLogs") or resource.get("scope_logs") or ():
            yield from scope.get("logRecords") or scope.get("log_records") or ()


def _fields(data: memoryview, wanted: int) -> Iterator[memoryview]:
    """The message fields of one number. Raises IndexError and ValueError for what is no protobuf."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 2:
            size, at = _varint(data, at)
            if at + size > end:
                raise ValueError("a field is longer than what it is in")
            if tag >> 3 == wanted:
                yield data[at : at + size]
            at += size
        elif kind == 0:
            _, at = _varint(data, at)
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise ValueError(f"wire type {kind}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """https://protobuf.dev/programming-guides/encoding/#varints"""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
        if shift > 63:
            raise ValueError("a varint without end")
