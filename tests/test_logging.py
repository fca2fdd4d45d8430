"""The handler for Python's logging, and the pytest plugin that uses it."""

import logging
import os
import sys
import threading

import pytest

from ra_sdk import BadOption, EchoReasoner
from ra_sdk.logging import ANOMALIES, AnomalyHandler

OPTIONS = {"model": "echo", "store": ":memory:", "knowledge": None}
WAIT_S = 30


@pytest.fixture
def logger():
    made = logging.Logger("shop.orders")  # apart from the root logger
    yield made
    for handler in list(made.handlers):
        handler.close()


def watched(logger, **options):
    found = []
    handler = AnomalyHandler(found.append, **{**OPTIONS, **options})
    logger.addHandler(handler)
    return handler, found


def test_abnormal_records_are_reported_with_their_place(logger):
    handler, found = watched(logger)
    logger.info("all good")
    logger.error("disk %s failed", "sda")
    assert handler.drain(WAIT_S)
    (detection,) = found
    assert (detection.body, detection.severity, detection.label) == ("disk sda failed", "ERROR", "abnormal")
    assert detection.attributes["logger"] == "shop.orders"
    assert detection.attributes["code.file.path"] == __file__
    assert handler.dropped == 0


def test_a_traceback_belongs_to_its_record(logger):
    handler, found = watched(logger)
    try:
        raise KeyError("order")
    except KeyError:
        logger.exception("checkout failed")
    assert handler.drain(WAIT_S)
    assert found[0].body.startswith("checkout failed\nTraceback")
    assert found[0].body.endswith("KeyError: 'order'")


def test_without_a_callback_a_warning_is_logged(logger, caplog):
    handler = AnomalyHandler(**OPTIONS)
    logger.addHandler(handler)
    with caplog.at_level(logging.WARNING, ANOMALIES.name):
        logger.error("disk failed")
        assert handler.drain(WAIT_S)
    assert [(r.name, r.levelname) for r in caplog.records] == [("ra_sdk.anomalies", "WARNING")]
    assert caplog.messages[0].startswith("disk failed: ")


def test_its_own_loggers_are_left_out():
    handler = AnomalyHandler(lambda _: None, **OPTIONS)
    for name in ("ra_sdk", "ra_sdk.anomalies"):
        handler.handle(logging.LogRecord(name, logging.ERROR, "x.py", 1, "disk failed", None, None))
    assert handler._queue.empty()
    handler.close()


class Slow(EchoReasoner):
    """Waits until it may answer."""

    def __init__(self):
        super().__init__()
        self.may = threading.Event()

    def judge(self, templates, mode="direct"):
        self.may.wait(WAIT_S)
        yield from super().judge(templates, mode)


def test_a_log_call_never_waits_and_what_is_too_much_is_counted(logger):
    slow = Slow()
    handler, found = watched(logger, model=slow, capacity=5)
    for number in range(100):
        logger.error("disk %s failed", "abcdefghij"[number % 10])
    assert handler.dropped >= 90  # at most five are being judged, and five wait
    assert not handler.drain(0.05)
    slow.may.set()
    assert handler.drain(WAIT_S)
    assert len(found) + handler.dropped == 100


def test_a_callback_that_fails_does_not_end_it(logger, caplog):
    handler = AnomalyHandler(lambda detection: 1 / 0, **OPTIONS)
    logger.addHandler(handler)
    with caplog.at_level(logging.WARNING, "ra_sdk"):
        logger.error("disk failed")
        logger.error("disk sda failed")
        assert handler.drain(WAIT_S)
    assert "the callback of AnomalyHandler failed: ZeroDivisionError" in caplog.text


def test_closing_judges_what_waits_and_ends_the_thread(logger):
    handler, found = watched(logger)
    logger.error("disk failed")
    handler.close()
    handler.close()
    assert [d.body for d in found] == ["disk failed"]
    assert not handler._thread.is_alive()
    logger.error("disk failed again")
    assert (handler.dropped, handler.drain(0.1)) == (1, False)


@pytest.mark.parametrize(
    ("level", "severity"), [(5, "TRACE"), (10, "DEBUG"), (20, "INFO"), (25, "INFO"), (30, "WARN"), (40, "ERROR"), (50, "FATAL"), (60, "FATAL")]
)
def test_levels(logger, level, severity):
    handler, found = watched(logger)
    logger.log(level, "disk failed")
    assert handler.drain(WAIT_S)
    assert found[0].severity == severity


def test_what_cannot_be_formatted_is_told_as_other_handlers_do(logger, capsys):
    handler, found = watched(logger)
    logger.error("disk %d failed", "sda")
    assert handler.drain(WAIT_S)
    assert found == []
    assert "Logging error" in capsys.readouterr().err


def test_wrong_options_are_errors_at_once():
    with pytest.raises(BadOption, match="`capacity` must be at least 1, got 0"):
        AnomalyHandler(capacity=0)
    with pytest.raises(BadOption):
        AnomalyHandler(threshold=2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_logs_on(logger):
    handler, _ = watched(logger)
    child = os.fork()
    if child == 0:
        logger.error("disk failed")
        os._exit(0 if handler.dropped == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0


TESTS = """
import logging
import pytest
LOG = logging.getLogger("shop")
def test_good(): LOG.info("all good")
def test_bad(): LOG.error("disk sda failed")
def test_fails_by_itself():
    LOG.error("disk sda failed")
    assert False, "on its own"
@pytest.mark.ra_logs
def test_expected(): LOG.error("disk sda failed")
@pytest.mark.ra_logs(allow="sda")
def test_allowed(): LOG.error("disk sda failed")
@pytest.mark.ra_logs(allow="sda")
def test_another(): LOG.error("disk sdb failed")
def test_below(): LOG.debug("disk sda failed")
"""


@pytest.mark.parametrize(
    ("options", "failed"),
    [
        ([], {"test_fails_by_itself"}),
        (["--ra-logs"], {"test_fails_by_itself", "test_bad", "test_another"}),
        (["--ra-logs", "--ra-logs-level=DEBUG"], {"test_fails_by_itself", "test_bad", "test_another", "test_below"}),
    ],
)
def test_the_pytest_plugin(tmp_path, options, failed):
    import subprocess

    (tmp_path / "test_shop.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "ra_sdk.pytest_plugin", "-p", "no:cacheprovider", *options, "--ra-logs-model=echo", "test_shop.py"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment).stdout
    assert {line.split("::")[1].split()[0] for line in out.splitlines() if line.startswith("FAILED")} == failed, out
    assert ("abnormal records were logged (--ra-logs):\n  ERROR shop: disk sda failed\n    " in out) is bool(options)
