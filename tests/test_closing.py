"""Who closes what, what happens afterwards, and in which thread things run."""

import asyncio
import sqlite3
import threading
import time

import pytest

import ra_sdk
from ra_sdk import Detector, EchoReasoner, VerdictStore, Window
from ra_sdk.errors import Closed, RaError, SourceError, UnknownFormat, UsageError


class Counting(EchoReasoner):
    """Counts how often it is closed."""

    def __init__(self):
        super().__init__()
        self.closed = 0

    def close(self):
        self.closed += 1


def test_a_model_and_a_store_that_were_given_stay_open():
    reasoner = Counting()
    with VerdictStore(":memory:") as store:
        with Detector(model=reasoner, store=store) as one, Detector(model=reasoner, store=store) as other:
            assert one.judge("disk failed").abnormal
            one.close()
            assert other.judge("disk broken and failed").abnormal
        assert reasoner.closed == 0
        assert len(store) == 2


def test_what_was_opened_here_is_closed_once(monkeypatch):
    reasoner = Counting()
    monkeypatch.setattr("ra_sdk.reasoner.llama.EchoReasoner", lambda: reasoner)
    with Detector(model="echo", store=":memory:") as detector:
        store = detector.store
        detector.close()
    assert reasoner.closed == 1
    with pytest.raises(Closed):
        store.get(["x"], "d", "direct")


def test_a_constructor_that_fails_leaves_no_model_open(monkeypatch, tmp_path):
    reasoner = Counting()
    monkeypatch.setattr("ra_sdk.reasoner.llama.EchoReasoner", lambda: reasoner)
    with pytest.raises(ra_sdk.StoreError):
        Detector(model="echo", store=tmp_path)
    assert reasoner.closed == 1


USES = {
    "detect": lambda detector: detector.detect(["x"]),
    "blocks": lambda detector: detector.blocks(["x"]),
    "sessions": lambda detector: detector.sessions(["x"]),
    "judge": lambda detector: detector.judge("x"),
    "write": lambda detector: detector.write(["x"]),
    "the store": lambda detector: detector.store.get(["x"], "d", "direct"),
}


@pytest.mark.parametrize("use", USES)
def test_a_closed_detector_says_so(use):
    detector = Detector(model="echo", store=":memory:", window=Window(lines=1))
    detector.close()
    detector.close()
    with pytest.raises(UsageError, match="was closed; ") as caught:
        USES[use](detector)
    assert isinstance(caught.value, RuntimeError)
    assert detector.templates() == []


def test_an_iteration_ends_when_its_detector_is_closed():
    detector = Detector(model="echo", store=":memory:", block=2)
    found = detector.detect(iter(["a", "b"] * 50))
    assert next(found).body == "a"
    detector.close()
    with pytest.raises(Closed):
        list(found)


@pytest.mark.model
def test_a_closed_model_says_so():
    from ra_sdk import LlamaReasoner

    reasoner = LlamaReasoner(width=2, threads=1)
    with Detector(model=reasoner, store=":memory:") as one, Detector(model=reasoner, store=":memory:") as other:
        one.close()
        assert other.judge("worker started").label == "normal"
        reasoner.close()
        reasoner.close()
        with pytest.raises(Closed, match="was closed"):
            other.judge("another worker stopped")
    for use in (lambda: list(reasoner.judge(["x"])), lambda: reasoner.tokens("x"), lambda: reasoner._llama.decode([([1], 0, 0, True)])):
        with pytest.raises(Closed, match="was closed"):
            use()


def test_a_given_iterable_runs_in_the_callers_thread():
    seen = set()

    def lines():
        for number in range(1_000):
            seen.add(threading.get_ident())
            yield f"line {number}"

    assert len(list(ra_sdk.detect(lines(), model="echo", store=":memory:", block=100))) == 1_000
    assert seen == {threading.get_ident()}


def test_a_databases_cursor_is_a_source():
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE log (line)")
    connection.executemany("INSERT INTO log VALUES (?)", [("disk failed",), ("all good",)])
    rows = (line for (line,) in connection.execute("SELECT line FROM log"))
    assert [d.abnormal for d in ra_sdk.detect(rows, model="echo", store=":memory:")] == [True, False]
    connection.close()


