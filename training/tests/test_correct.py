"""Label correction from the finding to the patched file, on messages written here, and its figures on the research data."""

from __future__ import annotations

import csv
import io
import json
import os
import random

import pytest

from ra_training.agreement import cohen, consensus, fleiss
from ra_training.cli import main
from ra_training.corpus import Row
from ra_training.correct import Study, confident, find, out_of_fold, read_records, twins, value_blind
from ra_training.patches import read_patch
from ra_training.review import Answer, Item, keys, queue, read_answers, review

PARTS = ["pump", "valve", "mixer", "feeder", "burner", "turbine", "chiller", "conveyor"]
WELL = ["{} started in order", "{} reports status ready", "{} finished its cycle", "{} heartbeat received"]
WRONG = ["{} failed with a fatal fault", "{} connection refused, request failed", "{} aborted after a fatal error", "{} lost its link, fatal"]
FLIPPED = {"burner failed with a fatal fault", "chiller aborted after a fatal error", "mixer heartbeat received"}


def rows() -> list[dict[str, str]]:
    """Sixty-four rows; ``label`` is wrong where ``FLIPPED`` says so, ``truth`` never is."""
    found = []
    for part in PARTS:
        for kind, patterns in (("normal", WELL), ("abnormal", WRONG)):
            for pattern in patterns:
                message = pattern.format(part)
                other = {"normal": "abnormal", "abnormal": "normal"}[kind]
                found.append({"template": message, "label": other if message in FLIPPED else kind, "truth": kind, "split": "train" if part < "f" else "dev"})
    return [{"id": f"r{at}", **row} for at, row in enumerate(found)]


def write(path, records):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return path


@pytest.fixture
def study(tmp_path):
    source = write(tmp_path / "rows.csv", rows())
    find(source, "label", tmp_path / "study")
    return Study(tmp_path / "study")


def answer_all(study, name, wrong=(), top=10):
    """Review the head of the ranking by the messages' truth, but for those in ``wrong``; abnormal ones are hardware."""
    truth = {row["id"]: row["truth"] for row in rows()}
    items = queue(study, top)
    told = ["ah" if (truth[item.id] == "abnormal") != (item.message in wrong) else "n" for item in items]
    review(items, study.reviews / f"{name}.jsonl", presses("".join(told)), io.StringIO())


def presses(text):
    left = iter(text)
    return lambda: next(left, "")


# finding


def test_the_wrong_labels_head_the_ranking(study):
    ranking = study.ranking()
    assert {suspect.message for suspect in ranking[:3]} == FLIPPED
    assert all("out-of-fold" in suspect.why for suspect in ranking[:3])
    assert len(ranking) == 64
    suspects = sum(bool(suspect.why) for suspect in ranking)
    assert 3 <= suspects < 16
    margins = [suspect.score for suspect in ranking]
    assert margins == [*sorted(margins[:suspects], reverse=True), *sorted(margins[suspects:], reverse=True)]


def test_only_the_doubted_label_is_looked_at(study, tmp_path):
    """With the truth turned round, a telling category and reasoning beside it, the ranking is the same, byte by byte."""
    turned = [
        {**row, "truth": "normal", "category": "hardware" if row["truth"] == "abnormal" else "", "think": row["truth"], "split": "test"} for row in rows()
    ]
    find(write(tmp_path / "turned.csv", turned), "label", tmp_path / "other")
    assert (tmp_path / "other/ranking.jsonl").read_bytes() == (study.path / "ranking.jsonl").read_bytes()


def test_jsonl_without_ids_is_ranked_and_messages_stay_as_written(tmp_path):
    source = tmp_path / "rows.jsonl"
    lines = [{"message": f" {row['template']}  at #12# ", "label": row["label"]} for row in rows()]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    ranking = find(source, "label", tmp_path / "study")
    assert {suspect.message for suspect in ranking} == {line["message"] for line in lines}
    assert {" ".join(suspect.message.split()[:-2]) for suspect in ranking[:3]} == FLIPPED


def test_twins_are_never_in_the_fold_that_judges_them():
    """A wrong label that forty copies share is still disputed, because none of them is learnt from."""
    good = [Row(str(at), "", row["template"], row["truth"]) for at, row in enumerate(rows())]
    copies = [Row(f"c{at}", "", f"sensor {at} aborted after a fatal error", "normal") for at in range(1, 41)]
    assert min(out_of_fold([*good, *copies])[len(good) :]) > 0.5


