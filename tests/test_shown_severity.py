"""A model that is shown the severity: a verdict for each template and severity, in every way in; the column of severities that it takes."""

import asyncio
import json
import random
import urllib.request
from datetime import datetime, timezone

import polars as pl
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

import ra_sdk
from ra_sdk import Detector, LogRecord, Verdict, VerdictStore
from ra_sdk.blocks import Block
from ra_sdk.cli.display import TemplateTable
from ra_sdk.formats import builtin_formats
from ra_sdk.formats.patterns import severity_of
from ra_sdk.formats.reading import Reader
from ra_sdk.records import SEVERITIES, TemplateKey
from ra_sdk.service.core import Service
from ra_sdk.service.limits import Limits
from ra_sdk.service.metrics import Meters
from ra_sdk.service.otlp import severity
from ra_sdk.templates.miner import keyed

FORMATS = builtin_formats()
NOW = datetime(2026, 11, 30, tzinfo=timezone.utc)


class Levelled:
    """Goes by the severity alone, and keeps what it was asked."""

    name = digest = "levelled"
    reads_severity = True

    def __init__(self):
        self.asked = []

    def judge(self, templates, mode="direct", *, severities):
        for text, level in reversed(list(zip(templates, severities, strict=True))):
            self.asked.append((text, level))
            bad = level in ("ERROR", "FATAL")
            yield Verdict(text, "abnormal" if bad else "normal", 0.9 if bad else 0.1, mode=mode, severity=level)


LINES = [f"2026-11-30T10:00:0{n}Z {level} link 7 changed" for n, level in enumerate(("INFO", "ERROR", "INFO", "WARN", "ERROR"))]


@pytest.mark.parametrize("turned", [False, True])
def test_a_template_has_a_verdict_for_each_severity(tmp_path, turned):
    lines = LINES[::-1] if turned else LINES
    model = Levelled()
    found = list(ra_sdk.detect(lines, model=model, store=tmp_path / "v.db", knowledge=None))
    assert [(d.severity, d.label) for d in found] == [(level, "abnormal" if level == "ERROR" else "normal") for level in (d.severity for d in found)]
    assert {d.verdict.severity for d in found} == {"INFO", "ERROR", "WARN"}
    assert len({d.template for d in found}) == 1
    assert len(model.asked) == 3
    again = Levelled()
    assert [d.verdict for d in ra_sdk.detect(lines, model=again, store=tmp_path / "v.db", knowledge=None)] == [d.verdict for d in found]
    assert not again.asked


def test_a_model_that_does_not_read_the_severity_judges_a_template_once():
    with Detector(model="echo", store=":memory:", knowledge=None) as detector:
        found = list(detector.detect(LINES))
        assert detector.counts.judged == 1
    assert {d.verdict.severity for d in found} == {None}


def test_a_line_is_judged_at_its_own_severity():
    with Detector(model=Levelled(), store=":memory:", knowledge=None) as detector:
        assert [detector.judge(line).label for line in LINES[:2]] == ["normal", "abnormal"]
        assert detector.judge("link 7 changed").severity is None


def test_an_operators_override_holds_at_every_severity(tmp_path):
    with VerdictStore(tmp_path / "v.db") as store:
        (first, *_) = ra_sdk.detect(LINES, model=Levelled(), store=store, knowledge=None)
        store.override(first.template, "abnormal", "network")
        found = list(ra_sdk.detect(LINES, model=Levelled(), store=store, knowledge=None))
    assert {(d.label, d.mode) for d in found} == {("abnormal", "override")}
    assert {d.verdict.severity for d in found} == {"INFO", "ERROR", "WARN"}


def test_the_table_has_a_row_for_each_severity():
    table = TemplateTable()
    with Detector(model=Levelled(), store=":memory:", knowledge=None) as detector:
        for block in detector.blocks(LINES):
            table.write(block)
    assert [(row.count, row.verdict.severity) for row in table.with_label("abnormal")] == [(2, "ERROR")]
    assert sum(row.count for row in table.with_label("normal")) == 3


def test_an_answer_about_another_severity_is_an_error(caplog):
    class Careless(Levelled):
        def judge(self, templates, mode="direct", *, severities):
            for verdict in super().judge(templates, mode, severities=severities):
                yield Verdict(verdict.template, verdict.label, verdict.score, mode=mode)

    (found,) = ra_sdk.detect(LINES[:1], model=Careless(), store=":memory:", knowledge=None)
    assert (found.label, found.verdict.severity) == ("undecided", "INFO")
    assert "was not asked" in caplog.text


def ask(url, data=None, kind="application/json"):
    """The JSON that the service answers."""
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": kind}), timeout=30) as answer:
        body = answer.read()
    return json.loads(body) if kind == "application/json" else None


def verdicts_of(service, records):
    return ask(f"{service.url}/v1/verdicts", json.dumps({"records": records, "wait_ms": 20_000}).encode())["verdicts"]


