"""Formats: what each makes of its lines, which one is chosen, which lines are one record, and that nothing raises or is lost."""

import json
import lzma
import re
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ra_sdk.errors import UnknownFormat
from ra_sdk.formats import builtin_formats, faults, format_named
from ra_sdk.formats.containers import Container
from ra_sdk.formats.reading import Reader
from ra_sdk.formats.structured import DecodedFormat
from ra_sdk.records import SEVERITIES

SAMPLES = Path(__file__).parent / "data" / "formats"
FORMATS = builtin_formats()
NOW = datetime(2025, 6, 1, tzinfo=timezone.utc)


def series(texts):
    return pl.Series("line", texts, dtype=pl.String)


def sample(name):
    return (SAMPLES / f"{name}.log").read_text(encoding="utf-8").removesuffix("\n").split("\n")


def rows(records, now=NOW):
    """Rows (body, timestamp in ISO or None, severity, attributes), and the checks that hold for every format."""
    bodies, fields = records.bodies(), records.fields(now)
    assert len(bodies) == len(fields) == len(records)
    assert bodies.dtype == pl.String
    assert bodies.null_count() == 0
    assert dict(fields.schema) == {"timestamp": pl.Datetime("us", "UTC"), "severity": pl.String, "attributes": pl.String}
    assert set(fields["severity"].drop_nulls()) <= set(SEVERITIES)
    stamps = [stamp and stamp.isoformat().replace("+00:00", "Z") for stamp in fields["timestamp"].to_list()]
    attributes = [json.loads(text) if text else {} for text in fields["attributes"].to_list()]
    assert all(isinstance(found, dict) for found in attributes)
    return list(zip(bodies.to_list(), stamps, fields["severity"].to_list(), attributes, strict=True))


def read(name, records, now=NOW):
    """Rows of texts that are records of one format; None: of any."""
    return rows(Reader(FORMATS, name).whole(series(records)), now)


def names(records):
    """The names of the records' formats; an empty one where there is none."""
    codes = [records.codes] * len(records) if isinstance(records.codes, int) else records.codes.to_list()
    return ["" if code < 0 else records.reader.kinds[code].name for code in codes]


