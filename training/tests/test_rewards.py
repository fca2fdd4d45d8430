"""Rewards: every case has a wrong implementation, the paper's released one among them, that fails it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from ra_training.rewards import (
    NAMES,
    AnswerWeights,
    Rewards,
    Sample,
    answer_reward,
    bleu,
    brevity_reward,
    coherence_reward,
    format_reward,
    grounding_reward,
    inventions,
    rouge_l,
    score,
    words,
)

TEXT = "disk sda failed after 3 retries on <ip>"
THINK = 'The disk gave up: "sda failed".'
GOOD = f"<think> {THINK}\n</think>\n<answer> incident hardware</answer>"


def sample(reply=GOOD, **changes):
    return replace(Sample(TEXT, reply, "think", abnormal=True, reference=None, perplexity=8.0), **changes)


@pytest.mark.parametrize(
    ("mode", "reply", "well"),
    [
        ("think", GOOD, 1.0),
        ("think", "<think> a\n</think>\n<answer> routine</answer>", 1.0),
        ("direct", "<answer> routine</answer>\n<think> a\n</think>", 1.0),
        ("direct", GOOD, 0.0),  # the other order
        ("think", "<answer> routine</answer>\n<think> a\n</think>", 0.0),
        ("think", "<think> a\n</think>\n<answer> incident</answer>", 0.0),  # no category
        ("think", "<think> a\n</think>\n<answer> routine hardware</answer>", 0.0),
        ("think", "<think> a\n</think>\n<answer> incident weather</answer>", 0.0),
        ("think", "<think> a\n</think>\n<answer>routine</answer>", 0.0),  # another token than the product reads
        ("think", "<think> \n</think>\n<answer> routine</answer>", 0.0),  # nothing thought
        ("think", "<think> a</think>\n<answer> routine</answer>", 0.0),  # its newline is what ends it
        ("think", "<think> a\nb\n</think>\n<answer> routine</answer>", 0.0),
        ("think", "<think> a\n</think>\n<answer> routine", 0.0),
        ("think", f"{GOOD}\n{GOOD}", 0.0),
        ("think", f"{GOOD} and so on", 0.0),
        ("think", f"Well. {GOOD}", 0.0),
        ("think", "<think> a <answer> routine</answer> b\n</think>\n<answer> routine</answer>", 0.0),  # two answers
        ("think", "<think> a </think> b\n</think>\n<answer> routine</answer>", 0.0),
        ("think", "", 0.0),
    ],
)
def test_format_is_exactly_one_reasoning_and_one_answer_in_order(mode, reply, well):
    assert format_reward(reply, mode) == well


def test_the_prompts_own_replies_are_well_formed():
    from ra_sdk.prompt import reply
    from ra_sdk.records import CATEGORIES

    for mode in ("think", "direct"):
        assert all(format_reward(reply(mode, category, THINK), mode) for category in (None, *CATEGORIES))


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


def test_the_total_is_the_weighted_sum():
    rewards = Rewards(format=1, answer=2, grounding=0.5, coherence=0.25, brevity=0.125, words=10, outcomes=AnswerWeights(1, 0.5, -0.5, -1))
    found = score(sample(), rewards)
    assert (found.format, found.answer, found.coherence, found.brevity) == (1.0, 1.0, 1.0, 0.6)
    assert found.grounding == grounding_reward(TEXT, THINK)
    assert found.total == pytest.approx(1 + 2 + 0.5 * found.grounding + 0.25 + 0.125 * 0.6)
    assert score(sample(abnormal=False), rewards).total == pytest.approx(found.total - 2 - 2 * 0.5)


@pytest.mark.parametrize("reply", ["", GOOD[:-1], GOOD.replace("\n</think>", "</think>"), f"{GOOD}{GOOD}", GOOD.replace(" hardware", "")])
def test_a_broken_format_voids_the_rest(reply):
    rewards = Rewards()
    for perplexity in (1.0, 1e6):
        for abnormal in (True, False):
            found = score(sample(reply, perplexity=perplexity, abnormal=abnormal, reference=THINK), rewards)
            assert found.total == score(sample(""), rewards).total
            assert (found.answer, found.grounding, found.coherence, found.brevity) == (None,) * 4


@pytest.mark.parametrize("rewards", [Rewards(), Rewards(format=0.1, grounding=2, answer=3), Rewards(invention=5), Rewards().without(["grounding"])])
def test_a_broken_format_is_worse_than_the_worst_sound_reply(rewards):
    worst = '<think> 1 22 333 4444 55555 "no" ' + "x " * 99 + "\n</think>\n<answer> routine</answer>"
    broken, found = score(sample("x"), rewards), score(sample(worst, perplexity=None), rewards)
    assert (found.format, found.coherence, found.brevity) == (1.0, 0.0, 0.0)
    assert broken.total < found.total


WORSE = {  # a reply that is worse in this one only
    "format": {"reply": GOOD.replace("</answer>", "")},
    "answer": {"abnormal": False},
    "grounding": {"reply": GOOD.replace('"sda failed"', '"sdb failed"')},
    "coherence": {"perplexity": 40.0},
    "brevity": {"reply": GOOD.replace("The disk gave up", "It")},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_switch_takes_one_out_and_leaves_the_others(name):
    rewards = Rewards(words=6)
    off = rewards.without([name])
    assert score(sample(), rewards).total > score(sample(**WORSE[name]), rewards).total
    difference = score(sample(), off).total - score(sample(**WORSE[name]), off).total
    assert difference == pytest.approx(0, abs=0.05)  # overlap moves a little with the words
    for other in set(NAMES) - {name}:
        assert score(sample(), off).total > score(sample(**WORSE[other]), off).total
    if name != "format":
        assert getattr(score(sample(), off), name) is None


def test_without_format_what_can_be_read_counts():
    off = Rewards().without(["format"])
    for reply, abnormal in [("<think> a <answer> incident network", True), ("<think> a <answer> routine", False)]:
        assert score(sample(reply, abnormal=abnormal), off).answer > 0
        assert score(sample(reply, abnormal=not abnormal), off).answer < 0
    assert score(sample("<think> a b"), off).answer == off.outcomes.missed
    assert score(sample("<think> a b", abnormal=False), off).answer == off.outcomes.false_alarm
    assert score(sample("<think> a b"), off).brevity == pytest.approx(2 / 23)


def test_wrong_weights_say_so():
    with pytest.raises(ValueError, match="'speed' is none of format, answer"):
        Rewards().without(["speed"])
    with pytest.raises(ValueError, match="brevity -1 is below 0"):
        Rewards(brevity=-1)
    with pytest.raises(ValueError, match="must be above 0"):
        Rewards(words=0)
