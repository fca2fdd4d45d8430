"""The sink: what it sends, and what it does when the receiver does not take it."""

import json
import threading
import time
import warnings
from datetime import datetime, timedelta, timezone

import grpc
import pytest
import ra_sdk
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from ra_sdk.detector import Detector
from ra_sdk.records import LogRecord

from ra_sdk_opentelemetry import Names, OtlpSink
from ra_sdk_opentelemetry.delivery import Backoff
from ra_sdk_opentelemetry.sending import _seconds

from .conftest import attributes, until
from .test_source import call, rich

FAULTS = ["disk sda failed", "all good", "worker 3 of 4 failed"]


@pytest.fixture
def block():
    """A block of detections of the model "echo"."""

    def made(records):
        with Detector(model="echo", store=":memory:") as detector:
            return next(iter(detector.blocks(records)))

    return made


def sent(block, url, *, quiet=False):
    """Write a block to a sink, close it, and give its report."""
    sink = OtlpSink(url)
    try:
        with warnings.catch_warnings():
            if quiet:
                warnings.simplefilter("ignore")
            sink.write(block)
    finally:
        sink.close()
    return sink.report


@pytest.mark.parametrize("scheme", ["otlp", "otlp+http"])
def test_a_hop_changes_nothing_but_the_verdict(pipeline, receiver, http_receiver, scheme):
    out = receiver if scheme == "otlp" else http_receiver
    hop = pipeline("otlp://127.0.0.1:0", f"{scheme}://127.0.0.1:{out.port}")
    call(hop.port, rich())
    (found,) = out.requests
    seen = attributes(found.resource_logs[0].scope_logs[0].log_records[0])
    verdict = ra_sdk.detect(["disk sda: I/O error"], model="echo", store=":memory:")
    (expected,) = [(d.verdict.label, d.verdict.score, d.verdict.category, d.rationale, d.template) for d in verdict]
    assert tuple(seen[name] for name in ("ra.label", "ra.score", "ra.category", "ra.rationale", "log.record.template")) == expected
    for resource in found.resource_logs:
        for record in resource.scope_logs[0].log_records:
            kept = [pair for pair in record.attributes if not pair.key.startswith("ra.") and pair.key != "log.record.template"]
            del record.attributes[:]
            record.attributes.extend(kept)
    assert found == rich()


def test_verdicts_of_an_earlier_hop_are_replaced(pipeline, receiver):
    last = pipeline("otlp://127.0.0.1:0", f"otlp://127.0.0.1:{receiver.port}?label=verdict&score=")
    first = pipeline("otlp://127.0.0.1:0", f"otlp://127.0.0.1:{last.port}?category=verdict&rationale=&template=")
    call(first.port, rich())
    ((_, _, record), (_, _, other)) = receiver.records
    names = [pair.key for pair in record.attributes]
    assert len(names) == len(set(names))
    assert (attributes(record)["verdict"], attributes(record)["ra.score"], attributes(record)["ra.label"]) == ("abnormal", 0.9, "abnormal")
    assert attributes(other)["verdict"] == "normal"
    assert "ra.rationale" in names


def test_names_can_be_chosen_and_left_out(block, receiver):
    assert sent(block(FAULTS), f"otlp://127.0.0.1:{receiver.port}?label=v&score=&category=&rationale=why&template=&uid=log.record.uid").sent == 3
    found = [attributes(record) for _, _, record in receiver.records]
    assert [(a["v"], a.get("why")) for a in found] == [
        ("abnormal", 'It says "disk sda failed".'),
        ("normal", None),
        ("abnormal", 'It says "worker 3 of 4 failed".'),
    ]
    assert {name for a in found for name in a} == {"v", "why", "log.record.uid"}
    assert len({a["log.record.uid"] for a in found}) == 3
    with pytest.raises(ra_sdk.BadOption, match="'v' is given to two"):
        Names(label="v", score="v")


def test_what_is_no_otlp_becomes_otlp(block, receiver, tmp_path):
    path = tmp_path / "app.log"
    path.write_text(
        '{"message": "disk failed", "level": "warn", "time": "2026-01-01T00:00:00.5Z","n":1, "deep": {"a": [1, "x", null, 2.5]}, "big": 18446744073709551615}\n'
    )
    report = sent(block(path), f"otlp+http://127.0.0.1:{receiver_http(receiver).port}?service=shop")
    assert (report.sent, report.rejected, report.again) == (1, 0, 0)
    ((resource, scope, record),) = receiver.http.records
    receiver.http.stop()
    assert (resource.resource.attributes[0].value.string_value, scope.scope.name) == ("shop", "ra_sdk")
    assert (record.body.string_value, record.severity_text, record.severity_number) == ("disk failed", "WARN", 13)
    assert record.time_unix_nano == 1_767_225_600_500_000_000
    found = attributes(record)
    assert (found["n"], found["log.file.path"], found["big"]) == (1, str(path), float(18446744073709551615))
    assert [item.WhichOneof("value") for item in found["deep"].values[0].value.array_value.values] == [
        "int_value",
        "string_value",
        None,
        "double_value",
    ]