D = "2025-03-01T"
EXPECTED = {  # sample -> rows; of the attributes, those that are named
    "rfc5424": [
        ("Door opened by badge", f"{D}10:20:30.123456Z", "INFO",
         {"host.name": "gate7", "service.name": "door", "process.pid": 4711, "log.syslog.msgid": "OPENED", "log.syslog.facility.code": 20}),
        ("Motor stalled after 3 tries", f"{D}10:20:31Z", "ERROR", {"log.syslog.facility.code": 1}),
        ("no header values at all", None, "INFO", {}),
    ],
    "rfc3164": [
        ("belt speed back to normal", "2025-02-03T04:05:06Z", None, {"host.name": "mill3", "service.name": "grinder", "process.pid": 812}),
        ("usb 1-2: device descriptor read, error -71", "2025-02-13T04:05:07Z", None, {"service.name": "kernel"}),
        ("last message repeated 4 times", "2025-02-13T04:05:08Z", None, {"host.name": "mill3"}),
    ],
    "rfc3164.pri": [
        ("session refused for user kim", "2025-02-13T04:05:06Z", "FATAL", {"service.name": "su", "log.syslog.facility.code": 4}),
        ("started", "2025-02-13T04:05:07Z", "INFO", {"log.syslog.facility.code": 23}),
    ],
    "rsyslog": [
        ("belt speed back to normal", "2025-02-13T03:05:06.123456Z", None, {"host.name": "mill3", "service.name": "grinder", "process.pid": 812}),
        ("oven door open", "2025-02-13T04:05:07Z", None, {}),
    ],
    "journald": [
        ("belt torn", f"{D}10:00:00.123456Z", "ERROR", {"host.name": "mill3", "service.name": "grinder", "process.pid": "812"}),
        ("belt \ufffd!", f"{D}10:00:01Z", "INFO", {"_COMM": "grinder"}),
    ],
    "json.zap": [
        ("oven heated", f"{D}10:00:00.500000Z", "INFO", {"caller": "oven/oven.go:12", "degrees": 220}),
        ("cannot read probe: open /dev/probe0: no such file\nmain.read\n\toven.go:9", f"{D}10:00:01Z", "ERROR", {"logger": "oven"}),
        ("probe gone", f"{D}10:00:02Z", "FATAL", {}),
    ],
    "json.zerolog": [("refill soon: flour low", f"{D}10:00:00Z", "WARN", {"error": "flour low"}), ("tick", f"{D}10:00:00.123000Z", "DEBUG", {})],
    "json.pino": [
        ("oven heated", f"{D}10:00:00.123000Z", "INFO", {"pid": 42, "hostname": "bakery"}),
        ("baking failed: TypeError: loaf is undefined\n    at bake (oven.js:3:9)", f"{D}10:00:01.123000Z", "ERROR", {}),
    ],
    "json.bunyan": [("drawer jammed", f"{D}10:00:00.250000Z", "FATAL", {"name": "shop"})],
    "json.ecs": [
        ("sale not booked: ledger locked", f"{D}10:00:00.123000Z", "ERROR", {"log.logger": "shop.Till"}),
        ("ledger slow", f"{D}10:00:01.123000Z", "WARN", {"log.logger": "shop.Till", "ecs.version": "1.2.0"}),
    ],
    "json.otel": [
        ("sale not booked", f"{D}10:00:00.123457Z", "ERROR", {"till": "4"}),
        ("till opened", f"{D}10:00:00Z", "INFO", {"till": 4, "traceId": "5b8efff798038103d269b633813fc60c"}),
    ],
    "json.mongo": [("Unclean shutdown seen", f"{D}10:00:00.123000Z", "WARN", {"c": "STORAGE"})],
    "json.nomessage": [('{"sensor":7,"celsius":21.5}', None, "INFO", {"sensor": 7}), ('{"sensor":8,"celsius":-3}', None, None, {"celsius": -3})],
    "logfmt": [
        ("loaf sold", f"{D}10:00:00Z", "INFO", {"price": "3.20", "till": "4"}),
        ('loaf burnt: timer "A" lost', f"{D}10:00:01Z", "ERROR", {"oven": "2"}),
        ("slow", f"{D}10:00:00Z", "WARN", {}),
    ],
    "klog": [
        ('"Oven heated" degrees=220', f"{D}10:00:00.123456Z", "INFO", {"thread.id": 1377, "code.file.path": "oven.go", "code.line.number": 402}),
        ("cannot read probe: EOF", f"{D}10:00:01.000001Z", "ERROR", {"code.file.path": "probe/read.go"}),
        ("year ends", "2024-12-31T23:59:59.999999Z", "WARN", {}),
    ],
    "docker": [
        ("loaf sold", f"{D}10:00:00.123456Z", None, {"log.iostream": "stdout"}),
        ("a very long line", f"{D}10:00:01Z", None, {"log.iostream": "stderr"}),
        ("loaf burnt", f"{D}10:00:02Z", "ERROR", {"oven": 2, "log.iostream": "stdout", "attrs": {"tag": "b1"}}),
        ("Traceback (most recent call last):\n  File \"oven.py\", line 3, in bake\nKeyError: 'loaf'", f"{D}10:00:03Z", "ERROR", {"log.iostream": "stderr"}),
        ("next loaf", f"{D}10:00:04Z", None, {}),
    ],
    "cri": [
        ("loaf sold", f"{D}10:00:00.123456Z", None, {"log.iostream": "stdout"}),
        ("one half, other half", f"{D}10:00:01.500000Z", None, {"log.iostream": "stderr"}),
        ("cannot read probe", f"{D}10:00:02Z", "ERROR", {"log.iostream": "stderr", "code.file.path": "probe.go"}),
        ("flour low", f"{D}10:00:03Z", "WARN", {"left": "2"}),
        ("drawer jammed\n\tat shop.Till.open(Till.java:8)", f"{D}10:00:04Z", "ERROR", {"log.logger": "shop.Till"}),
    ],
    "access": [
        ("GET page /loaf: 200 OK", f"{D}09:00:00Z", "INFO",
         {"client.address": "192.0.2.7", "http.request.method": "GET", "url.original": "/loaf?id=7", "http.response.status_code": 200}),
        ("POST page /oven: 503 Service Unavailable", f"{D}09:00:01Z", "ERROR",
         {"user.name": "kim", "http.response.size": 0, "http.request.referrer": "https://shop.example/", "user_agent.original": 'Baker/1.0 \\"beta\\"'}),
        ("GET page /gone: 404 Not Found", f"{D}09:00:02Z", "WARN", {"client.address": "2001:db8::1", "rest": " 0.012"}),
        ("TLS handshake on a plain HTTP port: 400 Bad Request", f"{D}09:00:03Z", "WARN", {}),
    ],
    "nginx-error": [
        ("*55 connect() failed (111: Connection refused) while connecting to upstream, client: 192.0.2.7, server: shop.example", f"{D}10:00:00Z",
         "ERROR", {"process.pid": 31, "thread.id": 7}),
        ("bind() to 0.0.0.0:80 failed (98: Address already in use)", f"{D}10:00:01Z", "FATAL", {}),
    ],
    "apache-error": [
        ("AH00037: Symbolic link not allowed: /srv/loaf", f"{D}10:00:00.123456Z", "ERROR",
         {"component": "core", "process.pid": 31, "thread.id": 77, "client.address": "192.0.2.7:4000"}),
        ("caught SIGTERM, shutting down", f"{D}10:00:01Z", "INFO", {}),
    ],
    "generic.zones": [
        ("checkpoint complete", f"{D}09:00:00.123000Z", "INFO", {}),
        ('relation "loaf" does not exist', f"{D}15:00:01Z", "ERROR", {}),
        ("XYZ oven cold", f"{D}10:00:02Z", None, {}),
    ],
    "java.jul": [
        ("drawer jammed\njava.lang.IllegalStateException: drawer\n\tat com.shop.Till.open(Till.java:8)", f"{D}10:00:00Z", "ERROR",
         {"log.logger": "com.shop.Till", "code.function.name": "open"}),
        ("ledger ready", f"{D}21:05:01Z", "INFO", {"log.logger": "com.shop.Ledger", "code.function.name": "<init>"}),
        ("slow", f"{D}21:05:02Z", "WARN", {}),
    ],
    "java.log4j": [
        ("drawer jammed\njava.lang.IllegalStateException: drawer\n\tat com.shop.Till.open(Till.java:8)\nCaused by: java.io.IOException: motor\n\t... 12 more",
         f"{D}10:00:00.123000Z", "ERROR", {"thread.name": "http-8080-1", "log.logger": "com.shop.Till"}),
        ("drawer", f"{D}10:00:01.123000Z", "INFO", {"log.logger": "com.shop.Till"}),
        ("opened by hand", None, None, {}),
        ("slow", f"{D}10:00:02.123000Z", "WARN", {"log.logger": "org.shop.Ledger"}),
    ],
    "java.logback": [
        ("drawer opened", None, "INFO", {"time": "10:00:00.123", "thread.name": "main", "log.logger": "com.shop.Till"}),
        ("two rows", None, "DEBUG", {}),
    ],
    "java.spring": [
        ("Started in 2.5 seconds", f"{D}09:00:00.123000Z", "INFO", {"process.pid": 4711, "thread.name": "main", "log.logger": "com.shop.ShopApplication"}),
        ("Servlet failed", f"{D}10:00:01.123000Z", "ERROR", {"thread.name": "nio-8080-exec-1"}),
    ],
    "java.elastic": [("gc took 2s", f"{D}10:00:00.123000Z", "WARN", {"log.logger": "o.e.m.j.Overhead", "host.name": "node-1"})],
    "java.jboss": [("started", None, "INFO", {"log.logger": "org.jboss.as", "thread.name": "Controller Boot Thread"})],
    "java.cassandra": [("node joined", f"{D}10:00:00.123000Z", "INFO", {"thread.name": "main", "code.line.number": 41})],
    "java.tomcat": [("catalog unreadable", f"{D}10:00:00.123000Z", "ERROR", {"log.logger": "org.shop.Catalog.load"})],
    "java.spark": [("loaf 7 of stage 1 done", f"{D}10:00:00Z", "INFO", {"log.logger": "executor.Baker"})],
    "java.zookeeper": [("election over", f"{D}10:00:00.123000Z", "INFO", {"thread.name": "main:Peer"})],
    "python": [
        ('drawer jammed\nTraceback (most recent call last):\n  File "till.py", line 8, in open\n    motor.run()\nValueError: motor',
         f"{D}10:00:00.123000Z", "ERROR", {"log.logger": "shop.till"}),
        ("drawer opened", f"{D}10:00:01.123000Z", "INFO", {}),
    ],
    "python.basic": [
        ("drawer slow", None, "WARN", {"log.logger": "shop.till"}),
        ('drawer jammed\nTraceback (most recent call last):\n  File "till.py", line 8, in open\nValueError: motor', None, "FATAL", {"log.logger": "root"}),
        ("Started server process [31]", None, "INFO", {}),
    ],
    "python.loguru": [("drawer opened", f"{D}10:00:00.123000Z", "INFO", {"log.logger": "shop.till", "code.function.name": "open", "code.line.number": 8})],
    "python.celery": [("Task bake failed", f"{D}10:00:00.123000Z", "ERROR", {"thread.name": "ForkPoolWorker-1"})],
    "bgl": [
        ("fan speed restored", f"{D}02:00:00.123456Z", "INFO", {"alert": "-", "host.name": "R00-M0-N1", "type": "RAS", "component": "KERNEL"}),
        ("fan 3 stopped", f"{D}02:00:01.123456Z", "ERROR", {"alert": "FANDOWN"}),
        ("board not found", f"{D}02:00:02.123456Z", "ERROR", {"host.name": "NULL"}),
    ],
    "bgl.bare": [
        ("job loader: no such image", f"{D}02:00:00.123456Z", "FATAL", {"host.name": "R00-M0-NC-I:J18-U11", "component": "APP"}),
        ("", f"{D}02:00:01.123456Z", "WARN", {}),
        ("DDR gone", f"{D}02:00:02.123456Z", "FATAL", {"type": "RAS", "component": "KERNEL"}),
    ],
    "bgl.spirit": [
        ("clock drifts", f"{D}10:00:00Z", None, {"alert": "-", "host.name": "sn12", "service.name": "ntpd", "process.pid": 88}),
        ("sda: sector unreadable", f"{D}10:00:01Z", None, {"alert": "DISKBAD", "service.name": "kernel"}),
        ("last line again", f"{D}10:00:02Z", None, {}),
    ],
    "cbs": [
        ("Session opened: 7", f"{D}10:00:00Z", "INFO", {"component": "CBS"}),
        ("00000001 (F) Store corrupt", f"{D}10:00:01Z", "ERROR", {"component": "CSI"}),
    ],
    "logcat": [
        ("preheating", f"{D}10:00:00.123000Z", "DEBUG", {"process.pid": 1702, "thread.id": 2395, "log.logger": "Oven"}),
        ("no answer: timeout", f"{D}10:00:01.123000Z", "ERROR", {"log.logger": "Probe"}),
    ],
    "logcat.brief": [("heated", None, "INFO", {"log.logger": "Oven", "process.pid": 585}), ("slow: 3 s", None, "WARN", {"log.logger": "Probe"})],
    "hdfs": [
        ("Received block blk_7 of size 9", f"{D}10:00:00Z", "INFO", {"thread.id": 148, "log.logger": "dfs.DataNode$PacketResponder"}),
        ("disk slow", f"{D}10:00:01Z", "WARN", {"log.logger": "dfs.FSDataset"}),
    ],
    "generic": [
        ("disk full", f"{D}10:00:00.500000Z", "ERROR", {}),
        ("disk slow", f"{D}10:00:01Z", "WARN", {}),
        ("job 7 done", f"{D}08:00:02Z", None, {}),
        ("error again", None, None, {}),
        ("listening on :80", f"{D}10:00:03Z", None, {}),
        ("loaf sold", f"{D}10:00:04.250000Z", "INFO", {}),
        ("worker up", f"{D}10:00:05Z", "INFO", {"thread.name": "31"}),
        ('relation "loaf" does not exist', f"{D}10:00:06.123000Z", "ERROR", {}),
        ("drawer slow", f"{D}10:00:07Z", "WARN", {"log.logger": "shop::till"}),
        ("ready", f"{D}10:00:08.000001Z", "INFO", {"event.code": "MY-7"}),
        ("error while baking", f"{D}10:00:09Z", None, {}),
        ("4711 INFORMATION lost", f"{D}10:00:10.250000Z", None, {}),
    ],
    "text": [("starting", None, None, {}),
     ("Traceback (most recent call last):\n  File \"till.py\", line 8, in open\nValueError: motor", None, "ERROR", {}),
     ("stopped", None, None, {})],
    "plain": [("oven on\n\n  indented remark", None, None, {}), ("oven off", None, None, {})],
}  # fmt: skip


