"""Reading without loss: what is read of logs that are rotated, truncated, moved and removed, over runs that end and begin again."""

import gzip
import json
import logging
import shutil
from types import SimpleNamespace

import pytest

from ra_sdk import Detector, Window
from ra_sdk.errors import BadOption, SinkError, SourceError, StoreError
from ra_sdk.sources.builtin import ra_sdk_open_source
from ra_sdk.sources.generations import WATCHED
from tests.loss import trial

LIFE = "service starting\nconnecting\ndisk error failed\n"
BANNER = "=" * 300 + "\n" + "- a line of the licence that never changes\n" * 30


@pytest.fixture
def reading(tmp_path, caplog):
    """A log, and what a run of ``ra detect --to jsonl --checkpoint`` adds to the output: (line, body) of each record."""
    log, out, checkpoint = tmp_path / "app.log", tmp_path / "out", tmp_path / "checkpoint"
    caplog.set_level(logging.WARNING, "ra_sdk")
    seen = 0

    def run(*paths, **options):
        nonlocal seen
        with Detector(model="echo", store=":memory:", checkpoint=checkpoint, **options) as detector:
            for path in paths or [log]:
                detector.write(path, f"jsonl:{out}")
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        fresh, seen = rows[seen:], len(rows)
        assert len({row["id"] for row in rows}) == len(rows)
        return [(row["line"], row["body"]) for row in fresh]

    def said():
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    return SimpleNamespace(log=log, out=out, checkpoint=checkpoint, folder=tmp_path, run=run, said=said)


def numbered(text, first=1):
    return list(enumerate(text.splitlines(), first))


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def test_a_file_that_was_emptied_and_holds_the_same_lines_again(reading):
    reading.log.write_text(LIFE)
    assert reading.run() == numbered(LIFE)
    reading.log.write_text("")
    assert reading.run() == []
    assert reading.said() == [
        f"'{reading.log}' was truncated after byte {len(LIFE)} was read: 0 bytes seen behind it are lost, and any that were written later"
    ]
    append(reading.log, LIFE)
    assert reading.run() == numbered(LIFE)
    assert reading.run() == []
    assert reading.said() == []


@pytest.mark.parametrize("longer", ["", "more\nand more\nand still more\n"])
def test_a_file_that_was_rewritten_with_the_same_first_line(reading, longer):
    reading.log.write_text(LIFE.replace("connecting", "connecting to 1"))
    assert len(reading.run()) == 3
    second = LIFE.replace("connecting", "connecting to 2") + longer
    reading.log.write_text(second)
    assert reading.run() == numbered(second)


@pytest.mark.parametrize("moved", ["copied", "renamed", "copied and compressed"])
def test_a_long_banner_does_not_make_two_files_one(reading, moved):
    first = f"{BANNER}{LIFE}"
    reading.log.write_text(first)
    assert reading.run() == numbered(first)
    append(reading.log, "unread\n")
    old = reading.folder / "app.log.1"
    if moved == "renamed":
        reading.log.rename(old)
    else:
        shutil.copy(reading.log, old)
    if "compressed" in moved:
        old.with_name("app.log.1.gz").write_bytes(gzip.compress(old.read_bytes()))
        old.unlink()
    second = BANNER + "".join(f"line {n}\n" for n in range(9))
    reading.log.write_text(second)
    assert reading.run() == [(35, "unread"), *numbered(second)]
    assert reading.run() == []


@pytest.mark.parametrize("how", ["append", "hole"])
def test_a_file_that_was_truncated_and_has_grown_past_the_position(reading, how):
    reading.log.write_text(LIFE)
    reading.run()
    more = "one\ntwo\nthree\n" * 9
    reading.log.write_text(("\0" * len(LIFE) if how == "hole" else "") + more)
    assert reading.run() == numbered(more)
    assert reading.run() == []


def test_late_lines_are_read_in_as_many_generations_as_are_watched(reading):
    for turn in range(WATCHED + 2):
        reading.log.write_text(f"{turn} in time\n")
        assert reading.run() == [(1, f"{turn} in time")]
        reading.log.rename(reading.folder / f"app.log.{20260301 + turn}")
    reading.log.write_text("today\n")
    assert reading.run() == [(1, "today")]
    for turn in range(WATCHED + 2):
        append(reading.folder / f"app.log.{20260301 + turn}", f"{turn} late\n")
    append(reading.log, "more\n")
    assert reading.run() == [*((2, f"{turn} late") for turn in range(3, WATCHED + 2)), (2, "more")]


