"""What is sent by who means no good: a clear status, bounded memory, and others are served meanwhile."""

import gzip
import json
import socket
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from ra_sdk.service.limits import Limits
from ra_sdk.service.tokens import make_token
from ra_sdk.service.wire import Refusal

from ra_sdk_opentelemetry.unpack import counted, from_json, unpacked

from .conftest import message_of
from .test_source import call, post

METHOD = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
GARBAGE = [b"\xff" * 50, b"\x0a\xff\xff\xff\xff\x0f", bytes(range(256)) * 40, b"\x0a\x02\x12", b"\x0a", b"\x1f\x8bnothing", b"\x0b" * 9]


def raw(port, data, timeout=20):
    """Bytes as they are, packed or not."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_send_message_length", -1)]) as channel:
        try:
            channel.unary_unary(METHOD)(data, timeout=timeout)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage(pipeline, kept, data):
    grpc_hop, http_hop = pipeline("otlp://127.0.0.1:0", kept), pipeline("otlp+http://127.0.0.1:0", kept)
    assert raw(grpc_hop.port, data) is grpc.StatusCode.INVALID_ARGUMENT
    status, headers, answer = post(http_hop.port, data)
    assert (status, headers["content-type"], answer[:3]) == (400, "application/x-protobuf", b"\x08\x03\x12")
    call(grpc_hop.port, message_of(["a"]))
    assert post(http_hop.port, message_of(["b"]).SerializeToString())[0] == 200
    assert [d.record.body for d in kept.found] == ["a", "b"]


def test_text_that_is_no_utf8_does_not_lose_its_batch(pipeline, kept):
    grpc_hop, http_hop = pipeline("otlp://127.0.0.1:0", kept), pipeline("otlp+http://127.0.0.1:0", kept)
    data = message_of(["disk @@ failed", "all good"]).SerializeToString().replace(b"@@", b"\xff\xfe")
    assert raw(grpc_hop.port, data) is grpc.StatusCode.OK
    assert post(http_hop.port, data)[0] == 200
    assert [d.record.body for d in kept.found] == ["disk \ufffd\ufffd failed", "all good"] * 2


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"resourceLogs": 1}', b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": "zz"}]}]}]}', b"[" * 100_000]
)
def test_garbage_json(pipeline, kept, body):
    hop = pipeline("otlp+http://127.0.0.1:0", kept)
    status, headers, answer = post(hop.port, body, "application/json")
    assert (status, headers["content-type"], json.loads(answer)["code"]) == (400, "application/json", 3)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"path": "/v1/traces"}, 404),
        ({"method": "PUT"}, 405),
        ({"kind": "text/plain"}, 415),
        ({"headers": {"Content-Encoding": "br"}}, 415),
        ({"headers": {"Content-Encoding": "gzip"}}, 400),
    ],
)
def test_what_is_no_request_is_said(pipeline, kept, arguments, status):
    hop = pipeline("otlp+http://127.0.0.1:0", kept)
    assert post(hop.port, message_of(["a"]).SerializeToString(), **arguments)[0] == status
    assert not kept.blocks


def bombs():
    yield gzip.compress(b"0" * (200 << 20))
    yield zlib.compress(b"0" * (200 << 20))


def test_a_zip_bomb(pipeline, kept):
    grpc_hop, http_hop = pipeline("otlp://127.0.0.1:0", kept), pipeline("otlp+http://127.0.0.1:0", kept)
    call(grpc_hop.port, message_of(["warm"]))
    packed = list(bombs())
    before = resident()
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda data: raw(grpc_hop.port, data), packed * 8))
        statuses = list(pool.map(lambda _: post(http_hop.port, packed[0], headers={"Content-Encoding": "gzip"})[0], range(8)))
    assert set(codes) == {grpc.StatusCode.INVALID_ARGUMENT}
    assert set(statuses) <= {413, 429}
    assert 413 in statuses
    assert resident() - before < 256 << 20  # as it is unpacked it would be 5 GB
    call(grpc_hop.port, message_of(["a"]))


def test_grpc_that_says_that_it_is_packed(pipeline, kept):
    """As exporters do: the frame says that it is packed, and gRPC packs it."""
    hop = pipeline("otlp://127.0.0.1:0?max_body=1", kept)
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        with grpc.insecure_channel(f"127.0.0.1:{hop.port}", compression=compression) as channel:
            send = channel.unary_unary(METHOD)
            send(message_of(["x" * 10_000]).SerializeToString(), timeout=60)
            with pytest.raises(grpc.RpcError) as caught:
                send(message_of(["x" * 2_000_000]).SerializeToString(), timeout=60)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "more than 1048576 bytes" in caught.value.details()
    assert len(kept.found) == 2


def test_a_huge_body(pipeline, kept):
    grpc_hop, http_hop = pipeline("otlp://127.0.0.1:0", kept), pipeline("otlp+http://127.0.0.1:0", kept)
    huge = message_of(["x" * (100 << 20)]).SerializeToString()
    before = resident()
    assert raw(grpc_hop.port, huge) is grpc.StatusCode.RESOURCE_EXHAUSTED
    with suppress(ConnectionError):  # it may be hung up on while it is still sending
        assert post(http_hop.port, huge)[0] == 413
    assert resident() - before < 250 << 20  # of which the client, which is in this process, has most
    call(grpc_hop.port, message_of(["a"]))


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def nested(*numbers, data):
    """``data`` in fields of these numbers, the outermost first."""
    for number in reversed(numbers):
        data = bytes([number << 3 | 2]) + varint(len(data)) + data
    return data


@pytest.mark.parametrize(
    "request_",
    [nested(1, 2, data=b"\x12\x00" * 1_000_000), nested(1, data=b"\x12\x00" * 1_000_000), b"\x0a\x00" * 1_000_000],
    ids=["records", "scopes", "resources"],
)
def test_many_empty_messages_are_counted_before_they_are_built(request_):
    before, started = resident(), time.monotonic()
    with pytest.raises(Refusal, match="are more than the") as caught:
        counted(request_, Limits())
    assert caught.value.status == 413
    assert resident() - before < 20 << 20
    assert time.monotonic() - started < 2


def test_many_empty_records_in_json_are_counted_before_protobuf_is_made_of_them(monkeypatch):
    monkeypatch.setattr("ra_sdk_opentelemetry.unpack.ParseDict", None)
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{}] * 60_000}]}]}).encode()
    with pytest.raises(Refusal, match="at least 50001 records are more than the 50000") as caught:
        from_json(body, Limits())
    assert caught.value.status == 413


def test_unpacking():
    data = message_of(["a"]).SerializeToString()
    assert unpacked(data, 10) == data
    assert unpacked(gzip.compress(data), 100) == unpacked(zlib.compress(data), 100) == data
    for broken, status in ((gzip.compress(data)[:-3], 400), (gzip.compress(b"0" * 101), 413), (b"\x1f\x8b\x08", 400)):
        with pytest.raises(Refusal) as caught:
            unpacked(broken, 100)
        assert caught.value.status == status


def test_deep_json_is_refused():
    value = {"stringValue": "x"}
    for _ in range(200):
        value = {"arrayValue": {"values": [value]}}
    with pytest.raises(Refusal) as caught:
        from_json(json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": value}]}]}]}).encode(), Limits())
    assert caught.value.status == 400


def test_who_holds_connections_open_does_not_starve_others(pipeline, kept):
    for scheme, send in (("otlp", lambda port: call(port, message_of(["a"]))), ("otlp+http", lambda port: post(port, message_of(["a"]).SerializeToString()))):
        hop = pipeline(f"{scheme}://127.0.0.1:0", kept)
        idle = [socket.create_connection(("127.0.0.1", hop.port)) for _ in range(300)]
        for one in idle[:100]:
            one.sendall(b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: 1000\r\n\r\n{")
        started = time.monotonic()
        send(hop.port)
        assert time.monotonic() - started < 20
        for one in idle:
            one.close()
    assert len(kept.found) == 2


def test_more_calls_than_may_wait_are_told_so(pipeline, kept):
    hop = pipeline("otlp://127.0.0.1:0", kept)
    kept.gate.clear()

    def send(number):
        try:
            with grpc.insecure_channel(f"127.0.0.1:{hop.port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                channel.unary_unary(METHOD)(message_of([f"a {number}"]).SerializeToString(), timeout=30)
        except grpc.RpcError as error:
            kept.gate.set()
            return error.code()
        return grpc.StatusCode.OK

    with ThreadPoolExecutor(80) as pool:
        codes = list(pool.map(send, range(80)))
    refused = codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert refused >= 1
    assert codes.count(grpc.StatusCode.OK) == 80 - refused == len(kept.found)


@pytest.mark.parametrize(
    ("host", "status"),
    [("evil.example", 421), ("evil.example:4318", 421), ("", 421), ("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:4318", 200)],
)
def test_a_page_in_a_browser_of_this_machine_cannot_send(pipeline, kept, host, status):
    hop = pipeline("otlp+http://127.0.0.1:0", kept)
    data = message_of(["a"]).SerializeToString()
    assert post(hop.port, data, headers={"Host": host})[0] == status
    assert len(kept.found) == (status == 200)


def test_with_tokens_any_name_will_do(pipeline, kept, tmp_path):
    token = make_token("shop", tmp_path / "tokens")
    hop = pipeline(f"otlp+http://127.0.0.1:0?tokens={tmp_path / 'tokens'}", kept)
    headers = {"Host": "logs.example", "Authorization": f"Bearer {token}"}
    assert post(hop.port, message_of(["a"]).SerializeToString(), headers=headers)[0] == 200
