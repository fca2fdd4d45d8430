"""Sources: every kind of file, stream and iterable; rotation, restart and damage without a lost byte. Real files, real pipes."""

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import threading
import time
from queue import Empty, Queue
from types import SimpleNamespace

import pytest

from ra_sdk.errors import BadOption, BadRecord, SourceError, StoreError, UsageError
from ra_sdk.records import LogRecord
from ra_sdk.sources.builtin import IterableSource, StreamSource, as_source, ra_sdk_open_source
from ra_sdk.sources.logfile import EDGE, PIECE


def zstd(data):
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd.compress(data)
    import zstandard

    return zstandard.compress(data)


COMPRESS = {"gz": gzip.compress, "bz2": lambda data: bz2.compress(data, 1), "xz": lzma.compress, "zst": zstd}
TEXT = "".join(f"{n} worker {n * 7919 % 1000} has {n * 104729 % 977} jobs\n" for n in range(20_000)).encode()


def read(source):
    """All bytes of a source, which is closed; files that end are marked by ¶."""
    data = b"".join(piece.data + ("¶".encode() if piece.boundary else b"") for piece in source if piece is not None)
    source.close()
    return data


def opened(path, **options):
    return ra_sdk_open_source(str(path), options)


# --- files


@pytest.mark.parametrize(
    ("content", "text"),
    {
        "empty": (b"", b""),
        "no final newline": (b"a\nb", b"a\nb"),
        "carriage returns": (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        "some NULs": (b"a\0b\n" * 3 + b"much more than a tenth of this is text\n" * 3, b"a\0b\n" * 3 + b"much more than a tenth of this is text\n" * 3),
        "bytes that are no UTF-8": (b"caf\xe9\n", b"caf\xe9\n"),
        "colours": (b"\x1b[31mred\x1b[0m\n" * 9, b"\x1b[31mred\x1b[0m\n" * 9),
        "separated by 0x01": (b"8=F\x019=5\x0135=D\x01\n" * 9, b"8=F\x019=5\x0135=D\x01\n" * 9),
        "UTF-8 mark": ("\ufeffé\n".encode(), "é\n".encode()),
        "UTF-16 LE": ("\ufeffé\n日\n".encode("utf-16-le"), "é\n日\n".encode()),
        "UTF-16 BE": ("\ufeffé\n😀\n".encode("utf-16-be"), "é\n😀\n".encode()),
        "half a UTF-16 character": ("\ufeffab".encode("utf-16-le") + b"c", "ab\ufffd".encode()),
        "UTF-16 LE without a mark": ("größer als 1\n日\n".encode("utf-16-le"), "größer als 1\n日\n".encode()),
        "UTF-16 BE without a mark": ("größer als 一\n".encode("utf-16-be"), "größer als 一\n".encode()),
        "a hole after a line": (b"a line\nhalf a l" + b"\0" * 4_000 + b"next\n", b"a line\nhalf a l" + b"\0" * 4_000 + b"next\n"),
        "only a mark": (b"\xef\xbb\xbf", b""),
        "half a mark": (b"\xef\xbb", b"\xef\xbb"),
    }.values(),
)
def test_texts(tmp_path, content, text):
    path = tmp_path / "app.log"
    path.write_bytes(content)
    assert read(opened(path)) == text
    assert read(StreamSource(io.BytesIO(content), "x", "x")) == text
    path.write_bytes(gzip.compress(content))
    assert read(opened(path)) == text


@pytest.mark.parametrize("size", [8, 4_000, 9 << 20])
def test_a_hole_at_the_head_of_a_file_is_passed_over(tmp_path, size):
    path = tmp_path / "app.log"
    with path.open("wb") as file:
        file.seek(size)
        file.write(b"a line\nnext\n")
    source = opened(path)
    assert [(piece.data, piece.line, piece.offset) for piece in source] == [(b"a line\nnext\n", 1, size)]
    source.close()


@pytest.mark.parametrize("kind", COMPRESS)
def test_compressed_files_are_known_by_their_bytes(tmp_path, kind):
    path = tmp_path / "app.log"  # the name says nothing
    path.write_bytes(COMPRESS[kind](TEXT))
    source = opened(path)
    assert read(source) == TEXT
    assert source.position == source.size == path.stat().st_size
    path.write_bytes(COMPRESS[kind](b"one\n") + COMPRESS[kind](b"two\n") + b"\0" * 512)
    assert read(opened(path)) == b"one\ntwo\n"
    path.write_bytes(COMPRESS[kind](b""))
    assert read(opened(path)) == b""


def test_a_zstd_file_may_begin_with_a_skippable_frame(tmp_path):
    path = tmp_path / "app.log"
    path.write_bytes(b"\x5a\x2a\x4d\x18\x03\0\0\0abc" + zstd(TEXT))
    assert read(opened(path)) == TEXT


@pytest.mark.parametrize("how", ["cut", "damaged", "garbage"])
@pytest.mark.parametrize("kind", COMPRESS)
def test_what_a_broken_archive_holds_is_read_before_it_is_reported(tmp_path, kind, how):
    whole = COMPRESS[kind](TEXT)
    half = len(whole) // 2
    path = tmp_path / f"app.log.{kind}"
    path.write_bytes({"cut": whole[:half], "damaged": whole[:half] + b"\xaa" * 50 + whole[half + 50 :], "garbage": whole + b"no archive"}[how])
    got = []
    source = opened(path)
    with pytest.raises(SourceError, match=r"breaks off near byte \d+ of its .* stream, after \d+ bytes of text: .*; get a whole copy") as caught:
        got.extend(piece.data for piece in source)
    source.close()
    data = b"".join(got)
    assert f"after {len(data)} bytes" in str(caught.value)
    assert repr(str(path)) in str(caught.value)
    expected = {"cut": 0.2, "damaged": 0.2, "garbage": 1.0}[how] * len(TEXT)
    assert next((at for at, (one, two) in enumerate(zip(data, TEXT)) if one != two), len(data)) >= expected


def test_a_small_archive_cannot_fill_the_memory(tmp_path):
    for kind in COMPRESS:
        path = tmp_path / kind
        path.write_bytes(COMPRESS[kind](b"a\n" * (2 << 20)))
        assert path.stat().st_size < 5_000
        source = opened(path)
        sizes = [len(piece.data) for piece in source]
        source.close()
        assert sum(sizes) == 4 << 20
        assert max(sizes) <= 1 << 20


def test_a_ten_megabyte_line(tmp_path):
    path = tmp_path / "app.log"
    path.write_bytes(b"x" * (10 << 20) + b"\nnext\n")
    source = opened(path)
    pieces = list(source)
    source.close()
    assert b"".join(piece.data for piece in pieces) == path.read_bytes()
    assert [piece.checkpoint["offset"] for piece in pieces] == [PIECE, 2 * PIECE, (10 << 20) + 6]


@pytest.mark.parametrize(
    "content",
    {
        "NULs": b"\x7fELF" + b"\0" * 100 + b"text" * 100,
        "noise": bytes(range(256)) * 40,
        "numbers of 16 bits": b"".join(number.to_bytes(2, "little") for number in range(250)) * 9,
        "SQLite": b"SQLite format 3\0\x10\0\x01\x01\0@  \0\0\0\x02" + b"\0" * 3_900 + b"CREATE TABLE a (\nb TEXT\n)" * 4,
        "wtmp": (b"\x07\0\0\0\x51\x0b\0\0pts/0".ljust(40, b"\0") + b"ts/0root".ljust(344, b"\0")) * 20,
        "tar": b"app.log".ljust(257, b"\0") + b"ustar\0" + b"0" * 249 + b"a line of a log\n" * 1_000,
    }.values(),
)
def test_what_is_no_text_is_refused_unless_forced(tmp_path, content):
    for name, data in {"a.log": content, "a.gz": gzip.compress(content)}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SourceError, match=r"looks binary, .*--format plain"):
            opened(tmp_path / name)
        assert read(opened(tmp_path / name, format="plain")) == content


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.log", "No such file.*check the path"),
        ("a\0b", "is not a path"),
        ("x" * 300, "File name too long"),
        ("missing/", "No such file"),
        ("app.log/x", "Not a directory"),
        ("file:missing.log", "'file:missing.log' cannot be read"),
    ],
)
def test_what_cannot_be_opened_fails_at_the_call(tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.log").write_text("x\n")
    with pytest.raises(SourceError, match=said):
        opened(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    path = tmp_path / "app.log"
    path.touch(0)
    with pytest.raises(SourceError, match="Permission denied"):
        opened(path)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("app.log", "app.log"),
        ("file:app.log", "app.log"),
        ("file:with%20space%23.log", "with space#.log"),
        ("file://{}/app.log", "app.log"),
        ("file://localhost{}/app.log", "app.log"),
        ("{}/app.log", "app.log"),
        ("odd:name", "odd:name"),
        ("20:15.log", "20:15.log"),
    ],
)
def test_urls_of_files(tmp_path, monkeypatch, url, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("x\n")
    url = url.format(tmp_path)
    source = opened(url)
    assert source.name == url
    status = (tmp_path / name).stat()
    assert source.identity.startswith(f"{status.st_dev:x}-{status.st_ino:x}-")
    assert read(source) == b"x\n"


@pytest.mark.parametrize("url", ["s3://bucket/app.log", "otlp:", "odd:name", "my-own+x:y", "http://host/a.log"])
def test_other_schemes_are_left_to_others(url):
    assert opened(url) is None


def test_identities_tell_the_files_apart_that_had_one_name(tmp_path):
    path = tmp_path / "app.log"

    def identity(text):
        path.write_text(text)
        source = opened(path)
        source.close()
        return source.identity

    first = identity("started 1\n")
    assert identity("started 1\nmore\n") == first
    assert identity("started 2\n") != first
    path.rename(tmp_path / "app.log.1")
    assert identity("started 1\n") != first
    long = "x" * EDGE
    assert identity(long) == identity(f"{long}more")


# --- checkpoints


@pytest.fixture
def log(tmp_path):
    """A log, the place of its checkpoint, and what a run does: read pieces, acknowledge as many, and die."""
    path, positions = tmp_path / "app.log", tmp_path / "positions"

    def run(acknowledged=None, **options):
        source = opened(path, checkpoint=positions, **options)
        pieces = [piece for piece in source if piece is not None]
        for piece in pieces[:acknowledged]:
            source.acknowledge(piece.checkpoint)
        source.close()
        return b"".join(piece.data + ("¶".encode() if piece.boundary else b"") for piece in pieces).decode()

    return SimpleNamespace(path=path, positions=positions, run=run)


def test_reading_resumes_where_everything_was_written(log):
    log.path.write_text("one\n")
    assert log.run() == "one\n"
    assert log.run() == ""
    with log.path.open("a") as file:
        file.write("two\n")
    assert log.run(acknowledged=0) == "two\n"  # it died before the sinks had it
    assert log.run() == "two\n"
    assert log.run() == ""
    assert sorted(path.name for path in log.path.parent.iterdir()) == ["app.log", "positions"]


def test_the_line_and_the_identity_go_on_after_a_restart(log):
    log.path.write_text("one\ntwo\nthree\n")
    source = opened(log.path, checkpoint=log.positions)
    (piece,) = source
    source.acknowledge({**piece.checkpoint, "offset": 4, "line": 2})
    source.close()
    again = opened(log.path, checkpoint=log.positions)
    (rest,) = again
    again.close()
    assert (rest.data, rest.line, rest.identity) == (b"two\nthree\n", 2, source.identity)


def test_one_file_keeps_the_positions_of_several_sources(log, tmp_path):
    other = tmp_path / "other.log"
    for path in (log.path, other):
        path.write_text(f"{path.name}\n")
        source = opened(path, checkpoint=log.positions)
        for piece in source:
            source.acknowledge(piece.checkpoint)
        source.close()
    assert log.run() == ""
    assert sorted(json.loads(log.positions.read_text())) == [str(log.path), str(other)]


@pytest.mark.parametrize("kind", COMPRESS)
def test_compressed_files_resume_too(log, kind):
    log.path.write_bytes(COMPRESS[kind](TEXT))
    source = opened(log.path, checkpoint=log.positions)
    (*_, last) = source
    assert last.checkpoint["offset"] == len(TEXT)
    source.acknowledge({**last.checkpoint, "offset": 100_000})
    source.close()
    assert log.run().encode() == TEXT[100_000:]
    assert log.run() == ""
    with log.path.open("ab") as file:
        file.write(COMPRESS[kind](b"appended\n"))
    assert log.run() == "appended\n"


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize(
    "how", ["rename", "rename to a date", "before the extension", "copy and truncate", "compress", "twice", "twice, compressed", "twice, with dates"]
)
def test_a_file_that_was_rotated_meanwhile_is_finished_first(log, how, mark):
    folder = log.path.parent
    log.path.write_text(f"{mark}one\n")
    assert log.run() == "one\n"
    with log.path.open("a") as file:
        file.write("two\n")
    between = ""
    if how == "copy and truncate":
        (folder / "app.log.1").write_bytes(log.path.read_bytes())
        log.path.write_text("")
    elif how == "compress":
        (folder / "app.log.1.gz").write_bytes(gzip.compress(log.path.read_bytes()))
        log.path.unlink()
    elif how.startswith("twice"):
        names = ("app.log-20260301", "app.log-20260302") if "dates" in how else ("app.log.2", "app.log.1")
        log.path.rename(folder / names[0])
        between = "between\n¶"
        (folder / names[1]).write_text("between\n")
        (folder / "app.log.3").write_text("long ago\n")
        if "compressed" in how:
            (folder / "app.log.2.gz").write_bytes(gzip.compress((folder / "app.log.2").read_bytes()))
            (folder / "app.log.2").unlink()
    else:
        log.path.rename(folder / {"rename": "app.log.1", "rename to a date": "app.log-20260301.old", "before the extension": "app-2026-03-01.log"}[how])
    (folder / "app.log.err").write_text("another log\n")
    (folder / "app2.log").write_text("another log\n")
    log.path.write_text("x\n")
    assert log.run() == f"two\n¶{between}x\n"
    assert log.run() == ""


def test_a_death_in_the_middle_of_a_rotated_file_repeats_but_loses_nothing(log):
    log.path.write_text("one\n")
    log.run()
    log.path.rename(log.path.with_name("app.log.2"))
    append(log.path.with_name("app.log.2"), "two\n")
    log.path.with_name("app.log.1").write_text("three\n")
    log.path.write_text("four\n")
    assert log.run(acknowledged=1) == "two\n¶three\n¶four\n"
    assert log.run(acknowledged=0) == "three\n¶four\n"
    assert log.run(acknowledged=2) == "three\n¶four\n"
    assert log.run(acknowledged=1) == "four\n"
    assert log.run() == ""


def test_a_file_that_was_truncated_or_replaced_is_read_from_its_start(log):
    log.path.write_text("one\ntwo\nthree\n")
    log.run()
    log.path.write_text("four\n")
    assert log.run() == "four\n"
    log.path.write_text("five\nsix\nseven, longer than before\n")
    assert log.run() == "five\nsix\nseven, longer than before\n"


def test_a_file_that_was_copied_to_a_new_place_of_the_disk_is_the_same(log):
    log.path.write_text("one\n")
    log.run()
    copy = log.path.with_name("copy")
    copy.write_text("one\ntwo\n")
    copy.replace(log.path)
    assert log.run() == "two\n"


@pytest.mark.parametrize(
    ("content", "said"), [("{", "cannot be read"), ("[1, 2]", "cannot be read"), ("\xff", "cannot be read"), (None, "its folder does not exist")]
)
def test_a_checkpoint_that_cannot_be_used(log, tmp_path, content, said):
    log.path.write_text("one\n")
    positions = log.positions if content is not None else tmp_path / "no" / "positions"
    if content is not None:
        positions.write_bytes(content.encode("latin-1"))
    with pytest.raises(StoreError, match=said):
        opened(log.path, checkpoint=positions)
    with pytest.raises(StoreError, match="Is a directory; choose another path"):
        opened(log.path, checkpoint=tmp_path)


def test_a_checkpoint_that_cannot_be_written(log):
    log.path.write_text("one\n")
    source = opened(log.path, checkpoint=log.positions)
    log.positions.mkdir()
    with pytest.raises(StoreError, match="positions"):
        source.acknowledge({"offset": 4})
    source.close()


# --- following


class Follower:
    """Reads a followed file in a thread, and hands out what came."""

    def __init__(self, path, **options):
        self.stop = threading.Event()
        self.source = opened(path, follow=True, poll=0.01, stop=self.stop, **options)
        self.pieces, self.text, self.idle = Queue(), "", 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        for piece in self.source:
            self.pieces.put(piece)

    def wait(self, text):
        """Until everything up to here was read; fails if anything else was, or too little in half a minute."""
        end = time.monotonic() + 30
        while self.text != text and time.monotonic() < end:
            try:
                piece = self.pieces.get(timeout=0.1)
            except Empty:
                continue
            self.take(piece)
        assert self.text == text

    def take(self, piece):
        self.idle += piece is None
        self.text += (piece.data.decode() + "¶" * piece.boundary) if piece else ""

    def end(self):
        self.stop.set()
        self.thread.join(30)
        while not self.pieces.empty():
            self.take(self.pieces.get())
        self.source.close()
        assert not self.thread.is_alive()
        return self.text


@pytest.fixture
def follow(tmp_path):
    followers = []

    def start(path, **options):
        followers.append(Follower(path, **options))
        return followers[-1]

    yield start
    for follower in followers:
        follower.end()


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def test_a_growing_file_is_followed_from_its_start(log, follow):
    log.path.write_text("one\n")
    reader = follow(log.path)
    reader.wait("one\n")
    append(log.path, "tw")
    end = time.monotonic() + 30
    while not reader.idle and time.monotonic() < end:
        reader.take(reader.pieces.get(timeout=30))
    append(log.path, "o\n")
    reader.wait("one\ntwo\n")
    end = time.monotonic() + 30
    while not reader.idle and time.monotonic() < end:
        reader.take(reader.pieces.get(timeout=30))
    assert reader.idle
    append(log.path, "the last\n")
    assert reader.end() == "one\ntwo\nthe last\n"  # what is there when it is stopped is read


def test_a_file_can_be_followed_from_its_end(log, follow):
    log.path.write_text("one\ntwo\nhal")
    reader = follow(log.path, tail="true")
    append(log.path, "f\n")
    first = reader.pieces.get(timeout=30)
    while first is None:
        first = reader.pieces.get(timeout=30)
    assert first.line == 3
    reader.take(first)
    reader.wait("half\n")


@pytest.mark.parametrize("how", ["rename", "rename, re-creation later", "replace", "copy and truncate", "truncate", "truncate and grow", "delete"])
def test_rotation_while_it_is_followed(log, follow, how):
    log.path.write_text("one\n" * 3)
    reader = follow(log.path)
    reader.wait("one\n" * 3)
    old = log.path.with_name("app.log.1")
    missed = ""
    if how.startswith("rename"):
        with log.path.open("a") as writer:
            log.path.rename(old)
            if how == "rename":
                log.path.touch()
            writer.write("late\n")  # its writer has not noticed yet
            writer.flush()
            reader.wait("one\n" * 3 + "late\n")
        missed = "late\n"
    elif how == "replace":
        fresh = log.path.with_name("fresh")
        fresh.write_text("two\n")
        fresh.replace(log.path)
    elif how == "copy and truncate":
        old.write_text("one\n" * 3 + "unread\n")
        missed = "unread\n"
        log.path.write_text("")
    elif how == "truncate":
        log.path.write_text("")
    elif how == "truncate and grow":
        log.path.write_text("longer than before\n")
    else:
        log.path.unlink()
    if how != "replace":
        append(log.path, "two\n")
    grown = "longer than before\n" if how == "truncate and grow" else ""
    reader.wait("one\n" * 3 + missed + f"¶{grown}two\n")
    append(log.path, "three\n")
    reader.wait("one\n" * 3 + missed + f"¶{grown}two\nthree\n")
    assert reader.end() == reader.text


def test_two_rotations_while_the_sinks_waited(log):
    """Nobody asks the source for its next piece for a long time: the files that came and went meanwhile are read all the same."""
    log.path.write_text("one\n")
    stop = threading.Event()
    source = opened(log.path, follow=True, poll=0.01, stop=stop)
    pieces = iter(source)
    assert next(pieces).data == b"one\n"
    append(log.path, "two\n")
    log.path.rename(log.path.with_name("app.log.2"))
    log.path.with_name("app.log.1").write_text("three\n")
    log.path.write_text("four\n")
    got = ""
    while not got.endswith("four\n"):
        piece = next(pieces)
        got += (piece.data.decode() + "¶" * piece.boundary) if piece else ""
    assert got == "two\n¶three\n¶four\n"
    stop.set()
    assert [piece for piece in pieces if piece is not None] == []
    source.close()


def test_each_file_of_a_rotated_log_has_an_identity_of_its_own(log, follow):
    log.path.write_text("started\n")
    reader = follow(log.path)
    reader.wait("started\n")
    log.path.rename(log.path.with_name("app.log.1"))
    log.path.write_text("started\n")
    pieces = []
    while len(pieces) < 2:
        pieces += filter(None, [reader.pieces.get(timeout=30)])
    assert [(piece.data, piece.boundary) for piece in pieces] == [(b"", True), (b"started\n", False)]
    assert pieces[1].identity != reader.source.identity


def test_a_restart_while_it_is_followed(log, follow):
    log.path.write_text("one\n")
    reader = follow(log.path, checkpoint=log.positions)
    piece = reader.pieces.get(timeout=30)
    assert piece.data == b"one\n"
    reader.source.acknowledge(piece.checkpoint)
    reader.end()
    append(log.path, "two\n")
    log.path.rename(log.path.with_name("app.log.1"))
    log.path.write_text("three\n")
    follow(log.path, checkpoint=log.positions).wait("two\n¶three\n")


def test_closing_ends_a_followed_file(log):
    log.path.write_text("one\n")
    source = opened(log.path, follow=True, poll=0.01)
    got = threading.Event()
    thread = threading.Thread(target=lambda: [got.set() for _ in source])
    thread.start()
    assert got.wait(30)
    source.close()
    thread.join(30)
    assert not thread.is_alive()


def test_what_cannot_be_followed(log):
    log.path.write_bytes(gzip.compress(b"x\n"))
    with pytest.raises(SourceError, match="is compressed, UTF-16 or a journal export, and cannot be followed"):
        opened(log.path, follow=True)
    log.path.write_text("x\n")
    for poll in ("often", "0", "-1"):
        with pytest.raises(BadOption, match=f"poll must be .* got '{poll}'"):
            opened(log.path, follow=True, poll=poll)
    source = opened(log.path, follow="false")
    assert (source.live, read(source)) == (False, b"x\n")


# --- streams

STDIN = "import sys; from ra_sdk.sources.builtin import *; source = ra_sdk_open_source({!r}, {{}}); [sys.stdout.buffer.write(p.data) for p in source]"


@pytest.mark.parametrize("url", ["-", "stdin:", "/dev/stdin"])
@pytest.mark.parametrize("compress", [bytes, *COMPRESS.values()], ids=["plain", *COMPRESS])
def test_standard_input(url, compress):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", STDIN.format(url)], input=compress(TEXT), capture_output=True, check=True, env=environment)
    assert done.stdout == TEXT
    assert done.stderr == b""


def test_a_process_without_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="no standard input"):
        opened("-")


