"""Many templates side by side in one llama.cpp batch.

A task is a coroutine that asks for tokens to be decoded and is sent the logits of the last one; the loop packs what many of them ask for into
one batch. So scoring, reasoning and forced tags of many templates run side by side, places that are free are taken as soon as there are a
few, and the head that all prompts have in common is computed once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from ra_sdk.reasoner.llama_cpp import BATCH, Llama

Task: TypeAlias = "Generator[list[int], Any, Any]"

__all__ = ["Task", "run"]

ALIKE = 256  # templates that are sorted by length, since llama.cpp decodes equal lengths together best; verdicts come in order nevertheless
TOGETHER = 4  # prompts are decoded when at least one place in so many is free: few at a time take longer


def run(llama: Llama, tasks: Sequence[Task], head: list[int], width: int) -> Iterator[Any]:
    """Run tasks side by side, ``width`` at once; yield what they return, in order."""
    loop = _Loop(llama, head, width, tasks)
    for turn in range(len(tasks)):
        while turn not in loop.done:
            loop.go_on()
        yield loop.done.pop(turn)


@dataclass(eq=False)
class _Job:
    """A task, its place in the order, what it asks for, and how far its sequence is."""

    task: Task
    turn: int
    asked: list[int]
    position: int = 0
    done: bool = False


class _Loop:
    """Jobs that wait, and those that are under way, the n-th in sequence n + 1: llama.cpp computes together what lies side by side.

    Prompts are decoded whole, together. Then every job goes on by one token at a time, forced ones too, since only equal lengths are computed together.
    """

    def __init__(self, llama: Llama, head: list[int], width: int, tasks: Sequence[Task]) -> None:
        self._llama, self._head, self._width = llama, len(head), width
        self._taken, self.done = list[_Job](), dict[int, Any]()
        llama.start(head)
        jobs = [_Job(task, turn, next(task)) for turn, task in enumerate(tasks)]
        self._waiting = deque(sorted(jobs, key=lambda job: (job.turn // ALIKE, len(job.asked), job.turn)))

    def go_on(self) -> None:
        """Decode prompts, if some wait and there is room for them; else one more token of every job."""
        free = self._width - len(self._taken)
        if self._waiting and (not self._taken or free >= max(self._width // TOGETHER, 1)):
            self._begin([self._waiting.popleft() for _ in range(_fitting(self._waiting, free))])
        else:
            self._decode(0, 1)
        self._leave()

    def _begin(self, fresh: Sequence[_Job]) -> None:
        """Seat jobs behind the others, each on a copy of the head, and decode their prompts."""
        first = len(self._taken)
        self._taken += fresh
        for at, job in enumerate(fresh, first):
            job.position = self._head
            self._llama.copy(0, at + 1)
        self._decode(first, BATCH)

    def _decode(self, first: int, most: int) -> None:
        jobs = self._taken[first:]
        parts = [(job.asked[:most], job.position, sequence, len(job.asked) <= most) for sequence, job in enumerate(jobs, first + 1)]
        for job, (tokens, *_), row in zip(jobs, parts, self._llama.decode(parts)):
            job.position += len(tokens)
            job.asked = job.asked[len(tokens) :]
            if not job.asked:
                self._send(job, self._llama.logits(row))

    def _send(self, job: _Job, logits: Any) -> None:
        """Let a task go on with what it asked for, up to what it asks for next."""
        try:
            job.asked = job.task.send(logits)
        except StopIteration as finished:
            self.done[job.turn], job.done = finished.value, True

    def _leave(self) -> None:
        """Free the sequences of jobs that are done. The last one takes the place of one that left."""
        for at in range(len(self._taken) - 1, -1, -1):
            if self._taken[at].done:
                last = self._taken.pop()
                if at < len(self._taken):
                    self._llama.copy(len(self._taken) + 1, at + 1)
                    self._taken[at] = last
                self._llama.forget(len(self._taken) + 1)


def _fitting(waiting: Iterable[_Job], free: int) -> int:
    """How many prompts, filled up to the longest of them, fit into a batch and the free places."""
    count = longest = 0
    for job in islice(waiting, free):
        longest = max(longest, len(job.asked))
        if longest * (count + 1) > BATCH:
            break
        count += 1
    return count
