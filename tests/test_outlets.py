"""Writing beside detecting: the order of things, who is called in which thread, and what is told of failures."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ra_sdk import Detector, SinkError, VerdictStore
from ra_sdk.hookspecs import Lines, hookimpl
from ra_sdk.sinks.writer import Outlets


class Recording:
    """A source and a sink that note what happens to them; ``fails_at``: the block that the sink refuses."""

    live, name, identity, position, size = False, "noted:", "noted", 0, None

    def __init__(self, fails_at: int | None = None) -> None:
        self.notes: list[str] = []
        self.threads: set[int] = set()
        self.fails_at, self.blocks = fails_at, 0
        self.made: type[Noting] = Noting
        self.preparing: set[int] = set()
        self.unprepared: int | None = None

    def __iter__(self) -> Iterator[Lines]:
        for number in range(4):
            yield Lines(f"disk {number} failed\n".encode(), checkpoint=number, boundary=True)

    def acknowledge(self, checkpoint: object) -> None:
        self.notes.append(f"acknowledged {checkpoint}")

    def close(self) -> None:
        self.notes.append("closed")

    @hookimpl
    def ra_sdk_open_source(self, url: str) -> object:
        return self if url == "noted:" else None

    @hookimpl
    def ra_sdk_open_sink(self, url: str) -> object:
        return self._sink() if url == "noted:" else None

    def _sink(self) -> object:
        self.threads.add(threading.get_ident())
        return self.made(self)


class Noting:
    name = "noted:"

    def __init__(self, to: Recording) -> None:
        self.to = to

    def write(self, detections) -> None:
        self.to.threads.add(threading.get_ident())
        if self.to.blocks == self.to.fails_at:
            raise SinkError("the place is full")
        self.to.notes.append(f"written {detections.checkpoint}")
        self.to.blocks += 1

    def close(self) -> None:
        self.to.threads.add(threading.get_ident())
        self.to.notes.append("sink closed")


class Halved(Noting):
    """A sink that prepares blocks."""

    def prepare(self, detections) -> int:
        self.to.preparing.add(threading.get_ident())
        if detections.checkpoint == self.to.unprepared:
            raise SinkError("no way to write this")
        return detections.checkpoint

    def write_prepared(self, prepared: int) -> None:
        self.to.threads.add(threading.get_ident())
        self.to.notes.append(f"written {prepared}")


@pytest.fixture
def run():
    def go(recording: Recording, *sinks: object) -> list[str]:
        with VerdictStore(":memory:") as store, Detector(model="echo", store=store, plugins=[recording]) as detector:
            try:
                detector.write("noted:", *sinks)
            finally:
                recording.notes.append("ended")
        return recording.notes

    return go


@pytest.mark.parametrize("opened", [True, False], ids=["by URL", "as object"])
def test_a_block_is_acknowledged_once_written_and_before_the_source_closes(run, opened):
    recording = Recording()
    notes = run(recording, "noted:" if opened else Noting(recording))
    assert [note for note in notes if note.startswith("acknowledged")] == [f"acknowledged {number}" for number in range(4)]
    for number in range(4):
        assert notes.index(f"written {number}") < notes.index(f"acknowledged {number}")
    assert notes[-2:] == ["closed", "ended"]
    assert ("sink closed" in notes) == opened


def test_a_sink_opened_here_lives_in_one_thread_and_an_object_in_that_of_the_caller(run):
    opened, given = Recording(), Recording()
    run(opened, "noted:")
    run(given, Noting(given))
    assert len(opened.threads) == 1
    assert threading.get_ident() not in opened.threads
    assert given.threads == {threading.get_ident()}


def test_a_sink_may_prepare_a_block_while_another_is_written(run):
    recording = Recording()
    recording.made = Halved
    notes = run(recording, "noted:")
    assert [note for note in notes if note.startswith("written")] == [f"written {number}" for number in range(4)]
    assert [note for note in notes if note.startswith("acknowledged")] == [f"acknowledged {number}" for number in range(4)]
    assert len(recording.preparing) == 1
    assert recording.preparing.isdisjoint(recording.threads | {threading.get_ident()})


def test_what_cannot_be_prepared_ends_the_run_after_what_could(run):
    recording = Recording()
    recording.made, recording.unprepared = Halved, 2
    with pytest.raises(SinkError, match="no way to write this"):
        run(recording, "noted:")
    assert [note for note in recording.notes if note.startswith("acknowledged")] == ["acknowledged 0", "acknowledged 1"]


@pytest.mark.parametrize("at", range(4))
def test_what_was_not_written_is_not_acknowledged(run, at):
    recording = Recording(fails_at=at)
    with pytest.raises(SinkError, match="the place is full"):
        run(recording, "noted:")
    assert [note for note in recording.notes if note.startswith("acknowledged")] == [f"acknowledged {number}" for number in range(at)]
    assert "closed" in recording.notes
    assert "sink closed" in recording.notes


@pytest.mark.parametrize("at", range(4))
def test_what_one_of_two_sinks_did_not_take_is_not_acknowledged(run, at):
    recording, other = Recording(), Recording(fails_at=at)
    with pytest.raises(SinkError, match="the place is full"):
        run(recording, "noted:", Noting(other))
    assert [note for note in recording.notes if note.startswith("acknowledged")] == [f"acknowledged {number}" for number in range(at)]
    assert "sink closed" in recording.notes


def test_a_sink_that_cannot_be_opened_closes_those_before_it():
    recording = Recording()

    def opening(url: str) -> object:
        if url == "bad:":
            raise SinkError("no such place")
        return Noting(recording)

    with pytest.raises(SinkError, match="no such place"):
        Outlets(["noted:", "bad:"], opening, lambda block: None, at_once=False)
    assert recording.notes == ["sink closed"]