def test_a_pipe_hands_on_at_once_what_it_has(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    lines = Queue()

    def write():
        with path.open("wb", buffering=0) as pipe:
            while line := lines.get(timeout=30):
                pipe.write(line)

    writer = threading.Thread(target=write)
    writer.start()
    source = opened(path)
    assert (source.live, source.size) == (True, None)
    pieces = iter(source)
    for line in (b"one\n", b"P", b"two\n"):
        lines.put(line)
        if line != b"P":  # which may be the beginning of an archive
            assert next(pieces).data in (line, b"P" + line)
    lines.put(None)
    assert list(pieces) == []
    assert source.position == 9
    writer.join(30)
    source.close()


def test_devices():
    assert read(opened("/dev/null")) == b""
    source = opened("/dev/zero")
    with pytest.raises(SourceError, match="looks binary"):
        next(iter(source))
    source.close()


def test_open_files_are_streams(tmp_path):
    path = tmp_path / "app.log"
    path.write_bytes(b"one\ntwo\n")
    with path.open("rb") as file:
        source = as_source(file)
        assert (source.name, source.live, read(source)) == (str(path), False, b"one\ntwo\n")
        assert not file.closed
    with path.open() as file:
        assert (as_source(file).live, read(as_source(file))) == (False, b"one\ntwo\n")
    assert read(as_source(io.BytesIO(b"x\n"))) == b"x\n"


# --- what Python has in memory


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (["a", "b\n"], ["a", "b\n"]),
        (("a",), ["a"]),
        ((text for text in "ab"), ["a", "b"]),
        ({"a": 1}.keys(), ["a"]),
        ([b"a\xff"], ["a\ufffd"]),
        (["\udcffa", "\ud83d\ude00"], ["\ufffda", "😀"]),
        ([{"message": "a"}, LogRecord("b")], [{"message": "a"}, LogRecord("b")]),
        ([LogRecord("\udcff", severity="WARN")], [LogRecord("\ufffd", severity="WARN")]),
        ([], []),
    ],
)
def test_iterables(items, expected):
    source = as_source(items)
    assert source.live is not hasattr(items, "__len__")
    assert list(source) == expected
    assert source.name == source.identity == "<iterable>"
    source.close()


