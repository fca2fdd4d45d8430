"""Verdicts on templates, from memory, the store or the model: what ``Detector`` and the service have in common."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ra_sdk.prompt import Mode
from ra_sdk.records import Verdict
from ra_sdk.templates import has_words
from ra_sdk.verdicts import VerdictStore, store_key

if TYPE_CHECKING:
    from ra_sdk.hookspecs import Reasoner

__all__ = ["Counts", "Judge", "Known"]

REMEMBERED = 100_000  # verdicts kept in memory
SAVED_AT_ONCE = 64  # verdicts: an interrupted run loses at most so many

Known = tuple[Verdict, bool]  # a verdict, and whether it was there before this run


@dataclass(slots=True)
class Counts:
    """What a detector has done so far. ``judged``: templates that the model judged; ``cached``: verdicts taken from the store."""

    lines: int = 0
    records: int = 0
    abnormal: int = 0
    undecided: int = 0
    templates: int = 0
    judged: int = 0
    cached: int = 0
    seconds: float = 0.0


class Judge:
    """Has a verdict for every template: looks it up, or asks the model.

    ``digest``: of the model and all that its verdicts depend on. ``mode``: the one whose verdicts are remembered. One thread may look up while
    another asks; several that ask take turns, as the model has one context.
    """

    def __init__(self, reasoner: Reasoner, store: VerdictStore, digest: str, mode: Mode, counts: Counts) -> None:
        self.reasoner, self.store, self.digest, self.mode, self.counts = reasoner, store, digest, mode, counts
        self._memory: OrderedDict[str, Known] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, text: str) -> str:
        """The key that the verdict on a template has in the store, and is asked for by."""
        return store_key(text, self.digest, self.mode)

    def remembered(self, texts: Sequence[str]) -> dict[str, Known]:
        """Those of the texts whose verdicts are in memory."""
        with self._lock:
            return {text: self._memory[text] for text in texts if text in self._memory}

    def look_up(self, texts: Sequence[str], mode: Mode | None = None) -> dict[str, Known]:
        """What is known without the model; the texts that are missing in it are cold. Raises StoreError."""
        mode = mode or self.mode
        found = self.remembered(texts) if mode == self.mode else {}
        missing = [text for text in texts if text not in found]
        fresh: dict[str, Known] = {}
        for text, verdict in zip(missing, self.store.get(missing, self.digest, mode) if missing else []):
            if verdict is None and not has_words(text):
                verdict = Verdict(text, "normal", 0.0, mode="rule")
            if verdict is not None:
                fresh[text] = verdict, verdict.mode != "rule"
        self.counts.cached += sum(known for _, known in fresh.values())
        self._remember(fresh, mode)
        return {**found, **fresh}

    def ask(self, texts: Sequence[str], mode: Mode | None = None) -> Generator[Verdict, None, None]:
        """Let the model judge: a verdict for every text, each remembered when it is yielded, those that the model could not judge last, undecided."""
        mode = mode or self.mode
        unsaved: list[Verdict] = []
        todo = deque(texts)
        try:
            for verdict in self.reasoner.judge(texts, mode) if texts else ():
                text = todo.popleft()
                verdict = verdict if verdict.template == text else replace(verdict, template=text)
                if verdict.label == "undecided":
                    todo.append(text)
                    continue
                self._remember({text: (verdict, False)}, mode)
                unsaved.append(verdict)
                self.counts.judged += 1
                if len(unsaved) >= SAVED_AT_ONCE:
                    self.store.put(unsaved, self.digest, mode)
                    unsaved = []
                yield verdict
        except Exception as error:  # noqa: BLE001  whatever a model does, the stream goes on
            warnings.warn(f"{len(todo)} templates stay undecided, the model failed: {error!r}", RuntimeWarning, stacklevel=2)
        finally:
            if unsaved:
                self.store.put(unsaved, self.digest, mode)
        yield from (Verdict(text, model=self.reasoner.name) for text in todo)

    def forget(self, text: str) -> None:
        """Look it up anew the next time."""
        with self._lock:
            self._memory.pop(text, None)

    def _remember(self, verdicts: dict[str, Known], mode: Mode) -> None:
        if mode != self.mode:
            return
        with self._lock:
            self._memory.update(verdicts)
            while len(self._memory) > REMEMBERED:
                self._memory.popitem(last=False)