def truncated(log, kept):
    """What logrotate's copytruncate does, with ``kept`` copies."""
    copies = [log.with_name(f"{log.name}.{number}") for number in range(1, kept + 1)]
    for old, new in zip(copies[-2::-1], copies[:0:-1], strict=True):
        if old.exists():
            old.replace(new)
    if copies:
        shutil.copy(log, copies[0])
    log.write_text("")


COPIES = pytest.mark.parametrize(
    ("kept", "expected", "lost"),
    [
        (4, [(4, "unfinished"), (1, "second"), (1, "third"), (1, "fourth")], 0),
        (3, [(4, "unfinished"), (1, "second"), (1, "third"), (1, "fourth")], 0),
        (2, [(1, "second"), (1, "third"), (1, "fourth")], len("unfin")),
        (1, [(1, "third"), (1, "fourth")], len("unfin")),
        (0, [(1, "fourth")], len("unfin")),
    ],
)


@COPIES
def test_several_truncations_before_a_restart(reading, kept, expected, lost):
    """The copies that are still there are read. Of what is gone, the bytes that were seen are counted."""
    reading.log.write_text(LIFE + "unfin")
    assert reading.run() == numbered(LIFE)
    append(reading.log, "ished\n")
    for text in ("second\n", "third\n", "fourth\n"):
        truncated(reading.log, kept)
        append(reading.log, text)
    assert reading.run() == expected
    (said,) = reading.said()
    position = len(LIFE) if lost else len(LIFE + "unfinished\n")
    assert f"truncated after byte {position} was read: {lost} bytes seen behind it are lost, and any that were written later" in said
    assert (reading.run(), reading.said()) == ([], [])


@COPIES
def test_several_truncations_between_two_looks(reading, monkeypatch, kept, expected, lost):
    monkeypatch.setattr("ra_sdk.sources.files.COPY_SECONDS", 0)
    reading.log.write_text(LIFE + "unfin")
    source = ra_sdk_open_source(str(reading.log), {"follow": True})
    assert b"".join(piece.data for piece in source.look()).decode() == LIFE
    append(reading.log, "ished\n")
    for text in ("second\n", "third\n", "fourth\n"):
        truncated(reading.log, kept)
        append(reading.log, text)
    found = [(piece.line, piece.data.decode().rstrip()) for _ in range(3) for piece in source.look() if piece.data]
    source.close()
    assert (found, source.lost, len(reading.said())) == (expected, lost, 1)


def test_line_numbers_are_those_of_the_file_that_a_record_is_in(reading):
    reading.log.write_text(LIFE)
    reading.run()
    reading.log.rename(reading.folder / "app.log.1")
    reading.log.write_text("one\ntwo\n")
    assert reading.run() == [(1, "one"), (2, "two")]
    append(reading.folder / "app.log.1", "late\n")
    append(reading.log, "three\n")
    assert reading.run() == [(4, "late"), (3, "three")]


def test_many_rotations_while_nobody_read(reading):
    reading.log.write_text("0\n")
    reading.run()
    expected = []
    for turn in range(1, 8):
        append(reading.log, f"{turn} last\n")
        expected += [(2, f"{turn} last"), (1, f"{turn} first")]
        for number in range(turn - 1, 0, -1):
            (reading.folder / f"app.log.{number}").rename(reading.folder / f"app.log.{number + 1}")
        reading.log.rename(reading.folder / "app.log.1")
        reading.log.write_text(f"{turn} first\n")
    assert reading.run() == expected
    assert reading.run() == []


def test_an_unfinished_line_waits_for_its_end(reading):
    reading.log.write_text("one\ntw")
    assert reading.run() == [(1, "one")]
    append(reading.log, "o\nthr")
    assert reading.run() == [(2, "two")]
    reading.log.rename(reading.folder / "app.log.1")
    reading.log.write_text("four\n")
    assert reading.run() == [(3, "thr"), (1, "four")]
    with Detector(model="echo", store=":memory:") as detector:
        reading.log.write_text("no checkpoint\nso no later ru")
        assert [detection.record.body for detection in detector.detect(reading.log)] == ["no checkpoint", "so no later ru"]


