"""The heuristic that stands in where no model is installed."""

import pytest

from ra_sdk import Detector
from ra_sdk.reasoner.keywords import KeywordReasoner


@pytest.mark.parametrize(
    ("text", "severity", "label"),
    [
        ("connection to <ip> refused", None, "abnormal"),
        ("job finished, 0 errors", None, "normal"),
        ("backup done: failed=0", "INFO", "normal"),
        ("no error found, but the disk is corrupted", None, "abnormal"),
        ("retrying after failure", "DEBUG", "normal"),
        ("shutting down", "FATAL", "abnormal"),
        ("error-prone heuristics loaded", "INFO", "normal"),
        ("server started", None, "normal"),
        ("kernel: Out of memory: Killed process <num>", None, "abnormal"),
    ],
)
def test_labels(text, severity, label):
    (verdict,) = KeywordReasoner().judge([text], severities=[severity])
    assert (verdict.label, verdict.severity) == (label, severity)
    assert (verdict.rationale is not None) == (label == "abnormal")


def test_as_the_model_of_a_detector():
    with Detector(model=KeywordReasoner(), store=":memory:", knowledge=None) as detector:
        found = [detection.label for detection in detector.detect(["disk failed", "disk ok"])]
    assert found == ["abnormal", "normal"]
