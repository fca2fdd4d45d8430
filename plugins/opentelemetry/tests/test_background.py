"""A hop whose clients do not wait for the model."""

import threading
import time
from dataclasses import replace

import pytest
import ra_sdk
from ra_sdk.detector import Detector
from ra_sdk.plugins import PluginSet

from ra_sdk_opentelemetry.background import Background

from .conftest import attributes, message_of, until
from .test_processor import Slow
from .test_source import call


def test_undecided_at_once_and_judged_meanwhile(pipeline, receiver):
    model = Slow()
    background = Background(model, 0.0)
    hop = pipeline("otlp://127.0.0.1:0", f"otlp://127.0.0.1:{receiver.port}", model=background)
    started = time.monotonic()
    call(hop.port, message_of(["a b c"]))
    assert time.monotonic() - started < 20
    assert attributes(receiver.records[0][2]) == {"ra.label": "undecided", "log.record.template": "a b c"}
    model.gate.set()
    until(lambda: model.seen)
    until(lambda: not background._pending)
    call(hop.port, message_of(["a b c"]))
    assert attributes(receiver.records[1][2])["ra.label"] == "abnormal"
    call(hop.port, message_of(["a b c"]))
    assert model.seen == ["a b c"]


def test_it_waits_as_long_as_it_may():
    model = Slow()
    background = Background(model, 5.0)
    threading.Timer(0.3, model.gate.set).start()
    assert [verdict.label for verdict in background.judge(["a b c"])] == ["abnormal"]
    model.gate.clear()
    short = Background(model, 0.2)
    assert [verdict.label for verdict in short.judge(["d e f"])] == ["undecided"]
    model.gate.set()
    background.close()
    short.close()


def test_a_model_that_fails_is_asked_again():
    class Moody(Slow):
        def judge(self, templates, mode="direct"):
            if not self.seen:
                self.seen.append("once")
                raise ValueError("broken")
            yield from super().judge(templates, mode)

    model = Moody()
    model.gate.set()
    background = Background(model, 5.0)
    assert [v.label for v in background.judge(["a b c"])] == ["undecided"]
    assert [v.label for v in background.judge(["a b c"])] == ["abnormal"]
    background.close()


def test_a_model_that_reads_the_severity_is_told_it():
    class Levelled(Slow):
        reads_severity = True

        def judge(self, templates, mode="direct", *, severities):
            for verdict, severity in zip(super().judge(templates, mode), severities, strict=True):
                yield replace(verdict, severity=severity)

    model = Levelled()
    model.gate.set()
    background = Background(model, 5.0)
    found = list(background.judge(["a b c", "a b c"], severities=["INFO", "ERROR"]))
    assert [(v.severity, v.label) for v in found] == [("INFO", "abnormal"), ("ERROR", "abnormal")]
    assert [v.severity for v in background.judge(["a b c"], severities=["ERROR"])] == ["ERROR"]
    assert model.seen == ["a b c", "a b c"]
    background.close()


def test_its_name_and_its_verdicts_are_the_models():
    with Detector(model="background+5s:echo", store=":memory:") as detector:
        found = [(d.verdict.label, d.verdict.model) for d in detector.detect(["disk failed", "all good"])]
        plain = [(d.verdict.label, d.verdict.model) for d in ra_sdk.detect(["disk failed", "all good"], model="echo", store=":memory:")]
        assert found == plain
        assert detector.reasoner.digest == "echo"


def test_other_names_are_left_to_others():
    assert PluginSet().open_reasoner("echo", {}).name.startswith("echo")
    with pytest.raises(ra_sdk.BadOption, match="no number of seconds"):
        PluginSet().open_reasoner("background+1.2.3s:echo", {})
    with pytest.raises(ra_sdk.ModelError):
        PluginSet().open_reasoner("background:/no/such.gguf", {})
