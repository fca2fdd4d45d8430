"""Input that is broken or meant to do harm: it costs bounded memory and linear time, and every record still leaves."""

import bz2
import gzip
import http.client
import json
import lzma
import re
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ra_sdk.cli.app import main
from ra_sdk.detector import Detector
from ra_sdk.errors import SourceError
from ra_sdk.records import LogRecord
from ra_sdk.sources import streams
from ra_sdk.text import inert_json, visible

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in /proc")
zstandard = pytest.importorskip("zstandard")  # not needed from Python 3.14 on
PROTOBUF = "application/x-protobuf"


class Memory:
    """The most memory that this process held within a ``with`` block, above what it held before: ``with Memory() as used: …; used.mib``."""

    def __enter__(self):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark begins again
        self._before = self._read()
        return self

    def __exit__(self, *_):
        self.mib = self._read() - self._before

    def _read(self):
        return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) >> 10


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def nested(*numbers, data):
    """``data`` in protobuf fields of these numbers, the outermost first."""
    for number in reversed(numbers):
        data = bytes([number << 3 | 2]) + varint(len(data)) + data
    return data


def post(url, data, headers):
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    try:
        connection.request("POST", "/v1/logs", data, headers)
        return connection.getresponse().status
    finally:
        connection.close()


EMPTIES = {
    "records": nested(1, 2, data=b"\x12\x00" * 4_000_000),
    "scopes": nested(1, data=b"\x12\x00" * 4_000_000),
    "resources": b"\x0a\x00" * 4_000_000,
}


@pytest.mark.parametrize("data", EMPTIES.values(), ids=EMPTIES)
def test_millions_of_empty_otlp_messages_are_refused_before_objects_are_made_of_them(serving, data):
    service = serving()
    packed = gzip.compress(data)
    assert len(packed) < 10_000
    with Memory() as used, ThreadPoolExecutor(7) as pool:
        statuses = list(pool.map(lambda _: post(service.url, packed, {"Content-Type": PROTOBUF, "Content-Encoding": "gzip"}), range(7)))
    assert set(statuses) == {413}
    assert used.mib < 150  # the seven bodies take 56 MB


def zstd_frame(blocks):
    return b"\x28\xb5\x2f\xfd\x00\x58" + blocks  # no checksum, a window of 2 MiB


def zstd_block(kind, size, data, last=False):
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + data


BOMB = zstd_frame(zstd_block(1, 128 << 10, b"\n") * 65_000 + zstd_block(0, 3, b"end", last=True))  # each block is a byte, repeated


def test_a_zstd_bomb_is_read_in_bounded_memory():
    pieces = streams.text([BOMB], "bomb")
    with Memory() as used:
        sizes = [len(piece) for piece in pieces]
    assert len(BOMB) < 270_000
    assert sum(sizes) == 65_000 * (128 << 10) + 3
    assert max(sizes) < 2 << 20
    assert used.mib < 50


