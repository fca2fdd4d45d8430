"""Pieces to records: nothing is lost, wherever the pieces are cut."""

import gzip
import threading
import time
import zlib
from itertools import groupby
from operator import itemgetter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ra_sdk.errors import UnknownFormat
from ra_sdk.formats import builtin_formats
from ra_sdk.formats.framing import LONGEST_RECORD_LINES
from ra_sdk.formats.lines import raw_blocks, split
from ra_sdk.hookspecs import Lines
from ra_sdk.records import LogRecord

FORMATS = builtin_formats()
JAVA = """2025-03-01 10:00:00,000 ERROR [main] com.example.Shop - order failed
java.lang.IllegalStateException: no stock
\tat com.example.Shop.order(Shop.java:10)
\tat com.example.Main.main(Main.java:5)
2025-03-01 10:00:01,000 INFO [main] com.example.Shop - next
2025-03-01 10:00:02,000 INFO [main] com.example.Shop - last
"""


class Given:
    """A source of given items."""

    name = identity = "given"
    live = False

    def __init__(self, items, live=False):
        self.items, self.live = items, live

    def __iter__(self):
        return iter(self.items)

    def acknowledge(self, checkpoint):
        pass

    def close(self):
        pass


def records(items, name=None, size=50_000, live=False):
    rows = []
    for raw in raw_blocks(Given(items, live), FORMATS, name, size, 0.05):
        if raw is not None:
            block = raw.parse()
            rows += zip(block.lines.to_list(), block.last_lines.to_list(), block.bodies.to_list(), strict=True)
    return rows


COLOURED = "\x1b[32m2026-03-14 10:00:01\x1b[0m \x1b[31mERROR\x1b[0m [main] db.Pool: connection lost"


@pytest.mark.parametrize("items", [[Lines(data=f"{COLOURED}\n".encode())], [COLOURED, COLOURED]], ids=["bytes", "strings"])
def test_colours_do_not_hide_the_header(items):
    assert {body for _, _, body in records(items)} == {"connection lost"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\n\n", ["", ""]),
        (b"a\x00b\x0bc\x85\n", ["a\x00b\x0bc\ufffd"]),
        ("a\u2028b\n".encode(), ["a\u2028b"]),
        (b"\xff\xfe\n", ["\ufffd\ufffd"]),
        (b"\x1b[1;31mERROR\x1b[0m disk \x1b[Kfailed\n", ["ERROR disk failed"]),
        (b"a\x1b]0;title\x07\n", ["a\x1b]0;title\x07"]),
        (b"", []),
    ],
)
def test_split(data, expected):
    assert split(data).to_list() == expected


@pytest.mark.parametrize(
    "first", [b"x\x01", b"x\x9c", b"x\xda", b"\x1f\x8b", b"(\xb5/\xfd", zlib.compress(b"disk failed\n" * 9, 1), gzip.compress(b"disk failed\n" * 9, mtime=0)]
)
def test_a_line_that_begins_as_compressed_files_do_is_a_line(first):
    lines = [*first.decode("utf-8", "replace").split("\n"), "next"]
    assert split(first + b"\nnext\n").to_list() == [line.strip("\0") for line in lines]


@pytest.mark.parametrize("step", [1, 3, 10, 1_000])
def test_where_pieces_are_cut_changes_nothing(step):
    data = JAVA.encode()
    pieces = [Lines(data[at : at + step]) for at in range(0, len(data), step)]
    rows = records(pieces, live=True)
    assert [(first, last) for first, last, _ in rows] == [(1, 4), (5, 5), (6, 6)]
    assert rows[0][2].startswith("order failed\njava.lang.IllegalStateException")
    assert rows[0][2].endswith("Main.java:5)")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\n\r\0\ufeff", exclude_categories=["Cs"]), max_size=20), max_size=30), st.integers(1, 40))
def test_plain_gives_back_every_line(texts, step):
    data = "".join(f"{text}\n" for text in texts).encode()
    pieces = [Lines(data[at : at + step]) for at in range(0, len(data), step)]
    assert [body for _, _, body in records(pieces, "plain")] == texts


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([b"x", b"\r", b"\x1b[31m", b"\0", b"\xff", b"\n", "é\ufffd".encode(), b"\tat y", b"2025-03-01 10:00:00,000 INFO [main] a.B - z"])),
    st.sampled_from(["plain", "java"]),
    st.integers(1, 40),
)
def test_every_record_tells_where_its_first_line_begins(parts, form, step):
    data = b"".join(parts)
    pieces = [Lines(data[at : at + step]) for at in range(0, len(data), step)]
    begins = [0, *(at + 1 for at, byte in enumerate(data) if byte == 10)]
    for raw in raw_blocks(Given([Lines(b"of another file\n", boundary=True), *pieces], live=True), FORMATS, form, 3, 5.0):
        if raw is not None and raw.records[0] != "of another file":
            assert raw.offsets.to_list() == [begins[line - 1] for line in raw.lines.to_list()]


def test_offsets_go_on_where_reading_resumes():
    pieces = [Lines(b"one\ntw", line=8, offset=100), Lines(b"o\nthree\n", offset=106)]
    raws = [raw for raw in raw_blocks(Given(pieces, live=True), FORMATS, "plain", 10, 0.05) if raw]
    assert [list(zip(raw.lines, raw.offsets, strict=True)) for raw in raws] == [[(8, 100)], [(9, 104), (10, 108)]]