@pytest.mark.parametrize("way", ["verdicts", "application/json", "application/x-protobuf"])
def test_the_service_is_told_the_severity(serving, way):
    service = serving(model=Levelled())
    if way == "verdicts":
        records = [{"body": "link changed", "severity": name} for name in ("information", "err", "INFO", "sunny")]
        found = verdicts_of(service, records)
        assert {(v["severity"], v["label"]) for v in found} == {("INFO", "normal"), ("ERROR", "abnormal"), (None, "normal")}
        keys = {v["severity"]: v["key"] for v in found}
        assert len(set(keys.values())) == 3
        assert ask(f"{service.url}/v1/verdicts/{keys['ERROR']}")["severity"] == "ERROR"
        listed = ask(f"{service.url}/v1/templates")["templates"]
        assert {row["verdict"]["severity"] for row in listed} == {"INFO", "ERROR", None}
        return
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(severity_number=17)
    record.body.string_value = "link changed"
    as_json = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "link changed"}, "severityNumber": "SEVERITY_NUMBER_ERROR"}]}]}]}
    data = request.SerializeToString() if way != "application/json" else json.dumps(as_json).encode()
    ask(f"{service.url}/v1/logs", data, way)
    (verdict,) = verdicts_of(service, [{"body": "link changed", "severity": "ERROR"}])
    assert verdict["label"] == "abnormal"
    assert service.door.service.detector.reasoner.asked == [("link changed", "ERROR")]


def test_those_that_wait_get_the_verdict_of_their_severity():
    service = Service(Detector(model=Levelled(), store=":memory:", knowledge=None), Limits(), Meters())
    judged = asyncio.run(service.judge(["link changed"] * 3, 10.0, severities=["INFO", "ERROR", None]))
    service.close(5.0)
    assert [(judged.verdicts[code].severity, judged.verdicts[code].label) for code in judged.codes] == [
        ("INFO", "normal"),
        ("ERROR", "abnormal"),
        (None, "normal"),
    ]


@pytest.mark.parametrize(
    ("number", "text", "name"),
    [
        (17, "", "ERROR"),
        (24, "", "FATAL"),
        (9, "whatever", "INFO"),
        (0, "warning", "WARN"),
        ("13", None, "WARN"),
        ("SEVERITY_NUMBER_WARN3", None, "WARN"),
        ("SEVERITY_NUMBER_UNSPECIFIED", "E", "ERROR"),
        (25, "sunny", None),
        (None, None, None),
        (True, None, None),
        ("9" * 5_000, None, None),
        ("SEVERITY_NUMBER_ERROR", "sunny", "ERROR"),
        ([1], {}, None),
    ],
)
def test_severities_of_opentelemetry(number, text, name):
    assert severity(number, text) == name


@pytest.mark.parametrize(
    ("severities", "codes", "keys"),
    [
        (None, [0, 1, 0], [("a", None), ("b", None)]),
        (["INFO"] * 3, [0, 1, 0], [("a", "INFO"), ("b", "INFO")]),
        ([None] * 3, [0, 1, 0], [("a", None), ("b", None)]),
        (["INFO", "WARN", None], [0, 1, 2], [("a", "INFO"), ("b", "WARN"), ("a", None)]),
        (["sunny", None, "FATAL"], [0, 1, 2], [("a", None), ("b", None), ("a", "FATAL")]),
    ],
)
def test_templates_with_severities(severities, codes, keys):
    given = None if severities is None else pl.Series(severities, dtype=pl.String)
    found, made = keyed(pl.Series([0, 1, 0], dtype=pl.UInt32), ["a", "b"], given)
    assert (found.to_list(), found.dtype, made) == (codes, pl.UInt32, [TemplateKey(*key) for key in keys])


def test_ready_records_have_their_severity():
    records = [LogRecord("link changed", severity=level) for level in (*SEVERITIES, None)]
    with Detector(model=Levelled(), store=":memory:", knowledge=None) as detector:
        assert [d.verdict.severity for d in detector.detect(records)] == [*SEVERITIES, None]


def columns(lines, *, whole=False):
    """Bodies and severities of lines: read for the model, and read for the output."""
    reader = Reader(FORMATS)
    series = pl.Series("line", lines, dtype=pl.String)
    records = reader.whole(series) if whole else reader.read(series, whole=True)
    bodies, severities = records.bodies_and_severities(NOW)
    shown = list(zip(bodies.to_list(), severities.to_list(), strict=True))
    return shown, list(zip(records.bodies().to_list(), records.fields(NOW)["severity"].to_list(), strict=True))


