"""An OTLP batch -> records."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from ra_sdk.plugin import LogRecord, otlp

__all__ = ["flat", "records"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def records(data: bytes) -> list[LogRecord]:
    """The records of a request (protobuf). Their bodies are what ``ra serve`` would judge."""
    spoken = iter(otlp.spoken(data, otlp.PROTOBUF))
    found = []
    for resource in otlp.parsed(data).resource_logs:
        outer = _values(resource.resource.attributes)
        for scope in resource.scope_logs:
            inner = {**outer, "otel.scope.name": scope.scope.name} if scope.scope.name else outer
            for record in scope.log_records:
                judged = next(spoken)
                found.append(LogRecord(judged.body, _time(record), judged.severity, flat(record, inner)))
    return found


def flat(record: Any, outer: Mapping[str, Any]) -> dict[str, Any]:
    """A record's attributes with those of its resource, its ids and its event's name. The record's own take precedence."""
    found = {**outer, **_values(record.attributes)}
    if record.trace_id:
        found["trace_id"] = record.trace_id.hex()
    if record.span_id:
        found["span_id"] = record.span_id.hex()
    if record.event_name:
        found["event_name"] = record.event_name
    return found


def _time(record: Any) -> datetime | None:
    """When it happened, or else when it was observed; None if neither is a time that Python has."""
    nanos = record.time_unix_nano or record.observed_time_unix_nano
    try:
        return _EPOCH + timedelta(microseconds=nanos // 1000) if nanos else None
    except OverflowError:
        return None


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: otlp.value_of(pair.value) for pair in pairs}
