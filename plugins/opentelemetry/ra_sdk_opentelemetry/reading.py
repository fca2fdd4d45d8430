"""An OTLP batch -> the lines that a source gives, and the format that reads them.

A source of whole records has no checkpoints, one of lines has. So each record becomes a line of our own, and the format takes it apart again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import msgspec
from ra_sdk.service import otlp

from ra_sdk_opentelemetry.unpack import parsed

if TYPE_CHECKING:
    import polars as pl

__all__ = ["OtlpFormat", "flat", "lines"]

_SIGN = "ra-otlp/1"
_START = f'["{_SIGN}",'
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_Line = tuple[str, str, int | None, str | None, msgspec.Raw]
_decode = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


def lines(data: bytes) -> bytes:
    """Every record of a request (protobuf) as a line: body, microseconds, severity, attributes. The body is what ``ra serve`` would judge."""
    spoken = iter(otlp.spoken(data, otlp.PROTOBUF))
    out = []
    for resource in parsed(data).resource_logs:
        outer = _values(resource.resource.attributes)
        for scope in resource.scope_logs:
            inner = {**outer, "otel.scope.name": scope.scope.name} if scope.scope.name else outer
            for record in scope.log_records:
                told = next(spoken)
                out.append(_encode((_SIGN, told.body, _micros(record), told.severity, flat(record, inner))))
    return b"".join(line + b"\n" for line in out)


def flat(record: Any, outer: Mapping[str, Any]) -> dict[str, Any]:
    """A record's attributes with those of its resource, its ids and its event's name; the record's own win."""
    found = {**outer, **_values(record.attributes)}
    if record.trace_id:
        found["trace_id"] = record.trace_id.hex()
    if record.span_id:
        found["span_id"] = record.span_id.hex()
    if record.event_name:
        found["event_name"] = record.event_name
    return found


class OtlpFormat:
    """The format of those lines; nobody else writes them."""

    name = "otlp"
    about = "lines of the otlp source; nobody else writes them"
    pattern = r'^\["ra-otlp/1",'

    def has(self, lines: pl.Series) -> pl.Series:
        """Boolean: the line is ours."""
        return lines.str.starts_with(_START)

    def bodies(self, records: pl.Series) -> pl.Series:
        """The messages."""
        import polars as pl

        return pl.Series("body", [line[1] for line in _read(records)], dtype=pl.String)

    def fields(self, records: pl.Series, now: datetime) -> pl.DataFrame:  # noqa: ARG002
        """Time, severity and attributes."""
        import polars as pl

        found = _read(records)
        times = [None if line[2] is None else _EPOCH + timedelta(microseconds=line[2]) for line in found]
        return pl.DataFrame(
            {
                "timestamp": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
                "severity": pl.Series([line[3] for line in found], dtype=pl.String),
                "attributes": pl.Series([None if line[4] == b"{}" else bytes(line[4]).decode() for line in found], dtype=pl.String),
            }
        )


def _read(records: pl.Series) -> Sequence[_Line]:
    """The lines, taken apart; one that is not ours is a body."""
    return [_line(text) for text in records.to_list()]


def _line(text: str) -> _Line:
    try:
        found: _Line = _decode(text)
    except msgspec.DecodeError:
        return _SIGN, text, None, None, msgspec.Raw(b"{}")
    return found


def _micros(record: Any) -> int | None:
    nanos = record.time_unix_nano or record.observed_time_unix_nano
    return nanos // 1000 if 0 < nanos < 1 << 63 else None


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: otlp.value_of(pair.value) for pair in pairs}
