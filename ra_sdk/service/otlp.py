"""OTLP/HTTP logs: requests in, answers as the specification has them, in protobuf or JSON.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from ra_sdk.formats.patterns import severity_of
from ra_sdk.formats.structured import HINTS, body_of, completed, uncoloured
from ra_sdk.knowledge.who import NAMING, NOBODY, named
from ra_sdk.records import SEVERITIES
from ra_sdk.service.wire import Refusal, decode
from ra_sdk.text import dumped

__all__ = [
    "JSON",
    "PROTOBUF",
    "Spoken",
    "bodies",
    "columns",
    "count_records",
    "failure",
    "parsed",
    "severity",
    "spoken",
    "success",
    "too_many",
    "turn",
    "value_of",
]

PROTOBUF, JSON = "application/x-protobuf", "application/json"
DEEPEST = 32  # levels of a structured body
LARGE = 64 << 10  # bytes of a request that waits for its turn to be parsed
MOST_MENDED = 500_000  # fields of a request that is mended: about a second of work
_KINDS = frozenset("stringValue boolValue intValue doubleValue arrayValue kvlistValue bytesValue".split())
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_FIXED = {1: 8, 5: 4}  # bytes of a field, by wire type
_TURN = threading.Lock()
_CODES = {400: 3, 401: 16, 404: 5, 408: 4, 413: 8, 415: 3, 422: 3, 429: 8, 503: 14}  # google.rpc.Code of an HTTP status


class _Pair(Struct):  # protobuf's JSON takes null for a default, wherever it stands
    key: str | None = None
    value: Any = None


class _Record(Struct, rename="camel"):
    body: dict[str, Any] | None = None
    attributes: list[_Pair] | None = None
    severity_number: Any = None
    severity_text: Any = None


class _Scope(Struct, rename="camel"):
    log_records: list[_Record] | None = None


class _Attributes(Struct):
    attributes: list[_Pair] | None = None


class _Resource(Struct, rename="camel"):
    resource: _Attributes | None = None
    scope_logs: list[_Scope] | None = None


class _Request(Struct, rename="camel"):
    resource_logs: list[_Resource] | None = None


class Spoken(NamedTuple):
    """A record: its body, the names that resource and record have for the program that wrote it, and the short name of its severity."""

    body: str
    names: frozenset[str]
    severity: str | None


def bodies(data: bytes, kind: str, most: int | None = None) -> list[str]:
    """The bodies of a request's records, completed from an exception's attributes. Raises as ``spoken``."""
    return [record.body for record in spoken(data, kind, most)]


def columns(records: Sequence[Spoken]) -> tuple[list[str], list[frozenset[str]], list[str | None]]:
    """Bodies, names and severities of records."""
    return [record.body for record in records], [record.names for record in records], [record.severity for record in records]


def severity(number: Any, text: Any) -> str | None:
    """The short name of a severity; four numbers have one (https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber)."""
    if isinstance(number, str) and number.startswith("SEVERITY_NUMBER_"):  # the enumeration's name, such as SEVERITY_NUMBER_ERROR2
        named = severity_of(number.removeprefix("SEVERITY_NUMBER_").rstrip("234"))
        if named is not None:
            return named
    elif isinstance(number, str) and number.isdecimal() and len(number) < 4:
        number = int(number)
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= 4 * len(SEVERITIES):
        return SEVERITIES[(number - 1) // 4]
    return severity_of(text) if isinstance(text, str) else None


def spoken(data: bytes, kind: str, most: int | None = None) -> list[Spoken]:
    """A request's records. Bodies are completed from an exception's attributes.

    Raises Refusal for data that is not such a request, or has more than ``most`` records.
    """
    if most is not None and kind == PROTOBUF:
        count_records(data, most)
    with turn(data):
        scopes = _json_scopes(data) if kind == JSON else _protobuf_scopes(data)
        count = sum(len(records) for _, records in scopes)
        if most is not None and count > most:
            raise too_many(f"{count} records", most)
        value: Callable[[Any], Any] = _json_value if kind == JSON else value_of
        found: list[Spoken] = []
        for resource, records in scopes:
            told = _named(resource, value)
            for record in records:
                attributes = record.attributes or ()
                body = _whole(value(record.body), [(pair.key, value(pair.value)) for pair in attributes if pair.key in HINTS])
                names = told | _named(attributes, value) if attributes else told
                found.append(Spoken(body, names, severity(record.severity_number, record.severity_text)))
        return found


def _named(attributes: Iterable[Any], value: Callable[[Any], Any]) -> frozenset[str]:
    found = {pair.key: value(pair.value) for pair in attributes if pair.key in NAMING}
    return frozenset(named(found)) if found else NOBODY


def turn(data: bytes) -> AbstractContextManager[object]:
    """Hold this while a request is parsed: large ones take turns, since a parsed request can take 25 times its size in memory."""
    return _TURN if len(data) > LARGE else nullcontext()


def count_records(data: bytes, most: int) -> int:
    """The number of records in a request (protobuf). Raises Refusal: 400, or 413 for more than ``most``.

    Only lengths are read: an empty record takes two bytes on the wire and more than a hundred once it is parsed.
    """
    records = groups = 0
    try:
        for resource in _messages(memoryview(data), 1):  # field numbers: https://github.com/open-telemetry/opentelemetry-proto
            groups += 1
            for scope in _messages(resource, 2):
                groups += 1
                for _ in _messages(scope, 2):
                    records += 1
                    if records > most:
                        raise too_many(f"at least {most + 1} records", most)
                if groups > 2 * most:  # a resource and a scope for each record
                    break
            if groups > 2 * most:
                raise too_many(f"at least {2 * most + 1} resources and scopes", 2 * most)
    except (IndexError, ValueError) as error:
        raise _not_a_request(data, error) from error
    return records


def success(kind: str, rejected: int = 0, why: str = "") -> bytes:
    """The answer to a request that was taken, all of it or all but ``rejected`` records."""
    if kind == JSON:
        return msgspec.json.encode({"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": why}} if rejected or why else {})
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse

    partial = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=why) if rejected or why else None
    answer: bytes = ExportLogsServiceResponse(partial_success=partial).SerializeToString()
    return answer


def failure(kind: str, status: int, message: str) -> bytes:
    """A ``google.rpc.Status``. Its protobuf is written by hand: two fields are not worth a package."""
    code = _CODES.get(status, 2)
    if kind == JSON:
        return msgspec.json.encode({"code": code, "message": message})
    text = message.encode()
    return b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text


def _json_scopes(data: bytes) -> list[tuple[Sequence[Any], Sequence[Any]]]:
    """The attributes of its resource, and the records, of every scope."""
    try:
        request = decode(data, _Request)
    except Refusal as error:  # whatever cannot be decoded is 400 here
        raise Refusal(400, error.code, error.message) from error
    return [
        ((one.resource and one.resource.attributes) or (), scope.log_records or ()) for one in request.resource_logs or () for scope in one.scope_logs or ()
    ]


def parsed(data: bytes) -> Any:
    """An ExportLogsServiceRequest. Text that is not UTF-8 gets U+FFFD, as in files: the Collector sends what it got. Raises Refusal for anything else."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    try:
        try:
            return ExportLogsServiceRequest.FromString(data)
        except DecodeError:
            mended = _mended(data, ExportLogsServiceRequest.DESCRIPTOR, [MOST_MENDED])
            return ExportLogsServiceRequest.FromString(mended)
    except (DecodeError, ValueError, IndexError) as error:
        raise _not_a_request(data, error) from error


