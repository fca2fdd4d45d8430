"""The whole way of a line, with the stand-in for the model."""

import asyncio
import gzip
import json
import re
import warnings

import pytest

import ra_sdk
from ra_sdk import Detector, EchoReasoner, LogRecord, VerdictStore, Window

LOG = """2025-03-01T10:00:00Z INFO worker 1 started
2025-03-01T10:00:01Z ERROR disk read failed on sda with code 5
2025-03-01T10:00:02Z INFO worker 2 started
2025-03-01T10:00:03Z ERROR disk read failed on sda with code 5
"""


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "app.log"
    path.write_text(LOG)
    return path


@pytest.fixture
def echo():
    return EchoReasoner()


def test_detect_gives_every_record_in_order(log, echo):
    found = list(ra_sdk.detect(log, model=echo, store=":memory:"))
    assert [d.line for d in found] == [1, 2, 3, 4]
    assert [d.abnormal for d in found] == [False, True, False, True]
    assert found[1].record.severity == "ERROR"
    assert found[1].record.body == "disk read failed on sda with code 5"
    assert found[1].record.timestamp.isoformat() == "2025-03-01T10:00:01+00:00"
    assert found[0].template == found[2].template == "worker <num> started"
    assert echo.judged == 2


def test_to_dict_has_the_contracts_keys(log, echo):
    (first, *_) = ra_sdk.detect(log, model=echo, store=":memory:")
    keys = "source line last_line timestamp severity body attributes template label score category rationale".split()
    keys += "evidence reason_source knowledge checks links grounded mode cached".split()
    assert list(first.to_dict()) == keys
    assert json.loads(json.dumps(first.to_dict()))["source"] == str(log)


@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_the_size_of_a_block_changes_nothing(log, block):
    dicts = [d.to_dict() for d in ra_sdk.detect(log, model=EchoReasoner(), store=":memory:", block=block)]
    assert dicts == [d.to_dict() for d in ra_sdk.detect(log, model=EchoReasoner(), store=":memory:")]


def test_a_second_run_needs_no_model_and_says_so(log, tmp_path):
    first, second = EchoReasoner(), EchoReasoner()
    one = [d.to_dict() for d in ra_sdk.detect(log, model=first, store=tmp_path / "v.db")]
    two = [d.to_dict() for d in ra_sdk.detect(log, model=second, store=tmp_path / "v.db")]
    assert (first.judged, second.judged) == (2, 0)
    assert [d.pop("cached") for d in one] == [False] * 4
    assert [d.pop("cached") for d in two] == [True] * 4
    assert one == two


def test_state_survives_a_restart(tmp_path):
    bodies = [f"session of user {name} begins from terminal {name}" for name in ("bob", "eve", "mallory")]
    options = {"store": ":memory:", "state": tmp_path / "state"}
    first = [d.template for d in ra_sdk.detect(bodies, model=EchoReasoner(), **options)]
    assert set(first) == {"session of user <*> begins from terminal <*>"}
    assert [d.template for d in ra_sdk.detect(bodies[:1], model=EchoReasoner(), **options)] == first[:1]


@pytest.mark.parametrize(
    "source",
    [
        ["disk failed", "all good"],
        iter(["disk failed", "all good"]),
        [{"message": "disk failed"}, {"message": "all good"}],
        [LogRecord("disk failed"), LogRecord("all good", attributes={"a": 1})],
        [b"disk failed", b"all good"],
    ],
)
def test_iterables(source, echo):
    assert [(d.record.body, d.abnormal) for d in ra_sdk.detect(source, model=echo, store=":memory:")] == [("disk failed", True), ("all good", False)]


def test_a_column_of_a_data_frame(echo):
    import polars as pl

    frame = pl.DataFrame({"message": ["disk failed", "all good"]})
    assert [d.abnormal for d in ra_sdk.detect(frame["message"], model=echo, store=":memory:")] == [True, False]


