"""Detections as objects: their fields, how they compare, how they travel, and what they keep in memory."""

import copy
import json
import pickle
import threading
import weakref
from datetime import datetime, timezone

import pytest

import ra_sdk
from ra_sdk import Detection, Detector, LogRecord, Verdict
from ra_sdk.slabs import ROWS

HEADER = "2025-03-01T10:00:0{}Z ERROR disk read failed on sda with code 5\n"
LOG = "".join(f"2025-03-01T10:00:00Z INFO worker {n} started\n" for n in range(600)) + HEADER.format(1)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "app.log"
    path.write_text(LOG)
    return path


def detect(source, **options):
    return ra_sdk.detect(source, **{"model": "echo", "store": ":memory:", "knowledge": None} | options)


def test_every_field_is_at_hand(log):
    last = list(detect(log))[-1]
    assert (last.body, last.severity, last.line, last.last_line) == ("disk read failed on sda with code 5", "ERROR", 601, 601)
    assert last.timestamp == datetime(2025, 3, 1, 10, 0, 1, tzinfo=timezone.utc)
    assert (last.label, last.score, last.category, last.mode, last.grounded) == ("abnormal", 0.9, "system", "direct", True)
    assert (last.template, last.source, last.cached, last.abnormal) == (last.body, str(log), False, True)
    assert last.attributes == last.record.attributes
    assert last.record == LogRecord(last.body, last.timestamp, "ERROR", last.attributes)
    assert last.verdict.rationale == last.rationale == 'It says "disk read failed".'


@pytest.mark.parametrize("source", ["a file", "records", "mappings", "texts"])
@pytest.mark.parametrize("when", ["at once", "later", "from the block"])
def test_fields_are_the_same_whenever_they_are_read(source, when, log):
    at = datetime(2025, 3, 1, tzinfo=timezone.utc)
    things = {
        "a file": log,
        "records": [LogRecord(f"job {n} done", at, "INFO", {"n": n}) for n in range(600)],
        "mappings": [{"msg": f"job {n} done", "level": "info", "time": at.isoformat(), "n": n} for n in range(600)],
        "texts": LOG.splitlines(),
    }
    with Detector(model="echo", store=":memory:", block=500) as detector:
        expected = [(r.body, r.timestamp, r.severity, r.attributes) for block in detector.blocks(things[source]) for r in records(block)]
        if when == "from the block":
            found = [block[at] for block in detector.blocks(things[source]) for at in range(len(block))]
        else:
            found = [(read(d), d)[1] if when == "at once" else d for d in detector.detect(things[source])]
        assert [read(d) for d in found] == expected
        assert len({read(d)[1] for d in found} - {None}) >= 1


def records(block):
    fields = block.block.fields.rows()
    return [LogRecord(body, row[0], row[1], json.loads(row[2]) if row[2] else {}) for body, row in zip(block.block.bodies.to_list(), fields)]


def read(detection):
    return detection.body, detection.timestamp, detection.severity, detection.attributes


def test_equal_by_value_and_usable_in_sets(log):
    one, two = list(detect(log)), list(detect(log))
    assert one == two
    assert [hash(d) for d in one] == [hash(d) for d in two]
    assert len({*one, *two}) == len(one) == 601
    assert one[0] != one[1]
    assert one[0] != "worker"
    assert one[0] in set(two)
    assert sorted([*one[300:], *one[:300]]) == one


@pytest.mark.parametrize("change", ["source", "line", "body", "verdict", "identity"])
def test_whatever_differs_makes_them_differ(change):
    given = {"record": LogRecord("a"), "verdict": Verdict("a", "normal", 0.1), "source": "s", "line": 3}
    other = (
        given
        | {
            "source": {"source": "t"},
            "line": {"line": 4},
            "body": {"record": LogRecord("b")},
            "verdict": {"verdict": Verdict("a", "normal", 0.2)},
            "identity": {"identity": "another file of that name"},
        }[change]
    )
    assert Detection.of(**given) == Detection.of(**given)
    assert Detection.of(**given) != Detection.of(**other)


@pytest.mark.parametrize("travel", [copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))], ids=["copy", "deepcopy", "pickle"])
def test_copies_are_equal_and_stand_alone(travel, log):
    original = list(detect(log))[-1]
    found = travel(original)
    assert found == original
    assert found.to_dict() == original.to_dict()
    assert found.timestamp == original.timestamp
    assert len(pickle.dumps(original)) < 1_000


def test_fields_cannot_be_assigned(log):
    first = next(detect(log))
    with pytest.raises(AttributeError):
        first.body = "x"
    with pytest.raises(AttributeError):
        first.note = "x"
    assert not isinstance(first, tuple)


def test_to_dict_and_texts(log):
    last = list(detect(log))[-1]
    assert json.loads(json.dumps(last.to_dict()))["timestamp"] == "2025-03-01T10:00:01+00:00"
    assert repr(last) == f"Detection({str(log)!r}, line=601, label='abnormal', score=0.9, body='disk read failed on sda with code 5')"
    assert str(last) == f"{log}:601 abnormal 0.90 disk read failed on sda with code 5"


def test_a_detection_made_by_hand():
    one = Detection.of(LogRecord("disk failed", severity="ERROR", attributes={"a": 1}), Verdict("disk failed", "abnormal", 0.9), source="s", line=7)
    assert (one.body, one.line, one.last_line, one.severity, one.attributes, one.cached) == ("disk failed", 7, 7, "ERROR", {"a": 1}, False)


@pytest.mark.parametrize("at", [0, -1, slice(10, 20), slice(None, None, 7), slice(900, 0, -300)])
def test_blocks_are_sequences(at, log):
    with Detector(model="echo", store=":memory:") as detector:
        (block,) = detector.blocks(log)
    every = list(block)
    assert block[at] == every[at]
    assert block.index(every[3]) == 3
    with pytest.raises(IndexError):
        block[len(block)]


@pytest.mark.parametrize("left", ["by a loop", "by next", "in a list"])
def test_a_kept_detection_lets_its_block_go(left, log):
    seen = []

    def blocks(detector):
        for block in detector.blocks(log):
            seen.append(weakref.ref(block.block))
            yield block
            del block

    from ra_sdk.detections import each

    with Detector(model="echo", store=":memory:", block=300) as detector:
        found = each(blocks(detector))
        if left == "by next":
            kept = [next(found)]
        elif left == "in a list":
            kept = [d for d in found if d.line % 100 == 0]
        else:
            for detection in found:
                if detection.line == 300:
                    break
            kept = [detection]
        del found
        assert [ref() for ref in seen] == [None] * len(seen)
        assert all(d.body.startswith("worker") and d.severity == "INFO" for d in kept)


def test_another_thread_may_read_while_a_slab_is_copied(log):
    wrong, detections = [], []

    def look():
        for _ in range(300):
            wrong.extend(d for d in detections[-ROWS:] if not d.body or d.severity is None)

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(5):
        detections.extend(detect(log))
    thread.join()
    assert wrong == []


def test_what_kept_detections_hold_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "long.log"
    path.write_text("".join(f"2025-03-01T10:00:00Z INFO worker {n} started\n" for n in range(100_000)))
    with Detector(model="echo", store=":memory:", block=20_000) as detector:
        kept = [d for d in detector.detect(path) if d.line % 10_000 == 1]
    assert len(kept) == 10
    assert len(pickle.dumps([d._slab.rows.bodies for d in kept])) < 100 * 10 * ROWS
    assert all(len(d._slab.rows.bodies) == ROWS for d in kept)
    assert all(d.timestamp.year == 2025 for d in kept)
