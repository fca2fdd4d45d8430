"""Verdicts on templates, from memory, the store or the model: what ``Detector`` and the service have in common.

What is kept of a verdict is its score. The label is read from it, at this detector's threshold: so a threshold costs no question to the model,
and detectors with different thresholds share a store.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ra_sdk.errors import Closed, StoreError
from ra_sdk.hookspecs import Explaining
from ra_sdk.prompt import Mode
from ra_sdk.records import Label, Verdict
from ra_sdk.templates import has_words
from ra_sdk.trouble import RateLimited
from ra_sdk.verdicts import VerdictStore, store_key

if TYPE_CHECKING:
    from ra_sdk.hookspecs import Reasoner

__all__ = ["Counts", "Judge", "Known"]

REMEMBERED = 100_000  # verdicts kept in memory
SAVED_AT_ONCE = 64  # verdicts: an interrupted run loses at most so many
NOTHING = ""  # in the store, the rationale of a verdict that the model had nothing to say about
SETTLED = ("rule", "override")  # modes of verdicts that no threshold changes

Known = tuple[Verdict, bool]  # a verdict, and whether it was there before this run


@dataclass(slots=True)
class Counts:
    """What a detector has done so far.

    ``judged``: templates that the model judged; ``cached``: verdicts taken from the store; ``unsaved``: verdicts that the store did not take.
    """

    lines: int = 0
    records: int = 0
    abnormal: int = 0
    undecided: int = 0
    templates: int = 0
    judged: int = 0
    cached: int = 0
    unsaved: int = 0
    seconds: float = 0.0


class Judge:
    """Has a verdict for every template: looks it up, or asks the model.

    ``mode``: the one whose verdicts are remembered. ``threshold``: P(abnormal) from which the label is abnormal. ``explains``: whether abnormal
    verdicts have a rationale. One thread may look up while another asks; several that ask take turns, as the model has one context.
    """

    def __init__(self, reasoner: Reasoner, store: VerdictStore, mode: Mode, counts: Counts, *, threshold: float = 0.5, explains: bool = True) -> None:
        self.reasoner, self.store, self.mode, self.counts = reasoner, store, mode, counts
        self.threshold, self.explains = threshold, explains
        self._memory: OrderedDict[str, Known] = OrderedDict()
        self._lock = threading.Lock()
        self._bare: set[str] = set()  # templates with an abnormal verdict that nobody has explained yet
        self._trouble = RateLimited()

    def key(self, text: str) -> str:
        """The key that the verdict on a template has in the store, and is asked for by."""
        return store_key(text, self.reasoner.digest, self.mode)

    def by_key(self, key: str) -> Verdict | None:
        """The verdict in the store with this key, None if there is none. Raises StoreError."""
        found = self.store.by_key(key)
        return None if found is None else self._read(found)

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
        for text, verdict in zip(missing, self.store.get(missing, self.reasoner.digest, mode) if missing else []):
            if verdict is not None:
                fresh[text] = self._read(verdict), True
            elif not has_words(text):
                fresh[text] = Verdict(text, "normal", 0.0, mode="rule"), False
        self.counts.cached += sum(known for _, known in fresh.values())
        self._remember(fresh, mode)
        return {**found, **fresh}

    def ask(self, texts: Sequence[str], mode: Mode | None = None) -> Generator[Verdict, None, None]:
        """Let the model judge: a verdict for every text, each remembered when it is yielded, those that the model did not judge last, undecided.

        A model that fails, or answers what it was not asked, is logged. Raises Closed.
        """
        mode = mode or self.mode
        todo = dict.fromkeys(texts)
        unsaved: list[Verdict] = []
        try:
            for verdict in self._answers(self.reasoner.judge(texts, mode) if texts else (), texts):
                if verdict.label == "undecided":
                    continue
                read = self._read(verdict)
                self._remember({verdict.template: (read, False)}, mode)
                del todo[verdict.template]
                self.counts.judged += 1
                unsaved.append(verdict)
                if len(unsaved) >= SAVED_AT_ONCE:
                    self._save(unsaved, mode)
                    unsaved = []
                yield read
        finally:
            self._save(unsaved, mode)
        yield from (Verdict(text, model=self.reasoner.name) for text in todo)

    def explain(self, found: Mapping[str, Known], mode: Mode | None = None, *, every: bool = False) -> dict[str, Known]:
        """Verdicts with a rationale, for those of ``found`` that nobody has explained yet. ``every``: normal ones, too.

        An abnormal verdict may lack one when it comes from the store: the one who had it judged found it normal, or wanted no rationales.
        """
        mode = mode or self.mode
        if not isinstance(self.reasoner, Explaining) or not (every or self._bare):
            return {}
        bare = [verdict for text, (verdict, _) in found.items() if text in self._bare or (every and _may_be_told(verdict))]
        told = list(self._answers(self.reasoner.explained(bare, mode) if bare else (), [verdict.template for verdict in bare]))
        self._save([verdict if verdict.rationale else replace(verdict, rationale=NOTHING) for verdict in told], mode)
        explained = {verdict.template: (verdict, found[verdict.template][1]) for verdict in told}
        self._remember(explained, mode)
        self._bare.difference_update(verdict.template for verdict in bare)  # those without an answer, too: once is enough
        return explained

    def unexplained(self, texts: Iterable[str]) -> set[str]:
        """The templates with an abnormal verdict for which ``explain`` has not asked the model yet."""
        return self._bare.intersection(texts) if isinstance(self.reasoner, Explaining) else set()

    def forget(self, text: str) -> None:
        """Look it up again the next time."""
        with self._lock:
            self._memory.pop(text, None)

    def _answers(self, answers: Iterable[Verdict], asked: Sequence[str]) -> Iterator[Verdict]:
        """What the model answers, in whatever order, as long as it is something that was asked. Its failures are logged, and end it."""
        open_ = set(asked)
        try:
            for verdict in answers:
                if not isinstance(verdict, Verdict):
                    raise TypeError(f"{verdict!r} is not a Verdict")
                if verdict.template not in open_:
                    raise ValueError(f"{verdict.template!r} was {'answered before' if verdict.template in asked else 'not asked'}")
                scored = _scored(verdict)
                open_.remove(verdict.template)
                yield scored
        except Closed:
            raise
        except Exception as error:  # noqa: BLE001  whatever a model does, the stream goes on
            self._fail(len(open_), repr(error))
        else:
            if open_:
                self._fail(len(open_), f"it gave {len(asked) - len(open_)} answers to {len(asked)} questions")

    def _fail(self, count: int, why: str) -> None:
        name = self.reasoner.name
        self._trouble.warning("model", f"{count} template{' stays' if count == 1 else 's stay'} undecided, the model {name!r} failed: {why}")

    def _save(self, verdicts: Sequence[Verdict], mode: Mode) -> None:
        """Keep verdicts for the next run. That the store does not take them is no reason to stop: this run has them in memory."""
        if not verdicts:
            return
        try:
            self.store.put(verdicts, self.reasoner.digest, mode)
        except Closed:
            raise
        except StoreError as error:
            self.counts.unsaved += len(verdicts)
            self._trouble.warning("store", f"{len(verdicts)} verdicts are not kept for the next run: {error}")

    def _read(self, verdict: Verdict) -> Verdict:
        """A verdict as it was made, with the label that its score has here. What was said for another label does not go with this one."""
        if verdict.mode in SETTLED or verdict.score is None:
            return verdict
        label: Label = "abnormal" if verdict.score >= self.threshold else "normal"
        rationale, category = verdict.rationale, verdict.category
        if label != verdict.label:
            rationale, category = rationale if verdict.mode == "think" else None, None  # a thought comes before the label
        if rationale is None and label == "abnormal" and self.explains:
            self._bare.add(verdict.template)
        rationale = (rationale or None) if self.explains else None
        return replace(verdict, label=label, category=category, rationale=rationale, grounded=verdict.grounded if rationale else None)

    def _remember(self, verdicts: dict[str, Known], mode: Mode) -> None:
        if mode != self.mode:
            return
        with self._lock:
            self._memory.update(verdicts)
            while len(self._memory) > REMEMBERED:
                self._memory.popitem(last=False)


def _scored(verdict: Verdict) -> Verdict:
    """A verdict that agrees with itself: judged if and only if it has a score. A model without probabilities gives the label alone."""
    if verdict.label == "undecided":
        return Verdict(verdict.template, model=verdict.model)
    score = float(verdict.label == "abnormal") if verdict.score is None else verdict.score
    if not 0 <= score <= 1:
        raise ValueError(f"the score {score!r} of {verdict.template!r} is not a probability")
    return replace(verdict, score=score) if verdict.score is None else verdict


def _may_be_told(verdict: Verdict) -> bool:
    """Whether a model may say why: it is a judgement of one, and has no rationale."""
    return verdict.rationale is None and verdict.mode not in SETTLED and verdict.score is not None