class Column:
    """What the columns of pandas, polars and pyarrow have in common, under a name of each."""

    def __init__(self, method, items):
        setattr(self, method, lambda: items)


class NAType:
    def __eq__(self, other):
        return self

    __hash__ = None

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


@pytest.mark.parametrize("method", ["to_list", "tolist", "to_pylist"])
def test_columns_of_data_frames(method):
    source = as_source(Column(method, ["a", None, float("nan"), NAType(), "b"]))
    assert list(source) == ["a", "", "", "", "b"]
    with pytest.raises(BadRecord):
        list(as_source(Column(method, [1.5])))


def test_columns_of_polars():
    import polars as pl

    frame = pl.DataFrame({"message": ["a", None]})
    assert list(as_source(frame["message"])) == ["a", ""]
    with pytest.raises(UsageError, match=r"a DataFrame is a table, .*column=NAME"):
        as_source(frame)
    with pytest.raises(UsageError, match="a LazyFrame has no rows yet"):
        as_source(frame.lazy())


def test_columns_of_pyarrow():
    pa = pytest.importorskip("pyarrow")
    assert list(as_source(pa.chunked_array([["a", None], ["b"]]))) == ["a", "", "b"]
    assert list(as_source(pa.table({"message": ["a"]}))) == [{"message": "a"}]


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (["a", 5], "item 1 is 5 (int), not a log record; give strings, mappings or LogRecords"),
        ([None], "item 0 is None (NoneType)"),
        ([["a"]], "item 0 is ['a'] (list)"),
        (["a", "b", range(10**9)], "item 2 is range(0, 1000000000) (range)"),
        ([frozenset("x" * n for n in range(1, 40))], "... (frozenset)"),
    ],
)
def test_items_that_are_no_records(items, said):
    with pytest.raises(BadRecord) as caught:
        list(as_source(items))
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("thing", [42, None, b"app.log", {"message": "a"}, object()])
def test_what_is_no_source(thing):
    with pytest.raises(UsageError, match="is not a source; give a path, a URL, or an iterable"):
        as_source(thing)


def test_a_text_or_a_path_is_opened_by_a_plugin(tmp_path):
    assert as_source("app.log") is None
    assert as_source(tmp_path) is None
    ready = IterableSource(["a"])
    assert as_source(ready) is ready
