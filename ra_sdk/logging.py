"""A handler for Python's ``logging`` that judges what the running program logs.

>>> import logging
>>> from ra_sdk.logging import AnomalyHandler
>>> logging.getLogger().addHandler(AnomalyHandler())  # doctest: +SKIP
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ra_sdk.detector import Detector
from ra_sdk.errors import BadOption, Closed
from ra_sdk.records import LogRecord
from ra_sdk.trouble import RateLimited

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ra_sdk.api import DetectorOptions
    from ra_sdk.detections import Detection

__all__ = ["ANOMALIES", "AnomalyHandler", "record_of"]

ANOMALIES = logging.getLogger("ra_sdk.anomalies")
BATCH = 1_000  # records that are judged together
CLOSE_S = 5.0  # how long closing waits for records that are still to be judged
_LEVELS = ((logging.CRITICAL, "FATAL"), (logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO"), (logging.DEBUG, "DEBUG"))


class AnomalyHandler(logging.Handler):
    """Judges records in a thread of its own, and reports the abnormal ones. A log call never waits for it.

    Records of the loggers ``ra_sdk`` and below are left out. In a child process that was forked, nothing is judged; make a handler there.

    Args:
        on_anomaly: Called with each abnormal detection, in the handler's thread; an exception that it raises is logged. None: a warning with
            the reason is logged to the logger ``ra_sdk.anomalies``.
        capacity: Records that may wait. More are not judged, and counted in ``dropped``.
        level: Records below this level are left out.
        **options: The options of ``ra_sdk.Detector``, which is opened at once and belongs to the handler.

    Raises:
        RaError: What ``Detector`` raises.
    """

    def __init__(
        self,
        on_anomaly: Callable[[Detection], None] | None = None,
        *,
        capacity: int = 10_000,
        level: int = logging.NOTSET,
        **options: Unpack[DetectorOptions],
    ) -> None:
        if capacity < 1:
            raise BadOption(f"`capacity` must be at least 1, got {capacity!r}")
        super().__init__(level)
        self.dropped = 0
        self._report = on_anomaly or _logged
        self._queue: queue.Queue[LogRecord | threading.Event | None] = queue.Queue(capacity)
        self._trouble, self._detector, self._ended = RateLimited(), Detector(**options), False
        self._thread = threading.Thread(target=self._work, name="ra-logging", daemon=True)
        self._thread.start()
        if hasattr(os, "register_at_fork"):
            forked = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: (forked() or _nothing)())

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record in the queue; drop it if that is full."""
        if record.name.partition(".")[0] == "ra_sdk":
            return
        try:
            told = record_of(record)
        except Exception:  # noqa: BLE001  an argument that cannot be formatted is the caller's mistake, as in other handlers
            self.handleError(record)
            return
        try:
            if self._ended:
                raise queue.Full
            self._queue.put_nowait(told)
        except queue.Full:
            self.dropped += 1

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until everything logged before is judged, at most ``timeout`` seconds. Returns whether it is."""
        mark = threading.Event()
        if not self._thread.is_alive():
            return False
        try:
            self._queue.put(mark, timeout=timeout)
        except queue.Full:
            return False
        return mark.wait(timeout)

    def close(self) -> None:
        """Judge what waits, for at most five seconds, and close the detector. Closing again does nothing."""
        super().close()
        if self._ended:
            return
        self._ended = True
        if self._thread.is_alive():
            self.drain(CLOSE_S)
            self._detector.stop()
            self._clear()
            self._queue.put_nowait(None)
            self._thread.join(CLOSE_S)
        self._detector.close()

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            records = [item for item in batch if isinstance(item, LogRecord)]
            try:
                for detection in self._detector.detect(records):
                    if detection.abnormal:
                        self._tell(detection)
            except Closed:
                return
            except Exception as error:  # noqa: BLE001  the program goes on, and so does this thread
                self._trouble.warning("logging", f"{len(records)} records of this program stay without a verdict: {error!r}")
            for item in batch:
                if isinstance(item, threading.Event):
                    item.set()

    def _next(self) -> list[LogRecord | threading.Event] | None:
        """What waits, as soon as something does. None: the handler is closed."""
        batch: list[LogRecord | threading.Event] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) == BATCH:
                break
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
        else:
            self._queue.put_nowait(None)  # for the next round
        return batch or None

    def _tell(self, detection: Detection) -> None:
        try:
            self._report(detection)
        except Exception as error:  # noqa: BLE001
            self._trouble.warning("callback", f"the callback of AnomalyHandler failed: {error!r}")

    def _clear(self) -> None:
        while not self._queue.empty():
            try:
                self._queue.get_nowait()
            except queue.Empty:
                return
            self.dropped += 1

    def _after_fork(self) -> None:
        self._ended, self._queue = True, queue.Queue(1)  # the thread lives in the parent only


def record_of(record: logging.LogRecord) -> LogRecord:
    """A record of ``logging`` as ours: the message with its traceback, severity by level, and where in the code it was logged."""
    body = record.getMessage()
    if record.exc_info:
        record.exc_text = record.exc_text or logging.Formatter().formatException(record.exc_info)
    body = "\n".join(filter(None, (body, record.exc_text, record.stack_info)))
    severity = next((name for level, name in _LEVELS if record.levelno >= level), "TRACE")
    attributes: dict[str, Any] = {"logger": record.name, "code.file.path": record.pathname, "code.line.number": record.lineno}
    return LogRecord(body, datetime.fromtimestamp(record.created, timezone.utc), severity, {**attributes, "thread.name": record.threadName})


def _logged(detection: Detection) -> None:
    ANOMALIES.warning("%s: %s", detection.body, detection.rationale or "reports a fault")


def _nothing() -> None:
    """The handler is gone."""
