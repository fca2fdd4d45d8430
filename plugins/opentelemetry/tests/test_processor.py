"""The processor in an application: log calls do not wait, and no record is lost."""

import logging
import multiprocessing
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import ra_sdk
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from ra_sdk_opentelemetry import Names, RaLogRecordProcessor

from .conftest import SHOP, exporter, until

ECHO = {"model": "echo", "store": ":memory:", "knowledge": None}  # the table may change, the processor must not


class Slow:
    """A model that waits at a gate."""

    name = digest = "slow"

    def __init__(self):
        self.gate, self.seen = threading.Event(), []

    def judge(self, templates, mode="direct"):
        for template in templates:
            self.gate.wait(30)
            self.seen.append(template)
            yield ra_sdk.Verdict(template, "abnormal", 0.75, "network", "Because of it.", True, mode, self.name)


class Moody(LogRecordExporter):
    """An exporter that fails until it is told not to."""

    def __init__(self, times=0, error=None):
        self.times, self.error, self.found, self.ended = times, error, [], False

    def export(self, batch):
        if self.times:
            self.times -= 1
            if self.error:
                raise self.error
            return LogRecordExportResult.FAILURE
        self.found += batch
        return LogRecordExportResult.SUCCESS

    def shutdown(self):
        self.ended = True

    def force_flush(self, timeout_millis=30_000):
        return True


@pytest.fixture
def application():
    """A logger of the SDK, its processor and its exporter."""
    made = []

    def make(out=None, **options):
        out = out or InMemoryLogRecordExporter()
        processor = RaLogRecordProcessor(out, **{**ECHO, "delay_s": 0.05, **options})
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(processor)
        made.append(provider)
        return provider.get_logger("app"), processor, out

    yield make
    for provider in made:
        provider.shutdown()


def labels(out):
    return [(record.log_record.body, record.log_record.attributes["ra.label"]) for record in out.get_finished_logs()]


def test_records_go_out_annotated(application):
    logger, processor, out = application()
    logger.emit(body="disk 7 failed", attributes={"n": 1})
    logger.emit(body="all good")
    assert processor.force_flush()
    until(lambda: processor._annotator._service.cold == 0)
    assert labels(out) == [("disk 7 failed", "undecided"), ("all good", "undecided")]
    out.clear()
    logger.emit(body="disk 8 failed", attributes={"n": 2})
    logger.emit(body="all good")
    assert processor.force_flush()
    first, second = out.get_finished_logs()
    assert dict(first.log_record.attributes) == {
        "n": 2, "ra.label": "abnormal", "ra.score": 0.9, "ra.category": "system", "ra.rationale": 'It says "disk 8 failed".',
        "log.record.template": "disk <num> failed",
    }  # fmt: skip
    assert dict(second.log_record.attributes) == {"ra.label": "normal", "ra.score": 0.1, "log.record.template": "all good"}


@pytest.mark.parametrize(("scope", "known"), [("app", True), ("billing", False)])
def test_reasons_heed_the_logger(application, tmp_path, scope, known):
    (tmp_path / "own.toml").write_text(f"""
[[phrase]]
id = "own"
match = ["parcel failed"]
scope = ["{scope}"]
says = "fault"
meaning = "An order has no parcel."
source = "the orders team"
""")
    logger, processor, out = application(knowledge=[tmp_path / "own.toml"], hold_s=10)
    logger.emit(body="parcel failed")
    assert processor.force_flush()
    until(out.get_finished_logs)
    assert ("An order has no parcel." in out.get_finished_logs()[0].log_record.attributes["ra.rationale"]) is known


def test_what_ra_sdk_logs_itself_goes_out_as_it_is():
    out = InMemoryLogRecordExporter()
    processor = RaLogRecordProcessor(out, delay_s=0.05, hold_s=20, **ECHO)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(processor)
    for name in ("ra_sdk", "ra_sdk.deeper", "ra_sdk_not"):
        provider.get_logger(name).emit(body="the model failed")
    assert processor.force_flush()
    provider.shutdown()
    judged = {r.instrumentation_scope.name: "ra.label" in (r.log_record.attributes or {}) for r in out.get_finished_logs()}
    assert judged == {"ra_sdk": False, "ra_sdk.deeper": False, "ra_sdk_not": True}


def test_verdicts_are_those_of_detect(application):
    logger, processor, out = application(hold_s=20)
    for line in SHOP:
        logger.emit(body=line)
    assert processor.force_flush()
    expected = {d.record.body: (d.verdict.label, d.rationale, d.template) for d in ra_sdk.detect([{"message": line} for line in SHOP], **ECHO)}
    found = {
        r.log_record.body: tuple(r.log_record.attributes.get(name) for name in ("ra.label", "ra.rationale", "log.record.template"))
        for r in out.get_finished_logs()
    }
    assert found == expected
    assert len(out.get_finished_logs()) == len(SHOP)


