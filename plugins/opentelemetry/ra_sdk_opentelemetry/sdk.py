"""The only file that knows the logs of the OpenTelemetry SDK, which are underscored and move from version to version.

``tests/test_sdk.py`` fails where they are no longer what is said here; the range of versions in pyproject.toml is the one it was run with.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import lru_cache
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, attach, detach, set_value
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from ra_sdk.plugin import HINTS, body_of, completed, dumped, named, otlp

__all__ = [
    "LogRecordExporter",
    "LogRecordProcessor",
    "ReadWriteLogRecord",
    "ReadableLogRecord",
    "annotate",
    "is_success",
    "names_of",
    "readable",
    "severity_of",
    "suppressed",
    "text_of",
]

_NOWHERE = Context()


def readable(record: ReadWriteLogRecord) -> ReadableLogRecord:
    """The record as exporters take it, with a log record of its own: what is done to it, other processors do not see."""
    own = copy.copy(record.log_record)
    own.context = _NOWHERE  # it may hold much, and has been used already
    resource = record.resource if record.resource is not None else Resource.create({})
    return ReadableLogRecord(own, resource, record.instrumentation_scope, record.limits)


def text_of(record: ReadableLogRecord) -> str:
    """What is mined and judged: the body as text, completed from an exception's attributes, as everywhere in ra-sdk.

    The record is one of ``readable``. Never raises: an application may log objects whose own methods do.
    """
    body, attributes = record.log_record.body, _plain(record)
    if isinstance(body, str) and body.isascii() and HINTS.isdisjoint(attributes):
        return body
    known = {} if HINTS.isdisjoint(attributes) else {name: attributes[name] for name in HINTS if name in attributes}
    try:
        text = _completed(body, known)
    except Exception:  # noqa: BLE001
        return dumped(body, compact=True)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()  # lone surrogates have no UTF-8


def names_of(record: ReadableLogRecord) -> frozenset[str]:
    """The names for what wrote a record: its service's, and its logger's."""
    scope, resource = record.instrumentation_scope, record.resource
    service = resource.attributes.get("service.name") if resource else None
    return _names(service if isinstance(service, str) else "", scope.name if scope and isinstance(scope.name, str) else "")


def severity_of(record: ReadableLogRecord) -> str | None:
    """The short name of a record's severity."""
    number, text = record.log_record.severity_number, record.log_record.severity_text
    return otlp.severity(number.value if isinstance(number, Enum) else number, text)


@lru_cache(maxsize=4096)
def _names(service: str, logger: str) -> frozenset[str]:
    return frozenset(named({"service.name": service, "logger": logger}))


def _completed(body: Any, known: Mapping[str, Any]) -> str:
    if isinstance(body, Mapping):
        return body_of({**known, **body}, dumped(body, compact=True))
    text = body if isinstance(body, str) else "" if body is None else dumped(body, compact=True)
    return completed(text, known) if known else text


def annotate(record: ReadableLogRecord, attributes: Mapping[str, Any]) -> None:
    """Add attributes to a record that ``readable`` made. None of its own is pushed out, whatever limit the application has set."""
    own = record.log_record
    merged = {**_plain(record), **attributes}
    if record.dropped_attributes:  # a count that exporters send, and only this class has
        bounded = BoundedAttributes(attributes=merged)
        bounded.dropped = record.dropped_attributes
        own.attributes = bounded
    else:
        own.attributes = merged


def _plain(record: ReadableLogRecord) -> Mapping[str, Any]:
    """A record's attributes as a dictionary, which the record then has, too: to iterate over the SDK's own takes a lock and ten times as long."""
    found = record.log_record.attributes
    if isinstance(found, BoundedAttributes):
        found = found.copy()
        if not record.dropped_attributes:
            record.log_record.attributes = found
    return found or {}


def is_success(result: object) -> bool:
    """Whether an exporter says that it has them."""
    return result is LogRecordExportResult.SUCCESS


@contextmanager
def suppressed() -> Iterator[None]:
    """What happens here is not instrumented: an export must not be traced, and traced again."""
    token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        detach(token)