def test_what_comes_slowly_is_given_at_once():
    came, given = [], []

    def lines():
        for number in range(4):
            time.sleep(0.05)
            came.append(number)
            yield f"line {number}"

    for detection in ra_sdk.detect(lines(), model="echo", store=":memory:"):
        given.append((detection.body, len(came)))
    assert given == [("line 0", 1), ("line 1", 2), ("line 2", 3), ("line 3", 4)]


def test_what_comes_quickly_is_judged_together():
    echo = EchoReasoner()
    letters = "abcdefghij"
    found = list(
        ra_sdk.detect((f"unit {letters[n % 10]}{letters[n // 10 % 10]}{letters[n // 100]} started" for n in range(1_000)), model=echo, store=":memory:")
    )
    assert len(found) == 1_000
    assert echo.calls < 20


@pytest.mark.parametrize(
    ("source", "options", "error"), [("/no/such/file", {}, SourceError), (["x"], {"format": "nosuch"}, UnknownFormat), (42, {}, UsageError)]
)
def test_adetect_fails_at_the_call(source, options, error):
    with pytest.raises(error):
        ra_sdk.adetect(source, **{"model": "echo", "store": ":memory:"} | options)


def run_beside(work, every=0.002):
    """Runs a coroutine function, and tells the longest time that the event loop was not heard of."""

    async def both():
        longest, done = 0.0, asyncio.Event()

        async def beat():
            nonlocal longest
            last = time.perf_counter()
            while not done.is_set():
                await asyncio.sleep(every)
                now = time.perf_counter()
                longest, last = max(longest, now - last), now

        heart = asyncio.create_task(beat())
        result = await work()
        done.set()
        await heart
        return result, longest

    return asyncio.run(both())


@pytest.mark.parametrize("kind", ["a long block", "an iterable that waits"])
def test_adetect_never_holds_up_the_loop(kind):
    def waiting():
        for number in range(3):
            time.sleep(0.5)
            yield f"line {number}"

    source = [f"worker {n} started" for n in range(50_000)] if kind == "a long block" else waiting()

    async def work():
        count = 0
        async for detection in ra_sdk.adetect(source, model="echo", store=":memory:"):
            count += len(detection.body) > 0
        return count

    count, longest = run_beside(work)
    assert count == (50_000 if kind == "a long block" else 3)
    assert longest < 0.4


@pytest.mark.parametrize("how", ["left", "cancelled", "cancelled while the model works", "failed"])
def test_adetect_closes_however_it_ends(how, monkeypatch):
    closed, started = [], threading.Event()
    close = Detector.close
    monkeypatch.setattr(Detector, "close", lambda self: (closed.append(threading.get_ident()), close(self)))

    class Slow(EchoReasoner):
        def judge(self, templates, mode="direct"):
            for verdict in super().judge(templates, mode):
                started.set()
                time.sleep(0.02)
                yield verdict

    letters = "abcdefghij"
    source = [f"unit {a}{b} started" for a in letters for b in letters] if "model" in how else ["a", "b"]

    async def consume():
        found = ra_sdk.adetect(source, model=Slow(), store=":memory:", block=200)
        async for _ in found:
            if how == "left":
                await found.aclose()
                return
            if how == "failed":
                raise KeyError("mine")
            await asyncio.sleep(60)

    async def work():
        task = asyncio.create_task(consume())
        if "cancelled" in how:
            await asyncio.to_thread(started.wait, 10)
            await asyncio.sleep(0.05)
            task.cancel()
        await asyncio.wait([task], timeout=10)
        return task.exception() if task.done() and not task.cancelled() else task

    begun = time.perf_counter()
    result = asyncio.run(work())
    assert len(closed) == 1
    assert closed[0] != threading.get_ident()
    assert time.perf_counter() - begun < 1.9
    assert isinstance(result, KeyError) is (how == "failed")


def test_closed_is_one_of_ours():
    assert issubclass(Closed, RaError)