NONE = ("plain", "text")  # samples of lines without a header
CONTAINERS = ("cri", "docker")
SPECIAL = {  # samples with lines that are of special formats too
    "generic": ("generic", "postgresql", "env-logger", "mysql-error"),
    "generic.zones": ("generic", "postgresql"),
    "java.cassandra": ("cassandra",),
    "java.zookeeper": ("zookeeper",),
}


@pytest.mark.parametrize("name", sorted(path.stem for path in SAMPLES.glob("*.log")))
def test_samples(name):
    records = Reader(FORMATS).read(series(sample(name)), whole=True)
    if name not in CONTAINERS:
        families = {"", *SPECIAL.get(name, () if name in NONE else (name.split(".")[0],))}
        assert {found.split(".")[0] for found in names(records)} <= families
    found = rows(records)
    assert [row[:3] for row in found] == [row[:3] for row in EXPECTED[name]]
    for (*_, attributes), (*_, expected) in zip(found, EXPECTED[name], strict=True):
        assert attributes.items() >= expected.items()


EXAMPLES = [(form, example) for form in FORMATS for example in getattr(form, "examples", ())]


@pytest.mark.parametrize(("form", "example"), EXAMPLES, ids=[f"{form.name}-{number}" for number, (form, _) in enumerate(EXAMPLES)])
def test_every_example_of_the_registry_holds(form, example):
    assert faults(form, FORMATS) == []
    [(_, _, severity, _)] = rows(Reader(FORMATS).read(series(example.line.split("\n")), whole=True))
    assert severity == example.severity