def test_a_link_that_was_moved(reading):
    pods = reading.folder / "pods"
    pods.mkdir()
    for number in range(4):
        (pods / f"{number}.log").write_text(f"of {number}\n")
    reading.log.symlink_to(pods / "0.log")
    assert reading.run() == [(1, "of 0")]
    append(pods / "0.log", "last of 0\n")
    (pods / "1.log").rename(pods / "1.log.20260301-120000")
    (pods / "1.log").write_text("more of 1\n")
    reading.log.unlink()
    reading.log.symlink_to(pods / "3.log")
    assert reading.run() == [(2, "last of 0"), (1, "of 1"), (1, "more of 1"), (1, "of 2"), (1, "of 3")]
    (pods / "3.log").rename(pods / "3.log.1")
    append(pods / "3.log.1", "late\n")
    (pods / "3.log").write_text("anew\n")
    assert reading.run() == [(2, "late"), (1, "anew")]
    assert reading.said() == []


@pytest.mark.parametrize("how", ["moved away", "removed", "replaced"])
def test_what_is_gone_before_it_was_read_is_said(reading, how):
    reading.log.write_text("".join(f"line {n}\n" for n in range(100)))
    size = reading.log.stat().st_size
    with Detector(model="echo", store=":memory:", checkpoint=reading.checkpoint, block=10) as detector:
        blocks = detector.blocks(reading.log)
        for _ in range(2):
            next(blocks)
        blocks.close()
    saved = json.loads(reading.checkpoint.read_text())[str(reading.log)]["generations"][0]
    assert (saved["offset"], saved["size"]) == (0, size)
    if how == "moved away":
        (reading.folder / "elsewhere").mkdir()
        reading.log.rename(reading.folder / "elsewhere" / "app.log")
    else:
        reading.log.unlink()
    reading.log.write_text("of another file\n")
    assert reading.run() == [(1, "of another file")]
    (said,) = reading.said()
    assert f"{size} bytes seen behind it are lost" in said


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_sink_that_vanishes_ends_the_run_and_moves_no_checkpoint(tmp_path, monkeypatch, what):
    log, out, checkpoint = tmp_path / "app.log", tmp_path / "out", tmp_path / "checkpoint"
    log.write_text("one\n")
    out.mkdir()
    with Detector(model="echo", store=":memory:", checkpoint=checkpoint) as detector:
        source = detector.plugins.open_source(log, {"follow": True, "checkpoint": checkpoint, "poll": 0.01})

        def written(*_):
            if what == "folder":
                shutil.rmtree(out, ignore_errors=True)
            elif (out / "rows").exists():
                (out / "rows").unlink()
            append(log, "two\n")

        monkeypatch.setattr(detector, "save_state", written)
        with pytest.raises(SinkError, match="was removed while it was written to"):
            detector.write(source, f"jsonl:{out / 'rows'}")
    saved = json.loads(checkpoint.read_text())[str(log)]["generations"][-1]
    assert saved["offset"] == len("one\n")


# --- the checkpoint


@pytest.mark.parametrize(
    "content",
    {
        "a package": '{"name": "app", "version": "1.0.0", "dependencies": {"left-pad": "1"}}',
        "a list": "[1, 2]",
        "lines": '{"id": "1"}\n{"id": "2"}\n',
        "deep": "[" * 100_000,
        "broken": '{"/var/log/app.log": {"offs',
        "bytes": "\0\1\2",
    }.values(),
)
def test_a_file_that_is_not_a_checkpoint_is_refused_and_left_alone(reading, content):
    reading.log.write_text(LIFE)
    reading.checkpoint.write_text(content)
    with pytest.raises(StoreError, match=r"checkpoint .* cannot be read: "):
        reading.run()
    assert reading.checkpoint.read_text() == content


def test_a_checkpoint_of_the_version_before_is_understood(reading):
    reading.log.write_text(LIFE)
    saved = {"offset": 17, "inode": reading.log.stat().st_ino, "head": "0:e3b0c44298fc1c14", "identity": "x", "line": 2}
    reading.checkpoint.write_text(json.dumps({str(reading.log): saved}))
    assert reading.run() == numbered(LIFE)[1:]


def test_nothing_is_left_beside_a_checkpoint(reading):
    reading.log.write_text(LIFE)
    (reading.folder / ".checkpoint.tmp").write_text('{"half of')  # of a run that was killed
    reading.run()
    assert sorted(path.name for path in reading.folder.iterdir()) == ["app.log", "checkpoint", "out"]


def test_two_runs_with_one_checkpoint(reading):
    other = reading.folder / "other.log"
    for path in (reading.log, other):
        path.write_text(LIFE)
    options = {"checkpoint": reading.checkpoint}
    with Detector(model="echo", store=":memory:") as detector:
        first, second, same = (detector.plugins.open_source(str(path), options) for path in (reading.log, other, reading.log))
        for source in (first, second):
            (piece,) = source
            source.acknowledge(piece.checkpoint)
        assert sorted(json.loads(reading.checkpoint.read_text())) == sorted([str(reading.log), str(other)])
        with pytest.raises(StoreError, match=r"was moved by another run that reads .*app.log'; stop one of them"):
            list(same)
        for source in (first, second, same):
            source.close()


