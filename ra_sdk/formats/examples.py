"""Whether the examples of formats hold: what each must give, and what it does give."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from ra_sdk.formats.containers import Container
from ra_sdk.formats.layouts import Example
from ra_sdk.formats.reading import Reader
from ra_sdk.formats.recognising import NONE

__all__ = ["faults"]


def faults(form: Any, formats: Sequence[Any]) -> Iterator[str]:
    """What is wrong with the examples of a format, where these formats are in force: the example, the field, what was expected and what was read."""
    for number, example in enumerate(form.examples, 1):
        for field, expected, got in _differences(form, example, formats):
            yield f"{form.origin}: format {form.name!r}, example {number}, `{field}`: expected {expected!r}, got {got!r}"


def _differences(form: Any, example: Example, formats: Sequence[Any]) -> Iterator[tuple[str, Any, Any]]:
    import polars as pl

    records = Reader(formats).read(pl.Series(example.line.split("\n"), dtype=pl.String), whole=True)
    if len(records) != 1:
        yield "line", "one record", f"{len(records)} records"
        return
    code = records.codes if isinstance(records.codes, int) else records.codes[0]
    found = None if code == NONE else records.reader.kinds[code]
    # what is in a container has a format of its own
    if found is not form and not isinstance(form, Container):
        yield "line", f"format {form.name}", f"format {found.name}" if found else "no format"
        return
    expected = _time(example.timestamp)
    fields = records.fields(expected or datetime.now(timezone.utc))  # from which a missing year is guessed
    timestamp, severity, attributes = fields.row(0)
    if example.timestamp is not None and (expected is None or timestamp != expected):
        yield "timestamp", example.timestamp, timestamp and timestamp.isoformat()
    if example.severity not in (None, severity):
        yield "severity", example.severity, severity
    if example.body not in (None, body := records.bodies()[0]):
        yield "body", example.body, body
    told = json.loads(attributes or "{}")
    for key, value in example.attributes.items():
        if told.get(key) != value:
            yield f"attributes.{key}", value, told.get(key)


def _time(text: str | None) -> datetime | None:
    """A time as an example gives it, in UTC where it has no zone; None if it is none."""
    try:
        time = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)
