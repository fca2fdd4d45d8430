"""Several sources as one: together while they are followed, folders and patterns, the systemd journal."""

import json
import logging
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from queue import Queue

import pytest

from ra_sdk import Detector, Items, LogRecord, Sources
from ra_sdk.errors import BadOption, SourceError
from ra_sdk.sources.builtin import ra_sdk_open_source

REMOTE = "/lib/systemd/systemd-journal-remote"


class Sink:
    """Keeps what comes, and tells where it came from."""

    name = "list"

    def __init__(self):
        self.rows, self.came = [], Queue()

    def write(self, detections):
        for detection in detections:
            row = Path(detection.source).name, detection.line, detection.record.body
            self.rows.append(row)
            self.came.put(row)

    def close(self):
        pass

    def wait(self, count):
        """The next rows; fails if they do not come."""
        return [self.came.get(timeout=30) for _ in range(count)]


@pytest.fixture
def following():
    """Follow sources in a thread; each run is stopped at the end."""
    running = []

    def start(*sources, stop=True, **options):
        event, sink = threading.Event(), Sink()
        detector = Detector(model="echo", store=":memory:", wait_ms=20)
        opened = detector.plugins.open_source(Sources(*sources) if len(sources) > 1 else sources[0], {"follow": True, "poll": 0.01, "stop": event, **options})
        thread = threading.Thread(target=detector.write, args=(opened, sink))
        thread.start()
        running.append((event, thread, detector))

        def end():
            event.set()
            thread.join(30)
            assert not thread.is_alive()
            return sink.rows

        sink.end = end
        return sink

    yield start
    for event, thread, detector in running:
        event.set()
        thread.join(30)
        detector.close()


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def test_several_files_are_followed_together(tmp_path, following):
    one, two = tmp_path / "one.log", tmp_path / "two.log"
    one.write_text("first\n")
    two.write_text('{"message": "second", "level": "error"}\n')  # each has its own format
    sink = following(str(one), str(two))
    assert sorted(sink.wait(2)) == [("one.log", 1, "first"), ("two.log", 1, "second")]
    append(two, '{"message": "third"}\n')
    assert sink.wait(1) == [("two.log", 2, "third")]
    append(one, "fourth\n")
    assert sink.wait(1) == [("one.log", 2, "fourth")]
    assert len(sink.end()) == 4


def test_a_large_file_does_not_keep_the_others_waiting(tmp_path, following):
    (tmp_path / "a.log").write_text(f"{'x' * 300}\n" * 200_000)  # fifteen pieces, more than are read ahead
    (tmp_path / "b.log").write_text("small\n")
    sink = following(str(tmp_path))
    rows = sink.end()  # which reads what is there
    assert len(rows) == 200_001
    assert rows.index(("b.log", 1, "small")) < 180_000


def test_new_files_of_a_pattern_are_picked_up_and_rotated_ones_are_not(tmp_path, following, monkeypatch):
    monkeypatch.setattr("ra_sdk.sources.several.SEARCH_SECONDS", 0.05)
    log = tmp_path / "a.log"
    log.write_text("one\n")
    (tmp_path / "other.txt").write_text("another kind\n")
    (tmp_path / "a.log.1").write_text("long ago\n")
    sink = following(str(tmp_path / "*.log*"), checkpoint=tmp_path / "checkpoint")
    assert sink.wait(1) == [("a.log", 1, "one")]
    (tmp_path / "b.log").write_text("two\n")
    assert sink.wait(1) == [("b.log", 1, "two")]
    (tmp_path / "a.log.1").rename(tmp_path / "a.log.2")
    log.rename(tmp_path / "a.log.1")
    time.sleep(0.2)
    log.write_text("three\n")
    assert sink.wait(1) == [("a.log", 1, "three")]
    assert len(sink.end()) == 3
    append(tmp_path / "a.log.1", "late\n")
    append(log, "four\n")
    (tmp_path / "c.log").write_text("five\n")
    again = following(str(tmp_path / "*.log*"), checkpoint=tmp_path / "checkpoint")
    assert sorted(again.wait(3)) == [("a.log", 2, "four"), ("a.log", 2, "late"), ("c.log", 1, "five")]
    assert len(again.end()) == 3


def test_a_folder_is_read_with_the_folders_in_it(tmp_path, caplog):
    (tmp_path / "deep").mkdir()
    for name in ("b.log", "a.log", "a.log.1", "deep/c.log", ".hidden"):
        (tmp_path / name).write_text(f"in {name}\n")
    (tmp_path / "binary").write_bytes(b"\x7fELF" + bytes(1_000))
    with Detector(model="echo", store=":memory:") as detector:
        assert [found.record.body for found in detector.detect(tmp_path)] == ["in a.log", "in a.log.1", "in b.log", "in deep/c.log"]
        assert detector.counts.lines == 4
    (record,) = caplog.records
    assert "looks binary" in record.getMessage()