def _protobuf_scopes(data: bytes) -> list[tuple[Sequence[Any], Sequence[Any]]]:
    request = parsed(data)
    return [(one.resource.attributes, scope.log_records) for one in request.resource_logs for scope in one.scope_logs]


def _messages(data: memoryview, number: int) -> Iterator[memoryview]:
    """The contents of the message fields with this number. Raises IndexError or ValueError for data that is not protobuf."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _read_varint(data, at)
        kind = tag & 7
        if kind == 2:
            size, at = _read_varint(data, at)
            if at + size > end:
                raise ValueError("a field is longer than the message that holds it")
            if tag >> 3 == number:
                yield data[at : at + size]
            at += size
        elif kind == 0:
            _, at = _read_varint(data, at)
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise ValueError(f"wire type {kind} is not supported")


def too_many(what: str, most: int) -> Refusal:
    """The refusal of a request that has too many of something."""
    return Refusal(413, "batch_too_large", f"{what} are more than the {most} of one batch; send smaller batches")


def _not_a_request(data: bytes, error: Exception) -> Refusal:
    return Refusal(400, "no_protobuf", f"the body ({len(data)} bytes) is not an ExportLogsServiceRequest: {error}; send OTLP logs in protobuf")


def _whole(value: Any, hints: Iterable[tuple[str, Any]]) -> str:
    """A body as text, completed just as that of a JSON line is."""
    known = dict(hints)
    if isinstance(value, dict):
        return uncoloured(body_of({**known, **value}, dumped(value, compact=True)))
    text = "" if value is None else value if isinstance(value, str) else dumped(value, compact=True)
    return uncoloured(completed(text, known) if known else text)


def value_of(value: Any, depth: int = 0) -> Any:
    """An AnyValue of OTLP's protobuf as Python has it, and JSON can."""
    kind = value.WhichOneof("value")
    if kind in (None, "string_value") or depth > DEEPEST:
        return value.string_value if kind else None
    if kind == "array_value":
        return [value_of(item, depth + 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: value_of(pair.value, depth + 1) for pair in value.kvlist_value.values}
    plain = getattr(value, kind)
    return base64.b64encode(plain).decode() if isinstance(plain, bytes) else plain


def _json_value(value: Any, depth: int = 0) -> Any:
    """An AnyValue of OTLP's JSON, ``{"stringValue": …}``, as Python has it. Other keys are ignored, as the specification demands."""
    if not value or not isinstance(value, dict) or depth > DEEPEST:
        return None
    kind = next((kind for kind in value if kind in _KINDS and value[kind] is not None), "")
    plain = value.get(kind)
    inner = plain.get("values") if isinstance(plain, dict) else None
    items = inner if isinstance(inner, list) else []
    if kind == "arrayValue":
        return [_json_value(item, depth + 1) for item in items]
    if kind == "kvlistValue":
        return {str(pair.get("key") or ""): _json_value(pair.get("value"), depth + 1) for pair in items if isinstance(pair, dict)}
    if kind == "intValue" and isinstance(plain, str) and _INTEGER.fullmatch(plain):
        return int(plain)
    if kind == "doubleValue" and plain in ("NaN", "Infinity", "-Infinity"):  # which JSON has no numbers for
        return float(plain)
    return plain if isinstance(plain, str | int | float | bool) else None


def _mended(data: bytes, kind: Any, left: list[int], depth: int = 0) -> bytes:
    """A message with its text made UTF-8. ``left``: fields that may yet be looked at. Raises ValueError and IndexError for anything else."""
    out, at = bytearray(), 0
    while at < len(data):
        left[0] -= 1
        if left[0] < 0 or depth > 2 * DEEPEST:
            raise ValueError("it has text that is not UTF-8, and too many or too deeply nested fields to repair it")
        tag, start = _read_varint(data, at)
        if tag & 7 != 2:  # no text: a number of 64 or 32 bits, or of as many bytes as it needs
            end = start + {1: 8, 5: 4}[tag & 7] if tag & 7 in (1, 5) else _read_varint(data, start)[1]
            out += data[at:end]
        else:
            size, begin = _read_varint(data, start)
            field, piece, end = kind.fields_by_number.get(tag >> 3), data[begin : begin + size], begin + size
            if field is not None and field.type == field.TYPE_STRING:
                piece = piece.decode("utf-8", "replace").encode()
            elif field is not None and field.type == field.TYPE_MESSAGE:
                piece = _mended(piece, field.message_type, left, depth + 1)
            out += data[at:start] + _varint(len(piece)) + piece
        if end > len(data):
            raise ValueError("it ends in the middle of a field")
        at = end
    return bytes(out)


def _read_varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """A number, and the position after it. Raises IndexError or ValueError."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    number, shift = byte & 0x7F, 7
    while shift < 70:
        at += 1
        byte = data[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at + 1
        shift += 7
    raise ValueError("a varint has more than ten bytes")


def _varint(number: int) -> bytes:
    """https://protobuf.dev/programming-guides/encoding/#varints"""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