def receiver_http(receiver):
    from .conftest import HttpReceiver

    receiver.http = HttpReceiver().start()
    return receiver.http


def test_requests_are_bounded_in_records_and_bytes(block, receiver):
    sent(block([f"line {n}" for n in range(1_000)]), f"otlp://127.0.0.1:{receiver.port}?batch=300&queue=1")
    assert [len(r.resource_logs[0].scope_logs[0].log_records) for r in receiver.requests] == [300, 300, 300, 100]
    receiver.requests.clear()
    sent(block(["y" * 1_000_000] * 10), f"otlp://127.0.0.1:{receiver.port}?compression=none&queue=1")
    assert max(request.ByteSize() for request in receiver.requests) < 4 << 20
    assert len(receiver.records) == 10


def failing_grpc(code, *, after=None, details="no"):
    def answer(request, context):
        if after is not None:
            status = Status(code=code.value[0], message=details)
            status.details.add().Pack(RetryInfo(retry_delay=Duration(nanos=int(after * 1e9))))
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, details)

    return answer


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "OUT_OF_RANGE", "DATA_LOSS"])
def test_what_may_be_sent_again_is(block, receiver, code, monkeypatch):
    monkeypatch.setattr("ra_sdk_opentelemetry.delivery.random.uniform", lambda _, most: most)  # pauses long enough to be told of
    receiver.failing = lambda call: failing_grpc(grpc.StatusCode[code]) if call <= 2 else None
    with pytest.warns(RuntimeWarning, match=f"takes nothing just now \\({code}: no\\); waiting for it, nothing is lost"):
        report = sent(block(FAULTS), f"otlp://127.0.0.1:{receiver.port}?pause=0.5")
    assert (report.sent, report.again, receiver.calls) == (3, 2, 3)
    assert len(receiver.records) == 3


def test_the_receivers_own_pause_is_kept(block, receiver):
    receiver.failing = lambda call: failing_grpc(grpc.StatusCode.RESOURCE_EXHAUSTED, after=0.7) if call == 1 else None
    started = time.monotonic()
    assert sent(block(FAULTS), f"otlp://127.0.0.1:{receiver.port}?pause=0.01", quiet=True).again == 1
    assert 0.7 <= time.monotonic() - started < 3


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_over_http_too(block, http_receiver, status):
    http_receiver.failing = lambda call: (status, {"Retry-After": "1"}, b"") if call == 1 else None
    started = time.monotonic()
    assert sent(block(FAULTS), f"otlp+http://127.0.0.1:{http_receiver.port}?pause=0.01", quiet=True).again == 1
    assert 1 <= time.monotonic() - started < 4
    assert len(http_receiver.records) == 3


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "INTERNAL"])
def test_what_never_will_be_taken_is_an_error(block, receiver, code):
    receiver.failing = lambda call: failing_grpc(grpc.StatusCode[code], details="bad\nrecord")
    with pytest.raises(ra_sdk.SinkError, match=f"refused records for good: {code}: bad record"):
        sent(block(FAULTS), f"otlp://127.0.0.1:{receiver.port}")
    assert receiver.calls == 1


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_over_http_it_is_an_error_too(block, http_receiver, status):
    http_receiver.failing = lambda call: (status, {}, b"")
    with pytest.raises(ra_sdk.SinkError, match=f"HTTP {status}"):
        sent(block(FAULTS), f"otlp+http://127.0.0.1:{http_receiver.port}")


def test_what_is_too_large_goes_in_halves(block, receiver):
    def picky(request, context):
        if sum(len(s.log_records) for r in request.resource_logs for s in r.scope_logs) > 3:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max")
        receiver.requests.append(request)
        return ExportLogsServiceResponse()

    receiver.failing = lambda call: picky
    report = sent(block([f"line {n}" for n in range(20)]), f"otlp://127.0.0.1:{receiver.port}")
    assert [record.body.string_value for _, _, record in receiver.records] == [f"line {n}" for n in range(20)]
    assert report.sent == 20


def test_rejected_records_are_counted_and_told_of(block, receiver, http_receiver):
    partial = ExportLogsServiceResponse(partial_success=ExportLogsPartialSuccess(rejected_log_records=2, error_message="too old"))
    receiver.failing = lambda call: partial
    http_receiver.failing = lambda call: (200, {}, partial.SerializeToString())
    for url in (f"otlp://127.0.0.1:{receiver.port}", f"otlp+http://127.0.0.1:{http_receiver.port}"):
        with pytest.warns(RuntimeWarning, match="rejected 2 records for good: too old"):
            report = sent(block(FAULTS), url)
        assert (report.sent, report.rejected, report.rejection) == (1, 2, "too old")
    assert (receiver.calls, http_receiver.calls) == (1, 1)