def test_the_column_alone_is_that_of_the_fields_on_every_example():
    for kind in FORMATS:
        lines = [example.line for example in getattr(kind, "examples", ())]
        if lines:
            shown, written = columns(lines, whole=True)
            assert shown == written
            shown, written = columns(lines * (500 // len(lines) + 1), whole=True)  # many are read another way
            assert shown == written
        for line in lines:
            shown, written = columns(line.split("\n"))
            assert shown == written


def test_the_column_alone_is_that_of_the_fields_in_json_of_any_kind():
    rng = random.Random(5)
    keys = "level severity lvl log record jsonPayload attributes message msg time status resourceId operationName PRIORITY err".split()
    values = ["info", "ERROR", "warn", 30, 50.0, 3, "4", None, "", "sunny", {"level": "error"}, {"name": "WARNING"}, {"message": "x", "level": "fatal"}, [1]]
    lines = [json.dumps({key: rng.choice(values) for key in rng.sample(keys, rng.randint(1, 6))}) for _ in range(3_000)]
    shown, written = columns(lines, whole=True)
    assert shown == written


MIKROTIK = ["system,error ftp backup to 198.51.100.7 failed"] * 900 + ["system,error,critical login failure for user admin from 203.0.113.9 via ssh"] * 100
POSTGRES = "2026-08-18 15:15:01.123 UTC ann shop 10.0.0.1 "
REFUSED = [
    *["FATAL:  password authentication failed"] * 600,
    *['DETAIL:  connection to server at "db2", port 5432 failed: FATAL:  password'] * 100,
    *['ERROR:  could not connect to server "x": FATAL:  no pg_hba.conf entry'] * 100,
]


@pytest.mark.parametrize("lines", [MIKROTIK, [POSTGRES + line for line in REFUSED]], ids=["mikrotik", "postgresql"])
def test_a_frequent_word_is_not_found_where_the_header_does_not_end(lines):
    shown, written = columns(lines)
    assert shown == written
    assert len({severity for _, severity in shown}) > 1


def test_a_column_of_nulls_is_read():
    lines = pl.Series("line", [1], dtype=pl.UInt64)
    block = Block("log", "log", pl.Series("body", ["link changed"]), lines, lines, lines, lambda: pl.DataFrame({"severity": [None]}))
    assert keyed(pl.Series([0], dtype=pl.UInt32), ["link changed"], block.severities)[1] == [TemplateKey("link changed")]


def test_the_service_refuses_severities_of_another_number():
    service = Service(Detector(model=Levelled(), store=":memory:", knowledge=None), Limits(), Meters())
    with pytest.raises(ValueError, match="as many as the 2 bodies"):
        asyncio.run(service.judge(["a b", "c d"], severities=["ERROR"]))
    service.close(5.0)


def test_the_listing_knows_the_verdicts_of_an_earlier_run(tmp_path):
    for again in range(2):
        service = Service(Detector(model=Levelled(), store=tmp_path / "v.db", state=tmp_path / "s", knowledge=None), Limits(), Meters())
        if not again:
            asyncio.run(service.judge(["link changed"], 10.0, severities=["ERROR"]))
        found = [(template.text, verdict.label, verdict.severity) for template, verdict in service.templates()]
        service.close(5.0)
        assert found == [("link changed", "abnormal", "ERROR")]


def test_a_long_text_is_not_a_severity():
    assert (severity_of("x" * 100_000), severity_of(" Warning ")) == (None, "WARN")


LEVELS = ['level="fatal error"', "level=2", "level=info-2", "level=", 'level="error', 'level=error"', 'level="warn"', "level=warn"]


@pytest.mark.parametrize("first", LEVELS)
def test_the_column_alone_is_that_of_the_fields_in_pairs_of_any_kind(first):
    shown, written = columns([f"ts=2025-03-01T10:00:00Z {first} msg=x a=b", f"ts=2025-03-01T10:00:00Z {first} level=error msg=x a=b"], whole=True)
    assert shown == written


@pytest.mark.parametrize("line", ['level=warn msg="a level=error b" x=1', 'msg="x" level=error a=b', 'time=1 msg="x" lvl=warn level=info', "level=3 msg=x a=b"])
def test_the_column_alone_is_that_of_the_fields_in_pairs(line):
    shown, written = columns([line], whole=True)
    assert shown == written


@pytest.mark.parametrize(
    "head", ["2026-11-30 10:00:0{n}.000 {level} [main] shop.Till: ", "2026-11-30T10:00:0{n}Z [{level}] ", "08111{n} 203518 143 {level} dfs.Node: "]
)
def test_the_column_alone_is_that_of_the_fields_for_many_records(head):
    rng = random.Random(7)
    levels = ["INFO"] * 50 + ["WARN", "ERROR", "FATAL", "DEBUG", "TRACE", "SEVERE", "NOTICE"]
    bodies = ["ERROR in the message", "INFO FATAL", "till closed", "[ERROR] as a word"]
    shown, written = columns([head.format(n=rng.randrange(10), level=rng.choice(levels)) + rng.choice(bodies) for _ in range(2_000)])
    assert shown == written