def test_blocks_are_no_larger_than_asked():
    raws = [raw for raw in raw_blocks(Given([Lines(b"x\n" * 1_000)]), FORMATS, "plain", 300, 1.0) if raw]
    assert [len(raw.records) for raw in raws] == [300, 300, 300, 100]
    assert [raw.lines[0] for raw in raws] == [1, 301, 601, 901]


def test_a_record_does_not_grow_without_end():
    data = b"2025-03-01 10:00:00,000 ERROR [main] a.B - x\n" + b"\tat y\n" * (3 * LONGEST_RECORD_LINES)
    rows = records([Lines(data)], "java")
    assert all(last - first < LONGEST_RECORD_LINES for first, last, _ in rows)
    assert rows[-1][1] == 3 * LONGEST_RECORD_LINES + 1
    assert sum(last - first + 1 for first, last, _ in rows) == 3 * LONGEST_RECORD_LINES + 1


def test_a_ten_megabyte_line():
    pieces = [Lines(b"x" * (1 << 20))] * 10 + [Lines(b"\nnext")]
    rows = records(pieces, "plain")
    assert [(first, len(body)) for first, _, body in rows] == [(1, 10 << 20), (2, 4)]


def test_checkpoints_stay_behind_what_is_held_back():
    data = JAVA.encode()
    half = len(data) // 2
    pieces = [Lines(data[:half], {"offset": half}), Lines(data[half:], {"offset": len(data)})]
    seen = []
    for raw in raw_blocks(Given(pieces, live=True), FORMATS, None, 50_000, 5.0):
        if raw is not None and raw.checkpoint is not None:
            seen.append((raw.checkpoint["offset"], raw.last_lines[-1]))
    for offset, last_line in seen:
        assert data[:offset].count(b"\n") == last_line
    assert seen[-1][0] == len(data)


def test_a_boundary_completes_what_was_held_and_starts_lines_anew():
    rows = records([Lines(b"one\ntwo", boundary=True), Lines(b"three\n")], "plain")
    assert rows == [(1, 1, "one"), (2, 2, "two"), (1, 1, "three")]


def test_items_are_records_of_their_own():
    stamp = "2025-03-01T10:00:00Z"
    rows = records([f"{stamp} INFO hello\n", "  not a continuation", LogRecord("ready"), {"message": "from a mapping", "level": "error"}])
    assert [body for _, _, body in rows] == ["hello", "  not a continuation", "ready", "from a mapping"]
    assert [line for line, _, _ in rows] == [1, 2, 3, 4]
    assert [raw.offsets.to_list() for raw in raw_blocks(Given(["a", "b"]), FORMATS, None, 5, 0.05) if raw] == [[1, 2]]


def test_a_live_source_hands_on_what_it_has_though_more_may_come():
    wait = threading.Event()

    def slow():
        yield Lines(JAVA.encode())
        wait.wait(30)

    blocks = raw_blocks(Given(slow(), live=True), FORMATS, None, 50_000, 0.05)
    got = 0
    deadline = time.monotonic() + 20
    while got < 3 and time.monotonic() < deadline:
        raw = next(blocks)
        got += len(raw.records) if raw else 0
    wait.set()
    assert got == 3


def test_what_a_live_source_raises_is_raised_to_the_reader():
    def broken():
        yield Lines(b"a\n")
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        records(broken(), "plain", live=True)


def test_an_unknown_format_names_the_known_ones():
    with pytest.raises(UnknownFormat, match="plain"):
        records([Lines(b"a\n")], "nosuch")


def test_a_file_that_took_anothers_place_has_its_own_identity():
    pieces = [Lines(b"same\n", boundary=True, identity="old"), Lines(b"same\n", identity="new"), Lines(b"more\n")]
    raws = [raw for raw in raw_blocks(Given(pieces, live=True), FORMATS, "plain", 10, 0.05) if raw]
    assert [(raw.identity, raw.lines[0]) for raw in raws] == [("old", 1), ("new", 1), ("new", 2)]


def test_half_a_surrogate_pair_in_a_mapping_loses_nothing_else():
    assert [body for _, _, body in records([{"message": "bad \ud800 half"}, {"message": "next"}])] == ["bad \ufffd half", "next"]


def test_a_line_that_is_too_long_is_read_in_parts_and_that_is_said(monkeypatch, caplog):
    monkeypatch.setattr("ra_sdk.formats.lines.LONGEST_LINE", 1 << 20)
    long = b"x" * (5 << 19)  # two parts and a half
    data = b"one\n" + long + b"\nthree\n" + long + b"\nfive\n"
    pieces = [Lines(data[at : at + (1 << 20)]) for at in range(0, len(data), 1 << 20)]
    pieces += [Lines(b"", boundary=True), Lines(long[:-1]), Lines(b"\ntwo\n")]
    rows = records(pieces, "plain", live=True)
    assert [(line, "".join(body for *_, body in group)) for line, group in groupby(rows, itemgetter(0))] == [
        *enumerate(data.decode().splitlines(), 1),
        (1, long[:-1].decode()),
        (2, "two"),
    ]
    assert len(rows) > 7
    assert all(first == last for first, last, _ in rows)
    said = "line {} is longer than 1 MiB, so it is read in parts, each a record; check what writes it"
    name = repr(Given([]).name)
    assert [record.getMessage() for record in caplog.records] == [
        f"{name}: {said.format(2)}",
        f"{name}: 2 lines were longer than 1 MiB",
        f"{name}: {said.format(1)}",
    ]
