from datetime import datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ra_sdk.blocks import Block, fields_of
from ra_sdk.detections import Detections
from ra_sdk.errors import BadOption
from ra_sdk.records import LogRecord, Verdict
from ra_sdk.sessions import grouping as module
from ra_sdk.sessions.grouping import Window, sessions

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
VERDICTS = {"n": (0.1, "normal"), "m": (0.4, "normal"), "a": (0.9, "abnormal"), "b": (0.7, "abnormal"), "u": (None, "undecided")}


def block(rows, first=1):
    """Rows are (letter, second or None, attributes)."""
    records = [
        LogRecord(f"{letter} {line}", None if at is None else START + timedelta(seconds=at), None, more) for line, (letter, at, more) in enumerate(rows, first)
    ]
    verdicts = [Verdict(letter, label, score, mode="direct") for letter, (score, label) in VERDICTS.items()]
    codes = pl.Series("code", [list(VERDICTS).index(letter) for letter, _, _ in rows], dtype=pl.UInt32)
    lines = pl.Series("line", range(first, first + len(rows)), dtype=pl.UInt64)
    bodies = pl.Series("body", [record.body for record in records], dtype=pl.String)
    return Detections(Block("log", "log", bodies, lines, lines, lines, lambda: fields_of(records)), codes, verdicts, [letter == "a" for letter in VERDICTS])


def blocks(rows, size=1_000):
    return [block(rows[at : at + size], at + 1) for at in range(0, len(rows), size)]


def letters(text):
    return [(letter, None, {}) for letter in text]


def timed(text):
    """``n0 a5 n-`` is an n at second 0, an a at 5, an n without a time."""
    return [(word[0], None if word[1:] == "-" else float(word[1:]), {}) for word in text.split()]


def keyed(text):
    """``nx ay n`` is an n with id x, an a with id y, an n without."""
    return [(word[0], None, {"id": word[1:]} if word[1:] else {}) for word in text.split()]


def short(found):
    """What a session is, in few characters: key, lines, count, label, score."""
    return [f"{s.key + ' ' if s.key else ''}{s.first_line}-{s.last_line} {s.count} {s.label[0]} {s.score}" for s in found]


@pytest.mark.parametrize(
    ("text", "window", "expected"),
    [
        ("nnan", Window(lines=2), ["1-2 2 n 0.1", "3-4 2 a 0.9"]),
        ("nnann", Window(lines=2), ["1-2 2 n 0.1", "3-4 2 a 0.9", "5-5 1 n 0.1"]),
        ("nm", Window(lines=10), ["1-2 2 n 0.4"]),
        ("nu", Window(lines=2), ["1-2 2 u 0.1"]),
        ("uu", Window(lines=2), ["1-2 2 u None"]),
        ("uab", Window(lines=3), ["1-3 3 a 0.9"]),
        ("", Window(lines=3), []),
        ("nan", Window(lines=1), ["1-1 1 n 0.1", "2-2 1 a 0.9", "3-3 1 n 0.1"]),
        ("nnnannn", Window(lines=4, step=2), ["1-4 4 a 0.9", "3-6 4 a 0.9", "5-7 3 n 0.1"]),
        ("nnnann", Window(lines=4, step=2), ["1-4 4 a 0.9", "3-6 4 a 0.9"]),
        ("nna", Window(lines=4, step=1), ["1-3 3 a 0.9"]),
        ("nnnnnnna", Window(lines=5, step=3), ["1-5 5 n 0.1", "4-8 5 a 0.9"]),
        ("nnnnnnnna", Window(lines=5, step=3), ["1-5 5 n 0.1", "4-8 5 n 0.1", "7-9 3 a 0.9"]),
    ],
)
def test_windows_of_records(text, window, expected):
    assert short(sessions(blocks(letters(text)), window)) == expected


@pytest.mark.parametrize(
    ("text", "window", "expected"),
    [
        ("n0 n5 a10 n19 n20", Window(seconds=10), ["1-2 2 n 0.1", "3-4 2 a 0.9", "5-5 1 n 0.1"]),
        ("n0 a50", Window(seconds=10), ["1-1 1 n 0.1", "2-2 1 a 0.9"]),
        ("n0 a- n10 a-", Window(seconds=10), ["1-2 2 a 0.9", "3-4 2 a 0.9"]),
        ("a- u- n12 n20", Window(seconds=10), ["1-3 3 a 0.9", "4-4 1 n 0.1"]),
        ("a- u-", Window(seconds=10), ["1-2 2 a 0.9"]),
        ("n0 n10 a9 n20", Window(seconds=10), ["1-3 2 a 0.9", "2-2 1 n 0.1", "4-4 1 n 0.1"]),
        ("n0 n10 n20 a1 n30", Window(seconds=10), ["1-1 1 n 0.1", "2-4 2 a 0.9", "3-3 1 n 0.1", "5-5 1 n 0.1"]),
        ("n100 a0 n1", Window(seconds=10), ["2-3 2 a 0.9", "1-1 1 n 0.1"]),
        ("n0 n5 a12 n21", Window(seconds=10, step=5), ["1-1 1 n 0.1", "1-2 2 n 0.1", "2-3 2 a 0.9", "3-3 1 a 0.9", "4-4 1 n 0.1", "4-4 1 n 0.1"]),
        ("n0.5 n0.9 a1.0", Window(seconds=0.5), ["1-2 2 n 0.1", "3-3 1 a 0.9"]),
    ],
)
def test_windows_of_time(text, window, expected):
    assert short(sessions(blocks(timed(text)), window)) == expected


