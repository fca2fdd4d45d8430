"""The service over real sockets: what it answers, and what it does not let be done to it."""

import asyncio
import gzip
import http.client
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from google.protobuf.json_format import MessageToDict

import ra_sdk
from ra_sdk.cli import main
from ra_sdk.limits import Limits
from ra_sdk.serving import Place, Serving
from ra_sdk.tokens import Tokens, make_token, revoke_token
from tests.test_judging import LINES, Graded

ROOT = Path(__file__).resolve().parent.parent
SHOP = [line for path in sorted((ROOT / "examples" / "shop").glob("*.log")) for line in path.read_text().splitlines()]


def ask(url, method, path, body=None, headers=(), timeout=30):
    """Status, headers and body of one request. A text or object is sent as JSON."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=timeout)
    headers = dict(headers)
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def post(service, bodies, **more):
    status, _, data = ask(service.url, "POST", "/v1/verdicts", {"records": [{"body": body} for body in bodies], **more})
    assert status == 200, data
    return json.loads(data)


def is_served(service):
    """Whether somebody who behaves is answered, and soon."""
    started = time.monotonic()
    found = post(service, ["disk failed", "all good"], wait_ms=5_000)
    return [r["verdict"] for r in found["records"]] == [0, 1] and all(v["score"] for v in found["verdicts"]) and time.monotonic() - started < 3


class Slow:
    """A model that takes its time, and counts."""

    name = digest = "slow"

    def __init__(self, seconds=0.1):
        self.seen, self.seconds, self.gate = [], seconds, threading.Event()
        self.gate.set()

    def judge(self, templates, mode="direct"):
        for template in templates:
            self.gate.wait(30)
            time.sleep(self.seconds)
            self.seen.append(template)
            yield ra_sdk.Verdict(template, "normal", 0.1, mode=mode, model=self.name)


def test_every_record_has_a_reference_and_every_verdict_comes_once(serving):
    service = serving()
    found = post(service, ["worker 1 of 4 failed", "all good", "worker 2 of 4 failed"], wait_ms=5_000)
    assert [r["verdict"] for r in found["records"]] == [0, 1, 0]
    assert [(v["template"], v["label"]) for v in found["verdicts"]] == [("worker <num> of <num> failed", "abnormal"), ("all good", "normal")]
    assert found["verdicts"][0]["rationale"] == 'It says "worker <num> of <num> failed".'
    assert [r.get("rationale") for r in found["records"]] == ['It says "worker 1 of 4 failed".', None, 'It says "worker 2 of 4 failed".']


def test_without_fill_rationales_stay_with_verdicts(serving):
    found = post(serving(), ["worker 1 of 4 failed"], wait_ms=5_000, fill=False)
    assert found["records"] == [{"verdict": 0}]


def test_verdicts_are_those_of_detect(serving):
    records = [{"body": line, "severity": "INFO", "attributes": {"n": number}} for number, line in enumerate(SHOP)]
    records += [{"body": "payment failed", "attributes": {"exception.message": "card declined", "exception.stacktrace": "at pay()\nat main()"}}]
    records += [{"body": ""}, {"body": "---"}, {"body": "\x1b[31mred\x1b[0m \u0000 fails"}, {"body": "ünïcode 😀 lost"}, {"body": "x" * 5_000}]
    expected = [d.verdict.to_dict() for d in ra_sdk.detect([r for r in records if r["body"]], model="echo", store=":memory:")]
    status, _, data = ask(serving(knowledge=()).url, "POST", "/v1/verdicts", {"records": records, "wait_ms": 20_000})
    assert status == 200
    found = json.loads(data)
    verdicts = [{k: v for k, v in found["verdicts"][r["verdict"]].items() if k != "key"} for r in found["records"]]
    assert len(verdicts) == len(records)
    assert [v for v, r in zip(verdicts, records, strict=True) if r["body"]] == expected


@pytest.mark.parametrize("judged_before", [False, True])
@pytest.mark.parametrize("explain", [False, True])
def test_a_lower_threshold_has_rationales_as_detect_gives_them(serving, tmp_path, judged_before, explain):
    options = {"threshold": 0.3, "explain": explain, "knowledge": None}
    expected = [d.verdict.to_dict() for d in ra_sdk.detect(LINES, model=Graded(), store=tmp_path / "other.db", **options)]
    model = Graded()
    if judged_before:
        list(ra_sdk.detect(LINES, model=model, store=tmp_path / "v.db"))
    service = serving(model=model, store=tmp_path / "v.db", **options)
    found = [{key: value for key, value in each.items() if key != "key"} for each in post(service, LINES, wait_ms=20_000)["verdicts"]]
    assert found == expected
    assert [verdict["label"] for verdict in found] == ["abnormal", "abnormal", "normal"]
    again = post(service, LINES)["verdicts"]
    assert [each["rationale"] for each in again] == [each["rationale"] for each in expected]
    assert (model.judged, model.told) == (3, int(explain))


def test_a_rationale_that_is_still_written_keeps_nobody_waiting(serving, tmp_path):
    class Thinking(Graded):
        gate = threading.Event()

        def explained(self, verdicts, mode="direct"):
            self.gate.wait(30)
            yield from super().explained(verdicts, mode)

    model = Thinking()
    list(ra_sdk.detect(LINES, model=model, store=tmp_path / "v.db"))
    service = serving(model=model, store=tmp_path / "v.db", threshold=0.3)
    (first,) = post(service, ["queue is slow"])["verdicts"]
    assert (first["label"], first["rationale"]) == ("abnormal", None)
    model.gate.set()
    (second,) = post(service, ["queue is slow"], wait_ms=20_000)["verdicts"]
    assert (second["label"], second["rationale"], model.told) == ("abnormal", 'It is "queue is slow".', 1)


def test_cold_is_undecided_then_judged_in_the_background(serving):
    model = Slow(0.0)
    model.gate.clear()
    service = serving(model=model)
    started = time.monotonic()
    (first,) = post(service, ["a b c"])["verdicts"]
    assert (first["label"], first["score"], first["mode"]) == ("undecided", None, "none")
    assert post(service, ["a b c"], wait_ms=200)["verdicts"] == [first]
    assert time.monotonic() - started < 5
    path = f"/v1/verdicts/{first['key']}"
    assert json.loads(ask(service.url, "GET", path)[2]) == first
    model.gate.set()
    assert post(service, ["a b c"], wait_ms=5_000)["verdicts"] == [{**first, "label": "normal", "score": 0.1, "mode": "direct"}]
    assert json.loads(ask(service.url, "GET", path)[2])["label"] == "normal"


def test_what_several_bring_is_judged_once(serving):
    model = Slow(0.01)
    service = serving(model=model)
    bodies = [f"{word} begins to run" for word in "alpha beta gamma delta epsilon zeta eta theta".split()]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: post(service, bodies, wait_ms=20_000), range(32)))
    assert all(v["label"] == "normal" for answer in found for v in answer["verdicts"])
    assert len(model.seen) == len(set(model.seen)) == len({v["template"] for answer in found for v in answer["verdicts"]})


class Moody(Slow):
    def judge(self, templates, mode="direct"):
        for template in templates:
            if "cursed" in template:
                raise ValueError("unreadable reply")
            yield ra_sdk.Verdict(template, "normal", 0.1, mode=mode, model=self.name)


def test_a_model_that_fails_is_told_of_with_counts(serving, caplog, monkeypatch):
    service = serving(model=Moody())
    assert post(service, ["cursed"], wait_ms=5_000)["verdicts"][0]["label"] == "undecided"
    for _ in range(5):
        post(service, ["cursed", "fine"], wait_ms=5_000)
    inner = service.door.service
    assert "the model 'slow' failed: ValueError('unreadable reply')" in caplog.text
    assert caplog.text.count("1 template of a request stays undecided") == 1
    monkeypatch.setattr(inner._trouble, "_every_s", 0.0)
    post(service, ["cursed"])
    assert "(and 4 more times since this was last logged)" in caplog.text


def test_a_template_that_the_model_fails_on_does_not_take_others_with_it(serving):
    bodies = ["one is fine", "this cursed thing", "three is fine too"]
    found = post(serving(model=Moody()), bodies, wait_ms=5_000)
    assert [found["verdicts"][r["verdict"]]["label"] for r in found["records"]] == ["normal", "undecided", "normal"]


class Fussy:
    """A model that refuses all templates that it is asked about with a cursed one, when it is let."""

    name = digest = "fussy"

    def __init__(self):
        self.asked, self.turns = [], threading.Semaphore(0)

    def judge(self, templates, mode="direct"):
        self.asked.append(list(templates))
        assert self.turns.acquire(timeout=30)
        if any("cursed" in template for template in templates):
            raise ValueError("unreadable reply")
        yield from (ra_sdk.Verdict(template, "normal", 0.1, mode=mode, model=self.name) for template in templates)


def test_what_failed_among_others_is_tried_alone_though_others_have_come(serving):
    model = Fussy()
    service = serving(model=model)

    def until_asked(times):
        deadline = time.monotonic() + 10
        while len(model.asked) < times and time.monotonic() < deadline:
            time.sleep(0.01)

    post(service, ["the first one"])
    until_asked(1)
    post(service, ["this cursed thing", "fine and good"])
    model.turns.release()
    until_asked(2)
    post(service, ["late and good", "later and good"])
    model.turns.release(50)
    assert [v["label"] for v in post(service, ["fine and good", "late and good", "this cursed thing"], wait_ms=10_000)["verdicts"]] == [
        "normal",
        "normal",
        "undecided",
    ]
    assert [texts for texts in model.asked if "this cursed thing" in texts] == [["this cursed thing", "fine and good"], ["this cursed thing"]]


def test_a_store_that_fails_leads_to_no_record_counted_twice(serving, monkeypatch):
    service = serving()
    inner = service.door.service
    look_up = inner._judging.look_up

    def fails(texts, mode=None, who=None):
        raise ra_sdk.StoreError("the disk is full")

    monkeypatch.setattr(inner._judging, "look_up", fails)
    inner._mining.acquire()
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(ask, service.url, "POST", "/v1/verdicts", {"records": [{"body": body}]}) for body in ("fine", "good", "fine")]
        deadline = time.monotonic() + 10
        while inner._waiting < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        inner._mining.release()
        assert [job.result()[0] for job in jobs] == [503] * 3
    monkeypatch.setattr(inner._judging, "look_up", look_up)
    assert {template.text: template.count for template in inner.detector.templates()} == {"fine": 2, "good": 1}


def test_a_state_that_cannot_be_saved_is_no_reason_to_answer_nobody(serving, monkeypatch, tmp_path, caplog):
    service = serving(state=tmp_path / "state")
    detector, tried = service.door.service.detector, []

    def full(path):
        tried.append(path)
        raise ra_sdk.StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(detector.miner, "save", full)
        detector._saved -= 3_600
        assert post(service, ["disk failed"])["records"] == [{"verdict": 0}]
        assert "not saved: the disk is full" in caplog.text
        post(service, ["disk failed"])
    assert len(tried) == 1


def test_a_batch_that_cannot_be_mined_does_not_take_others_with_it(serving, monkeypatch):
    service = serving()
    miner, mine = service.door.service.detector.miner, service.door.service.detector.miner.mine

    class Panic(BaseException):
        """What Polars raises when it panics is no Exception."""

    def panics(bodies):
        if "bad" in bodies.to_list():
            raise Panic("broken")
        return mine(bodies)

    monkeypatch.setattr(miner, "mine", panics)
    service.door.service._mining.acquire()
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(ask, service.url, "POST", "/v1/verdicts", {"records": [{"body": body}]}) for body in ("fine", "bad", "fine too")]
        time.sleep(0.5)
        service.door.service._mining.release()
        assert [job.result()[0] for job in jobs] == [200, 500, 200]
    assert is_served(service)


def test_the_revision_changes_with_an_override_and_with_the_settings(serving, monkeypatch, tmp_path):
    monkeypatch.setattr("ra_sdk.service.OVERRIDES_S", 0.0)

    def revisions(service):
        answers = [ask(service.url, "POST", "/v1/verdicts", {"records": [{"body": "disk failed"}]}), ask(service.url, "GET", "/readyz")]
        return [headers["RA-Revision"] for _, headers, _ in answers]

    with ra_sdk.VerdictStore(tmp_path / "v.db") as store:
        service = serving(store=tmp_path / "v.db")
        first, before = revisions(service)
        assert first == before
        store.override("disk failed", "normal", by="me")
        assert ask(service.url, "GET", "/readyz")[1]["RA-Revision"] != before, "seen without a request for verdicts"
        assert revisions(service)[0] != before
        store.forget("disk failed")
        revisions(service)
        assert revisions(service) == [before, before], "the same verdicts, the same revision"
        assert revisions(serving(store=tmp_path / "v.db")) == [before, before], "of a service that was restarted, too"
        assert revisions(serving(store=tmp_path / "v.db", threshold=0.7))[0] != before


def test_a_probe_does_not_wait_for_the_mining(serving):
    service = serving()
    with service.door.service._mining:
        assert ask(service.url, "GET", "/readyz", timeout=10)[0] == 200


def test_an_operators_override_is_seen_while_running(serving, monkeypatch, tmp_path):
    monkeypatch.setattr("ra_sdk.service.OVERRIDES_S", 0.0)
    with ra_sdk.VerdictStore(tmp_path / "v.db") as store:
        service = serving(store=tmp_path / "v.db")
        assert post(service, ["disk failed"], wait_ms=5_000)["verdicts"][0]["label"] == "abnormal"
        store.override("disk failed", "normal", by="me")
        assert post(service, ["disk failed"])["verdicts"][0]["mode"] == "override"
        store.forget("disk failed")
        assert post(service, ["disk failed"])["verdicts"][0]["label"] == "abnormal"


def test_templates_are_paged_sorted_and_filtered(serving):
    service = serving()
    post(service, ["disk failed"] * 3 + ["all good"] * 5 + ["net refused"], wait_ms=5_000)

    def page(query):
        return json.loads(ask(service.url, "GET", f"/v1/templates?{query}")[2])

    time.sleep(1.1)  # the listing may be a second old
    everything = page("")
    assert [(t["count"], t["verdict"]["template"]) for t in everything["templates"]] == [(5, "all good"), (3, "disk failed"), (1, "net refused")]
    assert (everything["total"], everything["next"]) == (3, None)
    first = page("limit=2&sort=template&order=asc")
    assert ([t["verdict"]["template"] for t in first["templates"]], first["next"]) == (["all good", "disk failed"], 2)
    assert [t["verdict"]["template"] for t in page("limit=2&offset=2&sort=template&order=asc")["templates"]] == ["net refused"]
    assert [t["verdict"]["label"] for t in page("label=abnormal")["templates"]] == ["abnormal"] * 2
    assert [t["verdict"]["score"] for t in page("sort=score")["templates"]] == [0.9, 0.9, 0.1]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1001", "offset=-1", "label=odd", "sort=", "order=up", "limit=١"])
def test_what_a_query_cannot_be_is_said(serving, query):
    from urllib.parse import quote

    status, _, data = ask(serving().url, "GET", f"/v1/templates?{quote(query, safe='=')}")
    assert (status, json.loads(data)["error"]["code"]) == (422, "bad_parameter")


def otlp_request(bodies):
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for body in bodies:
        scope.log_records.add().body.string_value = body
    return request


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["application/x-protobuf", "application/json"])
def test_otlp(serving, kind, packed):
    service = serving()
    data = otlp_request(["disk failed", "all good", "disk failed"]).SerializeToString()
    if kind == "application/json":
        records = [{"body": {"stringValue": body}} for body in ("disk failed", "all good", "disk failed")]
        data = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()
    headers = {"Content-Type": kind, **({"Content-Encoding": "gzip"} if packed else {})}
    status, headers, answer = ask(service.url, "POST", "/v1/logs", gzip.compress(data) if packed else data, headers)
    assert (status, headers["content-type"], answer) == (200, kind, b"" if kind != "application/json" else b"{}")
    listed = json.loads(ask(service.url, "GET", "/v1/templates")[2])
    assert [(t["count"], t["verdict"]["template"]) for t in listed["templates"]] == [(2, "disk failed"), (1, "all good")]


ORDERS = """
[[phrase]]
id = "orders-parcel"
match = ["parcel failed"]
scope = ["orders-api"]
says = "fault"
meaning = "An order has no parcel."
source = "the orders team"
"""


@pytest.mark.parametrize(("attributes", "known"), [({"service.name": "orders-api"}, ["orders-parcel"]), ({"service.name": "billing"}, []), ({}, [])])
@pytest.mark.parametrize("way", ["verdicts", "application/json", "application/x-protobuf"])
def test_reasons_heed_the_program_that_a_record_names(serving, tmp_path, way, attributes, known):
    (tmp_path / "orders.toml").write_text(ORDERS)
    service = serving(knowledge=[tmp_path / "orders.toml"])
    if way == "verdicts":
        (verdict,) = _verdicts_of(service, [{"body": "parcel failed", "attributes": {**attributes, "n": [1, {}]}}])
    else:
        request = otlp_request(["parcel failed"])
        for name, value in attributes.items():
            request.resource_logs[0].resource.attributes.add(key=name).value.string_value = value
        data = request.SerializeToString() if way != "application/json" else json.dumps(MessageToDict(request)).encode()
        assert ask(service.url, "POST", "/v1/logs", data, {"Content-Type": way})[0] == 200
        (verdict,) = _verdicts_of(service, [{"body": "parcel failed"}])
    assert (verdict["label"], verdict["knowledge"]) == ("abnormal", known)


def _verdicts_of(service, records):
    status, _, data = ask(service.url, "POST", "/v1/verdicts", {"records": records, "wait_ms": 20_000})
    assert status == 200, data
    return json.loads(data)["verdicts"]


def test_otlp_says_what_it_rejected(serving):
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    service = serving(limits=Limits(line=100))
    data = otlp_request(["disk failed", "x" * 101]).SerializeToString()
    status, _, answer = ask(service.url, "POST", "/v1/logs", data, {"Content-Type": "application/x-protobuf"})
    partial = ExportLogsServiceResponse.FromString(answer).partial_success
    assert (status, partial.rejected_log_records) == (200, 1)
    assert "longer than 100" in partial.error_message
    records = [{"body": {"stringValue": "x" * 101}}]
    status, _, answer = ask(service.url, "POST", "/v1/logs", {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]})
    assert json.loads(answer)["partialSuccess"]["rejectedLogRecords"] == "1"


def test_otlp_bodies_that_are_no_text():
    from ra_sdk.otlp import bodies

    value = {"kvlistValue": {"values": [{"key": "message", "value": {"stringValue": "disk failed"}}, {"key": "n", "value": {"intValue": "7"}}]}}
    array = {"arrayValue": {"values": [{"intValue": "1"}, {"doubleValue": 1.5}, {"boolValue": True}, {"bytesValue": "aGk="}]}}
    exception = {"body": {"stringValue": "it broke"}, "attributes": [{"key": "exception.message", "value": {"stringValue": "no disk"}}]}
    records = [{"body": value}, {"body": array}, {"body": {"intValue": "5"}}, {}, exception, {"body": {"stringValue": ["odd"]}}]
    data = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()
    assert bodies(data, "application/json") == ["disk failed", '[1,1.5,true,"aGk="]', "5", "", "it broke: no disk", ""]

    request = otlp_request(["x"])
    scope = request.resource_logs[0].scope_logs[0]
    pairs = scope.log_records.add().body.kvlist_value.values
    pairs.add(key="message").value.string_value = "disk failed"
    scope.log_records.add().body.bytes_value = b"hi"
    broken = scope.log_records.add(body={"string_value": "it broke"})
    broken.attributes.add(key="exception.message").value.string_value = "no disk"
    scope.log_records.add()
    assert bodies(request.SerializeToString(), "application/x-protobuf") == ["x", "disk failed", "aGk=", "it broke: no disk", ""]


def test_text_of_protobuf_that_is_no_utf8_is_mended():
    """The Collector does not look at it (opentelemetry-collector issue 11449), protobuf for Python refuses the whole request."""
    from ra_sdk.otlp import bodies, parsed

    request = otlp_request(["disk @@ failed", "all good", "@@"])
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    record.time_unix_nano, record.flags, record.trace_id, record.severity_number = 2**63, 7, b"\xff" * 16, 17
    record.attributes.add(key="exception.message").value.string_value = "no @@ disk"
    record.attributes.add(key="@@").value.array_value.values.add().bytes_value = b"\xff\xfe"
    data = request.SerializeToString().replace(b"@@", b"\xff\xfe")
    assert bodies(data, "application/x-protobuf") == ["disk \ufffd\ufffd failed: no \ufffd\ufffd disk", "all good", "\ufffd\ufffd"]
    found = parsed(data).resource_logs[0].scope_logs[0].log_records[0]
    assert (found.time_unix_nano, found.flags, found.trace_id, found.severity_number) == (2**63, 7, b"\xff" * 16, 17)
    assert found.attributes[1].value.array_value.values[0].bytes_value == b"\xff\xfe"


@pytest.mark.parametrize("tail", [b"\x0a", b"\x0a\xff", b"\x0b", b"\x0a\x05abc", b"\x80" * 20, b"\x09abc", b"\x0f", b"\x0a\x01" * 3 + b"\xff"])
def test_what_cannot_be_mended_is_refused(tail):
    from ra_sdk.otlp import bodies
    from ra_sdk.wire import Refusal

    data = otlp_request(["@@"]).SerializeToString().replace(b"@@", b"\xff\xfe")
    with pytest.raises(Refusal, match="is not an ExportLogsServiceRequest"):
        bodies(data + tail, "application/x-protobuf")


def test_mending_has_an_end():
    from ra_sdk.otlp import bodies
    from ra_sdk.wire import Refusal

    data = otlp_request(["@@"]).SerializeToString().replace(b"@@", b"\xff\xfe") + b"\x0a\x00" * 600_000
    with pytest.raises(Refusal, match="too many"):
        bodies(data, "application/x-protobuf")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"body": {"intValue": "--5"}}, "--5"),
        ({"body": {"intValue": "-5"}}, "-5"),
        ({"body": {"arrayValue": {"values": 5}}}, "[]"),
        ({"body": {"arrayValue": {"values": None}}}, "[]"),
        ({"body": {"kvlistValue": {"values": 5}}}, "{}"),
        ({"body": {"stringValue": "disk failed", "intValue": None}}, "disk failed"),
        ({"body": {"later": 1, "stringValue": "disk failed"}}, "disk failed"),
        ({"body": {"later": 1}}, ""),
        ({"body": {"arrayValue": {"values": [{"doubleValue": "NaN"}, {"doubleValue": 1.5}]}}}, "[NaN,1.5]"),
        ({"body": None, "attributes": None}, ""),
        (
            {"body": {"stringValue": "it broke"}, "attributes": [{"key": None}, {"key": "exception.message", "value": {"stringValue": "no disk"}}]},
            "it broke: no disk",
        ),
    ],
)
def test_what_json_may_have_in_otlp_loses_no_record(record, expected):
    from ra_sdk.otlp import bodies

    data = json.dumps({"resourceLogs": [{"scopeLogs": None}, {"scopeLogs": [{"logRecords": None}, {"logRecords": [record]}]}]}).encode()
    assert bodies(data, "application/json") == [expected]
    assert bodies(b'{"resourceLogs":null}', "application/json") == []


# -- what is refused, and what it costs


def status_of(answer):
    """Code of the google.rpc.Status, or of our own failures."""
    return json.loads(answer)["error"]["code"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 400, "no_json"),
        (b"{", {}, 400, "no_json"),
        (b"\xff\xfe\x00", {}, 400, "no_json"),
        (b'{"records": [{"body": "a", "x": ' + b"[" * 100_000, {}, 400, "no_json"),
        (b"null", {}, 422, "wrong_shape"),
        (b"{}", {}, 422, "wrong_shape"),
        (b'{"records": [{"body": 1}]}', {}, 422, "wrong_shape"),
        (b'{"records": [], "wait_ms": -1}', {}, 422, "wrong_shape"),
        (b'{"records": [], "wait_ms": 60001}', {}, 422, "wrong_shape"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "unknown_type"),
        (b"{}", {"Content-Encoding": "br"}, 415, "unknown_encoding"),
        (b"{}", {"Content-Encoding": "gzip"}, 400, "no_gzip"),
        (gzip.compress(b'{"records": []}')[:-9], {"Content-Encoding": "gzip"}, 400, "no_gzip"),
        (b"{}", {"Host": "evil.example"}, 421, "other_host"),
    ],
)
def test_what_is_no_request_is_said(serving, body, headers, status, code):
    service = serving()
    found, _, answer = ask(service.url, "POST", "/v1/verdicts", body, headers)
    assert (found, status_of(answer)) == (status, code)
    assert is_served(service)


def test_lone_surrogates_and_bytes_that_are_no_utf8_are_mended(serving):
    service = serving()
    data = b'{"records": [{"body": "a \\ud800 b \\\\ud800 \\ud83d\\ude00 c"}, {"body": "d \xff e"}], "wait_ms": 5000}'
    status, _, answer = ask(service.url, "POST", "/v1/verdicts", data)
    assert (status, [v["template"] for v in json.loads(answer)["verdicts"]]) == (200, ["a \ufffd b \\ud<num> 😀 c", "d \ufffd e"])


def test_limits_of_batch_and_line(serving):
    service = serving(limits=Limits(batch=3, line=20))
    status, _, answer = ask(service.url, "POST", "/v1/verdicts", {"records": [{"body": "a"}] * 4})
    assert (status, status_of(answer)) == (413, "batch_too_large")
    status, _, answer = ask(service.url, "POST", "/v1/verdicts", {"records": [{"body": "a"}, {"body": "b" * 21}]})
    assert (status, status_of(answer)) == (413, "line_too_long")
    assert "record 1 has 21 characters" in json.loads(answer)["error"]["message"]


def resident():
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_megabytes(serving, chunked):
    service = serving()
    assert is_served(service)
    before, piece = resident(), b"x" * (1 << 20)

    def pieces():
        for _ in range(100):
            yield piece

    headers = {"Content-Type": "application/json", **({} if chunked else {"Content-Length": str(100 << 20)})}
    place = urlsplit(service.url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    connection.request("POST", "/v1/verdicts", pieces(), headers, encode_chunked=chunked)
    assert is_served(service)
    answer = connection.getresponse()
    assert (answer.status, status_of(answer.read())) == (413, "body_too_large")
    connection.close()
    assert resident() - before < 40 << 20


def test_a_zip_bomb(serving):
    service = serving()
    bomb = gzip.compress(b"0" * (200 << 20))
    assert is_served(service)
    before = resident()
    for path, kind in (("/v1/verdicts", "application/json"), ("/v1/logs", "application/x-protobuf"), ("/v1/logs", "application/json")):
        assert ask(service.url, "POST", path, bomb, {"Content-Encoding": "gzip", "Content-Type": kind})[0] == 413
    many = gzip.compress(b"0" * (1 << 20)) * 100
    assert ask(service.url, "POST", "/v1/verdicts", many, {"Content-Encoding": "gzip"})[0] == 413
    assert resident() - before < 60 << 20
    assert is_served(service)
    assert service.door.bodies.held == 0


def test_a_body_of_a_hundred_thousand_empty_members(serving):
    """zlib copies what stands behind a member; done for each, a body of the size that is allowed took minutes."""
    service = serving()
    body = gzip.compress(b"", mtime=0) * 100_000 + gzip.compress(b'{"records": [{"body": "disk failed"}]}')
    begun = time.monotonic()
    status, _, answer = ask(service.url, "POST", "/v1/verdicts", body, {"Content-Encoding": "gzip"})
    assert (status, len(json.loads(answer)["records"]), time.monotonic() - begun < 2) == (200, 1, True)


@pytest.mark.parametrize("kind", ["application/x-protobuf", "application/json"])
def test_of_a_batch_that_is_too_large_nothing_is_made(monkeypatch, kind):
    from ra_sdk import otlp
    from ra_sdk.wire import Refusal

    data = otlp_request(["x"] * 3).SerializeToString()
    if kind == "application/json":
        data = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{}]}, {"logRecords": [{}, {}]}]}]}).encode()
    assert len(otlp.bodies(data, kind, 3)) == 3
    monkeypatch.setattr(otlp, "_whole", lambda *_: 1 // 0)
    with pytest.raises(Refusal, match="3 records are more than the 2") as refused:
        otlp.bodies(data, kind, 2)
    assert refused.value.status == 413


@pytest.mark.parametrize("data", [b"\xff" * 50, b"\x0a\xff\xff\xff\xff\x0f", bytes(range(256)) * 40, b"\x0a\x02\x12"])
def test_garbage_protobuf(serving, data):
    service = serving()
    status, headers, answer = ask(service.url, "POST", "/v1/logs", data, {"Content-Type": "application/x-protobuf"})
    assert (status, headers["content-type"]) == (400, "application/x-protobuf")
    assert answer.startswith(b"\x08\x03\x12")  # google.rpc.Status: INVALID_ARGUMENT, message
    assert b"ExportLogsServiceRequest" in answer
    assert is_served(service)


def opened(service):
    place = urlsplit(service.url)
    return socket.create_connection((place.hostname, place.port), timeout=20)


def ended(connection):
    """What comes until the other side ends it."""
    said = b""
    with connection:
        try:
            while piece := connection.recv(65_536):
                said += piece
        except ConnectionResetError:
            pass
    return said


def test_slow_heads_and_idle_connections_are_closed(serving):
    service = serving(limits=Limits(head_s=1.0))
    silent, slow, kept = opened(service), opened(service), opened(service)
    kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    slow.sendall(b"POST /v1/verdicts HTTP/1.1\r\n")
    started = time.monotonic()
    for _ in range(20):  # a byte now and then does not put it off
        try:
            slow.sendall(b"X")
        except OSError:
            break
        time.sleep(0.2)
    assert is_served(service)
    assert ended(slow) == ended(silent) == b""
    assert ended(kept).startswith(b"HTTP/1.1 200")
    assert time.monotonic() - started < 8


def test_slow_bodies_are_ended(serving):
    service = serving(limits=Limits(body_s=1.0))
    slow = opened(service)
    slow.sendall(b"POST /v1/verdicts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
    for _ in range(5):
        time.sleep(0.15)
        slow.sendall(b" ")
    assert is_served(service)
    said = ended(slow)
    assert said.startswith(b"HTTP/1.1 408")
    assert b"too_slow" in said
    assert service.door.bodies.held == 0


def test_who_does_not_read_the_answer_is_left(serving):
    service = serving(limits=Limits(head_s=1.0))
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    place = urlsplit(service.url)
    deaf.connect((place.hostname, place.port))
    deaf.settimeout(0.5)
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    try:
        for _ in range(5_000):
            deaf.sendall(request)
    except OSError:
        pass
    assert is_served(service)
    deadline = time.monotonic() + 10
    while service.door.watch.connections and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not service.door.watch.connections
    deaf.close()


def test_who_reads_the_answer_slowly_is_given_time_and_who_reads_for_ever_is_not():
    from ra_sdk.guard import Watch

    class Connection:
        """Of a client that reads ``steps`` bytes of its answer between two rounds."""

        def __init__(self, steps):
            self.cycle, self.transport, self.left, self.steps = SimpleNamespace(response_complete=True), self, 1_000_000, steps
            self.seen, self.since, self.begun, self.unread, self.aborted = None, 0.0, 0.0, 0, False

        def get_write_buffer_size(self):
            self.left = max(self.left - self.steps, 0)
            return self.left

        def abort(self):
            self.aborted = True

    def seconds(steps):
        watch, connection = Watch(Limits(head_s=10.0, body_s=30.0), lambda: None), Connection(steps)
        for second in range(1, 100):
            watch._look(connection, float(second))
            if connection.aborted or not connection.left:
                return second, connection.aborted
        return None

    assert seconds(50_000) == (20, False)
    assert seconds(0) == (12, True)
    assert seconds(1) == (41, True)


def test_a_thousand_idle_connections(serving):
    service = serving(limits=Limits(connections=200))
    idle = [opened(service) for _ in range(1_000)]
    assert is_served(service)
    assert len(service.door.watch.connections) <= 200
    for connection in idle:
        connection.close()
    assert is_served(service)


def test_slow_bodies_make_room_for_others(serving):
    service = serving(limits=Limits(connections=20))
    slow = [opened(service) for _ in range(40)]
    for connection in slow:
        with suppress(OSError):
            connection.sendall(b"POST /v1/verdicts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
    assert is_served(service)
    for connection in slow:
        connection.close()


def test_when_all_connections_are_at_work_others_are_told_to_come_again(serving):
    model = Slow(0.0)
    model.gate.clear()
    service = serving(model=model, limits=Limits(connections=4))
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(post, service, [f"{word} waits"], wait_ms=3_000) for word in ("alpha", "beta")]
        time.sleep(0.5)
        quick = post(service, ["gamma waits"], wait_ms=3_000)  # half the connections wait: no more may
        assert quick["verdicts"][0]["label"] == "undecided"
        model.gate.set()
        assert all(job.result()["verdicts"][0]["label"] == "normal" for job in waiting)


def test_overload_is_429_and_nothing_grows(serving):
    service = serving(limits=Limits(batch=100, queue=100))
    with service.door.service._mining, ThreadPoolExecutor(4) as pool:  # the miner is busy
        first = pool.submit(post, service, ["a b"] * 80)
        time.sleep(0.5)
        status, headers, answer = ask(service.url, "POST", "/v1/verdicts", {"records": [{"body": "c d"}] * 50})
        assert (status, headers["retry-after"], status_of(answer)) == (429, "1", "busy")
        data = otlp_request(["a"] * 50).SerializeToString()
        status, headers, answer = ask(service.url, "POST", "/v1/logs", data, {"Content-Type": "application/x-protobuf"})
        assert (status, headers["retry-after"], answer[:2]) == (429, "1", b"\x08\x08")  # RESOURCE_EXHAUSTED
        service.door.service._mining.release()
        assert len(first.result()["records"]) == 80
        service.door.service._mining.acquire()
    assert is_served(service)


def test_a_full_queue_of_cold_templates_leaves_them_undecided(serving):
    model = Slow(0.0)
    model.gate.clear()
    service = serving(model=model, limits=Limits(cold=3))
    words = "alpha beta gamma delta epsilon zeta".split()
    post(service, [f"{word} {word} {word}" for word in words])
    assert service.door.service.cold == 3
    model.gate.set()
    deadline = time.monotonic() + 10
    while service.door.service.cold and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(model.seen) == 3
    again = post(service, [f"{word} {word} {word}" for word in words], wait_ms=5_000)
    assert sum(v["label"] == "normal" for v in again["verdicts"]) == 6


def test_tokens(serving, tmp_path):
    path = tmp_path / "tokens"
    first = make_token("first", path)
    service = serving(tokens=path)

    def get(token, where="/v1/templates"):
        return ask(service.url, "GET", where, headers={"Authorization": token} if token else {})

    for wrong in (None, "Bearer", "Bearer ", "Bearer wrong", f"Basic {first}", f"Bearer {first}x", f"Bearer {'x' * 10_000}"):
        status, headers, answer = get(wrong)
        assert (status, headers["www-authenticate"], status_of(answer)) == (401, 'Bearer realm="ra"', "unauthorized")
    assert get(f"Bearer {first}")[0] == get(f"bearer {first}")[0] == 200
    assert get(None, "/metrics")[0] == 401
    assert [get(None, where)[0] for where in ("/healthz", "/readyz", "/openapi.json")] == [200, 200, 200]
    assert get(f"Bearer {first}", "/nowhere")[0] == 404
    second = make_token("second", path)  # rotated while it runs
    assert get(f"Bearer {second}")[0] == get(f"Bearer {first}")[0] == 200
    revoke_token("first", path)
    assert (get(f"Bearer {first}")[0], get(f"Bearer {second}")[0]) == (401, 200)
    path.unlink()
    assert get(f"Bearer {second}")[0] == 401
    status, _, _ = ask(service.url, "POST", "/v1/verdicts", b"x" * (20 << 20))
    assert status == 401


@pytest.mark.parametrize("host", ["x/healthz?", "x/healthz#", "["])
def test_no_host_header_opens_the_door(serving, tmp_path, monkeypatch, host):
    """Older versions of Starlette make the URL of a request from any Host header, and its path is then what that says."""
    from starlette.datastructures import URL
    from starlette.requests import HTTPConnection

    monkeypatch.setattr(HTTPConnection, "url", property(lambda self: URL(f"http://{self.headers['host']}{self.scope['path']}")))
    make_token("es", tmp_path / "tokens")
    service = serving(tokens=tmp_path / "tokens")
    for where in ("/v1/templates", "/metrics", "/v1/logs"):
        assert ask(service.url, "GET", where, headers={"Host": host})[0] == 401


def test_tokens_that_cannot_be_read_let_nobody_in_and_are_said(serving, tmp_path):
    path = tmp_path / "tokens"
    token = make_token("es", path)
    service = serving(tokens=path)
    path.unlink()
    path.mkdir()
    status, headers, answer = ask(service.url, "GET", "/v1/templates", headers={"Authorization": f"Bearer {token}"})
    assert (status, headers["retry-after"], status_of(answer)) == (503, "10", "unusable")
    assert str(tmp_path).encode() not in answer
    assert ask(service.url, "GET", "/healthz")[0] == 200
    path.rmdir()
    token = make_token("es", path)
    assert ask(service.url, "GET", "/v1/templates", headers={"Authorization": f"Bearer {token}"})[0] == 200


def test_any_address_of_this_machine_is_its_name(tmp_path):
    service = Serving(Place("127.0.0.2", 0), {"model": "echo", "store": ":memory:"}, lambda _: None)
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        assert ask(service.url, "GET", "/healthz")[0] == 200
        for host in ("[::1]:80", "LOCALHOST", "127.0.0.1"):
            assert ask(service.url, "GET", "/healthz", headers={"Host": host})[0] == 200
        for host in ("127.0.0.2.evil.example", "192.0.2.1", "0.0.0.0", "[", "", "127.0.0.1.", "[::ffff:192.0.2.1]"):
            assert ask(service.url, "GET", "/healthz", headers={"Host": host})[0] == 421
    finally:
        service.stop()
        thread.join(30)
    assert not thread.is_alive()


def test_the_file_of_tokens_has_hashes_only(tmp_path):
    path = tmp_path / "deep" / "tokens"
    token = make_token("es", path)
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert Tokens(path).name(token) == "es"
    with pytest.raises(ra_sdk.BadOption, match="exists already"):
        make_token("es", path)
    with pytest.raises(ra_sdk.BadOption, match="may hold only letters, digits"):
        make_token("two words", path)
    with pytest.raises(ra_sdk.BadOption, match="is not in"):
        revoke_token("nobody", path)
    path.write_text(path.read_text() + "broken line\nx nothash\n")
    assert len(Tokens(path)) == 1
    with pytest.raises(ra_sdk.StoreError, match="cannot be used"):
        Tokens(tmp_path / "deep")


def test_tokens_that_are_made_and_taken_back_at_the_same_time(tmp_path, monkeypatch):
    from ra_sdk import tokens

    path, read = tmp_path / "tokens", tokens._read
    make_token("old", path)

    def slowly(path):
        found = read(path)
        time.sleep(0.05)
        return found

    monkeypatch.setattr(tokens, "_read", slowly)
    with ThreadPoolExecutor(5) as pool:
        made = [pool.submit(make_token, f"t{number}", path) for number in range(4)]
        pool.submit(revoke_token, "old", path)
    assert sorted(read(path)) == ["t0", "t1", "t2", "t3"]
    assert {Tokens(path).name(job.result()) for job in made} == {"t0", "t1", "t2", "t3"}


def test_the_file_of_tokens_stays_whose_it_is(tmp_path):
    path = tmp_path / "tokens"
    make_token("one", path)
    path.chmod(0o640)
    make_token("two", path)
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(file.name for file in tmp_path.iterdir()) == ["tokens", "tokens.lock"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.invalid"])
def test_others_need_tokens(host, tmp_path):
    with pytest.raises(ra_sdk.BadOption, match="ra token"):
        Serving(Place(host, 0, tmp_path / "none"), {"model": "echo"}, lambda _: None)


def test_who_needs_tokens_is_named(tmp_path):
    with pytest.raises(ra_sdk.BadOption, match=r"'0\.0\.0\.0' needs one"):
        Serving(Place(port=0, tokens=tmp_path / "none", listeners=("otlp://0.0.0.0:4317",)), {"model": "echo"}, lambda _: None)


def test_a_place_that_cannot_be_is_said(tmp_path):
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, pytest.raises(ra_sdk.WorldError, match="--port"):
        Serving(Place(port=taken.getsockname()[1]), {}, lambda _: None)
    (tmp_path / "c.pem").write_text("no certificate")
    with pytest.raises(ra_sdk.BadOption, match="--cert"):
        Serving(Place(port=0, cert=tmp_path / "c.pem"), {}, lambda _: None)
    with pytest.raises(ra_sdk.BadOption, match="without --cert"):
        Serving(Place(port=0, key=tmp_path / "c.pem"), {}, lambda _: None)
    with pytest.raises(ra_sdk.BadOption, match="limit batch must be a finite number above 0, got 0"):
        Limits(batch=0)
    for grace in (float("inf"), float("nan")):
        with pytest.raises(ra_sdk.BadOption, match="limit grace_s must be"):
            Limits(grace_s=grace)
    make_token("es", tmp_path / "tokens")
    with pytest.raises(ra_sdk.WorldError, match="--host"):
        Serving(Place("..", 0, tmp_path / "tokens"), {}, lambda _: None)


@pytest.mark.parametrize("gone", ["uvicorn", "opentelemetry.proto.collector.logs.v1.logs_service_pb2"])
def test_what_is_not_installed_is_said_at_the_start(monkeypatch, gone):
    monkeypatch.setitem(sys.modules, gone, None)
    with pytest.raises(ra_sdk.WorldError, match=r"ra-sdk\[server\]"):
        Serving(Place(port=0), {}, lambda _: None)


def test_a_model_that_cannot_be_loaded_ends_it():
    service = Serving(Place(port=0), {"model": "/no/such.gguf", "store": ":memory:"}, lambda _: None)
    with pytest.raises(ra_sdk.ModelError, match=r"no/such\.gguf"):
        service.run()


def test_tls(tmp_path):
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    made = subprocess.run(["openssl", *options.split(), "-keyout", tmp_path / "k.pem", "-out", tmp_path / "c.pem"], capture_output=True)
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    service = Serving(Place(port=0, cert=tmp_path / "c.pem", key=tmp_path / "k.pem"), {"model": "echo", "store": ":memory:"}, lambda _: None)
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        trust = ssl.create_default_context(cafile=tmp_path / "c.pem")
        connection = http.client.HTTPSConnection("localhost", urlsplit(service.url).port, context=trust, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        plain = opened(service)
        plain.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert b"200" not in ended(plain)
    finally:
        service.stop()
        thread.join(30)
    assert not thread.is_alive()


HOSTILE = '<script>alert(1)</script> "}\r\nSet-Cookie: a=b\r\n\x1b[31m\x00 error_total{label="x"} 1 error'


class Parrot(ra_sdk.EchoReasoner):
    """A model that says what the log says, and more."""

    def judge(self, templates, mode="direct"):
        for template in templates:
            yield ra_sdk.Verdict(template, "abnormal", 0.9, "system", f"{template} {HOSTILE}", False, mode, "par\x1brot")


def test_log_text_and_rationales_are_inert(serving):
    service = serving(model=Parrot())
    status, headers, data = ask(service.url, "POST", "/v1/verdicts", {"records": [{"body": HOSTILE}], "wait_ms": 5_000})
    assert status == 200
    assert headers.keys() == ["date", "content-type", "x-content-type-options", "cache-control", "ra-revision", "content-length"]
    assert not any(byte < 0x20 for byte in data)
    assert json.loads(data)["verdicts"][0]["rationale"].endswith(HOSTILE)
    _, headers, listed = ask(service.url, "GET", "/v1/templates")
    assert headers["content-type"] == "application/json"
    assert not any(byte < 0x20 for byte in listed)
    metrics = ask(service.url, "GET", "/metrics")[2].decode()
    assert "script" not in metrics
    assert "error_total" not in metrics
    for path in ("/%0d%0aSet-Cookie:%20a=b", "/v1/verdicts/%1b%0d%0ax", "/v1/templates?label=%0d%0a%1b"):
        status, headers, data = ask(service.url, "GET", path)
        assert status in (404, 422)
        assert "set-cookie" not in headers
        assert not any(byte < 0x20 for byte in data)
    assert 'route="other"' in ask(service.url, "GET", "/metrics")[2].decode()


def test_metrics_add_up(serving):
    service = serving()
    post(service, ["disk failed"] * 3 + ["all good"] * 5, wait_ms=5_000)
    post(service, ["never seen before"])
    lines = ask(service.url, "GET", "/metrics")[2].decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert [float(values[f'ra_records_total{{label="{label}"}}']) for label in ("abnormal", "normal", "undecided")] == [3, 5, 1]
    assert (float(values["ra_templates"]), float(values["ra_cold_queue"]) <= 1) == (3, True)
    assert float(values['ra_request_seconds_count{route="/v1/verdicts",status="200"}']) == 2


def test_what_breaks_is_counted(serving, monkeypatch):
    service = serving()
    monkeypatch.setattr(service.door.service, "templates", lambda: 1 // 0)
    status, _, answer = ask(service.url, "GET", "/v1/templates")
    assert (status, status_of(answer)) == (500, "broken")
    assert b'ra_request_seconds_count{route="/v1/templates",status="500"} 1.0' in ask(service.url, "GET", "/metrics")[2]


def test_it_answers_while_the_model_is_loaded(serving, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr("ra_sdk.serving._warm", lambda: gate.wait(10))
    service = serving(wait=False)
    assert (ask(service.url, "GET", "/healthz")[0], ask(service.url, "GET", "/readyz")[0]) == (200, 503)
    status, headers, answer = ask(service.url, "POST", "/v1/verdicts", {"records": []})
    assert (status, headers["retry-after"], status_of(answer)) == (503, "1", "not_ready")
    gate.set()
    deadline = time.monotonic() + 10
    while ask(service.url, "GET", "/readyz")[0] != 200 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_served(service)


def started(tmp_path, *options):
    """``ra serve`` as a process, and its URL, as soon as it is ready."""
    command = [sys.executable, "-m", "ra_sdk.cli", "serve", "--model", "echo", "--port", "0", "--store", str(tmp_path / "v.db"), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    url = process.stderr.readline().split()[3].rstrip(",")
    assert "ready" in process.stderr.readline()
    return process, url


def test_it_comes_up_and_ends_by_sigterm(tmp_path):
    process, url = started(tmp_path)
    with process:
        assert ask(url, "GET", "/readyz")[0] == 200
        process.terminate()
        assert process.wait(30) == 0


def test_a_shutdown_finishes_what_was_accepted(serving):
    model = Slow(0.3)
    service = serving(model=model)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(post, service, [f"{word} {word} {word}"], wait_ms=20_000) for word in ("alpha", "beta", "gamma")]
        deadline = time.monotonic() + 10
        while service.door.service.cold < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        post(service, ["delta in the background"])
        service.stop()
        assert [job.result()["verdicts"][0]["label"] for job in waiting] == ["normal"] * 3
    deadline = time.monotonic() + 10
    while len(model.seen) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "delta in the background" in model.seen


def test_a_shutdown_ends_in_time(serving):
    service = serving(model=Slow(0.2), limits=Limits(grace_s=1.0))
    words = [f"{a}{b} {a} {b} {a}" for a in "abcdefgh" for b in "ijklmnop"]
    post(service, words)
    begun = time.monotonic()
    service.stop()
    while service.door.watch.connections or any(thread.is_alive() for thread in service.door.service._threads):
        time.sleep(0.05)
        assert time.monotonic() - begun < 6


def test_who_waits_is_answered_before_the_time_of_grace_ends(serving):
    model = Slow(0.0)
    model.gate.clear()
    service = serving(model=model, limits=Limits(grace_s=1.0))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(post, service, ["a b c"], wait_ms=30_000)
        deadline = time.monotonic() + 10
        while not service.door.service._patient and time.monotonic() < deadline:
            time.sleep(0.01)
        service.stop()
        assert [v["label"] for v in waiting.result()["verdicts"]] == ["undecided"]
    model.gate.set()


@pytest.mark.slow
def test_200_000_records_from_8_clients_add_up(serving):
    """Counts are exact, and no record has another template's verdict, however batches are mined together."""
    service = serving()
    size, batches, clients = 500, 50, 8
    kinds = [f"{word} {verb} item {{}} of {{}}" for word in "disk net cpu fan db cache queue job".split() for verb in ("failed on", "took", "lost")]
    expected = {kind: "abnormal" if "failed" in kind or "lost" in kind else "normal" for kind in kinds}

    def client(number):
        place, seen = urlsplit(service.url), {"abnormal": 0, "normal": 0}
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
        for batch in range(batches):
            own = [kinds[(number * 7 + batch * 3 + i * i) % len(kinds)] for i in range(size)]
            bodies = [kind.format(number * 1000 + 101 + i, batch + 1) for i, kind in enumerate(own)]
            data = json.dumps({"records": [{"body": body} for body in bodies], "wait_ms": 20_000, "fill": batch % 5 == 0})
            connection.request("POST", "/v1/verdicts", data, {"Content-Type": "application/json"})
            found = json.loads(connection.getresponse().read())
            assert len(found["records"]) == size
            assert len({v["template"] for v in found["verdicts"]}) == len(found["verdicts"]) == len(set(own))
            for body, kind, reference in zip(bodies, own, found["records"], strict=True):
                verdict = found["verdicts"][reference["verdict"]]
                assert (verdict["template"], verdict["label"]) == (kind.format("<num>", "<num>"), expected[kind])
                assert "rationale" not in reference or body.startswith(reference["rationale"][9:-2])
                seen[verdict["label"]] += 1
        connection.close()
        return seen

    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(client, range(clients)))
    assert sum(sum(seen.values()) for seen in found) == size * batches * clients == 200_000
    records = {label: sum(seen[label] for seen in found) for label in ("abnormal", "normal")}
    values = dict(line.rsplit(" ", 1) for line in ask(service.url, "GET", "/metrics")[2].decode().splitlines())
    assert {label: float(values[f'ra_records_total{{label="{label}"}}']) for label in records} == records
    time.sleep(1.1)
    listed = json.loads(ask(service.url, "GET", "/v1/templates")[2])
    assert sum(t["count"] for t in listed["templates"]) == 200_000
    assert listed["total"] == len(kinds)


