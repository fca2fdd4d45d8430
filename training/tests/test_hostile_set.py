"""The committed pairs of hostile lines: what they must be to measure something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ra_training.corpus import masked

SET = Path(__file__).parent.parent / "sets" / "hostile.jsonl"
ROWS = [json.loads(line) for line in SET.read_text(encoding="utf-8").splitlines()]


def test_there_are_sixty_pairs_of_both_kinds():
    labels = [row["label"] for row in ROWS]
    assert len(ROWS) >= 60
    assert labels.count("normal") == labels.count("abnormal")
    assert len({row["hostile"] for row in ROWS}) == len({row["message"] for row in ROWS}) == len({row["id"] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_pair_differs_in_the_injected_text_only(row):
    assert row["message"] in row["hostile"]
    assert len(row["hostile"]) > len(row["message"])
    plain, injected = masked([row["message"], row["hostile"]])
    assert plain != injected