def test_windows_of_time_before_the_epoch():
    rows = [("n", -3_000_000_000.0, {}), ("a", -2_999_999_990.0, {})]
    assert short(sessions(blocks(rows), Window(seconds=10))) == ["1-1 1 n 0.1", "2-2 1 a 0.9"]


@pytest.mark.parametrize(
    ("text", "window", "expected"),
    [
        ("nx ay nx n", Window(key="id"), ["x 1-3 2 n 0.1", "y 2-2 1 a 0.9", "4-4 1 n 0.1"]),
        ("nx ny nx ax ny nx", Window(key="id", lines=2), ["x 1-3 2 n 0.1", "y 2-5 2 n 0.1", "x 4-6 2 a 0.9"]),
        ("nx ny ax", Window(key="id", lines=3), ["x 1-3 2 a 0.9", "y 2-2 1 n 0.1"]),
        ("nx nx nx ny nx", Window(key="id", lines=2, step=1), ["x 1-2 2 n 0.1", "x 2-3 2 n 0.1", "x 3-5 2 n 0.1", "y 4-4 1 n 0.1"]),
    ],
)
def test_windows_of_keys(text, window, expected):
    assert short(sessions(blocks(keyed(text)), window)) == expected


def test_windows_of_keys_and_time():
    rows = [("n", None, {"id": "x"}), ("a", 0, {"id": "y"}), ("n", 9, {"id": "x"}), ("n", 10, {"id": "y"}), ("n", 35, {"id": "x"})]
    expected = ["x 1-3 2 n 0.1", "y 2-2 1 a 0.9", "y 4-4 1 n 0.1", "x 5-5 1 n 0.1"]
    assert short(sessions(blocks(rows), Window(key="id", seconds=10))) == expected


@pytest.mark.parametrize(
    ("name", "attributes", "key"),
    [
        ("id", {"id": "x"}, "x"),
        ("id", {"id": 5}, "5"),
        ("id", {"id": True}, "true"),
        ("id", {"id": None}, None),
        ("id", {"ID": "x"}, None),
        ("k8s.pod", {"k8s.pod": "flat", "k8s": {"pod": "nested"}}, "flat"),
        ("k8s.pod", {"k8s": {"pod": "nested"}}, "nested"),
        ("k8s.pod", {"k8s": "text"}, None),
        ("a b/c[0]", {"a b/c[0]": "x"}, "x"),
        ("é", {"é": 'q"ü'}, 'q"ü'),
        ("..", {}, None),
    ],
)
def test_keys_are_looked_up(name, attributes, key):
    assert [session.key for session in sessions([block([("n", None, attributes)])], Window(key=name))] == [key]


def test_the_key_that_was_silent_longest_gives_way(monkeypatch):
    monkeypatch.setattr(module, "MOST_KEYS", 2)
    found = short(sessions(blocks(keyed("nx ny nx az ny")), Window(key="id")))
    assert found == ["y 2-2 1 n 0.1", "x 1-3 2 n 0.1", "z 4-4 1 a 0.9", "y 5-5 1 n 0.1"]


def test_evidence_is_the_worst_first():
    (session,) = sessions(blocks(letters("nbabua"), 2), Window(lines=10))
    assert [(d.line, d.verdict.score) for d in session.evidence] == [(3, 0.9), (6, 0.9), (2, 0.7), (4, 0.7)]
    assert [d.record.body for d in session.evidence] == ["a 3", "a 6", "b 2", "b 4"]
    assert [d.cached for d in session.evidence] == [True, True, False, False]
    assert session.abnormal
    assert session.to_dict()["evidence"][0]["line"] == 3


def test_evidence_has_its_fields():
    (session,) = sessions([block([("n", 1, {}), ("a", 2, {"id": "x"})])], Window(seconds=60))
    (detection,) = session.evidence
    assert detection.record == LogRecord("a 2", START + timedelta(seconds=2), None, {"id": "x"})
    assert detection.source == "log"


@pytest.mark.parametrize("window", [Window(lines=100_000), Window(seconds=10**6), Window(key="id")])
def test_little_is_held_of_a_long_window(window):
    rows = [("b" if at % 3 else "a", at, {"id": "x"}) for at in range(900)]
    (session,) = sessions(blocks(rows, 90), window)
    assert (session.count, len(session.evidence)) == (900, module.MOST_EVIDENCE)
    assert [d.line for d in session.evidence] == list(range(1, 300, 3))
    assert max(len(d._slab.verdicts) for d in session.evidence) <= module.MOST_EVIDENCE


