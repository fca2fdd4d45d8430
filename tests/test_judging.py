"""Verdicts from the store and the model: thresholds, rationales, and a model or a store that fails."""

import itertools
import logging
import sqlite3

import pytest

import ra_sdk
from ra_sdk import Detector, EchoReasoner, Verdict, VerdictStore
from ra_sdk.errors import StoreError
from ra_sdk.trouble import RateLimited

LINES = ["disk failed", "queue is slow", "all good"]
SCORES = {"disk failed": 0.9, "queue is slow": 0.4, "all good": 0.1}


class Graded:
    """Scores by a table; draws its own line at .5, and explains what lies above it, or what it is asked to."""

    name = digest = "graded"

    def __init__(self):
        self.judged = self.told = 0

    def judge(self, templates, mode="direct"):
        for text in templates:
            self.judged += 1
            bad = SCORES[text] >= 0.5
            yield Verdict(text, "abnormal" if bad else "normal", SCORES[text], "system" if bad else None, f'"{text}".' if bad else None, bad or None, mode)

    def explained(self, verdicts, mode="direct"):
        for verdict in reversed(verdicts):
            self.told += 1
            yield Verdict(verdict.template, verdict.label, verdict.score, "network", f'It is "{verdict.template}".', True, mode)


def labels(found):
    return [d.label for d in found]


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.5, 0.9, 0.95, 1.0])
def test_a_threshold_costs_no_judgement(threshold, tmp_path):
    first, second = Graded(), Graded()
    assert labels(ra_sdk.detect(LINES, model=first, store=tmp_path / "v.db", knowledge=None)) == ["abnormal", "normal", "normal"]
    found = list(ra_sdk.detect(LINES, model=second, store=tmp_path / "v.db", threshold=threshold, knowledge=None))
    assert labels(found) == ["abnormal" if score >= threshold else "normal" for score in SCORES.values()]
    assert [d.score for d in found] == list(SCORES.values())
    assert all((d.category is None) is (d.rationale is None) is (d.label == "normal") for d in found)
    assert (first.judged, second.judged) == (3, 0)
    assert second.told == sum(0.5 > score >= threshold for score in SCORES.values())


def test_a_threshold_does_not_poison_the_store(tmp_path):
    for threshold, expected in ((0.95, "normal"), (0.3, "abnormal"), (0.5, "normal"), (0.3, "abnormal")):
        reasoner = Graded()
        (found,) = ra_sdk.detect(["queue is slow"], model=reasoner, store=tmp_path / "v.db", threshold=threshold)
        assert (found.label, found.score) == (expected, 0.4)
        assert (found.rationale is None) is (expected == "normal")
    assert (reasoner.judged, reasoner.told) == (0, 0)
    with VerdictStore(tmp_path / "v.db") as store:
        assert len(store) == 1


class Tuned(Graded):
    """Has thresholds of its own, as an adapter has."""

    thresholds = {"low": 0.95, "default": 0.35, "high": 0.05}  # noqa: RUF012


@pytest.mark.parametrize(
    ("reasoner", "options", "abnormal"),
    [
        (Graded(), {}, 1),  # the general thresholds are .8, .5 and .3
        (Graded(), {"sensitivity": "high"}, 2),
        (Graded(), {"sensitivity": "low"}, 1),
        (Tuned(), {}, 2),
        (Tuned(), {"sensitivity": "high"}, 3),
        (Tuned(), {"sensitivity": "low"}, 0),
        (Tuned(), {"sensitivity": "low", "threshold": 0.1}, 3),
    ],
)
def test_the_sensitivity_is_a_threshold_by_name_and_the_models_own_where_it_has_them(reasoner, options, abnormal):
    found = labels(ra_sdk.detect(LINES, model=reasoner, store=":memory:", knowledge=None, **options))
    assert found == ["abnormal"] * abnormal + ["normal"] * (3 - abnormal)


def test_detectors_of_different_thresholds_share_a_store_and_a_model():
    reasoner = Graded()
    with VerdictStore(":memory:") as store:
        for threshold, expected in ((0.5, ["abnormal", "normal", "normal"]), (0.05, ["abnormal"] * 3), (1.0, ["normal"] * 3)):
            with Detector(model=reasoner, store=store, threshold=threshold) as detector:
                assert labels(detector.detect(LINES)) == expected
    assert reasoner.judged == 3


