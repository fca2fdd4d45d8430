"""Rewards: every case has a wrong implementation, the paper's released one among them, that fails it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from ra_training.evidence import erasure_reward, label_reward, left_out, line_reward, short_reward, shown, twin_reward
from ra_training.reasoning import bleu, brevity_reward, coherence_reward, grounding_reward, inventions, rouge_l, words
from ra_training.rewards import NAMES, AnswerWeights, Rewards, Sample, answer_reward, choice_reward, format_reward, means, score
from ra_training.tasks import Task

TEXT = "disk sda failed after 3 retries on <ip>"
THINK = 'The disk gave up: "sda failed".'
END = "<|im_end|>"
GOOD = f"<think> {THINK}\n</think> incident hardware{END}"
QUOTED = f" incident hardware: sda failed{END}"
OF_THINK, OF_DIRECT = ("grounding", "coherence", "brevity"), ("line", "short", "label", "erasure", "twin")
TASK = Task("direct", TEXT, "ERROR", abnormal=True, category="hardware", evidence="sda failed", twin="disk sda ready after 3 retries on <ip>")


def sample(reply=GOOD, *, perplexity=8.0, abnormal=True, think=None):
    return Sample(Task("think", TEXT, None, abnormal, "hardware" if abnormal else None, think=think), reply, perplexity=perplexity)


def quoting(reply=QUOTED, *, lost=4.0, **changes):
    return Sample(replace(TASK, **changes), reply, lost)


@pytest.mark.parametrize(
    ("kind", "reply", "well"),
    [
        ("think", GOOD, 1.0),
        ("think", f"<think> a\n</think> routine{END}", 1.0),
        ("direct", f" routine: a{END}", 1.0),
        ("direct", QUOTED, 1.0),
        ("direct", GOOD, 0.0),  # the other layout
        ("think", QUOTED, 0.0),
        ("think", f"<think> a\n</think> incident{END}", 0.0),  # no category
        ("think", f"<think> a\n</think> routine hardware{END}", 0.0),
        ("think", f"<think> a\n</think> incident weather{END}", 0.0),
        ("think", f"<think> a\n</think>routine{END}", 0.0),  # another token than the product reads
        ("think", f"<think> \n</think> routine{END}", 0.0),  # nothing thought
        ("think", f"<think> a</think> routine{END}", 0.0),  # its newline is what ends it
        ("think", f"<think> a\nb\n</think> routine{END}", 0.0),
        ("think", "<think> a\n</think> routine", 0.0),  # its turn does not end
        ("think", f"{GOOD}\n{GOOD}", 0.0),
        ("think", f"{GOOD} and so on", 0.0),
        ("think", f"Well. {GOOD}", 0.0),
        ("think", f"<think> a </think> b\n</think> routine{END}", 0.0),
        ("think", "", 0.0),
        ("direct", f" incident: sda failed{END}", 0.0),  # no category
        ("direct", f" routine hardware: sda failed{END}", 0.0),
        ("direct", f" incident hardware{END}", 0.0),  # no evidence
        ("direct", f" incident hardware:{END}", 0.0),
        ("direct", f" incident hardware: {END}", 0.0),
        ("direct", f" incident hardware sda failed{END}", 0.0),  # no colon
        ("direct", " incident hardware: sda failed", 0.0),  # out of its tokens
        ("direct", f" incident hardware: sda\nfailed{END}", 0.0),
        ("direct", f"{QUOTED}{QUOTED[1:]} ", 0.0),
        ("direct", "", 0.0),
    ],
)
def test_format_is_exactly_the_products_layout_with_its_end(kind, reply, well):
    assert format_reward(reply, kind) == well


def test_the_prompts_own_replies_are_well_formed():
    from ra_sdk.reasoner.prompt import reply
    from ra_sdk.records import CATEGORIES

    for mode in ("think", "direct"):
        assert all(format_reward(reply(mode, category, evidence="sda failed", think=THINK) + END, mode) for category in (None, *CATEGORIES))


@pytest.mark.parametrize(
    "weights", [AnswerWeights(), AnswerWeights.balanced(0.4), AnswerWeights.balanced(0.02), AnswerWeights.balanced(0.9), AnswerWeights.balanced(0)]
)
def test_answers_are_ordered(weights):
    found, confirmed, alarm, missed = (answer_reward(said, truth, weights) for said, truth in [(True, True), (False, False), (True, False), (False, True)])
    assert found > confirmed > 0 > alarm > missed
    assert answer_reward(None, True, weights) == missed
    assert answer_reward(None, False, weights) == alarm


@pytest.mark.parametrize("share", [0.02, 0.25, 0.4])
def test_balanced_answers_make_no_constant_answer_pay(share):
    weights = AnswerWeights.balanced(share)
    for said in (True, False):
        assert share * answer_reward(said, True, weights) + (1 - share) * answer_reward(said, False, weights) == pytest.approx(0, abs=1e-9)
    assert AnswerWeights.balanced(0.25).confirmed == pytest.approx(1 / 3)


@pytest.mark.parametrize("wrong", [(1, 1, -0.5, -1), (0.5, 1, -0.5, -1), (1, 0.5, -1, -1), (1, 0.5, -1, -0.5), (1, 0.5, 0, -1), (1, 0, -0.5, -1)])
def test_answers_out_of_order_are_refused(wrong):
    with pytest.raises(ValueError, match="give found > confirmed > 0 > false alarm > missed"):
        AnswerWeights(*wrong)


@pytest.mark.parametrize(
    ("said", "source", "value"),
    [
        ("police kill the gunman", "police killed the gunman", 3 / 4),  # Lin 2004, section 3
        ("the gunman kill police", "police killed the gunman", 2 / 4),  # as many words in common: order counts
        ("a b c", "a x b y c z", 2 * 3 / 9),  # gaps do not
        ("no", "on", 0.0),  # words, not letters
        ("a", "", 0.0),
        ("", "a", 0.0),
    ],
)
def test_rouge_l_by_hand(said, source, value):
    assert rouge_l(words(said), words(source)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("said", "source", "most", "value"),
    [
        ("the the the the the the the", "the cat is on the mat", 1, 2 / 7),  # Papineni et al. 2002, section 2.1: counts are clipped
        ("a b c d", "a b c d", 4, 1.0),
        ("a b", "a b c d", 4, math.exp(1 - 4 / 2)),  # brevity penalty
        ("a c b", "a b c", 4, (1 * 1 / 3 * 1 / 2) ** (1 / 3)),  # smoothed: two words 0+1 of 2+1, three words 0+1 of 1+1
        ("a b x", "a b c", 4, (2 / 3 * 2 / 3 * 1 / 2) ** (1 / 3)),
        ("no", "on", 4, 0.0),  # over letters, as released, this is much
        ("", "a", 4, 0.0),
    ],
)
def test_bleu_by_hand(said, source, most, value):
    assert bleu(words(said), words(source), most) == pytest.approx(value)


def test_placeholders_are_words():
    assert words('Failed <ip>:<num>, "DISK-2" <*>!') == ["failed", "<ip>", "<num>", "disk", "2", "<*>"]


@pytest.mark.parametrize(
    "made_up",
    [
        "41",
        "/var/log/messages",
        "C:\\temp\\x",
        "10.0.0.1",
        "fe80::1",
        "0x1f",
        "ENOSPC",
        "SIGKILL",
        "ERR_NO_SPACE",
        "root@storage",
        "db.internal.example",
        "<path>",
        '"disk is full"',
    ],
)
def test_an_invention_costs_more_than_overlap_can_earn(made_up):
    think = f'The disk gave up: "sda failed" {made_up}.'
    assert len(inventions(TEXT, think)) == 1
    assert grounding_reward(TEXT, think) < grounding_reward(TEXT, THINK) - 0.7
    assert grounding_reward(TEXT, think) < grounding_reward(TEXT, 'Quite another matter, "3".')
    assert not inventions(f"{TEXT} {made_up.strip(chr(34))}", think)


@pytest.mark.parametrize(
    "think",
    [
        'It says "failed after 3 retries".',
        'After 3 retries "sda failed" on <ip>.',
        'The ext4 volume on IPv4 host: "failed".',
        '"SDA FAILED"',
        'An HTTP or NFS ERROR, "failed".',
    ],
)
def test_what_the_line_says_is_no_invention(think):
    assert inventions(TEXT, think) == []
    assert grounding_reward(TEXT, think) > 0


def test_each_invention_costs():
    values = [grounding_reward(TEXT, f'"sda failed" {said}') for said in ("", "41", "41 42", "41 42 43", "41 42 43 44", "41 42 43 44 45")]
    assert all(before - after > 0.8 for before, after in pairwise(values[:5]))
    assert values[-1] == -4.0
    assert grounding_reward(TEXT, '"sda failed" 41', invention=2.0) == pytest.approx(values[1] - 1)


def test_not_to_quote_is_no_way_out():
    assert grounding_reward(TEXT, "The disk sda failed after 3 retries.") < 0 < grounding_reward(TEXT, 'The disk "sda failed after 3 retries".')


def test_overlap_is_with_the_line_and_the_reference():
    think = '"sda failed"'
    line = (2 * 2 / (2 + 8) + math.exp(1 - 8 / 2)) / 2
    assert grounding_reward(TEXT, think) == pytest.approx(line)
    assert grounding_reward(TEXT, think, "sda failed") == pytest.approx((line + 1) / 2)
    assert grounding_reward(TEXT, think, "") == grounding_reward(TEXT, think)
    # what only the reference says is an invention all the same
    assert grounding_reward(TEXT, '"sda failed" 41', "sda failed 41") < 0


@pytest.mark.parametrize(
    ("perplexity", "value"),
    [(1.0, 1.0), (7.9, 1.0), (8.0, 1.0), (8 * math.sqrt(8), 0.5), (64.0, 0.0), (1e9, 0.0), (math.inf, 0.0), (math.nan, 0.0), (None, 0.0)],
)
def test_coherence_is_flat_up_to_the_target_and_falls_beyond(perplexity, value):
    assert coherence_reward(perplexity, 8.0) == pytest.approx(value)


def test_brevity_has_its_peak_at_the_target_and_falls_on_both_sides():
    values = [brevity_reward(length, 20) for length in range(60)]
    assert max(values) == values[20] == 1.0
    assert values[:21] == sorted(values[:21])
    assert values[20:41] == sorted(values[20:41], reverse=True)
    assert len(set(values[:21])) == len(set(values[20:41])) == 21
    assert values[10] == values[30] == 0.5  # longer than the reference is no better than shorter: the released code says it is
    assert values[0] == values[59] == 0.0


@pytest.mark.parametrize(
    ("text", "written", "said"),
    [
        (TEXT, " sda failed", "sda failed"),
        (TEXT, " da fail", "sda failed"),  # whole words, as the product shows them
        (TEXT, " after", "after"),
        (TEXT, " failed after 3 retries on", "failed after 3 retries"),  # what is left over falls away
        (TEXT, " failed on", ""),  # no stretch of the line
        (TEXT, " SDA", ""),
        (TEXT, " ", ""),
        ('say "no" twice', ' say "no', "say"),  # a quote cannot hold a quote
    ],
)
def test_evidence_is_what_the_product_shows(text, written, said):
    assert shown(text, written) == said


@pytest.mark.parametrize(("evidence", "value"), [("sda failed", 1.0), ("failed on", 0.0), ("", 0.0), ("sda", 1.0), (TEXT, 1.0), ("SDA failed", 0.0)])
def test_evidence_is_in_the_line(evidence, value):
    assert line_reward(TEXT, evidence) == value


@pytest.mark.parametrize(("count", "value"), [(0, 0.0), (1, 1.0), (2, 1.0), (6, 1.0), (7, 5 / 6), (9, 0.5), (12, 0.0), (30, 0.0)])
def test_one_to_six_words_are_short(count, value):
    assert short_reward(" ".join(["a"] * count)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("evidence", "labelled", "value"),
    [
        ("sda failed", "sda failed", 1.0),
        ("SDA failed,", "sda failed", 1.0),  # words, not letters
        ("disk sda failed", "sda failed", 4 / 5),
        ("failed", "sda failed", 2 / 3),
        ("disk", "sda failed", 0.0),
        ("", "sda failed", 0.0),
        ("no no no", "no", 2 / 4),  # counts are clipped
        ("on <ip>", "<ip>", 2 / 3),  # a placeholder is a word
        ("...", "sda failed", 0.0),
    ],
)
def test_evidence_by_label_is_f1_over_words(evidence, labelled, value):
    assert label_reward(evidence, labelled) == pytest.approx(value)
    assert label_reward(labelled, evidence) == pytest.approx(value)


@pytest.mark.parametrize(
    ("evidence", "rest"),
    [("sda failed", "disk after 3 retries on <ip>"), ("disk", "sda failed after 3 retries on <ip>"), (TEXT, ""), ("", TEXT), ("gone", TEXT)],
)
def test_evidence_is_left_out(evidence, rest):
    assert left_out(TEXT, evidence) == rest


def test_evidence_is_left_out_wherever_it_stands():
    assert left_out("failed: a, failed: b", "failed:") == "a, b"


@pytest.mark.parametrize(("lost", "value"), [(-3.0, 0.0), (0.0, 0.0), (1.0, 0.25), (4.0, 1.0), (9.0, 1.0), (None, 0.0)])
def test_what_the_verdict_loses_is_scaled(lost, value):
    assert erasure_reward(lost, 4.0) == value


@pytest.mark.parametrize(
    ("evidence", "twin", "value"),
    [
        ("0 errors", "all done with 14 errors", 1.0),
        ("finished", "all finished with 14 errors", 0.0),
        ("4 errors", "all done with 14 errors", 1.0),  # a part of another number is not the same word
        ("is up", "link is upset", 1.0),
        ("is up", "link is up.", 0.0),
        ("[0]", "count [0]", 0.0),  # no pattern
    ],
)
def test_what_stands_in_the_twin_cannot_decide(evidence, twin, value):
    assert twin_reward(evidence, twin) == value


@pytest.mark.parametrize(("said", "fits", "value"), [(True, True, 1.0), (False, False, 1.0), (False, True, -1.0), (True, False, -1.5)])
def test_a_choice_that_misleads_costs_more_than_one_that_is_missed(said, fits, value):
    assert choice_reward(said, fits, 1.5) == value
    task = Task("choice", TEXT, meaning="A disk is broken.", fits=fits)
    found = score(Sample(task, " yes" if said else " no"), Rewards(choice=2.0))
    assert (found.total, found.parts) == (2 * value, {"choice": value})
    assert score(Sample(task, " yes" if said else " no"), Rewards().without(["choice"])).total == 0


def test_the_total_is_the_weighted_sum():
    rewards = Rewards(format=1, answer=2, category=0.25, grounding=0.5, coherence=0.25, brevity=0.125, words=10, outcomes=AnswerWeights(1, 0.5, -0.5, -1))
    found = score(sample(), rewards)
    grounding = grounding_reward(TEXT, THINK)
    assert found.parts == {"format": 1.0, "answer": 1.0, "category": 1.0, "grounding": grounding, "coherence": 1.0, "brevity": 0.6}
    assert found.total == pytest.approx(1 + 2 + 0.25 + 0.5 * grounding + 0.25 + 0.125 * 0.6)
    assert score(sample(abnormal=False), rewards).total == pytest.approx(found.total - 2 - 2 * 0.5 - 0.25)


def test_the_total_of_a_quoting_reply_is_the_weighted_sum():
    rewards = Rewards(format=1, answer=2, category=0.25, line=0.1, short=0.2, label=0.5, erasure=0.4, twin=0.3, decisive=8.0)
    found = score(quoting(f" incident network: disk sda failed{END}"), rewards)
    assert found.parts == {"format": 1, "answer": 1, "category": 0, "line": 1, "short": 1, "erasure": 0.5, "label": pytest.approx(0.8), "twin": 1}
    assert found.total == pytest.approx(1 + 2 + 0 + 0.1 + 0.2 + 0.5 * 0.8 + 0.4 * 0.5 + 0.3)


def test_what_is_not_known_is_not_looked_at():
    found = score(quoting(evidence=None, twin=None), Rewards())
    assert not {"label", "twin"} & found.parts.keys()
    normal = score(quoting(f" routine: sda failed{END}", abnormal=False, category=None), Rewards())
    assert "category" not in normal.parts
    assert normal.parts["label"] == 1.0


@pytest.mark.parametrize(("said", "abnormal"), [(" routine", True), (" incident hardware", False)])
def test_the_evidence_of_a_wrong_verdict_earns_nothing(said, abnormal):
    found = score(quoting(f"{said}: sda failed{END}", abnormal=abnormal), Rewards())
    assert found.parts == {"format": 1.0, "answer": Rewards().outcomes.missed if abnormal else Rewards().outcomes.false_alarm}


def test_evidence_that_is_not_in_the_line_earns_nothing():
    found = score(quoting(f" incident hardware: sdb failed{END}"), Rewards())
    assert {name: found.parts[name] for name in OF_DIRECT} == dict.fromkeys(OF_DIRECT, 0.0)


@pytest.mark.parametrize("reply", ["", GOOD[: -len(END)], GOOD.replace("\n</think>", "</think>"), f"{GOOD}{GOOD}", GOOD.replace(" hardware", "")])
def test_a_broken_format_voids_the_rest(reply):
    rewards = Rewards()
    for perplexity in (1.0, 1e6):
        for abnormal in (True, False):
            found = score(sample(reply, perplexity=perplexity, abnormal=abnormal, think=THINK), rewards)
            assert found.total == score(sample(""), rewards).total
            assert found.parts == {"format": 0.0}


@pytest.mark.parametrize("reply", ["", QUOTED[: -len(END)], QUOTED.replace(":", ""), f" incident hardware: {END}"])
def test_a_broken_quoting_reply_earns_less_than_a_wrong_one(reply):
    worst = score(quoting(f" routine: after{END}"), Rewards())
    assert score(quoting(reply), Rewards()).total == worst.total - Rewards().format
    assert worst.total < score(quoting(f" incident network: after{END}", evidence="disk"), Rewards()).total


@pytest.mark.parametrize("rewards", [Rewards(), Rewards(format=0.1, grounding=2, answer=3), Rewards(invention=5), Rewards().without(["grounding"])])
def test_a_broken_format_is_worse_than_the_worst_sound_reply(rewards):
    worst = '<think> 1 22 333 4444 55555 "no" ' + "x " * 99 + f"\n</think> routine{END}"
    broken, found = score(sample("x"), rewards), score(sample(worst, perplexity=None), rewards)
    assert (found.parts["format"], found.parts["coherence"], found.parts["brevity"]) == (1.0, 0.0, 0.0)
    assert broken.total < found.total


WORSE = {  # a reply that is worse in this one only
    "format": {"reply": GOOD.removesuffix(END)},
    "answer": {"abnormal": False},
    "category": {"reply": GOOD.replace("hardware", "network")},
    "grounding": {"reply": GOOD.replace('"sda failed"', '"sdb failed"')},
    "coherence": {"perplexity": 40.0},
    "brevity": {"reply": GOOD.replace("The disk gave up", "It")},
}
WORSE_QUOTING = {
    "format": {"reply": QUOTED.removesuffix(END)},
    "answer": {"reply": QUOTED.replace("incident hardware", "routine")},
    "category": {"reply": QUOTED.replace("hardware", "network")},
    "line": {"reply": QUOTED.replace("sda", "sdb")},
    "short": {"evidence": "disk sda failed after 3 retries on <ip>", "reply": QUOTED.replace("sda failed", "disk sda failed after 3 retries on <ip>")},
    "label": {"evidence": "retries"},
    "erasure": {"lost": 1.0},
    "twin": {"twin": "disk sda failed"},
}


@pytest.mark.parametrize("name", WORSE)
def test_a_switch_takes_one_out_and_leaves_the_others(name):
    rewards = Rewards(words=6)
    off = rewards.without([name])
    assert score(sample(), rewards).total > score(sample(**WORSE[name]), rewards).total
    difference = score(sample(), off).total - score(sample(**WORSE[name]), off).total
    assert difference == pytest.approx(off.category if name == "answer" else 0, abs=0.05)  # a category is asked for where both find a fault
    for other in set(WORSE) - {name}:
        assert score(sample(), off).total > score(sample(**WORSE[other]), off).total
    if name != "format":
        assert name not in score(sample(), off).parts


@pytest.mark.parametrize("name", WORSE_QUOTING)
def test_a_switch_takes_one_of_the_evidences_out(name):
    assert score(quoting(), Rewards()).total > score(quoting(**WORSE_QUOTING[name]), Rewards()).total
    off = Rewards().without([name])
    assert name not in score(quoting(), off).parts
    if name in ("category", "short", "label", "erasure", "twin"):  # the others gate more than themselves
        assert score(quoting(), off).total == pytest.approx(score(quoting(**WORSE_QUOTING[name]), off).total)


def test_every_reward_is_tested_for_its_switch():
    assert {*WORSE, *WORSE_QUOTING, "choice"} == {*NAMES}


def test_without_format_what_can_be_read_counts():
    off = Rewards().without(["format"])
    for reply, abnormal in [("<think> a</think> incident network", True), ("<think> a</think> routine", False)]:
        assert score(sample(reply, abnormal=abnormal), off).parts["answer"] > 0
        assert score(sample(reply, abnormal=not abnormal), off).parts["answer"] < 0
    assert score(sample("<think> a b"), off).parts["answer"] == off.outcomes.missed
    assert score(sample("<think> a b", abnormal=False), off).parts["answer"] == off.outcomes.false_alarm
    assert score(sample("<think> a b"), off).parts["brevity"] == pytest.approx(2 / 23)
    unclosed = score(quoting(QUOTED.removesuffix(END)), off)
    assert (unclosed.parts["answer"], unclosed.parts["label"], unclosed.parts["category"]) == (1.0, 1.0, 1.0)


def test_means_are_over_what_was_looked_at():
    rewards = Rewards()
    found = means(
        [score(quoting(), rewards), score(quoting(lost=0.0, twin=None), rewards), score(Sample(replace(TASK, kind="choice", fits=True), " no"), rewards)]
    )
    assert (found["erasure"], found["twin"], found["choice"]) == (0.5, 1.0, -1.0)
    assert "grounding" not in found


def test_wrong_weights_say_so():
    with pytest.raises(ValueError, match="'speed' is none of format, answer"):
        Rewards().without(["speed"])
    with pytest.raises(ValueError, match="brevity -1 is below 0"):
        Rewards(brevity=-1)
    with pytest.raises(ValueError, match="must be above 0"):
        Rewards(words=0)
    with pytest.raises(ValueError, match="must be above 0"):
        Rewards(decisive=0)
    with pytest.raises(ValueError, match=r"costs 0\.5; it must cost 1 or more"):
        Rewards(misfit=0.5)