def test_work_is_per_batch_and_not_per_record(serving):
    """The guard of the fast path: statements and model calls do not grow with the records of known templates."""
    model = ra_sdk.EchoReasoner()
    service = serving(model=model)
    post(service, ["worker 1 started"], wait_ms=5_000)
    store = service.door.service.detector.store
    before = store.statements
    for _ in range(5):
        post(service, [f"worker {number} started" for number in range(2, 2_000)])
    assert (model.judged, store.statements - before <= 4) == (1, True)


def test_the_event_loop_does_not_wait_for_mining_or_the_model(serving):
    model = Slow(0.0)
    model.gate.clear()
    service = serving(model=model)
    with service.door.service._mining, ThreadPoolExecutor(1) as pool:
        held = pool.submit(post, service, ["a b c"])
        begun = time.monotonic()
        assert [ask(service.url, "GET", "/healthz")[0] for _ in range(20)] == [200] * 20
        assert time.monotonic() - begun < 2
        service.door.service._mining.release()
        held.result()
        service.door.service._mining.acquire()
    model.gate.set()


def test_who_leaves_is_no_harm(serving):
    model = Slow(0.0)
    model.gate.clear()
    service = serving(model=model)
    data = json.dumps({"records": [{"body": "a b c"}], "wait_ms": 1_000}).encode()
    for _ in range(20):
        left = opened(service)
        left.sendall(b"POST /v1/verdicts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        left.close()
    half = opened(service)
    half.sendall(b"POST /v1/verdicts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    half.close()
    model.gate.set()
    assert is_served(service)
    deadline = time.monotonic() + 10
    while (service.door.bodies.held or service.door.service._patient) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (service.door.bodies.held, service.door.service._patient) == (0, 0)


def test_the_service_needs_no_running_loop_to_be_closed():
    """What a program that embeds it does."""
    from ra_sdk.metrics import Meters
    from ra_sdk.service import Service

    service = Service(ra_sdk.Detector(model="echo", store=":memory:", knowledge=None), Limits(), Meters())
    judged = asyncio.run(service.judge(["disk failed"], 5.0))
    assert [v.label for v in judged.verdicts] == ["abnormal"]
    service.close(5.0)
    with pytest.raises(ra_sdk.WorldError):
        asyncio.run(service.judge(["x"]))


def test_ra_token_makes_and_takes_back(capsys, tmp_path):
    path = str(tmp_path / "tokens")
    assert main(["token", "es", "--tokens", path]) == 0
    made = capsys.readouterr()
    assert made.out.startswith("ra_")
    assert Tokens(Path(path)).name(made.out.strip()) == "es"
    assert main(["token", "es", "--tokens", path]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["token", "es", "--tokens", path, "--revoke"]) == 0
    assert len(Tokens(Path(path))) == 0
    assert main(["serve", "--host", "0.0.0.0", "--tokens", path, "--model", "echo"]) == 2
    assert "make one with: ra token" in capsys.readouterr().err
    assert main(["serve", "--port", "70000"]) == 2


def test_a_model_that_is_missing_ends_the_command(tmp_path, capsys):
    assert main(["serve", "--port", "0", "--model", str(tmp_path / "none.gguf"), "--store", ":memory:"]) == 1
    assert "none.gguf" in capsys.readouterr().err


def test_what_was_mined_and_judged_is_there_after_a_restart(tmp_path):
    for label in ("undecided", "abnormal"):
        process, url = started(tmp_path, "--state", str(tmp_path / "state"))
        _, _, data = ask(url, "POST", "/v1/verdicts", {"records": [{"body": "disk failed"}]})
        assert json.loads(data)["verdicts"][0]["label"] == label
        process.terminate()
        with process:
            assert process.wait(10) == 0
    assert (tmp_path / "state").exists()