def test_every_format_has_an_example():
    assert [form.name for form in FORMATS if not getattr(form, "examples", ())] == ["plain"]


LINES = series([example.line.split("\n")[0] for _, example in EXAMPLES])
READER = Reader(FORMATS)
CODES = READER.recogniser.codes(LINES)


@pytest.mark.parametrize("code", sorted(set(CODES.to_list())))
def test_a_line_has_the_same_format_in_every_source(code):
    """What a source has shown is tried first, for speed; it must not matter."""
    READER.recogniser.shown = Counter([code])
    assert READER.recogniser.codes(LINES).to_list() == CODES.to_list()


@pytest.mark.parametrize(
    ("name", "lines", "expected"),
    [  # expected: how many lines each record has
        ("klog", ["I0301 10:00:00.1 1 a.go:1] x", "\tindented", "", "no header", "I0301 10:00:00.1 1 a.go:1] y"], [3, 1, 1]),
        ("klog", ["E0301 10:00:00.1 1 a.go:1] x", "goroutine 1 [running]:", "\ta.go:7", "panic: y"], [3, 1]),
        ("rfc3164", ["Mar  1 10:00:00 h p: x", "Traceback (most recent call last):", '  File "a.py", line 1', "ValueError: y", "ValueError: z"], [4, 1]),
        ("rfc3164", ["Mar  1 10:00:00 h p: x", "ValueError: on its own"], [1, 1]),
        ("hdfs", ["250301 100000 1 INFO a: x", "java.io.IOException: y", "\tat a.B.c(B.java:1)", "Caused by: z", "... 12 more",
         "250301 100000 1 INFO a: w"], [5, 1]),
        (None, ["2025-03-01 10:00:00,123 INFO [t] a.B - select", "from loaf", "where x", "2025-03-01 10:00:01,123 INFO [t] a.B - y"], [3, 1]),
        (None, ["Mar 1, 2025 9:05:01 AM a.B c", "INFO: x", "INFO: y", "Mar 1, 2025 9:05:02 AM a.B c", "\tz"], [2, 1, 2]),
        (None, ["2025-03-01 10:00:00,123 INFO [t] a.B - x", "WARNING: from elsewhere", "2025-03-01 10:00:00 also"], [1, 1, 1]),
        (None, ["  first without a header", "2025-03-01 10:00:00 x", "", "y"], [1, 2, 1]),
        (None, ["a", "", "b", "\tat x.Y(Z.java:1)"], [2, 2]),
        ("plain", ["a", "  b", "Traceback (most recent call last):"], [1, 1, 1]),
        ("json", ['{"msg":"a"}', "  not json", "{"], [1, 1, 1]),
        (None, ["{", '  "msg": "a",', '  "list": [', "    1", "  ]", "}", "next"], [6, 1]),
        (None, ["{", "never closed", "next"], [1, 1, 1]),
        (None, ["2025-03-01 10:00:00 INFO update", "Out of memory: Killed process 7", "2025-03-01 10:00:01 INFO y"], [1, 1, 1]),
        (None, ["2025-03-01 10:00:00 x", "panic: y", "", "goroutine 1 [running]:", "main.main()", "\t/a.go:1", "exit status 2", "ready"], [1, 6, 1]),
        (None, ["up", "thread 'main' panicked at a.rs:1:2:", "no key", "note: run with `RUST_BACKTRACE=1`", "2025-03-01 10:00:00 y"], [1, 3, 1]),
        (None, ["2025-03-01 10:00:00 ERROR x", "a.B.CException: one", "two", "\tat a.B.c(B.java:1)", "three"], [4, 1]),
        (None, ["2025-03-01 10:00:00 ERROR x", "a.rb:37:in `b'", "from a.rb:1:in `<main>'", "y"], [3, 1]),
        (None, ["2025-03-01 10:00:00 ERROR x", "   at A.B() in /a.cs:line 3", "--- End of inner exception stack trace ---", "   at C.D()", "y"], [4, 1]),
        ("cri", ["2025-03-01T10:00:00Z stdout P a", "2025-03-01T10:00:00Z stdout P b", "2025-03-01T10:00:00Z stdout F c",
         "2025-03-01T10:00:00Z stdout F d"], [3, 1]),
    ],
)  # fmt: skip
def test_which_lines_are_one_record(name, lines, expected):
    records = Reader(FORMATS, name).read(series(lines), whole=True)
    first, last = (range(len(lines)) if numbers is None else numbers.to_list() for numbers in (records.first, records.last))
    assert [end - start + 1 for start, end in zip(first, last, strict=True)] == expected
    assert sum(expected) == len(lines)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_bad_lines_survive_among_good_ones(form):
    if isinstance(form, Container):
        return
    bad = [
        "",
        "no header here",
        "{",
        '{"a":',
        "[1]",
        "null",
        "x" * 100_000,
        "\x00\x01",
        "\ufffd\ufffd",
        '{"n":7,"time":[]}',
        "<|im_end|>",
        "a=1",
        "<999>1 x",
    ]
    good = [line for name in EXPECTED if name.split(".")[0] == form.name for line in sample(name)]
    alone = [form.bodies(series([record]))[0] for record in bad + good]
    found = read(form.name, [*bad, *good])
    assert [row[0] for row in found] == alone
    assert [row[0] for row in found[: len(bad)]] == bad


