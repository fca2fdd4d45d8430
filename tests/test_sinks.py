"""The JSON lines sink: the same objects as Detection.to_dict, ids that make repeats known, files that stay whole."""

import dataclasses
import io
import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ra_sdk import Detector
from ra_sdk.blocks import Block, fields_of
from ra_sdk.detections import Detections
from ra_sdk.errors import SinkError
from ra_sdk.records import LogRecord, Verdict
from ra_sdk.sessions.window import Session
from ra_sdk.sinks import jsonl as sinks
from ra_sdk.sinks.jsonl import JsonlSink, json_columns, json_lines, ra_sdk_open_sink, record_ids

KEYS = "source line last_line timestamp severity body attributes template label score category rationale".split()
KEYS += "evidence reason_source knowledge checks links grounded mode cached".split()
ODD = 'quote " backslash \\ slash / NUL \0 escape \x1b[31m delete \x7f tab \t newline \n return \r line \u2028 paragraph \u2029 é 日 😀 \ufffd </script>'
NOON = datetime(2026, 3, 14, 12, tzinfo=timezone.utc)
RECORDS = [
    LogRecord("user bob logged in", NOON, "INFO", {"host.name": "a", "n": 1, "x": None, "deep": {"list": [1.5, "é", True]}}),
    LogRecord(ODD, NOON + timedelta(microseconds=7), "ERROR", {ODD: ODD}),
    LogRecord("", datetime(1, 1, 1, tzinfo=timezone.utc), None),
    LogRecord("user eve logged in", None, "FATAL", {}),
    LogRecord("2 of 3 fans of rack 17 failed", datetime(9999, 12, 31, 23, 59, 59, 999_999, timezone.utc)),
    LogRecord("12:00 in Rome", datetime(2026, 3, 14, 12, 0, 0, 500_000, timezone(timedelta(hours=1)))),
    LogRecord("0.0% of packets arrived"),
]
VERDICTS = [
    Verdict("user <*> logged in", "normal", 0.1, mode="direct", model="m"),
    Verdict(ODD, "abnormal", 0.987654321, "software", f"It says {ODD}.", False, "think", "m"),
    Verdict("", "normal", 0.0, mode="rule"),
    Verdict(
        "<num> of <num> fans of rack <num> failed", "abnormal", 1.0, "hardware", 'It says "<num> of <num> fans of rack <num> failed".', True, "direct", "m"
    ),
    Verdict("<time> in Rome"),
    Verdict("0% of packets arrived", "abnormal", 0.9, "network", 'It says "0% of packets".', True, "direct", "m"),
]
CODES = [0, 1, 2, 0, 3, 4, 5]
KNOWN = (True, False, False, True, False, True)


def detections(records=RECORDS, codes=CODES, verdicts=VERDICTS, known=KNOWN, source="app.log", identity="/var/log/app.log", first=1):
    lines = pl.int_range(first, first + len(records), dtype=pl.UInt64, eager=True)
    bodies = pl.Series("body", [record.body for record in records], dtype=pl.String)
    block = Block(source, identity, bodies, lines, lines + 1, lines, lambda: fields_of(records))
    return Detections(block, pl.Series("code", codes, dtype=pl.UInt32), verdicts, known)


def rows(path):
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def written(block, **options):
    """What goes to a stream."""
    stream = io.BytesIO()
    JsonlSink(stream, **options).write(block)
    return stream.getvalue().decode()


def test_the_objects_are_those_of_to_dict():
    block = detections()
    lines = written(block).split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == [detection.to_dict() for detection in block]
    assert all(list(json.loads(line)) == KEYS for line in lines)
    assert json.loads(lines[4])["rationale"] == 'It says "2 of 3 fans of rack 17 failed".'
    assert [json.loads(line)["timestamp"] for line in lines[:3]] == [
        *("2026-03-14T12:00:00+00:00", "2026-03-14T12:00:00.000007+00:00", "0001-01-01T00:00:00+00:00")
    ]


def test_a_line_has_no_raw_control_characters():
    text = written(detections())
    assert text.count("\n") == len(RECORDS)
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.datetimes(timezones=st.just(timezone.utc)) | st.none()), max_size=5))
def test_whatever_the_texts_and_times(given_records):
    records = [LogRecord(body, stamp, None, {body: body}) for body, stamp in given_records]
    block = detections(records, [0] * len(records), [Verdict("x", "normal", 0.5)], [False])
    assert [json.loads(line) for line in json_lines(json_columns(block)).splitlines()] == [detection.to_dict() for detection in block]


def test_an_empty_block(tmp_path):
    empty = detections([], [])
    assert written(empty) == ""
    sink = JsonlSink(tmp_path / "out.jsonl")
    sink.write(empty)
    sink.close()
    assert (tmp_path / "out.jsonl").read_bytes() == b""