def test_a_folder_resumes_at_its_checkpoint(tmp_path):
    logs, checkpoint, sink = tmp_path / "logs", tmp_path / "logs" / "checkpoint", Sink()
    logs.mkdir()

    def run():
        with Detector(model="echo", store=":memory:", checkpoint=checkpoint) as detector:
            detector.write(logs, sink)
        rows, sink.rows = sink.rows, []
        return rows

    for name in ("a.log", "b.log"):
        (logs / name).write_text(f"in {name}\n")
    assert len(run()) == 2
    append(logs / "b.log", "more\n")
    (logs / "a.log").rename(logs / "a.log.1")
    (logs / "a.log").write_text("anew\n")
    assert run() == [("a.log", 1, "anew"), ("b.log", 2, "more")]
    assert run() == []
    assert sorted(json.loads(checkpoint.read_text())) == [str(logs / "a.log"), str(logs / "b.log")]


@pytest.mark.parametrize("source", [".", "*.log", "deep/*.log", "*"])
def test_what_is_written_is_not_read(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    for name in ("a.log", "deep/b.log"):
        (tmp_path / name).write_text("one\n")
    place = "deep/out.log" if source.startswith("deep") else "out.log"
    with Detector(model="echo", store=":memory:") as detector:
        with pytest.raises(BadOption, match=f"'jsonl:{place}' would be read as a part of the source"):
            detector.write(source, f"jsonl:{place}")
        assert detector.write("deep/*.log", "jsonl:out.log").lines == 1


def test_sources_that_are_not_followed_are_read_one_after_the_other(tmp_path):
    (tmp_path / "a.log").write_text("one\n")
    with Detector(model="echo", store=":memory:") as detector:
        found = list(detector.detect(Sources(tmp_path / "a.log", ["two", "three"])))
    assert [(each.line, each.record.body) for each in found] == [(1, "one"), (1, "two"), (2, "three")]


class Failing:
    """A live source that fails after a line."""

    name = identity = "failing"
    live = True

    def __iter__(self):
        yield "a line"
        raise SourceError("'failing' broke")

    def acknowledge(self, checkpoint):
        pass

    def close(self):
        pass


def test_one_that_fails_does_not_stop_the_others(tmp_path, caplog):
    log, stop, sink = tmp_path / "a.log", threading.Event(), Sink()
    log.write_text("one\n")
    with Detector(model="echo", store=":memory:", wait_ms=20) as detector:
        opened = detector.plugins.open_source(Sources(Failing(), log), {"follow": True, "poll": 0.01, "stop": stop})
        threading.Timer(1.0, stop.set).start()
        with pytest.raises(SourceError, match="'failing' broke"):
            detector.write(opened, sink)
    assert sorted(body for _, _, body in sink.rows) == ["a line", "one"]
    assert caplog.records[0].getMessage() == "'failing' broke; the other sources are still read"


@pytest.mark.parametrize("place", ["*.log", "sub/**/*.log", "."])
def test_no_files(tmp_path, monkeypatch, caplog, place):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="has no files to read; check the folder or the pattern"):
        ra_sdk_open_source(place, {})
    caplog.set_level(logging.WARNING, "ra_sdk")
    source = ra_sdk_open_source(place, {"follow": True})
    source.close()
    assert "has no files yet" in caplog.text
    if place != ".":
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("the name of a file\n")  # which comes before the pattern
        source = ra_sdk_open_source(place, {})
        assert [piece.data for piece in source] == [b"the name of a file\n"]
        source.close()


@pytest.mark.parametrize("place", ["a.log", "new/a.log", "new", "new/*.log"])
def test_what_is_followed_need_not_exist_yet(tmp_path, following, monkeypatch, caplog, place):
    monkeypatch.setattr("ra_sdk.sources.several.SEARCH_SECONDS", 0.05)
    sink = following(str(tmp_path / place), checkpoint=tmp_path / "checkpoint", tail="yes")
    (tmp_path / "new").mkdir()
    log = tmp_path / ("a.log" if place == "a.log" else "new/a.log")
    log.write_text("one\n")
    assert sink.wait(1) == [("a.log", 1, "one")]
    log.rename(log.with_name("a.log.1"))
    log.write_text("two\n")
    assert sink.wait(1) == [("a.log", 1, "two")]
    assert len(sink.end()) == 2
    (record,) = caplog.records
    assert record.getMessage().endswith("has no files yet; waiting for them" if "*" in place else "does not exist yet; waiting for it")


@pytest.mark.parametrize("place", ["a.log", "new/a.log"])
def test_what_is_not_followed_must_exist(tmp_path, place):
    with pytest.raises(SourceError, match=r"a\.log' cannot be read: No such file or directory"):
        ra_sdk_open_source(str(tmp_path / place), {})