@pytest.mark.parametrize(
    ("name", "record", "body"),
    [
        ("json", '{"msg":""}', '{"msg":""}'),
        ("json", '{"msg":null,"text":"x"}', "x"),
        ("json", '{"msg":{"a":1,"b":[2]}}', '{"a":1,"b":[2]}'),
        ("json", '{"msg":"a","msg":"b"}', "b"),
        ("json", '{"inner":{"msg":"no"},"msg":"yes"}', "yes"),
        ("json", '{"inner":{"msg":"no"}}', '{"inner":{"msg":"no"}}'),
        ("json", '{"msg":"x"} trailing', '{"msg":"x"} trailing'),
        ("json", '{"msg":"\\ud800x"}', "\ufffdx"),
        ("json", '{"msg":"tab\tinside"}', "tab\tinside"),
        ("json", '{"msg":"a\\u0000b"}', "a\x00b"),
        ("json", '{"level":"error","msg":"x"}', "x"),
        ("json", '{"msg":"save failed: EIO","err":"EIO"}', "save failed: EIO"),
        ("json", '{"msg":"x","error":null}', "x"),
        ("json", '{"msg":"x","error":{"code":7}}', 'x: {"code":7}'),
        ("json", '{"msg":"x","err":{"name":"E","message":"y"}}', "x: E: y"),
        ("json", '{"message":"x","exc_info":"Traceback (most recent call last):\\nKeyError: 7"}',
         "x\nTraceback (most recent call last):\nKeyError: 7"),
        ("json", '{"a":NaN,"msg":"x"}', "x"),
        ("json", "[" * 100_000, "[" * 100_000),
        ("json", '{"msg":' + "[" * 100_000, '{"msg":' + "[" * 100_000),
        ("logfmt", "level=info msg=", "level=info msg="),
        ("logfmt", 'err="a msg=b" msg=c', "c: a msg=b"),
        ("logfmt", r'level=info msg="a \"b\"\nc"', 'a "b"\nc'),
        ("journald", '{"MESSAGE":null,"PRIORITY":"3"}', "null"),
        ("docker", '{"log":"x","time":"?"}', "x"),
        ("access", '192.0.2.7 - - [01/Mar/2025:10:00:00 +0100] "GET /\\"x HTTP/1.1" 200 5 "-" "cut', 'GET page /\\"x: 200 OK'),
    ],
)  # fmt: skip
def test_bodies(name, record, body):
    assert read(name, [record])[0][0] == body


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        *[('"notice"', "INFO"), ('"WARNING"', "WARN"), ('"crit"', "FATAL"), ('"SEVERE"', "ERROR"), ('"emerg"', "FATAL"), ('" Err "', "ERROR")],
        *[("10", "TRACE"), ("20", "DEBUG"), ("30", "INFO"), ("35", "INFO"), ("40", "WARN"), ("50", "ERROR"), ("60", "FATAL"), ('"50"', "ERROR")],
        *[("3", "ERROR"), ("4", "WARN"), ("6", "INFO"), ("true", None), ("1e400", None), ("-5", None), ("[]", None), ('"audit"', None)],
    ],
)
def test_severities(level, severity):
    [(_, _, found, attributes)] = read("json", [f'{{"msg":"x","level":{level}}}'])
    assert found == severity
    assert ("severity_text" in attributes) == (severity is None)