@pytest.mark.parametrize(
    ("source", "options", "error"),
    [
        ("/no/such/file", {}, ra_sdk.SourceError),
        ("nosuch://x", {}, ra_sdk.UnknownScheme),
        (["x"], {"format": "nosuch"}, ra_sdk.UnknownFormat),
        (["x"], {"mode": "guess"}, ra_sdk.BadOption),
        (["x"], {"threshold": 2}, ra_sdk.BadOption),
        (["x"], {"threshold": "high"}, ra_sdk.BadOption),
        (["x"], {"sensitivity": "medium"}, ra_sdk.BadOption),
        (["x"], {"block": 0}, ra_sdk.BadOption),
        (["x"], {"wait_ms": "soon"}, ra_sdk.BadOption),
        (["x"], {"window": 100}, ra_sdk.BadOption),
        (["x"], {"model": "/no/such.gguf"}, ra_sdk.ModelError),
        (["x"], {"store": "/proc/nowhere/v.db"}, ra_sdk.StoreError),
        (["x"], {"state": "/proc/nowhere/state"}, ra_sdk.StoreError),
        (["x"], {"state": f"{__file__}/state"}, ra_sdk.StoreError),
        (__file__, {"checkpoint": "/proc/position"}, ra_sdk.StoreError),
        (42, {}, ra_sdk.UsageError),
    ],
)
def test_what_is_wrong_fails_at_the_call(source, options, error):
    with pytest.raises(error):
        ra_sdk.detect(source, **{"model": "echo", "store": ":memory:"} | options)


def test_sessions(log, echo):
    with Detector(model=echo, store=":memory:", window=Window(lines=2)) as detector:
        found = list(detector.sessions(log))
    assert [(s.first_line, s.last_line, s.label, len(s.evidence)) for s in found] == [(1, 2, "abnormal", 1), (3, 4, "abnormal", 1)]
    assert found[0].evidence[0].record.body == "disk read failed on sda with code 5"


def test_sessions_need_a_window(log, echo):
    with Detector(model=echo, store=":memory:") as detector, pytest.raises(ra_sdk.BadOption, match="Window"):
        detector.sessions(log)


@pytest.mark.parametrize("line", ["\x1b[31mERROR\x1b[0m disk \x1b[Kfailed\r\n", "2026-03-14 10:00:00 \x1b[1;33mWARN\x1b[0m disk failed"])
def test_judge_says_of_a_line_what_detect_says(echo, line):
    with Detector(model=echo, store=":memory:") as detector:
        (found,) = detector.detect([line])
        assert detector.judge(line) == found.verdict


HEADED = [
    "2025-03-01T10:00:01Z ERROR disk read failed on sda with code 5",
    "\x1b[31mERROR\x1b[0m disk \x1b[Kfailed",
    "Mar  1 10:00:01 web sshd[812]: Failed password for root from 10.0.0.7 port 51514 ssh2",
    '{"level":"error","msg":"disk sda failed","time":"2025-03-01T10:00:01Z"}',
    "disk sda failed after 31 errors",
    "worker 17 started\r\n",
]