def test_a_log_call_never_waits_for_the_model(application):
    model = Slow()
    logger, processor, out = application(model=model)
    worst = 0.0
    for number in range(2_000):
        started = time.perf_counter()
        logger.emit(body=f"kind {'abcdefgh'[number % 8]} of line")
        worst = max(worst, time.perf_counter() - started)
    assert processor.force_flush(5_000)
    assert len(out.get_finished_logs()) == 2_000
    assert {label for _, label in labels(out)} == {"undecided"}
    assert worst < 0.5
    assert not model.seen
    model.gate.set()


def test_held_until_judged(application):
    model = Slow()
    logger, processor, out = application(model=model, hold_s=20, hold=3)
    for body in ("one waits", "two waits", "three waits", "four is too many"):
        logger.emit(body=body)
    until(lambda: len(out.get_finished_logs()) == 1)
    assert labels(out) == [("four is too many", "undecided")]
    assert not processor.force_flush(200)
    model.gate.set()
    assert processor.force_flush(10_000)
    assert labels(out)[1:] == [("one waits", "abnormal"), ("two waits", "abnormal"), ("three waits", "abnormal")]


def test_held_no_longer_than_may_be(application):
    model = Slow()
    logger, processor, out = application(model=model, hold_s=0.3)
    logger.emit(body="one waits")
    started = time.monotonic()
    assert processor.force_flush(10_000)
    assert 0.2 < time.monotonic() - started < 5
    assert labels(out) == [("one waits", "undecided")]
    model.gate.set()


def test_names(application):
    logger, processor, out = application(names=Names(label="v", score="", template=""), hold_s=20)
    logger.emit(body="all good")
    assert processor.force_flush()
    assert dict(out.get_finished_logs()[0].log_record.attributes) == {"v": "normal"}


@pytest.mark.parametrize("error", [None, OSError("no route")])
def test_an_export_that_fails_is_tried_again(application, error):
    logger, processor, out = application(Moody(2, error))
    logger.emit(body="a")
    assert processor.force_flush(20_000)
    assert [record.log_record.body for record in out.found] == ["a"]
    assert processor.lost == 0


def test_an_export_that_fails_for_too_long_is_counted(application):
    logger, processor, out = application(Moody(1_000), patience_s=0.2)
    logger.emit(body="a")
    assert processor.force_flush(20_000)
    assert (processor.lost, out.found) == (1, [])


def test_a_full_queue_loses_and_says_so(application):
    class Stuck(Moody):
        gate = threading.Event()

        def export(self, batch):
            self.gate.wait(20)
            return super().export(batch)

    logger, processor, out = application(Stuck(), queue=100, batch=10)
    for number in range(500):
        logger.emit(body=f"a {number}")
    assert processor.lost >= 300
    out.gate.set()
    assert processor.force_flush()
    assert len(out.found) + processor.lost == 500