MEMBERS = {
    "zstd": (zstd_frame(zstd_block(0, 0, b"", last=True)), zstd_frame(zstd_block(0, 2, b"a\n", last=True))),
    "gzip": (gzip.compress(b""), gzip.compress(b"a\n")),
    "bzip2": (bz2.compress(b""), bz2.compress(b"a\n")),
    "xz": (lzma.compress(b""), lzma.compress(b"a\n")),
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_thousands_of_empty_members_take_linear_time(kind):
    empty, line = MEMBERS[kind]
    times = []
    for count in (10_000, 80_000):
        started = time.process_time()
        assert b"".join(streams.text([empty * count + line], kind)) == b"a\n"
        times.append(time.process_time() - started)
    assert times[1] < 8 * 3 * times[0] + 0.1


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_zstd_in_pieces_of_any_size(size):
    text = b"".join(b"line %d of a text\n" % number for number in range(30_000))
    skippable = b"\x50\x2a\x4d\x18\x05\0\0\0abcde"
    data = skippable + zstandard.ZstdCompressor(write_checksum=True).compress(text) + zstandard.ZstdCompressor(19).compress(text)
    assert b"".join(streams.text((data[at : at + size] for at in range(0, len(data), size)), "x")) == 2 * text


SIGNS = "\x7f\x80\x9b31m\x9f\xad\u061c\u180e\u200b\u200f\u2028\u202e\u2066\ufeff\ufffb\U000e0041"
FINE = "größer 日本 е µ° “quoted” … \U0001f600"


def test_json_says_the_same_without_characters_that_a_terminal_obeys():
    data = json.dumps({"body": FINE + SIGNS, SIGNS: [FINE]}, ensure_ascii=False).encode()
    found = inert_json(data)
    assert json.loads(found) == json.loads(data)
    text = found.decode()
    assert visible(text) == text
    assert FINE in text
    assert r"\u009b31m" in text
    assert r"\udb40\udc41" in text


def test_everything_that_is_inert_in_text_is_inert_in_json():
    for code in chain(range(0x20, 0xD800), range(0xE000, 0x110000)):
        char = chr(code)
        if visible(char) != char:
            assert inert_json(char.encode()).isascii(), hex(code)


OUTPUTS = {
    "detect --output jsonl": ("detect", "LOG", "--output", "jsonl"),
    "detect --to jsonl:-": ("detect", "LOG", "--output", "none", "--to", "jsonl:-"),
    "detect --output sessions": ("detect", "LOG", "--output", "sessions", "--window", "2"),
    "detect": ("detect", "LOG", "--all"),
    "judge --json": ("judge", "--json", f"disk failed {SIGNS} at"),
    "judge": ("judge", f"disk failed {SIGNS} at"),
    "templates --json": ("templates", "LOG", "--json"),
    "templates": ("templates", "LOG"),
}


@pytest.mark.parametrize("arguments", OUTPUTS.values(), ids=OUTPUTS)
def test_no_output_has_characters_that_a_terminal_obeys(tmp_path, capfdbinary, monkeypatch, arguments):
    path = tmp_path / "a\u202e\x9b.log"
    path.write_text(f"disk failed {SIGNS} at\n" * 2, encoding="utf-8")
    monkeypatch.setenv("RA_MODEL", "echo")
    main([str(path) if argument == "LOG" else argument for argument in arguments])
    out, err = (text.decode() for text in capfdbinary.readouterr())
    assert "disk failed" in out
    for text in (out, err):
        assert visible(text.replace("\n", "")) == text.replace("\n", "")


def test_a_file_of_json_lines_and_an_answer_are_inert_too(tmp_path, serving):
    detector = Detector(model="echo", store=":memory:")
    with detector:
        detector.write([f"disk failed {SIGNS}"], f"jsonl:{tmp_path / 'out'}")
    data = (tmp_path / "out").read_bytes()
    assert json.loads(data)["body"] == f"disk failed {SIGNS}"
    body = json.dumps({"records": [{"body": f"disk failed {SIGNS}"}]}).encode()
    request = urllib.request.Request(f"{serving().url}/v1/verdicts", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        data += answer.read()
    assert visible(data.decode().replace("\n", "")) == data.decode().replace("\n", "")


def test_what_the_system_refuses_is_not_the_fault_of_a_plugin(tmp_path):
    said = r"'/proc/self/mem' cannot be .*Input/output error.*; check"
    with Detector(model="echo", store=":memory:") as detector, pytest.raises(SourceError, match=said) as caught:
        list(detector.detect("/proc/self/mem"))
    assert "authors" not in str(caught.value)


DEEP = json.loads('{"a":' * 900 + "1" + "}" * 900)
UTC = timezone.utc
RECORDS = {
    "a time after 9999": LogRecord("x", datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))),
    "a time before 1": LogRecord("x", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))),
    "a number that is not finite": LogRecord("x", attributes={"v": float("inf"), "w": [float("nan")]}),
    "a number that no double holds": LogRecord("x", attributes={"v": 10**400}),
    "a number too long to be read": LogRecord("x", attributes={"v": 10**5_000}),
    "half a surrogate pair": LogRecord("x\ud800", attributes={"v\udc00": {"\ud800": ["\ud800"]}}),
    "deep attributes": LogRecord("x", attributes=DEEP),
    "attributes that are not an object": LogRecord("x", attributes=["v"]),
    "attributes of any type": LogRecord("x", attributes={None: b"v", (1, 2): {3}, "d": UTC}),
    "a severity that is a number": LogRecord("x", severity=17),
    "a body that is a number": LogRecord(5),
    "a deep mapping": {"msg": "x", **DEEP},
    "half a surrogate pair in a mapping": {"msg": "x\ud800", "v": "\udc00"},
}


def not_json(text):
    raise AssertionError(f"{text} is not JSON")


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_every_record_leaves_whatever_it_holds(tmp_path, record):
    with Detector(model="echo", store=":memory:") as detector:
        detector.write([record, "next"], f"jsonl:{tmp_path / 'out'}")
        found = [detection.to_dict() for detection in detector.detect([record, "next"])]
    lines = (tmp_path / "out").read_text(encoding="utf-8").splitlines()
    written = [json.loads(line, parse_constant=not_json) for line in lines]
    assert [{**line, "id": None} for line in written] == [{"id": None, **one, "cached": False} for one in found]
    assert [line["body"] for line in written][1:] == ["next"]
    for line in written:
        assert line["timestamp"] is None
        assert isinstance(line["attributes"], dict)
