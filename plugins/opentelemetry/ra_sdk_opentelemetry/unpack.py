"""What came over the wire -> an ExportLogsServiceRequest that is safe to hold: unpacked within a bound, counted before it is built.

gRPC's own decompression has no bound but the packed size, so that a small message could become gigabytes: the server leaves messages packed
(``grpc.per_message_decompression``), and they are unpacked here.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from ra_sdk.plugin import Limits, Refusal, decode, otlp

__all__ = ["counted", "from_json", "unpacked"]


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
    """The number of records in a request, which is then known to be valid. Raises Refusal: 400, 413."""
    count = otlp.count_records(data, limits.batch)
    with otlp.turn(data):
        otlp.parsed(data)  # all of it, since what is accepted must not fail later
    return count


def from_json(data: bytes, limits: Limits) -> bytes:
    """OTLP's JSON as protobuf. It is protobuf's own mapping, but for ids, which are hexadecimal. Raises Refusal: 400, 413."""
    with otlp.turn(data):
        try:
            found: Any = decode(data, dict)
            for count, record in enumerate(_records(found), 1):
                if count > limits.batch:
                    raise otlp.too_many(f"at least {count} records", limits.batch)
                for name in ("traceId", "spanId", "trace_id", "span_id"):
                    if record.get(name):
                        record[name] = base64.b64encode(bytes.fromhex(record[name])).decode()
            request: bytes = ParseDict(found, ExportLogsServiceRequest(), ignore_unknown_fields=True).SerializeToString()
        except Refusal as error:
            raise Refusal(400 if error.status == 422 else error.status, error.code, error.message) from error
        except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
            why = " ".join(str(error).split())[:200]
            raise Refusal(400, "no_otlp", f"the body ({len(data)} bytes) is no OTLP logs in JSON: {why}; see opentelemetry-proto for its shape") from error
    return request


def _records(found: Any) -> Iterator[dict[str, Any]]:
    for resource in found.get("resourceLogs") or found.get("resource_logs") or ():
        for scope in resource.get("scopeLogs") or resource.get("scope_logs") or ():
            yield from scope.get("logRecords") or scope.get("log_records") or ()
