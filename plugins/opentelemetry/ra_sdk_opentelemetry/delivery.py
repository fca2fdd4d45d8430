"""Delivers requests until they have arrived: several at once, each again and again with growing pauses, in bounded memory."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, field

from ra_sdk_opentelemetry.sending import Outcome, Transport
from ra_sdk_opentelemetry.writing import Chunk

__all__ = ["Backoff", "Closed", "Delivery", "Refused", "Report"]


class Refused(Exception):
    """A receiver will never take it."""


class Closed(Exception):
    """Delivery was ended before it arrived."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between attempts: exponential, with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), in seconds."""

    first: float = 1.0
    most: float = 30.0

    def pause(self, attempt: int, asked: float | None) -> float:
        """Before attempt ``attempt`` (from 1). What the receiver asked for is kept, with a little on top, so that not all clients come back at once."""
        if asked is not None:
            return asked + random.uniform(0.0, 0.1 * min(asked, self.most) + 0.01)  # noqa: S311
        return random.uniform(0.1, 1.0) * min(self.most, self.first * 2.0 ** min(attempt - 1, 20))  # noqa: S311


@dataclass
class Report:
    """What was delivered so far: records ``sent`` and ``rejected`` by the receiver, requests sent ``again``; ``trouble``: why it does not go on just now."""

    sent: int = 0
    rejected: int = 0
    again: int = 0
    trouble: str | None = None
    rejection: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


class Delivery:
    """Sends with ``width`` requests under way at most. ``seen`` is called with every outcome and the seconds that it took."""

    def __init__(self, transport: Transport, backoff: Backoff, width: int, seen: Callable[[Outcome, float], None] = lambda *_: None) -> None:
        self.report = Report()
        self._transport, self._backoff, self._width, self._seen = transport, backoff, width, seen
        self._closed = threading.Event()
        self._pool = ThreadPoolExecutor(width, "ra-otlp-send")

    def deliver(self, chunks: Iterator[Chunk], heed: Callable[[], None], round_s: float = 0.5) -> None:
        """Return when all have arrived; ``heed`` is called now and then while waiting. Raises Refused, Closed."""
        under_way: deque[Future[None]] = deque()
        try:
            for chunk in chunks:
                under_way.append(self._pool.submit(self._until_taken, chunk))
                if len(under_way) >= self._width:
                    self._finish(under_way.popleft(), heed, round_s)
            while under_way:
                self._finish(under_way.popleft(), heed, round_s)
        finally:
            for left in under_way:
                left.cancel()

    def stop(self) -> None:
        """End it; what is under way is given up. From any thread."""
        self._closed.set()
        self._transport.close()

    def close(self) -> None:
        """End it, and wait for the threads."""
        self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _finish(self, one: Future[None], heed: Callable[[], None], round_s: float) -> None:
        while True:
            heed()
            try:
                one.result(round_s)
            except Late:
                if one.done():
                    raise
                continue
            heed()
            return

    def _until_taken(self, chunk: Chunk) -> None:
        attempt = 0
        while not self._closed.is_set():
            started = time.perf_counter()
            outcome = self._transport.send(chunk.data)
            self._seen(outcome, time.perf_counter() - started)
            if self._closed.is_set() and outcome.kind != "taken":
                break
            if outcome.kind == "taken":
                self._note(chunk, outcome)
                return
            if outcome.kind == "smaller" and (halves := chunk.halves()):
                for half in halves:
                    self._until_taken(half)
                return
            if outcome.kind in ("never", "smaller"):
                raise Refused(outcome.why)
            attempt += 1
            with self.report.lock:
                self.report.again += 1
                self.report.trouble = outcome.why
            self._closed.wait(self._backoff.pause(attempt, outcome.after))
        raise Closed

    def _note(self, chunk: Chunk, outcome: Outcome) -> None:
        with self.report.lock:
            self.report.trouble = None
            self.report.sent += chunk.records - outcome.rejected
            self.report.rejected += outcome.rejected
            if outcome.rejected or outcome.why:
                self.report.rejection = outcome.why or "without a reason"
