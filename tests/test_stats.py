"""``ra stats`` counts what results hold."""

import json

import pytest

from ra_sdk.cli.app import main
from ra_sdk.cli.stats import counted

LINES = ["write failed: No space left on device", "all good", "all good", "zq failed"]


@pytest.fixture
def results(tmp_path):
    (tmp_path / "app.log").write_text("\n".join(LINES) + "\n")
    assert main(["detect", str(tmp_path / "app.log"), "--model", "echo", "--store", ":memory:", "--to", f"jsonl:{tmp_path / 'results.jsonl'}"]) == 0
    return tmp_path / "results.jsonl"


def test_results_are_counted(results, capsys):
    capsys.readouterr()
    assert main(["stats", str(results), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["records"], found["templates"], found["unreadable"]) == ({"abnormal": 2, "normal": 2}, {"abnormal": 2, "normal": 1}, 0)
    assert sum(found["reasons"].values()) == 2
    assert found["reasons"]["phrase"] >= 1
    assert main(["stats", str(results)]) == 0
    assert "abnormal templates by reason" in capsys.readouterr().out


def test_a_template_counts_once_with_its_last_verdict():
    rows = [{"template": "a", "label": "undecided"}, {"template": "a", "label": "abnormal", "category": "network", "reason_source": "phrase"}]
    found = counted([*(json.dumps(row).encode() for row in rows), b"\n", b"not JSON", b'{"label": "normal"}', b"\xff", b"[" * 100_000])
    assert found.to_dict() == {
        "records": {"undecided": 1, "abnormal": 1},
        "templates": {"abnormal": 1},
        "categories": {"network": 1},
        "reasons": {"phrase": 1},
        "unreadable": 4,
    }


@pytest.mark.parametrize(
    ("text", "code", "said"), [(None, 1, "cannot be read: No such file"), ("", 2, "none of 0 lines"), ("x\ny\n", 2, "none of 2 lines is one")]
)
def test_what_is_no_result_is_said(text, code, said, tmp_path, capsys):
    if text is not None:
        (tmp_path / "r").write_text(text)
    assert main(["stats", str(tmp_path / "r")]) == code
    assert said in capsys.readouterr().err
