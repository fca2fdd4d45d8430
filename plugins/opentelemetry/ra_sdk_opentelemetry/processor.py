"""``RaLogRecordProcessor``: an application's own records, annotated on their way to the exporter, without its log calls waiting for anything."""

from __future__ import annotations

import inspect
import logging
import os
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from opentelemetry.metrics import MeterProvider
from ra_sdk.plugin import BadOption

from ra_sdk_opentelemetry.annotator import Annotator, Unannotated
from ra_sdk_opentelemetry.metrics import ServiceMeters
from ra_sdk_opentelemetry.names import Names
from ra_sdk_opentelemetry.sdk import LogRecordExporter, LogRecordProcessor, ReadWriteLogRecord, is_success, readable, suppressed

__all__ = ["RaLogRecordProcessor"]

SHUTDOWN_S = 30.0  # as the SDK's own
LOOK_S = 0.05  # how often held records are looked at
PAUSES = (0.5, 5.0)  # seconds between attempts to export, at first and at most
_say = logging.getLogger(__name__)
_say.propagate = False  # a logger whose records came here again would go round for ever
_say.addHandler(logging.lastResort or logging.NullHandler())


class RaLogRecordProcessor(LogRecordProcessor):
    """Takes the place of a BatchLogRecordProcessor: ``provider.add_log_record_processor(RaLogRecordProcessor(exporter))``.

    Records go to ``exporter`` in batches, with the attributes of ``names``. One whose template nobody has judged yet goes undecided, and is judged
    in the background; with ``hold_s`` it is held so many seconds for its verdict, ``hold`` records at most. ``queue``: records that may wait; more
    are lost, and counted (``lost``, and the metric ra.processor.dropped), as a log call must not wait. ``batch``: records of an export; ``delay_s``: how long
    one waits for others. An export that fails is tried again for ``patience_s`` seconds. ``detecting``: options of ``ra_sdk.Detector``, such as
    ``model``, ``store``, ``threads``. Raises what ``Detector`` raises, and BadOption.
    """

    def __init__(
        self,
        exporter: LogRecordExporter,
        *,
        hold_s: float = 0.0,
        hold: int = 2_000,
        queue: int = 65_536,
        batch: int = 512,
        delay_s: float = 1.0,
        patience_s: float = 300.0,
        names: Names | None = None,
        meter_provider: MeterProvider | None = None,
        **detecting: Any,
    ) -> None:
        for name, value in {"hold": hold, "queue": queue, "batch": batch, "delay_s": delay_s, "patience_s": patience_s}.items():
            if not value > 0:
                raise BadOption(f"{name} {value!r} leaves no room; give a number above 0")
        if hold_s < 0:
            raise BadOption(f"hold_s {hold_s!r} is no time; give seconds, or 0 to hold nothing")
        self._exporter, self._batch, self._delay, self._patience, self._most = exporter, batch, delay_s, patience_s, queue
        self._meters = ServiceMeters(meter_provider)
        self._queue: deque[Any] = deque()
        self._annotator: Annotator | Unannotated = Annotator(detecting, names or Names(), self._meters, hold_s=hold_s, most=hold)
        self._meters.watch_queue(lambda: len(self._queue))
        self.lost = 0
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_weakly(weakref.WeakMethod(self._after_fork)))

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Put the record in the queue, and nothing else."""
        queue = self._queue
        if self._closing.is_set() or len(queue) >= self._most:
            self._lose(1, "shutdown" if self._closing.is_set() else "full")
            return
        queue.append(readable(log_record))
        if len(queue) >= self._batch and not self._awake.is_set():
            self._awake.set()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Have everything exported that was emitted before. False: not within the time."""
        if self._closing.is_set():
            return False
        mark = threading.Event()
        self._queue.append(mark)
        self._awake.set()
        return mark.wait(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = SHUTDOWN_S * 1000) -> None:
        """Export what is there, then shut the exporter down. What cannot be exported in time is lost, and counted."""
        if self._closing.is_set():
            return
        self._end = time.monotonic() + timeout_millis / 1000
        self._closing.set()
        self._awake.set()
        self._drained.wait(timeout_millis / 1000)
        self._given_up.set()
        if left := sum(not isinstance(item, threading.Event) for item in self._queue):
            self._lose(left, "shutdown")
        most = {"timeout_millis": max(0.0, (self._end - time.monotonic()) * 1000)}
        end: Any = self._exporter.shutdown
        end(**(most if "timeout_millis" in inspect.signature(end).parameters else {}))
        self._thread.join(2.0)  # the model may take longer to finish what it is at; nobody needs it any more

    def _begin(self) -> None:
        self._awake, self._closing, self._drained, self._given_up = (threading.Event() for _ in range(4))
        self._end = float("inf")
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="ra-processor", daemon=True)
        self._thread.start()

    def _after_fork(self) -> None:
        """In a child only the thread lives that forked. What was in the queue is its parent's. Its own records go on without verdicts: neither Polars nor
        a model works in a child of a process that has used it. Who wants them there makes the processor there.
        """
        self._queue.clear()
        self._annotator = Unannotated()
        self._begin()

    def _work(self) -> None:
        annotator = self._annotator
        while not self._given_up.is_set():
            self._awake.wait(LOOK_S if annotator.holds else self._delay)
            self._awake.clear()
            self._round(annotator)
            if self._closing.is_set() and not self._queue and not annotator.holds:
                break
        self._drained.set()
        annotator.close()

    def _round(self, annotator: Annotator | Unannotated) -> None:
        """Everything that is in the queue now, and what was held and is ready."""
        late = self._closing.is_set() and time.monotonic() > self._end - 1.0
        self._pass_on(annotator.released(all_of_them=late))
        while self._queue and not self._given_up.is_set():
            items = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
            self._pass_on(self._annotated(annotator, items))
            self._pass_on(annotator.released())

    def _annotated(self, annotator: Annotator | Unannotated, items: list[Any]) -> list[Any]:
        """The items that are ready. This thread must outlive whatever goes wrong with one of them: they leave as they are."""
        try:
            return annotator.annotated(items)
        except Exception as error:  # noqa: BLE001
            _say.warning("ra: log records leave without a verdict: %r", error)
            return items

    def _pass_on(self, items: list[Any]) -> None:
        """Export the records, and tell who waits at the marks between them."""
        records: list[Any] = []
        for item in items:
            if isinstance(item, threading.Event):
                self._export(records)
                records = []
                item.set()
            else:
                records.append(item)
        self._export(records)

    def _export(self, records: list[Any]) -> None:
        """Hand records to the exporter until it has them, or it has failed for too long."""
        for at in range(0, len(records), self._batch):
            part, attempt = records[at : at + self._batch], 0
            until = time.monotonic() + self._patience
            while not self._exported(part):
                pause = random.uniform(0.5, 1.0) * min(PAUSES[1], PAUSES[0] * 2.0 ** min(attempt, 10))  # noqa: S311
                attempt += 1
                if time.monotonic() + pause > min(until, self._end) or self._given_up.wait(pause):
                    self._lose(len(part), "refused")
                    break

    def _exported(self, records: list[Any]) -> bool:
        try:
            with suppressed():
                return is_success(self._exporter.export(records))
        except Exception as error:  # noqa: BLE001  an exporter may raise anything, and the application must not feel it
            _say.warning("ra: an export failed and is tried again: %r", error)
            return False

    def _lose(self, count: int, reason: str) -> None:
        with self._lock:
            first, self.lost = self.lost == 0, self.lost + count
        self._meters.dropped(count, reason)
        if first:
            _say.warning("ra: log records are being lost (%s); see ra.processor.dropped", reason)


def _weakly(method: weakref.WeakMethod[Any]) -> Callable[[], None]:
    """Calls a method of what may be gone by then: what is registered for a fork stays registered for ever."""

    def call() -> None:
        if (found := method()) is not None:
            found()

    return call
