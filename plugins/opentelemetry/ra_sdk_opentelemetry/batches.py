"""Batches between a receiver and the pipeline: bounded, and answered only when every sink has them.

A client that gave up on a batch sends it again. If the first one is still on its way, the repeat joins it; if it arrived meanwhile and nobody
was told, the repeat is told. Otherwise equal batches are two batches: what a client did get an answer for, it does not mean to repeat.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from ra_sdk.plugin import Refusal

__all__ = ["Batch", "Inbox"]

UNTOLD = 10_000  # batches that arrived without their clients hearing of it, of which we remember
RETRY_S = "1"
OVERHEAD = 4096  # bytes that a batch takes besides its own: many small ones must not fill the memory
_lock = threading.Lock()


class Batch:
    """An ExportLogsServiceRequest (``data``, ``records`` in it) on its way through the pipeline."""

    def __init__(self, data: bytes, records: int) -> None:
        self.data, self.records, self.size = data, records, len(data) + OVERHEAD
        self.digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        self.waiting = 1  # clients that wait for it
        self.arrived = False  # it is with every sink; its clients may be told a moment later
        self.done = self.failed = False
        self._heard: list[Callable[[], None]] = []

    def tell(self, heard: Callable[[], None]) -> None:
        """Have ``heard`` called when it is done or has failed, once, in any thread."""
        with _lock:
            if not (self.done or self.failed):
                self._heard.append(heard)
                return
        heard()

    def settle(self, *, done: bool) -> None:
        """It is with every sink, or it never will be."""
        with _lock:
            if self.done or self.failed:
                return
            self.done, self.failed = done, not done
            heard, self._heard = self._heard, []
        for call in heard:
            call()


class Inbox:
    """What was received and is not written yet, at most ``most`` bytes of it. ``name`` is that of the source."""

    def __init__(self, name: str, most: int) -> None:
        self.name, self.most = name, most
        self.held = self.received = self.acknowledged = 0  # bytes; batches since the start
        self._waiting: deque[Batch] = deque()
        self._given: OrderedDict[int, Batch] = OrderedDict()  # by number, taken by the pipeline and not acknowledged yet
        self._pending: dict[str, list[Batch]] = {}
        self._untold: OrderedDict[str, int] = OrderedDict()
        self._state = threading.Condition()
        self._number = 0
        self.refusing: str | None = None  # why nothing more is taken
        self._over = False

    def put(self, data: bytes, records: int) -> Batch:
        """Take a batch in. Raises Refusal: 429 when there is too much, 503 when no more is taken."""
        batch = Batch(data, records)
        with self._state:
            if self.refusing:
                raise Refusal(503, "closing", self.refusing, {"Retry-After": RETRY_S})
            if found := self._repeated(batch):
                return found
            if self.held + batch.size > self.most:
                why = f"{self.held} bytes wait for the sinks already, {batch.size} more would be over {self.most}; send them again later"
                raise Refusal(429, "busy", why, {"Retry-After": RETRY_S})
            self.held += batch.size
            self.received += 1
            self._pending.setdefault(batch.digest, []).append(batch)
            self._waiting.append(batch)
            self._state.notify_all()
        return batch

    def leave(self, batch: Batch, *, told: bool) -> None:
        """A client no longer waits for it: it was answered, or has given up."""
        with self._state:
            batch.waiting -= 1
            if batch.arrived and not told and batch.waiting == 0:
                self._remember(batch)

    def take(self) -> tuple[int, str, Batch] | None:
        """The next batch for the pipeline, its number and the identity of its blocks; waits for it. None: it is over."""
        with self._state:
            while not self._waiting and not self._over and not self.refusing:
                self._state.wait(1.0)
            if self._over or not self._waiting:
                return None
            batch = self._waiting.popleft()
            self._number += 1
            self._given[self._number] = batch
            number = self._number
        return number, f"{self.name}#{batch.digest}", batch

    def acknowledge(self, number: int) -> None:
        """Everything up to this one is with every sink."""
        with self._state:
            numbers = [given for given in self._given if given <= number]
            batches = [self._given.pop(given) for given in numbers]
            for batch in batches:
                self._forget(batch)
                self.acknowledged += 1
                batch.arrived = True
                if batch.waiting == 0:
                    self._remember(batch)
        for batch in batches:
            batch.settle(done=True)

    def drain(self, why: str) -> None:
        """Take nothing more; ``take`` ends after what was accepted."""
        with self._state:
            self.refusing = self.refusing or why
            self._state.notify_all()

    def close(self, why: str) -> None:
        """End it now: who waits is told to send it again."""
        with self._state:
            self.refusing, self._over = self.refusing or why, True
            batches = [*self._waiting, *self._given.values()]
            self._waiting.clear()
            self._given.clear()
            self._pending.clear()
            self.held = 0
            self._state.notify_all()
        for batch in batches:
            batch.settle(done=False)

    def _repeated(self, batch: Batch) -> Batch | None:
        """The batch of which this one is a repeat, on its way or already there."""
        for pending in self._pending.get(batch.digest, ()):
            if pending.waiting == 0:
                pending.waiting = 1
                return pending
        if batch.digest in self._untold:
            self._untold[batch.digest] -= 1
            if not self._untold[batch.digest]:
                del self._untold[batch.digest]
            batch.arrived = batch.done = True
            return batch
        return None

    def _remember(self, batch: Batch) -> None:
        self._untold[batch.digest] = self._untold.pop(batch.digest, 0) + 1
        while len(self._untold) > UNTOLD:
            self._untold.popitem(last=False)

    def _forget(self, batch: Batch) -> None:
        self.held -= batch.size
        same = self._pending[batch.digest]
        same.remove(batch)
        if not same:
            del self._pending[batch.digest]
