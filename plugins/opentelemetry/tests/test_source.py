"""The source: what it makes of OTLP, when it answers, and what it does when it is full."""

import base64
import gzip
import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import ra_sdk
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from ra_sdk.service.tokens import make_token
from ra_sdk.service.wire import Refusal

from ra_sdk_opentelemetry import OtlpSource
from ra_sdk_opentelemetry.batches import Inbox

from .conftest import message_of, until


def call(port, request, timeout=60, metadata=()):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return LogsServiceStub(channel).Export(request, timeout=timeout, metadata=metadata)


def post(port, body, kind="application/x-protobuf", headers=None, path="/v1/logs", method="POST", timeout=60):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, {"Content-Type": kind, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def rich():
    """A request with everything that OTLP has for logs."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add(schema_url="https://opentelemetry.io/schemas/1.30.0")
    resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    resource.resource.dropped_attributes_count = 3
    scope = resource.scope_logs.add(schema_url="https://example.com/s")
    scope.scope.name, scope.scope.version = "lib", "2"
    scope.scope.attributes.add(key="s").value.bool_value = True
    record = scope.log_records.add(
        time_unix_nano=1_767_225_600_123_456_789,
        observed_time_unix_nano=5,
        severity_number=18,
        severity_text="err",
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        flags=1,
    )
    record.event_name, record.dropped_attributes_count = "device.fault", 2
    record.body.string_value = "disk sda: I/O error"
    for key, kind, value in [("i", "int_value", 1 << 60), ("d", "double_value", 0.5), ("b", "bytes_value", b"\x00\xff"), ("t", "bool_value", True)]:
        setattr(record.attributes.add(key=key).value, kind, value)
    record.attributes.add(key="list").value.array_value.values.add().string_value = "x"
    record.attributes.add(key="map").value.kvlist_value.values.add(key="k").value.int_value = 7
    record.attributes.add(key="none")
    other = request.resource_logs.add().scope_logs.add().log_records.add()
    other.body.kvlist_value.values.add(key="message").value.string_value = "all good"
    return request


@pytest.mark.parametrize("scheme", ["otlp", "otlp+http"])
def test_records_are_what_otlp_says(pipeline, kept, scheme):
    hop = pipeline(f"{scheme}://127.0.0.1:0", kept)
    if scheme == "otlp":
        assert call(hop.port, rich()) == ExportLogsServiceResponse()
    else:
        assert post(hop.port, gzip.compress(rich().SerializeToString()), headers={"Content-Encoding": "gzip"})[::2] == (200, b"")
    first, second = kept.found
    assert (first.record.body, first.record.severity, first.verdict.label) == ("disk sda: I/O error", "ERROR", "abnormal")
    assert first.record.timestamp.isoformat() == "2026-01-01T00:00:00.123456+00:00"
    assert first.record.attributes == {
        "service.name": "shop",
        "otel.scope.name": "lib",
        "i": 1 << 60,
        "d": 0.5,
        "b": base64.b64encode(b"\x00\xff").decode(),
        "t": True,
        "list": ["x"],
        "map": {"k": 7},
        "none": None,
        "trace_id": (b"t" * 16).hex(),
        "span_id": (b"s" * 8).hex(),
        "event_name": "device.fault",
    }
    assert (second.record.body, second.record.timestamp, second.record.severity, second.record.attributes) == ("all good", None, None, {})
    assert (first.line, second.line) == (1, 2)


def test_json_is_protobuf_in_other_words(pipeline, kept):
    from google.protobuf.json_format import MessageToDict

    found = MessageToDict(rich())
    record = found["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    record["traceId"], record["spanId"] = (b"t" * 16).hex(), (b"s" * 8).hex()
    record["severityNumber"] = 18
    hop = pipeline("otlp+http://127.0.0.1:0", kept)
    status, headers, body = post(hop.port, json.dumps({**found, "later": 1}).encode(), "application/json; charset=utf-8")
    assert (status, headers["content-type"], body) == (200, "application/json", b"{}")
    assert [d.record.body for d in kept.found] == ["disk sda: I/O error", "all good"]
    assert kept.found[0].record.attributes["trace_id"] == (b"t" * 16).hex()
    assert hop.source.inbox.held == 0


def test_bodies_are_those_that_the_service_judges(pipeline, kept):
    from ra_sdk.service import otlp

    request = message_of(["", "---", "a\nb\nc", "\x1b[31mred\x1b[0m fails", "ünï 😀", "\u2028 x", '{"message": "inner"}', "\x00 nul", " spaced "])
    broken = request.resource_logs[0].scope_logs[0].log_records.add()
    broken.body.string_value = "it broke"
    broken.attributes.add(key="exception.message").value.string_value = "no disk"
    broken.attributes.add(key="message").value.string_value = "not this"
    broken.attributes.add(key="MESSAGE").value.string_value = "nor this"
    hop = pipeline("otlp://127.0.0.1:0", kept)
    call(hop.port, request)
    assert [d.record.body for d in kept.found] == otlp.bodies(request.SerializeToString(), otlp.PROTOBUF)
    assert kept.found[-1].record.body == "it broke: no disk"


@pytest.mark.parametrize("scheme", ["otlp", "otlp+http"])
def test_it_answers_when_the_sinks_have_it_and_not_before(pipeline, kept, scheme):
    hop = pipeline(f"{scheme}://127.0.0.1:0", kept)
    kept.gate.clear()
    send = call if scheme == "otlp" else (lambda port, request: post(port, request.SerializeToString()))
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(send, hop.port, message_of(["a"]))
        time.sleep(0.7)
        assert not one.done()
        assert not kept.blocks
        kept.gate.set()
        one.result(60)
    assert [d.record.body for d in kept.found] == ["a"]


@pytest.mark.parametrize("scheme", ["otlp", "otlp+http"])
def test_what_a_client_gave_up_on_and_sends_again_goes_through_once(pipeline, kept, scheme):
    hop = pipeline(f"{scheme}://127.0.0.1:0", kept)

    def send(seconds):
        if scheme == "otlp":
            call(hop.port, message_of(["a"], time_unix_nano=9), timeout=seconds)
        else:
            post(hop.port, message_of(["a"], time_unix_nano=9).SerializeToString(), timeout=seconds)

    kept.gate.clear()
    for _ in range(2):  # it gives up twice while the batch is on its way
        with pytest.raises((grpc.RpcError, TimeoutError)):
            send(0.5)
        until(lambda: all(batch.waiting == 0 for given in hop.source.inbox._pending.values() for batch in given))
    kept.gate.set()
    until(lambda: hop.source.inbox.acknowledged == 1)
    send(10)  # it arrived meanwhile, and nobody was told
    assert [d.record.body for d in kept.found] == ["a"]
    send(10)  # this one was answered: who sends the same again means it
    assert [d.record.body for d in kept.found] == ["a", "a"]


def test_equal_batches_of_two_clients_are_two():
    inbox = Inbox("otlp://here", 100_000)
    one, two = inbox.put(b"xy", 1), inbox.put(b"xy", 1)
    assert one is not two
    first, second = inbox.take(), inbox.take()
    assert first[1] == second[1]
    inbox.acknowledge(first[0])
    assert (one.done, two.done) == (True, False)
    inbox.acknowledge(second[0])
    assert (two.done, inbox.held) == (True, 0)
    inbox.leave(one, told=True)
    inbox.leave(two, told=True)
    assert inbox.put(b"xy", 1).done is False


def test_many_small_batches_do_not_fill_the_memory():
    inbox = Inbox("otlp://here", 1 << 20)
    for number in range(255):
        inbox.leave(inbox.put(b"%d" % number, 1), told=False)  # whose clients have all gone
    with pytest.raises(Refusal) as caught:
        inbox.put(b"255", 1)
    assert (caught.value.status, inbox.received) == (429, 255)
    taken = [inbox.take() for _ in range(255)]
    inbox.acknowledge(taken[-1][0])
    assert (inbox.held, inbox.acknowledged) == (0, 255)
    inbox.close("closed")
    with pytest.raises(Refusal, match="closed"):
        inbox.put(b"x", 1)


def test_full_is_said_with_the_time_to_come_again(pipeline, kept):
    hop = pipeline("otlp://127.0.0.1:0?queue=1&max_body=1", kept)
    kept.gate.clear()
    big = message_of(["x" * 700_000])
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(call, hop.port, big)
        until(lambda: hop.source.inbox.held)
        with pytest.raises(grpc.RpcError) as caught:
            call(hop.port, big)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        found = dict(caught.value.trailing_metadata())
        info = RetryInfo()
        assert Status.FromString(found["grpc-status-details-bin"]).details[0].Unpack(info)
        assert (info.retry_delay.seconds, RetryInfo.FromString(found["google.rpc.retryinfo-bin"])) == (1, info)
        kept.gate.set()
        first.result(60)
    call(hop.port, big)


def test_full_over_http(pipeline, kept):
    hop = pipeline("otlp+http://127.0.0.1:0?queue=1&max_body=1", kept)
    kept.gate.clear()
    big = message_of(["x" * 700_000]).SerializeToString()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(post, hop.port, big)
        until(lambda: hop.source.inbox.held)
        status, headers, body = post(hop.port, big)
        assert (status, headers["retry-after"], body[:2]) == (429, "1", b"\x08\x08")
        kept.gate.set()
        assert first.result(60)[0] == 200


@pytest.mark.parametrize("scheme", ["otlp", "otlp+http"])
def test_who_waits_when_it_closes_is_told_to_send_again(kept, scheme):
    source = OtlpSource(f"{scheme}://127.0.0.1:0")
    with ThreadPoolExecutor(1) as pool:
        if scheme == "otlp":
            waiting = pool.submit(call, source.port, message_of(["a"]))
            until(lambda: source.inbox.received)
            source.close()
            error = waiting.exception(60)
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert "grpc-status-details-bin" in dict(error.trailing_metadata())
        else:
            waiting = pool.submit(post, source.port, message_of(["a"]).SerializeToString())
            until(lambda: source.inbox.received)
            source.close()
            assert (waiting.result(60)[0], waiting.result()[1]["retry-after"]) == (503, "1")
    assert list(source) == []


def test_stop_lets_through_what_was_accepted(pipeline, kept):
    hop = pipeline("otlp://127.0.0.1:0", kept)
    kept.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(call, hop.port, message_of([f"{word} ends"])) for word in ("alpha", "beta", "gamma")]
        until(lambda: hop.source.inbox.received == 3)
        hop.source.stop()
        with pytest.raises(grpc.RpcError, match="being shut down"):
            call(hop.port, message_of(["late"]))
        kept.gate.set()
        assert all(job.result(60) == ExportLogsServiceResponse() for job in waiting)
    hop.finish()
    assert len(kept.found) == 3


def test_detect_acknowledges_nothing_so_receipt_has_to_do():
    source = OtlpSource("otlp://127.0.0.1:0?ack=receipt")
    found = ra_sdk.detect(source, model="echo", store=":memory:")
    bodies = []
    reading = threading.Thread(target=lambda: bodies.extend(d.record.body for d in found))
    reading.start()
    call(source.port, message_of(["a", "b"]))
    source.stop()
    reading.join(60)
    assert bodies == ["a", "b"]


def test_tokens(pipeline, kept, tmp_path):
    token = make_token("collector", tmp_path / "tokens")
    grpc_hop = pipeline(f"otlp://127.0.0.1:0?tokens={tmp_path / 'tokens'}", kept)
    for metadata in ((), (("authorization", "Bearer wrong"),), (("authorization", token),)):
        with pytest.raises(grpc.RpcError) as caught:
            call(grpc_hop.port, message_of(["a"]), metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    call(grpc_hop.port, message_of(["a"]), metadata=(("authorization", f"Bearer {token}"),))
    http_hop = pipeline(f"otlp+http://127.0.0.1:0?tokens={tmp_path / 'tokens'}", kept)
    data = message_of(["b"]).SerializeToString()
    assert post(http_hop.port, data)[0] == 401
    assert post(http_hop.port, data, headers={"Authorization": f"Bearer {token}"})[0] == 200
    assert [d.record.body for d in kept.found] == ["a", "b"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("otlp://", "not of the form"),
        ("otlp://host:99999", "is no address"),
        ("otlp://127.0.0.1:0?qeue=3", "'qeue', which is not known"),
        ("otlp://127.0.0.1:0?queue=none", "whole number"),
        ("otlp://127.0.0.1:0?ack=never", "one of sink, receipt"),
        ("otlp://user:secret@127.0.0.1:0", "not of the form"),
        ("otlps://127.0.0.1:0", "no certificate"),
        ("otlp://127.0.0.1:0?cert=/no/such.pem", "cannot be used: No such file"),
        (f"otlp://127.0.0.1:0?cert={__file__}", "cannot be used"),
        (f"otlp+https://127.0.0.1:0?cert={__file__}", "cannot be used"),
        ("otlp://127.0.0.1:0?tokens=/no/such", "no token is in"),
    ],
)
def test_what_a_url_cannot_be_is_said(url, said):
    with pytest.raises(ra_sdk.BadOption, match=said):
        OtlpSource(url)


@pytest.mark.parametrize("scheme", ["otlp", "otlp+http"])
def test_a_port_that_is_taken_is_said(scheme):
    source = OtlpSource(f"{scheme}://127.0.0.1:0")
    with pytest.raises(ra_sdk.SourceError, match="cannot be listened on"):
        OtlpSource(f"{scheme}://127.0.0.1:{source.port}")
    source.close()


def test_a_format_has_no_meaning():
    with pytest.raises(ra_sdk.BadOption, match="no meaning"):
        OtlpSource("otlp://127.0.0.1:0", {"format": "syslog"})


def test_tls(pipeline, kept, certificate):
    cert, key = certificate
    hop = pipeline(f"otlps://localhost:0?cert={cert}&key={key}", kept)
    with grpc.secure_channel(f"localhost:{hop.port}", grpc.ssl_channel_credentials(cert.read_bytes())) as channel:
        LogsServiceStub(channel).Export(message_of(["a"]), timeout=10)
    assert [d.record.body for d in kept.found] == ["a"]