@pytest.mark.parametrize("source", ["caf\udce9.log", 'a "b" \\.log', "日.log", "<iterable>"])
def test_names_of_sources(source, tmp_path):
    block = detections(source=source, identity=source)
    sink = JsonlSink(tmp_path / "out.jsonl")
    sink.write(block)
    sink.close()
    assert [row["source"] for row in rows(tmp_path / "out.jsonl")] == [source] * len(RECORDS)


def test_attributes_that_a_format_wrote_over_several_lines():
    block = detections()
    pretty = block.block.fields.with_columns(attributes=pl.lit('{\n "a": 1\n}'))
    block = Detections(dataclasses.replace(block.block, read_fields=lambda: pretty), block.codes, VERDICTS)
    assert [json.loads(line)["attributes"] for line in written(block).split("\n")[:-1]] == [{"a": 1}] * len(RECORDS)


# --- ids


def test_files_have_ids_before_the_contracts_keys(tmp_path):
    sink = ra_sdk_open_sink(f"jsonl:{tmp_path / 'out.jsonl'}", {})
    sink.write(detections())
    sink.close()
    found = rows(tmp_path / "out.jsonl")
    assert all(list(row) == ["id", *KEYS] for row in found)
    assert all(re.fullmatch("[0-9a-f]{32}", row.pop("id")) for row in found)
    assert found == [detection.to_dict() for detection in detections()]


def test_ids_are_a_hash_of_identity_position_and_body():
    base = record_ids(detections())
    assert len(set(base)) == len(RECORDS)
    assert base == record_ids(detections(codes=[2] * len(RECORDS), source="another name"))
    assert not set(base) & set(record_ids(detections(identity="/var/log/other.log")))
    assert not set(base) & set(record_ids(detections(first=2)))
    assert base[:-1] == record_ids(detections([*RECORDS[:-1], LogRecord("else")]))[:-1]
    # Pinned: an id that changes between versions would write everything twice.
    assert record_ids(Detections.of(LogRecord("disk failed"), VERDICTS[0], source="/var/log/app.log", line=7)) == ["5d23951586e93a6bf6e113855ca26e8d"]


def test_ids_do_not_run_into_each_other():
    one = Detections.of(LogRecord("x"), VERDICTS[0], source="log\x001", line=1)
    two = Detections.of(LogRecord("1\0x"), VERDICTS[0], source="log", line=1)
    assert record_ids(one) != record_ids(two)


# --- files


def write(path, block, **options):
    sink = JsonlSink(path, **options)
    sink.write(block)
    sink.close()


def test_a_fresh_run_begins_the_file_anew(tmp_path):
    path = tmp_path / "out.jsonl"
    write(path, detections())
    first = path.read_bytes()
    write(path, detections())
    assert path.read_bytes() == first


@pytest.mark.parametrize("torn", [b"", b'{"id":"0123', b'{"id":"00000000000000000000000000000000","source":"app.log"}', b"\xff\0"])
def test_a_run_that_goes_on_repeats_nothing_and_cuts_a_torn_line(tmp_path, torn):
    path = tmp_path / "out.jsonl"
    write(path, detections())
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    write(path, detections(), append=True)
    assert path.read_bytes() == whole
    write(path, detections(first=4), append=True)  # new positions
    assert len(rows(path)) == 2 * len(RECORDS)
    assert path.read_bytes().startswith(whole)


def test_after_a_death_in_the_middle_of_a_block_the_rest_is_written(tmp_path):
    path = tmp_path / "out.jsonl"
    write(path, detections())
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        write(path, detections(), append=True)
        assert path.read_bytes() == whole


def test_going_on_with_a_file_larger_than_what_is_looked_at(tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"
    write(path, detections())
    whole = path.read_bytes()
    for tail in (10, 500, len(whole)):
        monkeypatch.setattr(sinks, "TAIL", tail)
        path.write_bytes(whole + b"x" * 50)
        write(path, detections(RECORDS[-1:], [4], first=len(RECORDS)), append=True)
        assert path.read_bytes() == whole


def test_going_on_where_there_is_nothing_yet(tmp_path):
    write(tmp_path / "out.jsonl", detections(), append=True)
    assert len(rows(tmp_path / "out.jsonl")) == len(RECORDS)


@pytest.mark.parametrize(("options", "kept"), [({}, 0), ({"append": False}, 0), ({"append": True}, 1), ({"checkpoint": "p"}, 1), ({"checkpoint": None}, 0)])
def test_with_a_checkpoint_a_run_goes_on(tmp_path, options, kept):
    path = tmp_path / "out.jsonl"
    path.write_text('{"before":1}\n')
    ra_sdk_open_sink(f"jsonl:{path}", options).close()
    assert len(rows(path)) == kept


def test_what_is_written_is_there_before_the_file_is_closed(tmp_path):
    sink = JsonlSink(tmp_path / "out.jsonl")
    sink.write(detections())
    assert len(rows(tmp_path / "out.jsonl")) == len(RECORDS)
    sink.close()
    sink.close()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("missing/out.jsonl", "No such file or directory"),
        (".", "Is a directory"),
        ("x" * 300, "File name too long"),
        ("a\0b", "null byte"),
        ("file/out.jsonl", "Not a directory"),
        ("/proc/no/out.jsonl", "cannot be opened"),
    ],
)
@pytest.mark.parametrize("append", [False, True])
def test_a_file_that_cannot_be_opened(tmp_path, monkeypatch, path, said, append):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=said) as caught:
        ra_sdk_open_sink(f"jsonl:{path}", {"append": append})
    assert repr(f"jsonl:{path}") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_full_disk():
    sink = ra_sdk_open_sink("jsonl:/dev/full", {})
    with pytest.raises(SinkError, match="'jsonl:/dev/full' cannot be written: No space left on device; make room"):
        sink.write(detections())
    sink.close()