def test_a_fresh_verdict_has_the_detectors_label_and_its_reason():
    reasoner = Graded()
    found = list(ra_sdk.detect(LINES, model=reasoner, store=":memory:", threshold=0.3, knowledge=None))
    assert [(d.label, d.category, d.rationale) for d in found] == [
        ("abnormal", "system", '"disk failed".'),
        ("abnormal", "network", 'It is "queue is slow".'),
        ("normal", None, None),
    ]
    assert (reasoner.judged, reasoner.told) == (3, 1)


def test_rationales_are_written_when_they_are_wanted_first(tmp_path):
    options = {"store": tmp_path / "v.db", "threshold": 0.3, "knowledge": None}
    assert [d.rationale for d in ra_sdk.detect(LINES, model=Graded(), explain=False, **options)] == [None] * 3
    for told in (1, 0):
        reasoner = Graded()
        assert [bool(d.rationale) for d in ra_sdk.detect(LINES, model=reasoner, **options)] == [True, True, False]
        assert (reasoner.judged, reasoner.told) == (0, told)
    assert [d.rationale for d in ra_sdk.detect(LINES, model=Graded(), explain=False, **options)] == [None] * 3


def test_what_nothing_can_be_said_about_is_asked_once(tmp_path):
    class Mute(Graded):
        def explained(self, verdicts, mode="direct"):
            self.told += len(verdicts)
            yield from verdicts

    for told in (1, 0):
        reasoner = Mute()
        found = list(ra_sdk.detect(LINES, model=reasoner, store=tmp_path / "v.db", threshold=0.3, knowledge=None))
        assert (found[1].label, found[1].rationale, reasoner.told) == ("abnormal", None, told)


def test_without_a_way_to_explain_there_is_no_rationale():
    found = list(ra_sdk.detect(["all good"], model=EchoReasoner(), store=":memory:", threshold=0.05))
    assert (found[0].label, found[0].rationale) == ("abnormal", None)


def test_overrides_and_rules_know_no_threshold():
    with VerdictStore(":memory:") as store:
        store.override("disk failed", "normal")
        found = list(ra_sdk.detect(["disk failed", "--- 17 ---"], model=Graded(), store=store, threshold=0.0))
        assert [(d.label, d.mode) for d in found] == [("normal", "override"), ("normal", "rule")]


def answering(*answers):
    class Answering:
        name = digest = "answering"

        def judge(self, templates, mode="direct"):
            for answer in answers:
                yield answer(templates) if callable(answer) else answer

    return Answering()


def good(at):
    return lambda templates: Verdict(templates[at], "abnormal" if at == 0 else "normal", 0.9 if at == 0 else 0.1, mode="direct")


TEXTS = ["one failed", "two sessions opened", "queues drained"]


@pytest.mark.parametrize(
    ("answers", "expected", "said"),
    [
        ((good(2), good(0), good(1)), ["abnormal", "normal", "normal"], None),
        ((good(0), good(1)), ["abnormal", "normal", "undecided"], "it gave 2 answers to 3 questions"),
        ((), ["undecided"] * 3, "it gave 0 answers"),
        ((good(0), good(0), good(1), good(2)), ["abnormal", "undecided", "undecided"], "'one failed' was answered before"),
        ((good(0), good(1), good(2), good(2)), ["abnormal", "normal", "normal"], "'queues drained' was answered before"),
        ((good(1), Verdict("four", "normal", 0.1), good(2)), ["undecided", "normal", "undecided"], "'four' was not asked"),
        ((good(1), None), ["undecided", "normal", "undecided"], "None is not a Verdict"),
        ((good(1), Verdict(TEXTS[0], "abnormal", 17.0)), ["undecided", "normal", "undecided"], "17.0"),
        ((good(1), Verdict(TEXTS[0], "abnormal", float("nan"))), ["undecided", "normal", "undecided"], "nan"),
        ((Verdict(TEXTS[0], "abnormal"), good(1), Verdict(TEXTS[2])), ["abnormal", "normal", "undecided"], None),
    ],
    ids=["out of order", "too few", "none", "twice", "too many", "not asked", "no verdict", "no probability", "not a number", "without a score"],
)
def test_answers_are_matched_by_their_template(answers, expected, said, caplog):
    found = list(ra_sdk.detect(TEXTS, model=answering(*answers), store=":memory:"))
    assert labels(found) == expected
    assert [d.template for d in found] == TEXTS
    assert all((d.score is None) is (d.label == "undecided") for d in found)
    assert (said or "") in caplog.text
    assert len(caplog.records) == (said is not None)


