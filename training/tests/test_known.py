"""Rows from the product's knowledge."""

import pytest

from ra_training.known import HELD_OUT, balanced, known_rows, ordinary_rows

STATEMENTS = [
    *((f"worker <num> begins its {word} round", "INFO") for word in ("first", "second", "third", "next", "last")),
    ("connection to <ip> failed", "DEBUG"),
    ("started", "INFO"),
    ("worker begins its first round", "ERROR"),
]


def test_rows_are_faults_and_routine_of_systems_that_are_not_held_out():
    rows = known_rows([])
    abnormal = [row for row in rows if row.abnormal]
    assert len(abnormal) > 5_000
    assert len(rows) - len(abnormal) > 1_000
    assert all(row.category for row in abnormal)
    assert not [row.system for row in rows if HELD_OUT.search(row.system)]
    assert len({row.id for row in rows}) == len(rows)
    assert {row.split for row in rows} == {"train"}


def test_what_stands_in_a_message_of_dev_or_test_is_left_out():
    row = next(row for row in known_rows([]) if row.abnormal and len(row.message.split()) > 4)
    assert row.message in {each.message for each in known_rows(["all good"])}
    assert row.message not in {each.message for each in known_rows([f"app: {row.message.upper()} again"])}


def test_ordinary_rows_speak_of_no_trouble():
    rows = ordinary_rows(STATEMENTS, 10)
    assert sorted(row.message for row in rows) == sorted(text for text, _ in STATEMENTS[:5])
    assert {(row.label, row.level) for row in rows} == {("normal", "INFO")}
    assert len(ordinary_rows(STATEMENTS, 2)) == 2


@pytest.mark.parametrize("count", [0, 50, 400])
def test_half_of_a_balanced_set_is_normal_as_far_as_there_are_statements(count):
    statements = [(f"worker {word} begins its round {number}", "INFO") for number, word in enumerate(["one"] * 400)]
    rows = balanced(count, [], statements)
    assert sum(row.abnormal for row in rows) == pytest.approx(len(rows) / 2, abs=1)
    assert balanced(count, [], statements) == rows
