"""The choice among known entries: fitted, measured, and good enough on the labelled lines."""

import json

import pytest
from ra_sdk.knowledge import Entry, Knowledge
from ra_sdk.knowledge.choosing import Candidate, Features

from ra_training.choose import SETS, TWINS, Line, coverage, fitted, measure, read, reasons, twin_errors
from ra_training.corpus import Row


def candidate(name, length):
    features = Features(0.0, length, 0.2, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0)
    return Candidate(Entry(name, "phrase", (name,), "about it"), 0, 4, name, features)


def test_the_weights_follow_the_labels():
    long = [Line("train", "a", [candidate("right", 0.9)], frozenset({"right"})) for _ in range(30)]
    short = [Line("train", "a", [candidate("wrong", 0.1)], frozenset()) for _ in range(30)]
    weights, _ = fitted(long + short)
    assert dict(zip(Features.__dataclass_fields__, weights, strict=True))["length"] > 0.5


@pytest.mark.parametrize(
    ("candidates", "fits", "expected"),
    [([], set(), (1, 0, 0)), ([], {"other"}, (0, 0, 1))],
)
def test_what_is_measured(candidates, fits, expected):
    found = measure([Line("dev", "a", candidates, frozenset(fits))])
    assert (found.right, found.wrong, found.missed) == expected


def test_the_product_chooses_well():
    lines = read(SETS, Knowledge(left_out=()))
    dev = measure([line for line in lines if line.split == "dev"])
    assert dev.lines >= 200
    assert dev.right >= 0.9
    assert not {line.system for line in lines if line.split == "dev"} & {line.system for line in lines if line.split == "train"}


def test_twins_have_no_entry_in_common():
    wrong, size = twin_errors(TWINS, Knowledge(left_out=()))
    assert size >= 300
    assert wrong == []


def test_a_row_that_is_none_is_named(tmp_path):
    path = tmp_path / "choices.jsonl"
    path.write_text('{"text": "x"}\n')
    with pytest.raises(SystemExit, match=r"choices.jsonl:1: must be a labelled line"):
        read(path, Knowledge(left_out=()))


def test_a_report(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [
        {"message": "write failed: No space left on device", "label": "abnormal", "split": "dev"},
        {"message": "all well", "label": "normal", "split": "dev"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "rows.jsonl: 1 abnormal messages; phrase 1.00" in reasons([str(path)], "dev")
    found = coverage([Row("1", "a", "xyzzy plugh", "abnormal")], Knowledge(left_out=()))
    assert found == {"none": 1}