@pytest.mark.parametrize("line", HEADED)
def test_a_line_gets_the_same_verdict_at_every_door(line, capsys):
    from ra_sdk.cli.app import main

    with Detector(model="echo", store=":memory:") as detector:
        (found,) = detector.detect([line])
        judged = detector.judge(line)
    assert main(["judge", line, "--model", "echo", "--store", ":memory:", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert judged == found.verdict
    assert {**told, "rationale": found.rationale} == {"body": found.body, **found.verdict.to_dict(), "rationale": found.rationale, "cached": False}
    assert "2025" not in found.template
    assert told["body"] == found.body


def test_judge_knows_what_was_mined(echo):
    with Detector(model=echo, store=":memory:") as detector:
        list(detector.detect([f"session of user {name} begins from terminal {name}" for name in ("bob", "eve")]))
        assert detector.judge("session of user mallory begins from terminal x").template == "session of user <*> begins from terminal <*>"


def test_judge_takes_one_line_and_its_header_off(echo):
    with Detector(model=echo, store=":memory:") as detector:
        verdict = detector.judge("2025-03-01T10:00:01Z ERROR disk read failed on sda with code 5")
        assert (verdict.label, verdict.template) == ("abnormal", "disk read failed on sda with code 5")
        assert detector.judge("worker 17 started").template == "worker <num> started"
        assert detector.judge("--- 17 ---").mode == "rule"


def test_write_pumps_into_sinks_and_counts(log, echo, tmp_path):
    with Detector(model=echo, store=":memory:") as detector:
        counts = detector.write(log, f"jsonl:{tmp_path / 'out.jsonl'}")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["line"] for row in rows] == [1, 2, 3, 4]
    assert len({row["id"] for row in rows}) == 4
    assert (counts.lines, counts.records, counts.abnormal, counts.templates, counts.judged) == (4, 4, 2, 2, 2)


class Moody:
    """A model that fails on some templates."""

    name = digest = "moody"

    def judge(self, templates, mode="direct"):
        for template in templates:
            if "cursed" in template:
                raise ValueError("unreadable reply")
            yield ra_sdk.Verdict(template, "normal", 0.1, mode=mode, model=self.name)


@pytest.mark.parametrize("block", [10, 50_000])
def test_what_came_before_a_break_is_given(tmp_path, echo, block):
    text = "".join(f"2025-03-01T10:00:00Z INFO worker {number} of {number * 7919 % 10007} started\n" for number in range(2_000)).encode()
    packed = gzip.compress(text)
    path = tmp_path / "app.log.gz"
    path.write_bytes(packed[: len(packed) // 2])
    found = []
    with Detector(model=echo, store=":memory:", block=block) as detector, pytest.raises(ra_sdk.SourceError, match="breaks off") as broken:
        found.extend(detector.detect(path))
    given = int(re.search(r"after (\d+) bytes", str(broken.value))[1])
    assert [d.line for d in found] == list(range(1, text[:given].count(b"\n") + 1))
    assert 100 < len(found) < 2_000
    assert all(d.record.body.endswith("started") for d in found)


def test_a_source_is_not_overwritten(log, echo):
    content = log.read_bytes()
    with Detector(model=echo, store=":memory:") as detector, pytest.raises(ra_sdk.BadOption, match="would be overwritten"):
        detector.write(log, f"jsonl:{log}")
    assert log.read_bytes() == content


def test_a_model_that_fails_leaves_templates_undecided_and_the_stream_goes_on(caplog):
    found = list(ra_sdk.detect(["fine", "cursed", "after"], model=Moody(), store=":memory:"))
    assert [record.name for record in caplog.records] == ["ra_sdk"]
    assert "2 templates stay undecided, the model 'moody' failed: ValueError('unreadable reply')" in caplog.text
    assert [(d.record.body, d.verdict.label, d.verdict.score) for d in found] == [
        ("fine", "normal", 0.1),
        ("cursed", "undecided", None),
        ("after", "undecided", None),
    ]


def test_an_operators_override_wins(echo, tmp_path):
    with VerdictStore(tmp_path / "v.db") as store:
        store.override("disk failed", "normal", by="me")
        (found,) = ra_sdk.detect(["disk failed"], model=echo, store=store)
        assert (found.verdict.label, found.verdict.mode, echo.judged) == ("normal", "override", 0)


def test_progress_reports_positions(log, echo):
    seen = []
    list(ra_sdk.detect(log, model=echo, store=":memory:", progress=seen.append))
    assert seen[-1].counts.records == 4
    assert seen[-1].position == seen[-1].size == len(LOG)


def test_adetect(log, echo):
    async def run():
        return [d.line async for d in ra_sdk.adetect(log, model=echo, store=":memory:")]

    assert asyncio.run(run()) == [1, 2, 3, 4]


def test_a_loop_left_early_leaves_nothing_open(log, echo):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ra_sdk.detect(log, model=echo, store=":memory:")
        assert next(found).line == 1
        found.close()


@pytest.mark.parametrize("lines", [0, 1, 3])
def test_work_is_per_block_and_not_per_line(tmp_path, lines):
    """The guard of the fast path: statements and model calls do not grow with the lines of known templates."""
    path = tmp_path / "many.log"
    path.write_text("".join(f"2025-03-01T10:00:00Z INFO worker {n} started\n" for n in range(1, 1_000 * lines + 2)))
    echo = EchoReasoner()
    with VerdictStore(":memory:") as store:
        before = store.statements
        assert len(list(ra_sdk.detect(path, model=echo, store=store))) == 1_000 * lines + 1
        assert (echo.calls, echo.judged) == (1, 1)
        assert store.statements - before <= 8
