"""Figures against cases worked out by hand."""

from __future__ import annotations

import pytest

from ra_training.baselines import keywords
from ra_training.evaluate import markdown
from ra_training.metrics import average_precision, calibration_error, figures, rationale_figures

CASES = [
    ([True, True, False, False], [0.9, 0.8, 0.2, 0.1], 1.0),
    ([True, False], [0.5, 0.5], 0.5),  # a tie is one step
    ([False, True], [0.9, 0.1], 0.5),
    ([True, False, True], [0.9, 0.8, 0.7], (1 + 2 / 3) / 2),
    ([False], [0.3], 0.0),
]


@pytest.mark.parametrize(("truth", "scores", "expected"), CASES)
def test_average_precision(truth, scores, expected):
    assert average_precision(truth, scores) == pytest.approx(expected)


def test_figures_by_hand():
    found = figures([True, True, False, False, False], [0.9, 0.2, 0.8, 0.1, 0.1], [True, False, True, False, False])
    assert (found["precision"], found["recall"], found["f1"]) == (0.5, 0.5, 0.5)
    assert found["macro_f1"] == pytest.approx((0.5 + 2 / 3) / 2, abs=1e-4)
    assert found["balanced_accuracy"] == pytest.approx((0.5 + 2 / 3) / 2, abs=1e-4)


def test_calibration_error_by_hand():
    assert calibration_error([True, False], [1.0, 0.0]) == 0
    assert calibration_error([True, False, False, False], [0.75] * 4) == pytest.approx(0.5)


def test_rationales_are_checked_against_the_message():
    found = rationale_figures(["disk sda full"] * 4, ['"disk sda" is full', '"disk sdb" is full', None, "full"], [True, True, True, False])
    assert (found["rationales"], found["ungrounded_share"], found["abnormal_without_quote"]) == (3, 0.3333, 1)


def test_table_has_a_line_for_each_result_and_dashes_for_what_is_missing():
    text = markdown([{"what": "a", "set": "x", "n": 2, "f1": 0.5}, {"what": "b", "set": "x", "n": 2, "f1": 1.0, "ece": None}])
    assert text.count("\n") == 4
    assert "| a | x | 2 | – | – | 0.500 |" in text


def test_keywords():
    assert keywords(["read error", "all is well"]) == [1.0, 0.0]