def test_confident_learning_by_hand():
    labels, scores = [True, True, False, False, False], [0.9, 0.3, 0.1, 0.2, 0.75]
    margins, odd, thresholds = confident(labels, scores)
    assert thresholds == {"abnormal": 0.6, "normal": 0.65}
    assert odd == [False, True, False, False, True]
    assert margins == pytest.approx([0.1 - 0.65 - 0.3, 0.7 - 0.65 + 0.3, 0.1 - 0.6 - 0.25, 0.2 - 0.6 - 0.15, 0.75 - 0.6 + 0.4])


def test_twins_differ_in_values_only():
    assert value_blind("Job <num> exited with code 0") == value_blind("job 7a exited with code 137")
    assert value_blind("job <num> failed") != value_blind("job <num> finished")
    messages = ["exit code 0", "exit code 1", "exit code 2", "fan <num> ok", "fan 0 ok", "alone"]
    assert twins(messages, [False, True, True, True, False, True]) == [True, False, False, True, True, False]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda found: [{**row, "id": "r1"} for row in found], "'r1' stands there more than once"),
        (lambda found: [{**row, "label": "normal"} for row in found], "0 distinct abnormal messages are too few for 5 folds"),
        (lambda found: [{**row, "label": "odd"} for row in found], "not 'odd'"),
    ],
)
def test_what_cannot_be_searched_is_refused(tmp_path, change, says):
    with pytest.raises(SystemExit, match=says):
        find(write(tmp_path / "rows.csv", change(rows())), "label", tmp_path / "study")


def test_a_reviewed_study_is_not_written_over(study):
    answer_all(study, "ann")
    before = (study.path / "ranking.jsonl").read_bytes()
    with pytest.raises(SystemExit, match="give another --out"):
        find(study.path.parent / "rows.csv", "label", study.path, seed=2)
    assert (study.path / "ranking.jsonl").read_bytes() == before


# scoring


def table(text):
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {line[0].split(" ")[0]: line[1:] for line in cells[2:]}


def test_score_counts_moves(study, capsys):
    assert main(["correct", "score", str(study.path), "--truth", "truth", "--k", "2,6,64,100"]) == 0
    told = capsys.readouterr().out
    assert "64 rows, 3 moves" in told
    found = table(told)
    assert found["3"] == ["3", "2 of 2", "1 of 1", "1.000", "1.000"]
    assert found["6"] == ["3", "2 of 2", "1 of 1", "0.500", "1.000"]
    assert found["2"][0] == "2"
    assert found["2"][3:] == ["1.000", "0.667"]
    assert "100" not in found


def test_score_has_a_line_for_as_many_as_moves_and_none_for_no_moves(tmp_path, capsys):
    """Two more labels of another column differ, so that there are more moves than suspects."""
    others = [{**row, "other": "abnormal" if row["template"].endswith("status ready") and row["template"] < "d" else row["truth"]} for row in rows()]
    study = tmp_path / "study"
    suspects = sum(bool(suspect.why) for suspect in find(write(tmp_path / "rows.csv", others), "label", study))
    main(["correct", "score", str(study), "--truth", "other", "--k", "1"])
    told = capsys.readouterr().out
    assert "64 rows, 6 moves" in told
    assert set(table(told)) == {"1", str(suspects), "6"}
    assert suspects != 6
    main(["correct", "score", str(study), "--truth", "label", "--k", "1"])
    assert table(capsys.readouterr().out)["1"] == ["0", "0 of 0", "0 of 0", "0.000", "–"]


def test_score_of_some_splits_and_of_a_changed_file(study, capsys):
    main(["correct", "score", str(study.path), "--truth", "truth", "--k", "1", "--split", "train"])
    assert "24 rows, 2 moves" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="is in split 'nowhere'"):
        main(["correct", "score", str(study.path), "--truth", "truth", "--split", "nowhere"])
    write(study.path.parent / "rows.csv", rows()[1:])
    with pytest.raises(SystemExit, match="no longer what was searched"):
        main(["correct", "score", str(study.path), "--truth", "truth"])


# review

ITEMS = [Item("a", "disk \x1b[2J gone"), Item("b", "link up"), Item("c", "fan slow", "1 abnormal, 1 normal")]


def test_keys_become_answers(tmp_path):
    path, show = tmp_path / "ann.jsonl", io.StringIO()
    assert review(ITEMS, path, presses("xahnuaw"), show) == 0
    expected = [Answer("a", "abnormal", "hardware"), Answer("b", "normal"), Answer("c", "abnormal", "software", unsure=True)]
    assert list(read_answers(path).values()) == expected
    assert r"disk \x1b[2J gone" in show.getvalue()
    assert "\x1b" not in show.getvalue()
    assert "votes: 1 abnormal, 1 normal" in show.getvalue()