@pytest.mark.parametrize("door", ["detect", "blocks"])
def test_a_checkpoint_moves_when_what_comes_next_is_asked_for(reading, door):
    reading.log.write_text("".join(f"{n}\n" for n in range(30)))

    def read(count):
        with Detector(model="echo", store=":memory:", checkpoint=reading.checkpoint) as detector:
            found = getattr(detector, door)(reading.log)
            taken = [item for _, item in zip(range(count), found)]
            found.close() if door == "blocks" else None
            return taken

    assert len(read(1)) == 1
    everything = 30 if door == "detect" else 1
    assert len(read(everything)) == everything  # it was not asked for more
    assert len(read(99)) == everything
    assert read(99) == []


def test_sessions_refuse_a_checkpoint(reading):
    reading.log.write_text(LIFE)
    with Detector(model="echo", store=":memory:", checkpoint=reading.checkpoint, window=Window(lines=2)) as detector:
        with pytest.raises(BadOption, match="sessions cannot be used with a checkpoint: a restart would"):
            detector.sessions(reading.log)
        assert len(list(detector.sessions(["a", "b", "c"]))) == 2


def test_a_log_that_is_missing_is_an_error(reading):
    with pytest.raises(SourceError, match="No such file"):
        reading.run()


# --- killed, over and over


@pytest.mark.parametrize("mode", ["rename", "symlink", "copytruncate"])
def test_loss(mode):
    found = trial(mode, 3_000, 12, 2, 6.0)
    print(found)
    assert (found.records - found.repeated + found.missing, found.rotations, found.kills, found.renamed_ids) == (3_000, 12, 2, 0)
    assert found.missing == 0 or (mode == "copytruncate" and found.missing < 200 and any("truncated" in line for line in found.said))


# --- W3C: what the lines hold stands above them

FIELDS = "#Software: IIS\n#Fields: date time cs-method cs-uri-stem sc-status\n"
OTHER = "#Fields: date time sc-status cs-method cs-uri-stem\n"
HIT = "2026-03-02 16:27:47 GET /a.css 200\n"
OTHER_HIT = "2026-03-02 16:27:48 503 GET /\n"
SAID, OTHER_SAID = "GET static file /a.css: 200 OK", "GET page /: 503 Service Unavailable"


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        (FIELDS + HIT, HIT, [(4, SAID)]),
        (FIELDS + HIT + OTHER, OTHER_HIT, [(5, OTHER_SAID)]),
        (FIELDS + HIT + OTHER + OTHER_HIT, OTHER_HIT + FIELDS + HIT, [(6, OTHER_SAID), (9, SAID)]),
        ("\ufeff" + FIELDS + HIT * 5_000, HIT, [(5_003, SAID)]),
        (OTHER + OTHER_HIT + "#Fields: cut by the end", " cs-method\n" + OTHER_HIT, [(4, "2026-03-02 16:27:48 503 GET /")]),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_a_resumed_w3c_file_is_read_by_the_fields_line_above(reading, monkeypatch, first, then, expected, compressed):
    monkeypatch.setattr("ra_sdk.sources.logfile.PIECE", 16_000)
    reading.log.write_text(first)
    reading.run()
    append(reading.log, then)
    if compressed:
        reading.log.with_name("app.log.1.gz").write_bytes(gzip.compress(reading.log.read_bytes()))
        reading.log.write_text("")
    assert reading.run() == expected


def test_late_lines_of_a_renamed_w3c_file_are_read_by_its_own_fields_line(reading):
    reading.log.write_text(FIELDS + HIT)
    reading.run()
    old = reading.log.rename(reading.folder / "app.log.1")
    reading.log.write_text(OTHER + OTHER_HIT)
    assert reading.run() == [(2, OTHER_SAID)]
    append(old, HIT)
    append(reading.log, OTHER_HIT)
    assert reading.run() == [(4, SAID), (3, OTHER_SAID)]


def test_a_w3c_file_that_is_read_from_its_end(reading):
    reading.log.write_text(FIELDS + HIT)
    source = ra_sdk_open_source(str(reading.log), {"follow": True, "tail": True})
    append(reading.log, HIT)
    assert [(piece.data, piece.above) for piece in source.look()] == [(HIT.encode(), FIELDS.splitlines()[1].encode())]
    source.close()