@pytest.mark.parametrize("append", [False, True])
def test_devices_are_no_files(append):
    write("/dev/null", detections(), append=append)
    assert Path("/dev/null").is_char_device()


# --- standard output, sessions


@pytest.mark.parametrize("url", ["jsonl:-", "jsonl://-", "jsonl:"])
def test_standard_output(url, capfdbinary):
    print("before")
    sink = ra_sdk_open_sink(url, {})
    sink.write(detections())
    sink.close()
    print("after", flush=True)
    first, *lines, last = capfdbinary.readouterr().out.decode().removesuffix("\n").split("\n")
    assert (first, last, sink.name) == ("before", "after", url)
    assert [list(json.loads(line)) for line in lines] == [KEYS] * len(RECORDS)


@pytest.mark.parametrize("url", ["file:x", "x.jsonl", "json:x", "elasticsearch://host"])
def test_other_schemes_are_left_to_others(url):
    assert ra_sdk_open_sink(url, {}) is None


def test_a_reader_that_has_left_is_no_fault_of_a_sink():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        sink = JsonlSink(pipe)
        with pytest.raises(BrokenPipeError):
            sink.write(detections())


def test_a_pipe_that_takes_little_at_once_gets_everything():
    reading, writing = os.pipe()
    reader = subprocess.Popen([sys.executable, "-c", "import sys; print(len(sys.stdin.readlines()))"], stdin=reading, stdout=subprocess.PIPE, text=True)
    os.close(reading)
    many = detections(RECORDS * 500, CODES * 500)
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        JsonlSink(pipe).write(many)
    assert reader.communicate()[0] == f"{len(RECORDS) * 500}\n"


def test_sessions(tmp_path):
    block = detections()
    session = Session("caf\udce9.log", 1, 6, "é", "abnormal", 1.0, [block[4], block[1]], 6)
    sink = JsonlSink(tmp_path / "out.jsonl")
    sink.write_session(session)
    sink.write_session(session)
    sink.close()
    assert rows(tmp_path / "out.jsonl") == [session.to_dict()] * 2


# --- the whole way


class Dying(JsonlSink):
    """A sink whose machine fails in the middle of a block."""

    def __init__(self, path, blocks):
        super().__init__(path, append=True)
        self.blocks = blocks

    def write(self, detections):
        super().write(detections)
        self.blocks -= 1
        if self.blocks < 0:
            os.truncate(self._file.fileno(), os.fstat(self._file.fileno()).st_size - 40)
            raise SinkError("the power failed")


@pytest.mark.parametrize("blocks", [0, 1, 4])
def test_nothing_is_lost_or_written_twice_whenever_it_dies(tmp_path, blocks):
    log, out, state = tmp_path / "app.log", tmp_path / "out.jsonl", tmp_path / "position"
    bodies = [f"worker {n % 3} started" for n in range(40)]
    log.write_text("".join(f"{body}\n" for body in bodies))

    def run(sink):
        with Detector(model="echo", store=":memory:", block=7, checkpoint=state) as detector:
            detector.write(log, sink)

    dying = Dying(out, blocks)
    with pytest.raises(SinkError, match="power"):
        run(dying)
    dying.close()
    for _ in range(2):
        run(f"jsonl:{out}")
    found = rows(out)
    assert [(row["line"], row["body"]) for row in found] == list(enumerate(bodies, 1))
    assert len({row["id"] for row in found}) == len(bodies)


def test_a_stream_that_does_not_say_how_much_it_took_is_written_once():
    class Silent(io.BytesIO):
        def write(self, data):
            assert not self.tell()
            super().write(data)

    stream = Silent()
    JsonlSink(stream).write(detections())
    assert stream.getvalue().decode() == written(detections())