def test_many_threads_lose_nothing_at_shutdown(application):
    logger, processor, out = application(Moody())

    def work(name):
        for number in range(1_000):
            logger.emit(body=f"{name} does {number}")

    threads = [threading.Thread(target=work, args=(f"thread{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    processor.shutdown()
    assert (len(out.found), processor.lost, out.ended) == (8_000, 0, True)
    assert len({record.log_record.body for record in out.found}) == 8_000
    logger.emit(body="too late")
    assert processor.lost == 1
    assert not processor.force_flush()


def test_shutdown_exports_what_is_held(application):
    model = Slow()
    logger, processor, out = application(Moody(), model=model, hold_s=60)
    logger.emit(body="one waits")
    time.sleep(0.3)
    processor.shutdown(2_000)
    assert [record.log_record.attributes["ra.label"] for record in out.found] == ["undecided"]
    model.gate.set()


def test_what_cannot_be_is_said_at_the_call():
    out = InMemoryLogRecordExporter()
    for wrong in ({"queue": 0}, {"hold_s": -1}, {"mode": "guess"}, {"threshold": 3}):
        with pytest.raises(ra_sdk.BadOption):
            RaLogRecordProcessor(out, **{**ECHO, **wrong})
    with pytest.raises(ra_sdk.ModelError):
        RaLogRecordProcessor(out, model="/no/such.gguf", store=":memory:")


def test_a_store_that_fails_costs_no_record(application, monkeypatch):
    logger, processor, out = application()

    def broken(*_):
        raise ra_sdk.StoreError("store is full; make room")

    monkeypatch.setattr(processor._annotator._service.detector.store, "get", broken)
    logger.emit(body="disk failed")
    assert processor.force_flush()
    assert labels(out) == [("disk failed", "undecided")]


def test_metrics():
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    processor = RaLogRecordProcessor(InMemoryLogRecordExporter(), meter_provider=meters, hold_s=20, delay_s=0.05, **ECHO)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(processor)
    logger = provider.get_logger("app")
    for body in ("disk 1 failed", "disk 2 failed", "all good"):
        logger.emit(body=body)
    assert processor.force_flush()
    for body in ("disk 1 failed", "disk 2 failed", "all good"):
        logger.emit(body=body)
    assert processor.force_flush()
    found = {m.name: list(m.data.data_points) for r in reader.get_metrics_data().resource_metrics for s in r.scope_metrics for m in s.metrics}
    by_label = {point.attributes["ra.label"]: point.value for point in found["ra.records"]}
    assert (by_label["abnormal"], by_label["normal"]) == (2, 1)
    assert sum(by_label.values()) == 6
    assert (found["ra.model.templates"][0].value, found["ra.templates"][0].value, found["ra.cold"][0].value) == (2, 2, 0)
    assert found["ra.mining.duration"][0].count == 2
    assert found["ra.model.duration"][0].count >= 1
    assert "ra.processor.dropped" not in found
    provider.shutdown()
    meters.shutdown()


APPLICATION = """
    import logging, sys, time
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from ra_sdk_opentelemetry import RaLogRecordProcessor
    import warnings
    warnings.simplefilter("ignore")
    provider = LoggerProvider()
    exporter = OTLPLogExporter(endpoint=f"http://127.0.0.1:{sys.argv[1]}", insecure=True)
    provider.add_log_record_processor(RaLogRecordProcessor(exporter, model="echo", store=":memory:"))
    log = logging.getLogger("app")
    log.addHandler(LoggingHandler(logger_provider=provider))
    log.setLevel(logging.INFO)
    for number in range(5000):
        log.info("request %d took %d ms", number, number % 7)
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("it broke")
    if sys.argv[2:] == ["raise"]:
        raise SystemExit(3)
"""


@pytest.mark.parametrize("end", ["", "raise"])
def test_a_program_that_just_ends(receiver, end):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(APPLICATION), str(receiver.port), *filter(None, [end])], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == (3 if end else 0), done.stderr
    assert len(receiver.records) == 5_001
    assert all(any(pair.key == "ra.label" for pair in record.attributes) for _, _, record in receiver.records)


def test_logs_of_its_own_do_not_go_round(application, caplog):
    with caplog.at_level(logging.DEBUG):
        logger, processor, out = application(Moody(3))
        handler = logging.Handler()
        handler.emit = lambda record: logger.emit(body=record.getMessage())
        logging.getLogger().addHandler(handler)
        try:
            logger.emit(body="a")
            assert processor.force_flush(20_000)
        finally:
            logging.getLogger().removeHandler(handler)
    assert [record.log_record.body for record in out.found if record.log_record.body != "a"] == []


def in_child(logger, processor, port, queue):
    processor._exporter = exporter("http", port)
    logger.emit(body="from the child")
    queue.put(processor.force_flush(20_000))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_of_a_fork_goes_on_without_verdicts(application, http_receiver):
    logger, processor, out = application()
    logger.emit(body="from the parent")
    assert processor.force_flush()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_child, args=(logger, processor, http_receiver.port, queue))
    child.start()
    assert queue.get(timeout=40)
    child.join(20)
    assert [record.body.string_value for _, _, record in http_receiver.records] == ["from the child"]
    assert not http_receiver.records[0][2].attributes
    assert [record.log_record.body for record in out.get_finished_logs()] == ["from the parent"]


class Mute:
    """An object of an application that cannot be shown."""

    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


def test_whatever_is_logged_leaves_and_so_does_what_comes_after(application):
    logger, processor, out = application()
    circle = {}
    circle["self"] = circle
    bodies = [Mute(), {"a": Mute()}, {"message": Mute()}, circle, b"\xff", float("nan"), {"message": "\ud800"}, {1: 2}, "the last"]
    for body in bodies:
        logger.emit(LogRecord(body=body, attributes={"exception.message": b"\xff"}))
    assert processor.force_flush()
    assert [found.log_record.body for found in out.get_finished_logs()] == bodies


def test_a_fault_of_the_annotator_costs_verdicts_and_no_records(application, monkeypatch):
    logger, processor, out = application()
    monkeypatch.setattr("ra_sdk_opentelemetry.annotator.text_of", None)
    logger.emit(LogRecord(body="disk failed"))
    assert processor.force_flush()
    monkeypatch.undo()
    logger.emit(LogRecord(body="disk failed"))
    assert processor.force_flush()
    first, second = (dict(found.log_record.attributes or {}) for found in out.get_finished_logs())
    assert "ra.label" not in first
    assert "ra.label" in second
