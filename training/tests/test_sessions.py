"""Sessions: their truth comes from their templates, and each counts once."""

from __future__ import annotations

import pytest

from ra_training.corpus import Row
from ra_training.sessions import Counted, read_sessions, session_sets

LABELLED = [
    Row("1", "x", "disk failed", "abnormal", "hardware", split="test"),
    Row("2", "x", "all well", "normal", split="test"),
    Row("3", "x", "started", "normal"),
]


@pytest.fixture
def files(tmp_path):
    templates, sessions = tmp_path / "templates.csv", tmp_path / "sessions.csv"
    templates.write_text("EventId,EventTemplate\na,disk failed\nb,all well\nc,started\nd,never labelled\n", encoding="utf-8")
    sessions.write_text("split,label,template_ids\n" + "".join(f"test,normal,{ids}\n" for ids in ("0 1 1", "1 0", "1", "2 1", "3 0")), encoding="utf-8")
    return sessions, templates


def test_truth_is_that_of_the_templates_and_each_set_of_templates_counts_once(files):
    found = read_sessions(*files, LABELLED)
    assert found == [
        Counted(("disk failed", "all well"), True, True),
        Counted(("all well",), False, True),
        Counted(("all well", "started"), False, False),
    ]


def test_a_session_scores_as_its_worst_template(files):
    sets = session_sets(read_sessions(*files, LABELLED), {"disk failed": 0.9, "all well": 0.2, "started": 0.4})
    assert sets == {
        "sessions, all": ([True, False, False], [0.9, 0.2, 0.4]),
        "sessions, test templates only": ([True, False], [0.9, 0.2]),
    }


def test_sessions_without_labels_are_refused(files):
    with pytest.raises(SystemExit, match="no session has labels"):
        read_sessions(*files, LABELLED[2:])
