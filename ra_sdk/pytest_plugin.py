"""``pytest --ra-logs``: a test during which something abnormal was logged fails, with the line and the reason."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

import pytest

MARK = "ra_logs(allow): with --ra-logs, abnormal records are not counted against this test; with `allow`, those that match this pattern"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("ra_sdk", "log anomalies (ra-sdk)")
    group.addoption("--ra-logs", action="store_true", help="fail a test during which an abnormal record was logged")
    group.addoption("--ra-logs-level", default="INFO", metavar="LEVEL", help="judge records from this level on (default: INFO)")
    group.addoption("--ra-logs-model", metavar="MODEL", help="the model, as `ra detect --model` takes it")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and with ``--ra-logs`` what does the work."""
    config.addinivalue_line("markers", MARK)
    if config.getoption("--ra-logs"):
        config.pluginmanager.register(_Watching(config), "ra_sdk_watching")


class _Watching:
    """Keeps what each test logs, and judges it when the test has passed. One detector serves the whole run."""

    def __init__(self, config: pytest.Config) -> None:
        self._level = logging.getLevelName(str(config.getoption("--ra-logs-level")).upper())
        if not isinstance(self._level, int):
            raise pytest.UsageError(f"--ra-logs-level must be the name of a level of logging, got {config.getoption('--ra-logs-level')!r}")
        self._model = config.getoption("--ra-logs-model")
        self._detector: Any = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Watch the root logger while the test runs."""
        kept = _Keeping(self._level)
        root = logging.getLogger()
        before = root.level
        root.addHandler(kept)
        root.setLevel(min(before, self._level) if before else self._level)
        try:
            result = yield
        finally:
            root.removeHandler(kept)
            root.setLevel(before)
        found = self._abnormal(kept, item)
        if found:
            pytest.fail("\n".join(["abnormal records were logged (--ra-logs):", *found]), pytrace=False)
        return result

    def pytest_unconfigure(self) -> None:
        """Close the detector."""
        if self._detector is not None:
            self._detector.close()

    def _abnormal(self, kept: _Keeping, item: pytest.Item) -> list[str]:
        import re

        mark = item.get_closest_marker("ra_logs")
        allow = mark.kwargs.get("allow") or (mark.args[0] if mark.args else None) if mark else None
        if not kept.records or (mark is not None and allow is None):
            return []
        if self._detector is None:
            from ra_sdk import Detector

            self._detector = Detector(model=self._model)
        told = [d for d in self._detector.detect(kept.records) if d.abnormal and not (allow and re.search(allow, d.body))]
        return [f"  {d.severity} {d.attributes['logger']}: {d.body}\n    {d.rationale or 'no reason is known'}" for d in told]


class _Keeping(logging.Handler):
    """Keeps records as ``ra_sdk.LogRecord``."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        from ra_sdk.logging import record_of

        if record.name.partition(".")[0] != "ra_sdk":
            self.records.append(record_of(record))
