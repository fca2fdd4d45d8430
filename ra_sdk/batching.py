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
from typing import Any

from ra_sdk.llama import BATCH, Llama
from ra_sdk.records import Verdict

Task = Generator[list[int], Any, Verdict]

__all__ = ["Afresh", "Task", "run"]

ALIKE = 256  # templates that are sorted by length, since llama.cpp decodes equal lengths together best; verdicts come in order nevertheless
TOGETHER = 4  # prompts are decoded when at least one place in so many is free: few at a time take longer


class Afresh(list[int]):
    """Another prompt that a task asks for: it goes on behind the head, as if nothing had been asked before."""


def run(llama: Llama, tasks: Sequence[Task], head: list[int], width: int) -> Iterator[Verdict]:
    """Run tasks side by side, ``width`` at once; yield their verdicts in order."""
    done, turn, places = dict[int, Verdict](), 0, _Places(llama, head)
    asked = ((number, task, next(task)) for number, task in enumerate(tasks))
    waiting = deque(sorted(asked, key=lambda entry: (entry[0] // ALIKE, len(entry[2]))))
    while waiting or places.taken:
        free = width - len(places.taken)
        if waiting and (not places.taken or free >= max(width // TOGETHER, 1)):
            places.begin([_Place(*waiting.popleft(), len(head)) for _ in range(_fitting(waiting, free))])
        else:
            places.go_on()
        for place in places.leave():
            if place.verdict is None:
                waiting.appendleft((place.number, place.task, place.asked))
            else:
                done[place.number] = place.verdict
        while turn in done:
            yield done.pop(turn)
            turn += 1


@dataclass
class _Place:
    """A task: the tokens it asks for, how far its sequence is, and its verdict in the end."""

    number: int
    task: Task
    asked: list[int]
    position: int
    verdict: Verdict | None = None


class _Places:
    """Tasks that are under way, the n-th in sequence n + 1: llama.cpp computes together what lies side by side.

    Prompts are decoded whole, together. Then every task goes on by one token at a time, forced ones too, since only equal lengths are computed together.
    """

    def __init__(self, llama: Llama, head: list[int]) -> None:
        self._llama, self.taken = llama, list[_Place]()
        llama.start(head)

    def begin(self, fresh: Sequence[_Place]) -> None:
        """Seat tasks behind the others, each on a copy of the head, and decode their prompts."""
        first = len(self.taken)
        self.taken += fresh
        for at in range(first, len(self.taken)):
            self._llama.copy(0, at + 1)
        self._decode(first, BATCH)

    def go_on(self) -> None:
        """Decode one more token of every task."""
        self._decode(0, 1)

    def leave(self) -> list[_Place]:
        """Let go of the tasks that are done, or ask for another prompt. The last one takes the place of one that left."""
        left: list[_Place] = []
        for at in range(len(self.taken) - 1, -1, -1):
            place = self.taken[at]
            if place.verdict is not None or isinstance(place.asked, Afresh):
                left.append(place)
                last = self.taken.pop()
                if last is not place:
                    self._llama.copy(len(self.taken) + 1, at + 1)
                    self.taken[at] = last
                self._llama.forget(len(self.taken) + 1)
        return left

    def _decode(self, first: int, most: int) -> None:
        places = self.taken[first:]
        parts = [(place.asked[:most], place.position, sequence, len(place.asked) <= most) for sequence, place in enumerate(places, first + 1)]
        for place, (tokens, *_), row in zip(places, parts, self._llama.decode(parts)):
            place.position += len(tokens)
            place.asked = place.asked[len(tokens) :]
            if place.asked:
                continue
            try:
                place.asked = place.task.send(self._llama.logits(row))
            except StopIteration as finished:
                place.verdict = finished.value


def _fitting(waiting: Iterable[tuple[int, Task, list[int]]], free: int) -> int:
    """How many prompts, filled up to the longest of them, fit into a batch and the free places."""
    count = longest = 0
    for _, _, asked in islice(waiting, free):
        longest = max(longest, len(asked))
        if longest * (count + 1) > BATCH:
            break
        count += 1
    return count