@pytest.mark.parametrize(
    ("pressed", "answers"),
    [
        ("nbahq", {"a": "hardware"}),  # back to the message before, and another answer
        ("abnq", {"a": "normal"}),  # back from the categories
        ("ubnq", {"a": "normal"}),  # back from unsure
        ("aq", {}),  # a category is part of the answer
        ("\x1b[Anq", {"a": "normal"}),  # an arrow key is no answer
    ],
)
def test_back_and_quit(tmp_path, pressed, answers):
    review(ITEMS, tmp_path / "ann.jsonl", presses(pressed), io.StringIO())
    found = read_answers(tmp_path / "ann.jsonl")
    assert {row: answer.category or answer.label for row, answer in found.items()} == answers
    assert not any(answer.unsure for answer in found.values())


def test_a_review_goes_on_after_a_crash_in_the_middle_of_a_line(tmp_path):
    path = tmp_path / "ann.jsonl"
    review(ITEMS, path, presses("n"), io.StringIO())
    with path.open("a", encoding="utf-8") as file:
        file.write('{"id": "b", "lab')
    assert set(read_answers(path)) == {"a"}
    show = io.StringIO()
    assert review(ITEMS, path, presses("acn"), show) == 0
    assert "disk" not in show.getvalue()
    assert {row: answer.label for row, answer in read_answers(path).items()} == {"a": "normal", "b": "abnormal", "c": "normal"}


def test_an_answer_is_on_disk_before_the_next_question(tmp_path):
    path, seen = tmp_path / "ann.jsonl", []

    def key():
        seen.append(len(read_answers(path)))
        return "n"

    review(ITEMS, path, key, io.StringIO())
    assert seen == [0, 1, 2]


def test_ctrl_c_stops_and_keeps(tmp_path):
    left = ["n"]

    def key():
        if not left:
            raise KeyboardInterrupt
        return left.pop()

    assert review(ITEMS, tmp_path / "ann.jsonl", key, io.StringIO()) == 2
    assert set(read_answers(tmp_path / "ann.jsonl")) == {"a"}


def test_the_suspects_are_asked_for_or_as_many_as_wished(study):
    assert [item.id for item in queue(study)] == [suspect.id for suspect in study.ranking() if suspect.why]
    assert [item.id for item in queue(study, 9)] == [suspect.id for suspect in study.ranking()[:9]]


def test_reviewers_are_blind_to_labels_and_to_each_other(study, monkeypatch, capsys):
    """Another's answers may be anything, they are not opened; and the label in doubt is not on the screen."""
    study.reviews.mkdir()
    (study.reviews / "bob.jsonl").write_text("not even JSON\n", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\na\nh\n"))
    assert main(["correct", "review", str(study.path), "--reviewer", "ann", "--top", "3"]) == 0
    told = capsys.readouterr().out
    assert "2 judged, 1 left; the same command goes on" in told
    questions = [line for line in told.splitlines() if line.startswith("[")]
    assert questions == [f"[{at}/3] {suspect.message}" for at, suspect in enumerate(study.ranking()[:3], 1)]
    assert len(read_answers(study.reviews / "ann.jsonl")) == 2


@pytest.mark.parametrize("name", ["../ann", "", "a/b", ".x"])
def test_a_reviewer_names_a_file(study, name):
    with pytest.raises(SystemExit, match="reviewer"):
        main(["correct", "review", str(study.path), "--reviewer", name])
    assert not study.reviews.exists()


def test_a_terminal_gives_single_keys_and_is_put_back():
    termios = pytest.importorskip("termios")
    ours, theirs = os.openpty()
    with os.fdopen(theirs, encoding="utf-8") as terminal:
        before = termios.tcgetattr(terminal)
        with keys(terminal) as key:
            assert not termios.tcgetattr(terminal)[3] & (termios.ICANON | termios.ECHO)
            os.write(ours, b"a")  # no line's end
            assert key() == "a"
        assert termios.tcgetattr(terminal) == before
    os.close(ours)


# agreement


def test_cohens_kappa_by_hand():
    """Twenty yes and fifteen no of fifty in common, five and ten apart: (0.7 - 0.5) / (1 - 0.5)."""
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen([one for one, _ in pairs], [two for _, two in pairs]) == pytest.approx(0.4)
    assert cohen(["n", "n"], ["n", "n"]) is None
    assert cohen([], []) is None


def test_fleiss_kappa_of_the_papers_example():
    """Fleiss 1971 by its table as Wikipedia gives it: ten subjects, fourteen raters, kappa 0.210."""
    counts = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
        *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]
    said = [[str(kind) for kind, count in enumerate(row) for _ in range(count)] for row in counts]
    assert fleiss(said) == pytest.approx(0.210, abs=0.0005)
    assert fleiss([["n", "n"]] * 3) is None
    assert fleiss([]) is None