class Full(VerdictStore):
    def put(self, *args):
        raise StoreError("store 'v.db' cannot be used: database or disk is full; choose another with --store PATH")


@pytest.mark.parametrize("count", [3, 300])
def test_a_full_store_is_named_and_stops_nothing(count, caplog):
    lines = [f"{''.join(name)} failed" for name in itertools.islice(itertools.product("abcdefghij", repeat=3), count)]
    with Full(":memory:") as store, Detector(model="echo", store=store) as detector:
        assert labels(detector.detect(lines)) == ["abnormal"] * count
        assert detector.counts.unsaved == count
    assert len(caplog.records) == 1
    assert "are not kept for the next run: store 'v.db' cannot be used: database or disk is full" in caplog.text
    assert "the model" not in caplog.text


def test_a_store_that_cannot_be_read_is_an_error():
    class Broken(VerdictStore):
        def _attempt(self, work):
            raise StoreError("store 'v.db' cannot be used: disk I/O error") from sqlite3.OperationalError("disk I/O error")

    with Broken(":memory:") as store, Detector(model="echo", store=store) as detector, pytest.raises(StoreError, match="disk I/O error"):
        list(detector.detect(["x is lost"]))


def test_trouble_is_told_at_once_and_then_from_time_to_time(caplog):
    told = RateLimited(every_s=1_000)
    for number in range(5):
        told.warning("model", f"it failed, {number}")
    told.warning("store", "it is full")
    assert [record.getMessage() for record in caplog.records] == ["it failed, 0", "it is full"]
    told._every_s = 0.0
    told.warning("model", "it failed, 5")
    assert caplog.records[-1].getMessage() == "it failed, 5 (and 4 more times since this was last logged)"


def test_the_library_says_nothing_of_its_own_accord():
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("ra_sdk").handlers)


@pytest.mark.model
def test_the_real_model_explains_later(tmp_path):
    from ra_sdk import LlamaReasoner

    line = "session opened for user root by uid 0"
    options = {"store": tmp_path / "v.db", "knowledge": None}
    with LlamaReasoner(width=2, threads=1) as reasoner:
        (first,) = ra_sdk.detect([line], model=reasoner, **options)
        decoded = reasoner.decoded
        assert first.label == "normal"
        (found,) = ra_sdk.detect([line], model=reasoner, threshold=first.score, **options)
        assert (found.label, found.score) == ("abnormal", first.score)
        assert found.category
        assert found.rationale
        assert reasoner.decoded > decoded
        decoded = reasoner.decoded
        assert next(ra_sdk.detect([line], model=reasoner, threshold=first.score, **options)) == found
        assert reasoner.decoded == decoded
        with Detector(model=reasoner, mode="think", **options) as detector:
            thought = detector.examine(line)
        with Detector(model=reasoner, mode="think", threshold=0.0, **options) as detector:
            again = detector.examine(line)
        assert (again.label, again.rationale, again.cached) == ("abnormal", thought.rationale, True)


@pytest.mark.model
def test_the_digest_covers_what_verdicts_depend_on(monkeypatch):
    from ra_sdk import LlamaReasoner

    def digest(**options):
        with LlamaReasoner(width=2, threads=1, **options) as reasoner:
            return reasoner.digest

    plain = digest()
    assert digest(threshold=0.9, explain="never") == plain
    assert digest(sensitivity="low") == plain
    assert digest(think_tokens=32) != plain
    assert digest(adapter="none") != plain
    monkeypatch.setattr("ra_sdk.reasoner.prompt._START", "<|im_start|>operator\n")
    assert digest() != plain
    monkeypatch.undo()
    bare = digest(adapter="none")
    monkeypatch.setattr("ra_sdk.reasoner.llama.SHOTS", ())
    assert digest(adapter="none") != bare