def test_blocks_are_let_go():
    import gc
    import weakref

    gone = []

    def one_by_one():
        for at in range(5):
            made = block(letters("nan"), 3 * at + 1)
            gone.append(weakref.ref(made.block))
            yield made

    found = list(sessions(one_by_one(), Window(lines=2)))
    gc.collect()
    assert len(found) == 8
    assert [ref() for ref in gone] == [None] * 5


def test_sessions_come_as_soon_as_they_are_full():
    def endless():
        at = 0
        while True:
            yield block(letters("na"), at + 1)
            at += 2

    found = sessions(endless(), Window(lines=4))
    assert short([next(found), next(found)]) == ["1-4 4 a 0.9", "5-8 4 a 0.9"]


rows_of_any_kind = st.lists(st.tuples(st.sampled_from("nmabu"), st.none() | st.integers(0, 40), st.sampled_from([{}, {"id": "x"}, {"id": "y"}])), max_size=40)
windows = st.builds(
    lambda kind, size, step, key: Window(**{kind: size}, step=min(size, step) if step else None, key=key),
    st.sampled_from(["lines", "seconds"]),
    st.integers(1, 12),
    st.integers(0, 12),
    st.sampled_from([None, "id"]),
) | st.just(Window(key="id"))


def everything(found):
    return [(*short([s]), [(d.line, d.record.body) for d in s.evidence]) for s in found]


@settings(deadline=None)
@given(rows_of_any_kind, windows, st.integers(1, 10))
def test_blocks_do_not_matter_and_nothing_is_lost(rows, window, size):
    whole = everything(sessions(blocks(rows), window))
    assert everything(sessions(blocks(rows, size), window)) == whole
    bad = {line for line, (letter, _, _) in enumerate(rows, 1) if letter in "ab"}
    assert {line for _, evidence in whole for line, _ in evidence} == bad
    counted = sum(s.count for s in sessions(blocks(rows, size), window))
    assert counted == len(rows) if window.step in (None, window.lines, window.seconds) else counted >= len(rows)


@settings(deadline=None)
@given(st.text("nabu", max_size=40), st.integers(1, 9), st.integers(1, 9))
def test_windows_of_records_are_slices(text, size, step):
    step = min(size, step)
    found = [(s.first_line - 1, s.last_line) for s in sessions(blocks(letters(text), 7), Window(lines=size, step=step))]
    expected = [(at, at + size) for at in range(0, len(text) - size + 1, step)]
    rest = len(expected) * step
    if len(text) > (expected[-1][1] if expected else 0):
        expected.append((rest, len(text)))
    assert found == expected


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lines": 0},
        {"lines": -1},
        {"lines": 1.5},
        {"lines": True},
        {"lines": "5"},
        {"seconds": 0},
        {"seconds": -1},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"seconds": 1e300},
        {"lines": 5, "seconds": 5},
        {"lines": 5, "step": 6},
        {"lines": 5, "step": 0},
        {"lines": 5, "step": 1.5},
        {"lines": 5, "step": -1},
        {"seconds": 5, "step": 6.0},
        {"seconds": 5, "step": float("nan")},
        {"seconds": 86_400, "step": 0.001},
        {"lines": 10_000, "step": 1},
        {"step": 5},
        {"key": ""},
        {"key": 5},
        {"key": 'a"b'},
        {"key": "id", "step": 5},
        {"key": "id", "lines": 0},
    ],
)
def test_windows_that_cannot_be(options):
    with pytest.raises(BadOption, match=r"^window .*(is no|cannot be both|has no|does not fit|puts).*; give "):
        Window(**options)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("100", Window(lines=100)),
        (" 100 lines ", Window(lines=100)),
        ("1 line", Window(lines=1)),
        ("100/10", Window(lines=100, step=10)),
        ("60s", Window(seconds=60)),
        ("5m", Window(seconds=300)),
        ("1.5 h", Window(seconds=5400)),
        ("250ms", Window(seconds=0.25)),
        ("5m/30s", Window(seconds=300, step=30)),
        ("trace_id", Window(key="trace_id")),
        ("k8s.pod.name", Window(key="k8s.pod.name")),
        ("key=trace_id", Window(key="trace_id")),
        ("key=5m", Window(key="5m")),
    ],
)
def test_windows_are_parsed(text, window):
    assert Window.parse(text) == window


@pytest.mark.parametrize("text", ["", "0", "-5", "1.5", "5 parsecs", "key=", "100/", "100/10s", "60s/10", "100/10/1", "100/200", "/", "a b", "99999999999d"])
def test_windows_that_are_not_understood(text):
    with pytest.raises(BadOption, match=r"^window .*; give "):
        Window.parse(text)