def test_agree_prints_kappas_and_lists_disagreements_without_names(study, capsys):
    answer_all(study, "ann")
    answer_all(study, "bob", wrong={"mixer heartbeat received"})
    assert main(["correct", "agree", str(study.path)]) == 0
    told = capsys.readouterr().out
    ann, bob = (read_answers(study.reviews / f"{name}.jsonl") for name in ("ann", "bob"))
    kappa = cohen([answer.label for answer in ann.values()], [answer.label for answer in bob.values()])
    assert kappa < 1
    assert f"| ann, bob | {len(ann)} | {1 - 1 / len(ann):.3f} | {kappa:.3f} |" in told
    assert "1 rows with both labels" in told
    listed = study.disagreements.read_text(encoding="utf-8")
    assert json.loads(listed)["message"] == "mixer heartbeat received"
    assert json.loads(listed)["votes"] == "1 abnormal, 1 normal"
    assert "bob" not in listed


def test_agree_is_on_what_both_judged_and_needs_two(study, capsys):
    answer_all(study, "ann")
    with pytest.raises(SystemExit, match="another one review"):
        main(["correct", "agree", str(study.path)])
    answer_all(study, "bob", top=3)
    main(["correct", "agree", str(study.path)])
    assert "| ann, bob | 3 | 1.000 |" in capsys.readouterr().out


def panel(*labels, unsure=False):
    """Reviews of row x by as many reviewers."""
    kinds = {"h": ("abnormal", "hardware"), "w": ("abnormal", "software"), "n": ("normal", None)}
    return {str(at): {"x": Answer("x", *kinds[label], unsure)} for at, label in enumerate(labels)}


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        ("hh", {}, "hardware"),
        ("hwh", {}, "hardware"),
        ("nnn", {}, "normal"),
        ("hn", {}, None),
        ("hn", {"majority": True}, None),
        ("hhn", {}, None),
        ("wwn", {"majority": True}, "software"),
        ("h", {}, None),
        ("h", {"least": 1}, "hardware"),
    ],
)
def test_consensus(labels, options, said):
    decided, unsettled = consensus(panel(*labels), {}, **options)
    assert {row: answer.category or answer.label for row, answer in decided.items()} == ({"x": said} if said else {})
    assert unsettled == ([] if said else ["x"])


def test_the_adjudicator_overrules():
    decided, unsettled = consensus(panel("h", "h", "n"), {"x": Answer("x", "normal")}, majority=True)
    assert decided["x"].label == "normal"
    assert unsettled == []


# patch


def test_from_suspects_to_a_corrected_file(study, tmp_path, monkeypatch, capsys):
    """The whole way by its commands: two reviewers, one disagreement, its adjudication, the patch, the file."""
    answer_all(study, "ann")
    answer_all(study, "bob", wrong={"mixer heartbeat received"})
    main(["correct", "agree", str(study.path)])
    main(["correct", "patch", str(study.path)])
    assert "2 labels move, 2 to abnormal, 0 to normal; 1 rows are open" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    main(["correct", "review", str(study.path), "--adjudicate"])
    main(["correct", "patch", str(study.path)])
    assert "3 labels move, 2 to abnormal, 1 to normal; 0 rows are open" in capsys.readouterr().out
    out = tmp_path / "corrected.csv"
    assert main(["correct", "apply", str(study.patch), str(tmp_path / "rows.csv"), "--out", str(out)]) == 0
    assert "3 labels changed, 0 were so already, 0 entries" in capsys.readouterr().out
    after = read_records(out)
    assert all(row["label"] == row["truth"] for row in after)
    assert [{**row, "label": row["truth"], "category": after[at]["category"]} for at, row in enumerate(rows())] == after
    assert {row["template"]: row["category"] for row in after if row["category"]} == dict.fromkeys(FLIPPED - {"mixer heartbeat received"}, "hardware")