@pytest.mark.parametrize(
    ("time", "stamp"),
    [
        *[(number, "2025-03-01T10:00:00Z") for number in ("1740823200", "1740823200000", "1740823200000000", "1740823200000000000", '"1740823200"')],
        ("1740823200.25", "2025-03-01T10:00:00.250000Z"),
        ('"2025-03-01 10:00:00"', "2025-03-01T10:00:00Z"),
        ('"2025-03-01T10:00:00,5-0330"', "2025-03-01T13:30:00.500000Z"),
        ('"2025-03-01T10:00:00+02"', "2025-03-01T08:00:00Z"),
        ('"2025-03-01T10:00:00.123456789Z"', "2025-03-01T10:00:00.123456Z"),
        *[(unreadable, None) for unreadable in ('"yesterday"', '"2025-02-30T10:00:00Z"', "12.5", "1e300", "{}", "[1]", "true", '"\\ud800"')],
    ],
)  # fmt: skip
def test_times(time, stamp):
    [(_, found, _, attributes)] = read("json", [f'{{"msg":"x","time":{time}}}'])
    assert found == stamp
    assert ("time" in attributes) == (stamp is None)


@pytest.mark.parametrize(
    ("text", "now", "stamp"),
    [
        ("Dec 31 23:59:59", datetime(2025, 1, 1, tzinfo=timezone.utc), "2024-12-31T23:59:59Z"),
        ("Jan  1 00:00:01", datetime(2024, 12, 31, 23, 0, tzinfo=timezone.utc), "2025-01-01T00:00:01Z"),
        ("Jan  2 00:00:01", datetime(2024, 12, 31, 23, 0, tzinfo=timezone.utc), "2024-01-02T00:00:01Z"),
        ("Jun  1 12:00:00", datetime(2025, 6, 1, tzinfo=timezone.utc), "2025-06-01T12:00:00Z"),
        ("Jun  3 12:00:00", datetime(2025, 6, 1, tzinfo=timezone.utc), "2024-06-03T12:00:00Z"),
        ("Feb 29 12:00:00", datetime(2025, 6, 1, tzinfo=timezone.utc), "2024-02-29T12:00:00Z"),
        ("Feb 29 12:00:00", datetime(2027, 6, 1, tzinfo=timezone.utc), "2024-02-29T12:00:00Z"),
        ("Jun  1 12:00:00", datetime(2025, 6, 1), "2025-06-01T12:00:00Z"),
        ("Jun  1 12:00:00", datetime(2025, 6, 1, tzinfo=timezone(timedelta(hours=9))), "2025-06-01T12:00:00Z"),
        ("Feb 31 12:00:00", datetime(2025, 6, 1, tzinfo=timezone.utc), None),
    ],
)
def test_a_missing_year_is_the_latest_that_is_not_to_come(text, now, stamp):
    [(body, found, _, attributes)] = read("rfc3164", [f"{text} mill3 p: x"], now)
    assert (body, found) == ("x", stamp)
    assert ("time" in attributes) == (stamp is None)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("", ""),
        ("\x00" * 50, ""),
        ("x" * 1_000_000, ""),
        ('{"msg":"' + "x" * 10_000 + '"}', "json"),
        ("2025-03-01T10:00:00Z ERROR main: x", "generic"),
        ("2025-03-01 10:00:00,123 ERROR [t] a.B - x", "java"),
        ("Error: level=5 is not a pair", "level-word"),
        ("level=info msg=x", "logfmt"),
    ],
)
def test_detection(line, name):
    assert names(Reader(FORMATS).whole(series([line]))) == [name]


