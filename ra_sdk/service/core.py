"""The service behind HTTP and gRPC: many clients, one detector.

Two threads do the work. The first mines: it takes all waiting batches as one block, because work on columns
has a cost per call, and looks up their templates. The second asks the model for cold templates, a few at a
time, across all clients; a template that two clients sent is judged once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ra_sdk.errors import RaError, WorldError
from ra_sdk.records import SEVERITIES, Template, TemplateKey, Verdict
from ra_sdk.service.batches import Batch, Judged, Waiter, speaking
from ra_sdk.service.limits import Limits
from ra_sdk.templates.miner import keyed
from ra_sdk.trouble import RateLimited

if TYPE_CHECKING:
    from ra_sdk.detector import Detector
    from ra_sdk.service.metrics import Meters
    from ra_sdk.verdicts.resolver import Known, Who

__all__ = ["Judged", "Overloaded", "Service"]

BLOCK = 20_000  # records that are mined at once
# templates asked for at once, in multiples of the model's width: few, so that later clients wait less
ROUNDS = 2
AGAIN_S = 60.0  # how long a template that the model failed on waits for another try
OVERRIDES_S = 5.0  # how long an operator's override may go unnoticed
LISTED_S = 1.0  # how old the listing of templates may be
KEYS = 200_000  # templates whose keys are remembered


class Overloaded(WorldError):
    """Too many records are waiting; the client can try again."""


class Service:
    """Judges batches of many clients with one detector, which it owns and closes."""

    def __init__(self, detector: Detector, limits: Limits, meters: Meters) -> None:
        self.detector, self.limits, self.meters = detector, limits, meters
        self._judging, self._name = detector.judging, detector.reasoner.name
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._waiting = self._patient = 0
        self._mining = threading.Lock()
        self._state = threading.Condition()  # guards the five below
        self._cold: deque[TemplateKey] = deque()
        self._alone: set[TemplateKey] = set()  # cold ones that were asked for with others when the model failed
        self._pending: dict[TemplateKey, set[Waiter]] = {}
        self._failed: OrderedDict[TemplateKey, float] = OrderedDict()
        self._names: dict[TemplateKey, Collection[str]] = {}  # of those that are pending: what their records call the program
        self._keys: OrderedDict[TemplateKey, str] = OrderedDict()
        self._keyed: dict[str, TemplateKey] = {}  # by the key of the verdict
        self._overrides: tuple[float, set[Verdict]] = (0.0, set())
        self.revision = self._judging.revision(())  # what clients remember of another one is out of date
        self._listing: tuple[float, list[tuple[Template, Verdict]]] = (float("-inf"), [])
        self._closing, self._hurried, self._deadline = False, False, float("inf")
        self._trouble = RateLimited()
        self._threads = [threading.Thread(target=work, name=name, daemon=True) for work, name in ((self._mine, "ra-mine"), (self._ask, "ra-model"))]
        for thread in self._threads:
            thread.start()

    @property
    def cold(self) -> int:
        """How many templates wait for the model or are being judged."""
        return len(self._pending)

    async def judge(self, bodies: Sequence[str], wait_s: float = 0.0, names: Sequence[Collection[str]] = (), severities: Sequence[str | None] = ()) -> Judged:
        """Verdicts for a batch. Cold templates are undecided unless the model judges them within ``wait_s`` seconds.

        They are judged in the background in any case. ``names``: for each body what its record calls the program that wrote it; empty: not known.
        ``severities``: of each record, one of ``SEVERITIES`` or None; empty: not known.

        Raises Overloaded, StoreError, ValueError.
        """
        if any(told and len(told) != len(bodies) for told in (names, severities)):
            raise ValueError(f"names and severities must be as many as the {len(bodies)} bodies, got {len(names)} and {len(severities)}")
        if self._closing or self._waiting + len(bodies) > self.limits.queue:
            raise Overloaded(f"{self._waiting} records are waiting, and {len(bodies)} more would exceed the limit of {self.limits.queue}; try later")
        waits = wait_s > 0 and self._patient < self.limits.connections // 2  # so that others can connect
        batch = Batch(bodies, names or [()] * len(bodies), severities or [None] * len(bodies), waits)
        self._waiting += len(bodies)
        try:
            self._batches.put(batch)
            judged, waiter = await asyncio.wrap_future(batch.mined)
        finally:
            self._waiting -= len(bodies)
        if waiter is not None:
            await self._wait(waiter, wait_s)
            judged = self._settled(judged)
        self._count(judged)
        return judged

    def verdict(self, key: str) -> Verdict | None:
        """The verdict with this key, undecided while its template waits for the model, or None.

        Raises StoreError.
        """
        template = self._keyed.get(key)
        if template is None:
            return self._judging.by_key(key)
        return self._judging.look_up([template]).get(template, (self._undecided(template), False))[0]

    def revised(self) -> str:
        """The revision, after a look at the overrides; for clients that have nothing to ask."""
        if self._mining.acquire(blocking=False):  # a probe must not wait
            try:
                self._see_overrides()
            finally:
                self._mining.release()
        return self.revision

    def key(self, template: TemplateKey) -> str:
        """The key of a template's verdict."""
        found = self._keys.get(template)
        return found or self._judging.key(template)

    def templates(self) -> list[tuple[Template, Verdict]]:
        """The templates mined so far with their verdicts, the most frequent first; one whose records had several severities with each of its verdicts.

        May be a second old. Raises StoreError.
        """
        with self._mining:
            if time.monotonic() - self._listing[0] > LISTED_S:
                self._listing = time.monotonic(), self._listed(self.detector.templates())
            return self._listing[1]

    def _listed(self, mined: Sequence[Template]) -> list[tuple[Template, Verdict]]:
        seen: dict[str, list[TemplateKey]] = {}
        for key in self._keys:
            seen.setdefault(key.text, []).append(key)
        # of an earlier run only the store knows at which severities it was judged
        unseen = [template.text for template in mined if template.text not in seen]
        tried = [TemplateKey(text, severity) for text in unseen for severity in SEVERITIES] if self._judging.reads_severity else []
        for key in self._judging.look_up(tried):
            seen.setdefault(key.text, []).append(key)
        rows = [(template, key) for template in mined for key in seen.get(template.text, [TemplateKey(template.text)])]
        known = self._judging.look_up([key for _, key in rows])
        return [(template, known[key][0] if key in known else self._undecided(key)) for template, key in rows]

    def hurry(self) -> None:
        """Answer all waiting requests now, with what is known."""
        with self._state:
            self._hurried = True
            waiters = {waiter for waiting in self._pending.values() for waiter in waiting}
            for waiting in self._pending.values():
                waiting.clear()
        for waiter in waiters:
            waiter.done.set_result(None)

    def close(self, grace_s: float) -> None:
        """Finish what was accepted, for at most ``grace_s`` seconds, then close the detector.

        What is still cold stays unjudged.
        """
        self._closing, self._deadline = True, time.monotonic() + grace_s
        self._batches.put(None)
        with self._state:
            self._state.notify_all()
        for thread in self._threads:
            thread.join()
        self.detector.close()

    async def _wait(self, waiter: Waiter, seconds: float) -> None:
        self._patient += 1
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(waiter.done)), seconds)
        except asyncio.TimeoutError:
            pass
        finally:
            self._patient -= 1
            if not waiter.done.done():
                with self._state:
                    for template in waiter.templates:
                        self._pending.get(template, set()).discard(waiter)

    def _settled(self, judged: Judged) -> Judged:
        """The batch with what the model has said since."""
        known = self._judging.remembered([verdict.key for verdict in judged.verdicts])
        verdicts = [known[verdict.key][0] if verdict.key in known else verdict for verdict in judged.verdicts]
        return Judged(judged.codes, verdicts, judged.keys)

    def _count(self, judged: Judged) -> None:
        labels = [verdict.label for verdict in judged.verdicts]
        counts: dict[str, int] = dict.fromkeys(labels, 0)
        for code in judged.codes:
            counts[labels[code]] += 1
        self.meters.count_records(counts)

    def _undecided(self, template: TemplateKey) -> Verdict:
        return Verdict(template.text, model=self._name, severity=template.severity)

    def _mine(self) -> None:
        """The mining thread: all waiting batches as one block."""
        while (first := self._batches.get()) is not None:
            batches, size = [first], len(first.bodies)
            with suppress(queue.Empty):
                while size < BLOCK and (more := self._batches.get_nowait()) is not None:
                    batches.append(more)
                    size += len(more.bodies)
                if size < BLOCK:
                    self._batches.put(None)  # the end: for the next round
            self._mine_or_fail(batches)

    def _mine_or_fail(self, batches: list[Batch]) -> None:
        """Mine the batches. An error in one must not affect the others."""
        try:
            done = self._mine_block(batches)
        except BaseException as error:  # noqa: BLE001  raised again where the batch is awaited; a Polars panic is not an Exception
            # an RaError comes from the store after mining; mining again would count records twice
            if len(batches) > 1 and not isinstance(error, RaError):
                for batch in batches:
                    self._mine_or_fail([batch])
                return
            for batch in batches:
                if batch.mined.set_running_or_notify_cancel():
                    batch.mined.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))
            return
        for batch, found in zip(batches, done):
            if batch.mined.set_running_or_notify_cancel():
                batch.mined.set_result(found)

    def _mine_block(self, batches: list[Batch]) -> list[tuple[Judged, Waiter | None]]:
        import polars as pl

        started = time.perf_counter()
        with self._mining:
            codes, texts = self.detector.miner.mine(pl.Series("body", [body for batch in batches for body in batch.bodies], dtype=pl.String))
            severities = [severity for batch in batches for severity in batch.severities] if self._judging.reads_severity else None
            codes, templates = keyed(codes, texts, None if severities is None else pl.Series("severity", severities, dtype=pl.String))
            self._see_overrides()
            places = codes.to_list()
            who = speaking(batches, places, templates)
            known = self._judging.look_up(templates, who=who)
            self._save_state()
            self._know_keys(templates)
        at, done = 0, []
        for batch in batches:
            done.append(self._found(batch, places[at : at + len(batch.bodies)], templates, known, who))
            at += len(batch.bodies)
        self.meters.mined(time.perf_counter() - started)
        return done

    def _save_state(self) -> None:
        """Save the mining state when it is due. A failure is only logged."""
        try:
            self.detector.save_state()
        except RaError as error:
            self._trouble.warning("state", f"the mined templates are not saved: {error}")

    def _found(self, batch: Batch, places: list[int], templates: list[TemplateKey], known: dict[TemplateKey, Known], who: Who) -> tuple[Judged, Waiter | None]:
        """A batch's share of a block. Its cold templates are queued."""
        order: dict[int, int] = {}
        codes = [order.setdefault(place, len(order)) for place in places]
        own = [templates[place] for place in order]
        bare = self._judging.unexplained(own)
        cold = [template for template in own if template not in known or template in bare]
        waiter = self._queue(cold, batch.waits, who) if cold else None
        verdicts = [known[template][0] if template in known else self._undecided(template) for template in own]
        return Judged(codes, verdicts, [self.key(template) for template in own]), waiter

    def _queue(self, cold: list[TemplateKey], waits: bool, who: Who) -> Waiter | None:
        """Have templates judged or explained.

        One that is pending is not queued again, nor one that was done since it was looked up.
        """
        with self._state:
            done = self._judging.remembered(cold).keys() - self._judging.unexplained(cold)
            pending = [template for template in cold if template not in done and self._admit(template, who)]
            self._state.notify_all()
            if failing := sum(self._failed.get(template, 0.0) > time.monotonic() for template in cold):
                what = "template of a request stays" if failing == 1 else "templates of a request stay"
                self._trouble.warning("failing", f"{failing} {what} undecided: the model failed on it, and is asked again {AGAIN_S:.0f} s later")
            if not waits or not cold or self._hurried:
                return None
            waiter = Waiter(pending)
            for template in pending:
                self._pending[template].add(waiter)
            if not pending:
                waiter.done.set_result(None)
            return waiter

    def _admit(self, template: TemplateKey, who: Who) -> bool:
        """Queue a template; returns whether it is queued.

        It is not if the queue is full or the model failed on it recently.
        """
        if template in self._pending:
            return True
        if self._failed.get(template, 0.0) > time.monotonic():
            return False
        if len(self._pending) >= self.limits.cold:
            self.meters.not_queued.inc()
            return False
        self._pending[template], self._names[template] = set(), who(template)
        self._cold.append(template)
        return True

    def _ask(self) -> None:
        """The model's thread: cold templates, a few at a time."""
        most = ROUNDS * (getattr(self.detector.reasoner, "width", None) or 16)
        while templates := self._next(most):
            tokens, started = getattr(self.detector.reasoner, "decoded", 0), time.perf_counter()
            left = set(templates)
            try:
                self._judge(templates, left)
            except Exception as error:  # noqa: BLE001  this thread must survive errors such as a full store
                self._trouble.warning("asking", f"{len(left)} templates stay undecided: {error!r}")
                for template in left:
                    self._settle(template, True, alone=True)
            self.meters.asked(len(templates), getattr(self.detector.reasoner, "decoded", 0) - tokens, time.perf_counter() - started)

    def _judge(self, templates: Sequence[TemplateKey], left: set[TemplateKey]) -> None:
        """Have templates judged, and abnormal ones explained, as ``Detector`` does.

        Those that are settled are taken out of ``left``.
        """
        # what an earlier run judged, and this one's threshold makes abnormal
        found = self._judging.remembered(templates)
        for verdict in self._judging.ask([template for template in templates if template not in found], who=self._called):
            if self._judging.unexplained([verdict.key]):
                found[verdict.key] = verdict, False
                continue
            left.discard(verdict.key)
            self._settle(verdict.key, verdict.label == "undecided", alone=len(templates) == 1)
            if time.monotonic() > self._deadline:
                return
        self._judging.explain(found, who=self._called)
        for template in found:
            left.discard(template)
            self._settle(template, False, alone=True)

    def _called(self, template: TemplateKey) -> Collection[str]:
        return self._names.get(template, ())

    def _next(self, most: int) -> list[TemplateKey]:
        """The cold templates to judge next; none when the service is closing."""
        with self._state:
            while not self._cold and not (self._closing and not self._threads[0].is_alive()):
                self._state.wait(None if not self._closing else 0.05)
            if time.monotonic() > self._deadline or not self._cold:
                return []
            if self._closing:
                # smaller rounds, so that the grace period is not exceeded by much
                most = max(1, most // ROUNDS)
            if self._cold[0] in self._alone:
                self._alone.discard(self._cold[0])
                return [self._cold.popleft()]
            templates = [self._cold.popleft()]
            while self._cold and len(templates) < most and self._cold[0] not in self._alone:
                templates.append(self._cold.popleft())
            return templates

    def _settle(self, template: TemplateKey, failed: bool, *, alone: bool) -> None:
        """Wake the requests that wait for a template.

        One that failed together with others is tried once more alone.
        """
        with self._state:
            if failed and not alone:
                self._alone.add(template)
                self._cold.append(template)
                return
            if failed:
                self._failed[template] = time.monotonic() + AGAIN_S
                while len(self._failed) > self.limits.cold:
                    self._failed.popitem(last=False)
            self._names.pop(template, None)
            for waiter in self._pending.pop(template, ()):
                waiter.left -= 1
                if waiter.left == 0:
                    waiter.done.set_result(None)

    def _see_overrides(self) -> None:
        """Drop templates whose override has changed, here or in another process, so that they are looked up again."""
        seen, before = self._overrides
        if time.monotonic() - seen < OVERRIDES_S:
            return
        with suppress(RaError):
            now = set(self._judging.store.overrides())
            for verdict in now ^ before:
                self._judging.forget(verdict.template)
            self._overrides, self.revision = (time.monotonic(), now), self._judging.revision(now)

    def _know_keys(self, templates: Sequence[TemplateKey]) -> None:
        for template in templates:
            if template not in self._keys:
                self._keys[template] = key = self._judging.key(template)
                self._keyed[key] = template
        while len(self._keys) > KEYS:
            self._keyed.pop(self._keys.popitem(last=False)[1], None)