def rationanomaly(path):
    """What RationAnomaly's own script makes of a patch: template to label, as its reader is documented in our patches module."""
    return {entry["input"].strip(): entry["rectified"] for entry in json.loads(path.read_text(encoding="utf-8"))}


def test_a_patch_is_in_rationanomalys_form(study):
    answer_all(study, "ann")
    answer_all(study, "bob")
    main(["correct", "patch", str(study.path)])
    truth = {row["template"]: row["truth"] for row in rows()}
    assert rationanomaly(study.patch) == {message: truth[message] for message in FLIPPED}
    assert {text: move.rectified for text, move in read_patch(study.patch).items()} == rationanomaly(study.patch)


def test_a_foreign_patch_is_applied(tmp_path, capsys):
    """Of two entries to one template the last counts; a category that is not ours is left out, and a row that moves to normal loses its own."""
    lines = [{"message": "a x \n", "label": "normal"}, {"message": "b", "label": "abnormal", "category": "network"}, {"message": "c", "label": "normal"}]
    source, patch, out = tmp_path / "rows.jsonl", tmp_path / "anomaly_patch.json", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    entries = [("a x", "normal", None), (" a x", "abnormal", "software exception"), ("b", "normal", None), ("c", "normal", None), ("d", "abnormal", None)]
    patch.write_text(json.dumps([{"input": text, "rectified": label, "category": kind} for text, label, kind in entries]), encoding="utf-8")
    main(["correct", "apply", str(patch), str(source), "--out", str(out)])
    assert "2 labels changed, 1 were so already, 1 entries of the patch met no row" in capsys.readouterr().out
    assert read_records(out) == [{**lines[0], "label": "abnormal"}, {**lines[1], "label": "normal", "category": None}, lines[2]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ('{"a": "normal"}', "is no array"),
        ('[{"input": "a", "rectified": "normal"}, {"input": "b", "rectified": "odd"}]', "entry 2: .*not 'odd'"),
        ('[{"rectified": "normal"}]', "entry 1: needs a template"),
        ("[3]", "entry 1"),
    ],
)
def test_a_broken_patch_says_where(tmp_path, text, says):
    (tmp_path / "patch.json").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match=says):
        read_patch(tmp_path / "patch.json")


@pytest.mark.parametrize(("out", "says"), [("rows.csv", "would be overwritten"), ("other.jsonl", "ending '.csv'")])
def test_apply_keeps_what_was_there(tmp_path, out, says):
    source = write(tmp_path / "rows.csv", rows())
    before = source.read_bytes()
    (tmp_path / "patch.json").write_text("[]", encoding="utf-8")
    with pytest.raises(SystemExit, match=says):
        main(["correct", "apply", str(tmp_path / "patch.json"), str(source), "--out", str(tmp_path / out)])
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["review", "DIR"], "--reviewer NAME"),
        (["review", "DIR", "--adjudicate"], "correct agree"),
        (["agree", "DIR"], "has no answers"),
        (["patch", "DIR"], "has no answers"),
        (["score", "DIR", "--truth", "truth", "--k", "ten"], "'ten' is no list"),
        (["find", "FILE", "--out", "OUT", "--folds", "1"], "give 2 or more"),
    ],
)
def test_a_step_out_of_order_says_what_to_do(study, tmp_path, arguments, says):
    known = {"DIR": str(study.path), "FILE": str(tmp_path / "rows.csv"), "OUT": str(tmp_path / "out")}
    with pytest.raises(SystemExit, match=says):
        main(["correct", *(known.get(argument, argument) for argument in arguments)])


def test_a_study_that_is_not_there(tmp_path):
    for step in ("review", "agree", "patch"):
        with pytest.raises(SystemExit, match="correct find"):
            main(["correct", step, str(tmp_path / "none"), *(["--reviewer", "ann"] if step == "review" else [])])


# the research data


@pytest.mark.slow
def test_suspects_of_the_papers_labels_are_the_panels_moves(shared, tmp_path, capsys):
    """Far better than chance (0.092), whatever the order of the rows; the figures are in LOG.md."""
    records = read_records(shared / "data/templates.csv")
    random.Random(0).shuffle(records)
    main(["correct", "find", str(write(tmp_path / "templates.csv", records)), "--label", "label_paper", "--out", str(tmp_path / "study")])
    main(["correct", "score", str(tmp_path / "study"), "--truth", "label_panel"])
    told = capsys.readouterr().out
    assert "3063 rows, 282 moves" in told
    found = table(told)
    assert float(found["100"][3]) > 0.75
    assert float(found["500"][4]) > 0.7