def test_lines_of_several_formats_are_read_each_by_its_own():
    lines = [sample("klog")[0], sample("access")[0], "a banner", sample("json.zap")[0], *sample("java.log4j")[:3], sample("rfc3164")[0]]
    records = Reader(FORMATS).read(series(lines), whole=True)
    assert names(records) == ["klog", "access", "", "json", "java", "rfc3164"]
    apart = [row for line in lines[:4] for row in rows(Reader(FORMATS).read(series([line]), whole=True))]
    assert rows(records)[:4] == apart


def test_attributes_are_json_whatever_the_values_are():
    host = 'a"b\\\x07\u2028\U0001f525' + '"process.pid":"5"' + '"service.name":null,'
    [(body, _, _, attributes)] = read("rfc3164", [f"Mar  1 10:00:00 {host} p[007]: x"])
    assert body == "x"
    assert attributes == {"host.name": host, "service.name": "p", "process.pid": "007"}


def test_a_format_by_name():
    assert format_named("klog", FORMATS).name == "klog"
    with pytest.raises(UnknownFormat, match=r"'jsn' is unknown; did you mean 'json'\?"):
        format_named("jsn", FORMATS)
    assert len({form.name for form in FORMATS}) == len(FORMATS)


pieces = st.sampled_from(
    [*[line for name in EXPECTED for line in sample(name)], '{"', '"}', "msg=", '"', "\\", "\n", "\t", " ", "[", "<13>", "\x00", "é", "2025-13-45T99:99:99Z "]
)
hostile = st.lists(st.lists(pieces | st.text(max_size=5), max_size=4).map("".join), max_size=6)


