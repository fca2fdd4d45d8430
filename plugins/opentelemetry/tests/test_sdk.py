"""The underscored logs of the OpenTelemetry SDK are what the adapter says: this fails where a version has moved them."""

import ast
import dataclasses
import inspect
from importlib.metadata import requires, version
from pathlib import Path

import opentelemetry.sdk._logs as logs
import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import export
from packaging.requirements import Requirement

import ra_sdk_opentelemetry
from ra_sdk_opentelemetry import sdk

MOVED = "the logs of opentelemetry-sdk have moved: mend ra_sdk_opentelemetry/sdk.py, then widen the range in pyproject.toml"


def test_the_version_is_in_the_pinned_range():
    (pinned,) = [r for r in map(Requirement, requires("ra-sdk-opentelemetry")) if r.name == "opentelemetry-sdk"]
    assert pinned.specifier.contains(version("opentelemetry-sdk"), prereleases=True), MOVED
    assert "<" in str(pinned.specifier)


def test_a_processor_is_asked_what_it_was():
    methods = {name: list(inspect.signature(getattr(logs.LogRecordProcessor, name)).parameters) for name in ("on_emit", "shutdown", "force_flush")}
    assert methods == {"on_emit": ["self", "log_record"], "shutdown": ["self"], "force_flush": ["self", "timeout_millis"]}, MOVED
    assert logs.LogRecordProcessor.__abstractmethods__ == set(methods), MOVED


def test_an_exporter_is_asked_what_it_was():
    assert list(inspect.signature(export.LogRecordExporter.export).parameters) == ["self", "batch"], MOVED
    assert {result.name for result in export.LogRecordExportResult} == {"SUCCESS", "FAILURE"}, MOVED


def test_records_have_the_fields_that_they_had():
    for kind in (logs.ReadableLogRecord, logs.ReadWriteLogRecord):
        assert [field.name for field in dataclasses.fields(kind)] == ["log_record", "resource", "instrumentation_scope", "limits"], MOVED
    assert isinstance(logs.ReadableLogRecord.dropped_attributes, property), MOVED
    assert hasattr(BoundedAttributes(), "dropped"), MOVED


@pytest.mark.parametrize("path", sorted(Path(ra_sdk_opentelemetry.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_only_the_adapter_knows_them(path):
    imported = [n.module or "" for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.ImportFrom)]
    knows = [module for module in imported if module.startswith("opentelemetry.sdk") or "._" in module]
    assert (path.stem == "sdk") == bool(knows)


def test_a_record_of_its_own():
    record = logs.ReadWriteLogRecord(logs._internal.LogRecord(body="a", attributes={"x": 1}), limits=logs.LogRecordLimits(max_log_record_attributes=1))
    own = sdk.readable(record)
    sdk.annotate(own, {"ra.label": "normal", "ra.score": 0.1})
    assert dict(own.log_record.attributes) == {"x": 1, "ra.label": "normal", "ra.score": 0.1}
    assert dict(record.log_record.attributes) == {"x": 1}


@pytest.mark.filterwarnings("ignore::opentelemetry.sdk._logs.LogRecordDroppedAttributesWarning")
def test_what_was_dropped_stays_counted():
    record = logs.ReadWriteLogRecord(logs._internal.LogRecord(body="a", attributes={"x": 1, "y": 2}), limits=logs.LogRecordLimits(max_log_record_attributes=1))
    own = sdk.readable(record)
    sdk.annotate(own, {"ra.label": "normal"})
    assert (own.dropped_attributes, dict(own.log_record.attributes)) == (1, {"y": 2, "ra.label": "normal"})


@pytest.mark.parametrize(
    ("body", "attributes", "text"),
    [
        ("disk failed", {}, "disk failed"),
        (None, {}, ""),
        (7, {}, "7"),
        ({"message": "disk failed", "n": 1}, {}, "disk failed"),
        (["a", 1], {}, '["a",1]'),
        ("it broke", {"exception.message": "no disk", "exception.type": "OSError"}, "it broke: no disk"),
        ("a \ud800 b", {}, "a ? b"),
    ],
)
def test_what_is_judged(body, attributes, text):
    record = logs.ReadWriteLogRecord(logs._internal.LogRecord(body=body, attributes=attributes))
    assert sdk.text_of(sdk.readable(record)) == text