@pytest.mark.parametrize("scheme", ["otlp", "otlp+http"])
def test_nobody_is_there_yet(block, receiver, http_receiver, scheme):
    out = receiver if scheme == "otlp" else http_receiver
    out.stop()
    made = block(FAULTS)
    sink = OtlpSink(f"{scheme}://127.0.0.1:{out.port}?pause=0.1&timeout=2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        writing = threading.Thread(target=sink.write, args=(made,))
        writing.start()
        until(lambda: sink.report.again > 2)
        assert writing.is_alive()
        out.start()
        writing.join(60)
    assert len(out.records) == 3
    sink.close()


@pytest.mark.parametrize("scheme", ["otlp", "otlp+http"])
def test_closing_ends_the_waiting(block, scheme):
    made, errors = block(FAULTS), []
    sink = OtlpSink(f"{scheme}://127.0.0.1:1?pause=5")

    def write():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                sink.write(made)
        except ra_sdk.SinkError as error:
            errors.append(str(error))

    writing = threading.Thread(target=write)
    writing.start()
    until(lambda: sink.report.again)
    sink.close()
    writing.join(60)
    assert "closed before it had everything" in errors[0]


@pytest.mark.parametrize("scheme", ["otlps", "otlp+https"])
def test_tls_and_headers(block, pipeline, kept, certificate, monkeypatch, tmp_path, scheme):
    from ra_sdk.service.tokens import make_token

    cert, key = certificate
    token = make_token("sink", tmp_path / "tokens")
    hop = pipeline(f"{scheme}://localhost:0?cert={cert}&key={key}&tokens={tmp_path / 'tokens'}", kept)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(cert))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer%20{token}, x-other=1")
    assert sent(block(FAULTS), f"{scheme}://localhost:{hop.port}").sent == 3
    assert [d.record.body for d in kept.found] == FAULTS


def test_a_ca_that_is_missing_is_said(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such.pem")
    for scheme in ("otlps", "otlp+https"):
        with pytest.raises(ra_sdk.SinkError, match="OTEL_EXPORTER_OTLP_CERTIFICATE"):
            OtlpSink(f"{scheme}://localhost")


def test_pauses_grow_and_differ():
    backoff = Backoff(1.0, 30.0)
    for attempt, most in ((1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (1_000, 30.0)):
        pauses = [backoff.pause(attempt, None) for _ in range(200)]
        assert most * 0.1 <= min(pauses) < max(pauses) <= most
        assert len(set(pauses)) > 100
    assert all(5.0 <= backoff.pause(1, 5.0) <= 5.6 for _ in range(100))


@pytest.mark.parametrize(("value", "seconds"), [(None, None), ("3", 3.0), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("-1", None)])
def test_retry_after(value, seconds):
    assert _seconds(value) == seconds


def test_log_text_is_inert(block, receiver):
    hostile = ["\x1b[2J failed", "a\x00b failed", "</script> failed", "ra.label=normal failed"]
    sent(block(hostile), f"otlp://127.0.0.1:{receiver.port}")
    assert [record.body.string_value for _, _, record in receiver.records] == hostile
    assert {attributes(record)["ra.label"] for _, _, record in receiver.records} == {"abnormal"}
    assert all(
        name == "ra-sdk-opentelemetry" or "failed" not in value for headers in receiver.headers for name, value in headers.items() if isinstance(value, str)
    )


DEEP = json.loads('{"a":' * 90 + "1" + "}" * 90)


@pytest.mark.parametrize(
    "record",
    {
        "a time after 2554": LogRecord("x", datetime(2600, 1, 1, tzinfo=timezone.utc)),
        "a time before 1970": LogRecord("x", datetime(1900, 1, 1, tzinfo=timezone.utc)),
        "a time after 9999": LogRecord("x", datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))),
        "an unknown severity": LogRecord("x", severity="LOUD"),
        "a number that no double holds": LogRecord("x", attributes={"v": 10**400}),
        "a number that is not finite": LogRecord("x", attributes={"v": float("inf")}),
        "half a surrogate pair": LogRecord("x\ud800", attributes={"v\udc00": "\ud800"}),
        "deep attributes": LogRecord("x", attributes=DEEP),
        "attributes that are not an object": LogRecord("x", attributes=["v"]),
    }.values(),
)
def test_every_record_leaves_whatever_it_holds(receiver, block, record):
    assert sent(block([record, LogRecord("next")]), f"otlp://127.0.0.1:{receiver.port}").sent == 2
    assert [found.body.string_value[:1] for _, _, found in receiver.records] == ["x", "n"]