@settings(max_examples=60, deadline=None)
@given(hostile)
def test_nothing_raises_and_nothing_is_lost(texts):
    for form in FORMATS:
        # parts of one line, as container runtimes write them, are one record
        assert len(read(form.name, texts)) == len(texts) or (isinstance(form, Container) and any(re.search(r' std(?:out|err) P|"log"', text) for text in texts))
        assert form.has(series(texts)).null_count() == 0
    lines = [line for text in texts for line in text.split("\n")]
    records = Reader(FORMATS).read(series(lines), whole=True)
    assert len(rows(records)) == len(records) <= len(lines)


@pytest.mark.parametrize("name", ["BGL_2k.log", "BGL_5000.log", "BGL_errors_300k.log.xz"])
def test_bgl_as_it_is_found(shared, name):
    path = shared / "data" / "bgl" / name
    with lzma.open(path) if name.endswith("xz") else path.open("rb") as file:
        lines = series(file.read().decode("utf-8", "replace").removesuffix("\n").split("\n"))
    form = format_named("bgl", FORMATS)
    assert set(names(Reader(FORMATS).whole(lines))) == {"bgl"}
    bodies = form.bodies(lines)
    headless = (bodies.str.len_bytes() >= lines.str.len_bytes()).sum()
    assert headless == 0
    assert not bodies.str.contains(r"^\S* ?\d{4}-\d\d-\d\d-").any()
    fields = form.fields(lines.head(2_000), NOW)
    assert fields["timestamp"].null_count() == fields["severity"].null_count() == 0


@pytest.mark.parametrize("form", [form for form in FORMATS if isinstance(form, DecodedFormat)], ids=lambda form: form.name)
def test_what_is_read_by_columns_is_what_decoding_gives(form):
    lines = [line for name in EXPECTED if name.split(".")[0] == form.name for line in sample(name)]
    lines += [example.line for example in form.examples]
    quick = form.quick(series(lines)).to_list()
    assert any(body is not None for body in quick) or form.name in ("gelf", "clef", "windows-event-xml")
    assert all(body in (None, form.decode(line).body) for body, line in zip(quick, lines, strict=True))