def test_a_path_in_a_folder_that_may_not_be_entered_is_not_waited_for(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refused)
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(SourceError, match="Permission denied"):
        ra_sdk_open_source(str(tmp_path / "a.log"), {"follow": True})


def test_ready_items_with_offsets_resume():
    class Topic:
        name = identity = "topic"
        live, acknowledged = False, []

        def __iter__(self):
            yield Items(["a", "b", "c"], [7, 8, 9], "partition 0", 9)
            yield Items([LogRecord("d")], [3], "partition 1", 3)

        def acknowledge(self, checkpoint):
            self.acknowledged.append(checkpoint)

        def close(self):
            pass

    with Detector(model="echo", store=":memory:", block=2) as detector:
        blocks = [block.block for block in detector.blocks(Topic())]
    assert [(block.identity, block.offsets.to_list(), block.bodies.to_list()) for block in blocks] == [
        ("partition 0", [7, 8], ["a", "b"]),
        ("partition 0", [9], ["c"]),
        ("partition 1", [3], ["d"]),
    ]
    assert Topic.acknowledged == [9, 3]


# --- the journal


@pytest.fixture
def journal(tmp_path):
    """A journal file, and what writes entries to it."""
    if not (Path(REMOTE).exists() and shutil.which("journalctl")):
        pytest.skip("needs journalctl and systemd-journal-remote (Debian's package of that name) for real journal files")
    path, number = tmp_path / "x.journal", 0

    def write(*entries):
        nonlocal number
        for message, unit, priority in entries:
            number += 1
            fields = {"__REALTIME_TIMESTAMP": 1_760_000_000_000_000 + number * 1_000_000, "__MONOTONIC_TIMESTAMP": number, "_BOOT_ID": "0" * 31 + "1"}
            fields |= {"MESSAGE": message, "_SYSTEMD_UNIT": unit, "PRIORITY": priority, "_MACHINE_ID": "0" * 31 + "2"}
            text = "".join(f"{key}={value}\n" for key, value in fields.items()) + "\n"
            subprocess.run([REMOTE, f"--output={path}", "-"], input=text.encode(), check=True, capture_output=True)

    write.path = path
    return write


def test_the_journal_resumes_at_its_cursor(journal, tmp_path):
    journal(("session opened", "ssh.service", 6), ("disk failed", "disk.service", 3), ("session failed", "ssh.service", 3))
    out, checkpoint = tmp_path / "out", tmp_path / "checkpoint"

    def run(query, keep=checkpoint):
        with Detector(model="echo", store=":memory:", checkpoint=keep) as detector:
            detector.write(f"journald:{journal.path}{query}", f"jsonl:{out}")
        return [(row["body"], row["severity"], row["id"]) for row in map(json.loads, out.read_text().splitlines())]

    first = run("")
    assert [(body, level) for body, level, _ in first] == [("session opened", "INFO"), ("disk failed", "ERROR"), ("session failed", "ERROR")]
    assert run("") == first
    journal(("a fourth", "ssh.service", 6))
    assert [body for body, _, _ in run("")] == [*(body for body, _, _ in first), "a fourth"]
    assert len(first) == len({identity for _, _, identity in first}) == 3
    assert run("?unit=ssh.service&priority=err", None) == [first[2]]
    assert [body for body, _, _ in run("?unit=ssh.service&unit=disk.service", None)] == ["session opened", "disk failed", "session failed", "a fourth"]


def test_the_journal_is_followed(journal, following):
    journal(("one", "a.service", 6))
    sink = following(f"journald:{journal.path}")
    assert [body for _, _, body in sink.wait(1)] == ["one"]
    journal(("two", "a.service", 6))
    assert [body for _, _, body in sink.wait(1)] == ["two"]


@pytest.mark.parametrize(
    ("url", "kind", "said"),
    [
        ("journald:unti=ssh.service", BadOption, "'unti' is not an option of journald; choose from unit"),
        ("journald:ssh.service", BadOption, "'ssh.service' is not an option of journald"),
        ("journald:/no/such/x.journal", SourceError, "'/no/such/x.journal' does not exist"),
    ],
)
def test_journals_that_cannot_be_opened(url, kind, said):
    with pytest.raises(kind, match=said):
        ra_sdk_open_source(url, {})


def test_what_journalctl_says_is_told(tmp_path, monkeypatch):
    program = tmp_path / "journalctl"
    program.write_text("#!/bin/sh\necho 'Failed to open: Permission denied' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    source = ra_sdk_open_source("journald:", {})
    with pytest.raises(SourceError, match="journalctl says 'Failed to open: Permission denied'; check the options"):
        list(source)
    source.close()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(SourceError, match="journalctl cannot be started"):
        ra_sdk_open_source("journald:", {})
