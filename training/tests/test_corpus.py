"""What is read, and how reasoning is brought into line with the masks."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from ra_sdk.reasoner.rationale import invented

from ra_training.augment import hostile, relevelled, starred
from ra_training.corpus import Row, corpus_files, masked, read_rows, training_rows
from ra_training.hostile import injection
from ra_training.pairs import PATTERNS, value_pairs
from ra_training.reasons import anchored, reason, shortened


def test_test_rows_are_never_trained_on(corpus):
    files = corpus_files(corpus)
    rows = [row for split in ("train", "dev") for row in training_rows(files, split)]
    assert {row.split for row in rows} == {"train", "dev"}
    assert not any("fjord" in row.message for row in rows)
    with pytest.raises(ValueError, match="not for training"):
        training_rows(files, "test")


def test_variables_of_published_templates_become_wildcards(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("id,system,split,template,said\nA,x,train,node #12# lost #3# links,abnormal\n", encoding="utf-8")
    assert read_rows(file, "said")[0].message == "node <*> lost <*> links"


@pytest.mark.parametrize(
    "line", ['{"message": "x"}', '{"message": "x", "label": "bad"}', '{"label": "normal"}', '{"message":"x","label":"abnormal","category":"y"}']
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, line):
    file = tmp_path / "rows.jsonl"
    file.write_text(f'{{"message": "fine", "label": "normal"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(SystemExit, match="row 2"):
        read_rows(file)


def test_normal_templates_without_reasoning_are_capped_but_abnormal_ones_stay(tmp_path):
    (tmp_path / "data").mkdir()
    lines = [
        "id,split,template,label_panel,category",
        *(f"n{k},train,r{chr(97 + k)}=x,normal," for k in range(20)),
        *(f"a{k},train,bad {chr(97 + k)},abnormal," for k in range(5)),
    ]
    (tmp_path / "data" / "templates.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = training_rows({"panel": corpus_files(tmp_path)["panel"]}, "train", plain=3)
    assert [sum(row.abnormal == wrong for row in rows) for wrong in (False, True)] == [3, 5]
    assert all(row.category == "system" for row in rows if row.abnormal)


ANCHORED = [  # message, reasoning, what is left of it
    ("worker 30418 exited on signal 11", 'It crashed: "exited on signal 11" is fatal.', 'It crashed: "exited on signal 11" is fatal.'),
    ("worker 30418 exited", 'It left: "worker 30418 exited".', 'It left: "worker <num> exited".'),
    ("disk sda at 97% of quota", 'It is full, "at 97% of quota".', 'It is full, "at <highpct> of quota".'),
    ("Link to 10.4.7.91 lost", '"LINK TO 10.4.7.91 lost" is plain.', '"Link to <ip> lost" is plain.'),
    ("cannot open /etc/app.conf", 'Opening /etc/app.conf failed: "cannot open".', 'Opening <path> failed: "cannot open".'),
    ("cannot open the file", 'Opening /etc/app.conf failed: "cannot open".', None),  # invented path
    ("read 4096 bytes", 'It took 77 tries, "read".', None),  # invented number
    ("worker 30418 exited", '"30418 exi" is cut.', '"<num> exi" is cut.'),
    ("worker 30418 exited", 'Half a number, "418 exited".', None),
    ("worker exited", "Nothing is quoted here.", None),
]


@pytest.mark.parametrize(("message", "think", "expected"), ANCHORED)
def test_reasoning_is_anchored_in_the_masked_message(message, think, expected):
    assert anchored(think, message, masked([message])[0]) == expected


SHORTENED = [  # reasoning, what is learnt of it
    ('The disk reports "read error". It is failing.', 'The disk reports "read error".'),
    ('Disks have firmware. Here "read error" says that data is gone. Replace it.', 'Here "read error" says that data is gone.'),
    ('"link down" means the cable carries nothing, so the node is lost.', '"link down" means the cable carries nothing.'),
    ('"no quorum" stops all writes; they fail until a member is back.', '"no quorum" stops all writes; they fail until a member is back.'),
    ('The member refuses, "no quorum", all writes of clients; they fail from now on.', 'The member refuses, "no quorum", all writes of clients.'),
    ('The card says "so sorry; bye" so it is off.', 'The card says "so sorry; bye" so it is off.'),
    ("Nothing is quoted here.", None),
    ('It says "down" ' + "and on " * 20 + "and off.", None),
]


@pytest.mark.parametrize(("think", "expected"), SHORTENED)
def test_a_rationale_is_the_evidence_without_what_is_concluded(think, expected):
    assert shortened(think) == expected
    assert reason(None, "a", "a") is None


def test_the_written_rows_are_for_training_and_choosing_and_their_reasons_hold():
    rows = read_rows(corpus_files(Path("nowhere"))["written"])
    assert {row.split for row in rows} == {"train", "dev"}
    assert len({row.message for row in rows}) == len(rows)
    texts = masked([row.message for row in rows])
    told = [(text, why) for text, why in ((text, reason(row.think, row.message, text)) for row, text in zip(rows, texts)) if why]
    assert len(told) > 0.9 * len(rows)
    assert not any(invented(text, why) for text, why in told)


def test_pairs_differ_after_masking_and_their_reasons_hold():
    rows = list(value_pairs(len(PATTERNS) * 3, random.Random(5)))
    texts = masked([row.message for row in rows])
    for well, wrong, text, other in zip(rows[::2], rows[1::2], texts[::2], texts[1::2]):
        assert (well.label, wrong.label) == ("normal", "abnormal")
        assert text != other, well.message
        assert not re.search(r"[{}@=]/|/[=]|[{}@]", well.message + wrong.message)
    told = [(text, reason(row.think, row.message, text)) for row, text in zip(rows, texts)]
    kept = [(text, why) for text, why in told if why]
    assert len(kept) > len(rows) * 0.8
    assert not any(invented(text, why) for text, why in kept)


def test_injections_are_many_and_go_both_ways():
    rng = random.Random(1)
    seen = [{injection(rng, wrong) for _ in range(2000)} for wrong in (False, True)]
    assert min(map(len, seen)) > 400
    assert any("<|im_" in text for text in seen[0])
    assert any("<answer>" in text for text in seen[1])


def test_variants_keep_label_and_reasoning():
    rng = random.Random(2)
    row = Row("1", "s", "ERROR node-7 lost its quorum", "abnormal", "system", 'It "lost its quorum".')
    for _ in range(200):
        changed = hostile(row, rng)
        assert (changed.label, changed.category, changed.think) == (row.label, row.category, row.think)
        assert all(word in changed.message for word in row.message.split())
        assert "lost its quorum" in relevelled(row, rng).message
        assert starred(row.message, row.think, rng) in ("ERROR node-7 lost its quorum", "ERROR <*> lost its quorum")
    assert starred("db-1 gone", 'It says "db-1 gone".', rng) == "db-1 gone"
