"""Detections -> requests of OTLP: the records as they came, with the attributes of their verdicts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from ra_sdk.plugin import SEVERITIES, otlp

from ra_sdk_opentelemetry.names import Names

if TYPE_CHECKING:
    from ra_sdk.plugin import Detections

__all__ = ["Chunk", "Writer"]

BYTES = 3 << 20  # of a request, unless one record is larger; receivers take 4 MiB as a rule
LATEST = ((1 << 64) - 1) // 1_000  # microseconds: the last time that OTLP has is in the year 2554
DEEPEST = 24  # levels of an attribute: protobuf's readers stop at a depth of 100 messages, and a level takes three
_SCOPE = "ra_sdk"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A request, as protobuf, and the records in it."""

    data: bytes
    records: int

    def halves(self) -> tuple[Chunk, ...]:
        """The same records in two requests, for a receiver that takes no larger ones; one record cannot be halved."""
        if self.records < 2:
            return ()
        request, middle = otlp.parsed(self.data), self.records // 2
        parts = [_Filling(), _Filling()]
        rows = ((resource, scope, record) for resource in request.resource_logs for scope in resource.scope_logs for record in scope.log_records)
        for place, (resource, scope, record) in enumerate(rows):
            parts[place >= middle].add(resource, scope, record)
        return tuple(part.chunk() for part in parts)


class Writer:
    """Makes requests of blocks. ``service``: the ``service.name`` of records that come from elsewhere than OTLP, None: they have none."""

    def __init__(self, names: Names, *, records: int, service: str | None = None) -> None:
        self.names, self._records = names, records
        self._request = ExportLogsServiceRequest()
        self._resource = self._request.resource_logs.add()
        self._scope = self._resource.scope_logs.add()
        self._scope.scope.name = _SCOPE
        if service:
            self._resource.resource.attributes.append(_pair("service.name", service))
        self._last: tuple[bytes, list[tuple[Any, Any, Any]]] = (b"", [])

    def chunks(self, detections: Detections) -> Iterator[Chunk]:
        """The block in requests of at most so many records and bytes, in order."""
        filling = _Filling()
        for resource, scope, record in self._annotated(detections):
            if filling.records and (filling.records >= self._records or filling.bytes + record.ByteSize() > BYTES):
                yield filling.chunk()
                filling = _Filling()
            filling.add(resource, scope, record)
        if filling.records:
            yield filling.chunk()

    def _annotated(self, detections: Detections) -> Iterator[tuple[Any, Any, Any]]:
        own = self.names.all
        verdicts = [
            LogRecord(attributes=[_pair(*item) for item in self.names.attributes(verdict).items()]).SerializeToString() for verdict in detections.verdicts
        ]
        uids = self._uids(detections)
        for row, (resource, scope, record) in enumerate(self._rows(detections)):
            if any(pair.key in own for pair in record.attributes):  # of an earlier hop
                kept = [pair for pair in record.attributes if pair.key not in own]
                del record.attributes[:]
                record.attributes.extend(kept)
            code = detections.code_list[row]
            record.MergeFromString(verdicts[code])
            if self.names.rationale and detections.verdicts[code].rationale:
                record.attributes.append(_pair(self.names.rationale, detections.rationale(row)))
            if uids:
                record.attributes.append(_pair(self.names.uid, uids[row]))
            yield resource, scope, record

    def _uids(self, detections: Detections) -> list[str]:
        if not self.names.uid:
            return []
        from ra_sdk.plugin import record_ids

        return record_ids(detections)

    def _rows(self, detections: Detections) -> Iterator[tuple[Any, Any, Any]]:
        """Resource, scope and record of every row: those that came in, or made of the block's columns."""
        data = detections.block.origin
        if not isinstance(data, bytes):
            yield from self._made(detections)
            return
        if self._last[0] is not data:
            self._last = data, [(r, s, record) for r in otlp.parsed(data).resource_logs for s in r.scope_logs for record in s.log_records]
        for place in detections.block.offsets.to_list():
            resource, scope, record = self._last[1][place]
            copy = LogRecord()
            copy.CopyFrom(record)
            yield resource, scope, copy

    def _made(self, detections: Detections) -> Iterator[tuple[Any, Any, Any]]:
        block, observed = detections.block, time.time_ns()
        path = detections.source.removeprefix("file:")
        place = {"log.file.path": path} if Path(path).is_file() else {}
        fields = block.fields
        stamps, severities, attributes_ = fields["timestamp"].dt.epoch("us"), fields["severity"], fields["attributes"]
        for body, stamp, severity, attributes in zip(block.bodies.to_list(), stamps.to_list(), severities.to_list(), attributes_.to_list()):
            record = LogRecord(observed_time_unix_nano=observed)
            record.body.string_value = body
            if stamp is not None and 0 < stamp <= LATEST:
                record.time_unix_nano = stamp * 1_000
            if severity:
                record.severity_text = severity
                number: Any = 4 * SEVERITIES.index(severity) + 1 if severity in SEVERITIES else 0  # the stubs have an enum of their own
                record.severity_number = number
            found = {**place, **(json.loads(attributes) if attributes else {})}
            record.attributes.extend(_pair(key, value) for key, value in found.items())
            yield self._resource, self._scope, record


class _Filling:
    """A request that is being filled."""

    def __init__(self) -> None:
        self.records = self.bytes = 0
        self._request = ExportLogsServiceRequest()
        self._from: tuple[Any, Any] = (None, None)
        self._scope: Any = None

    def add(self, resource: Any, scope: Any, record: Any) -> None:
        """One more record, under the resource and scope that it came with."""
        if self._from[0] is not resource:
            fresh = self._request.resource_logs.add(schema_url=resource.schema_url)
            if resource.HasField("resource"):
                fresh.resource.CopyFrom(resource.resource)
        if self._from[0] is not resource or self._from[1] is not scope:
            self._scope = self._request.resource_logs[-1].scope_logs.add(schema_url=scope.schema_url)
            if scope.HasField("scope"):
                self._scope.scope.CopyFrom(scope.scope)
        self._from = resource, scope
        self._scope.log_records.add().CopyFrom(record)
        self.records += 1
        self.bytes += record.ByteSize()

    def chunk(self) -> Chunk:
        """What is in it."""
        return Chunk(self._request.SerializeToString(), self.records)


def _pair(key: str, value: Any) -> Any:
    return KeyValue(key=key, value=_any(value))


def _any(value: Any, depth: int = 0) -> Any:
    """An AnyValue of what JSON can have."""
    found = AnyValue()
    if isinstance(value, bool):
        found.bool_value = value
    elif isinstance(value, str):
        found.string_value = value
    elif isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        found.int_value = value
    elif isinstance(value, float) or (isinstance(value, int) and value.bit_length() < 1_024):
        found.double_value = float(value)
    elif isinstance(value, int) or (value is not None and depth == DEEPEST):  # no double is as large, no reader goes as deep
        found.string_value = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, Mapping):
        found.kvlist_value.SetInParent()
        found.kvlist_value.values.extend(KeyValue(key=str(key), value=_any(item, depth + 1)) for key, item in value.items())
    elif isinstance(value, list):
        found.array_value.SetInParent()
        found.array_value.values.extend(_any(item, depth + 1) for item in value)
    return found
