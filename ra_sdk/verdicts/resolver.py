"""Verdicts on templates, from memory, the store or the model: what ``Detector`` and the service have in common.

A stored verdict keeps its score; the label is derived from it with this detector's threshold. So another
threshold needs no model call, and detectors with different thresholds can share a store.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ra_sdk import __version__
from ra_sdk.errors import Closed, ModelError, StoreError
from ra_sdk.hookspecs import Explaining
from ra_sdk.records import SEVERITIES, THRESHOLDS, Label, Mode, Sensitivity, TemplateKey, Verdict
from ra_sdk.templates.miner import has_words
from ra_sdk.trouble import RateLimited
from ra_sdk.verdicts.store import VerdictStore, store_key

if TYPE_CHECKING:
    from ra_sdk.hookspecs import Reasoner
    from ra_sdk.knowledge import Knowledge
    from ra_sdk.reasoner.explainer import Around, Explainer

__all__ = ["Counts", "Judge", "Known", "Who", "asked", "nobody", "reads_severity", "threshold_of"]

REMEMBERED = 100_000  # verdicts kept in memory
SAVED_AT_ONCE = 64  # verdicts: the most that an interrupted run loses
NOTHING = ""  # the stored rationale of a verdict that the model could not explain
SETTLED = ("rule", "override")  # modes of verdicts that no threshold changes

Known = tuple[Verdict, bool]  # a verdict, and whether it existed before this run
Who = Callable[[TemplateKey], Collection[str]]  # what the records of a template call the program that wrote them


@dataclass(slots=True)
class Counts:
    """What a detector has done so far.

    ``judged``: templates that the model judged; ``cached``: verdicts taken from the store; ``unsaved``:
    verdicts that could not be stored.
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


def threshold_of(reasoner: Reasoner, sensitivity: Sensitivity) -> float:
    """P(abnormal) from which a template is abnormal: the reasoner's own (``thresholds``, by sensitivity) if it states one."""
    own: Mapping[str, float] = getattr(reasoner, "thresholds", None) or {}
    return own.get(sensitivity, THRESHOLDS[sensitivity])


def reads_severity(reasoner: Reasoner) -> bool:
    """Whether a reasoner is shown the severity."""
    return bool(getattr(reasoner, "reads_severity", False))


def asked(reasoner: Reasoner, keys: Sequence[TemplateKey], mode: Mode) -> Iterable[Verdict]:
    """What a reasoner says of the keys. One that does not read the severity is not told it."""
    model: Any = reasoner
    shown = {"severities": [key.severity for key in keys]} if reads_severity(reasoner) else {}
    answers: Iterable[Verdict] = model.judge([key.text for key in keys], mode, **shown) if keys else ()
    return answers


def nobody(_: TemplateKey) -> Collection[str]:
    """Where nothing is said of who wrote a line."""
    return ()


class Judge:
    """Finds the verdict of every template: in memory, in the store, or by asking the model.

    ``mode``: the mode whose verdicts are kept in memory. ``threshold``: P(abnormal) from which the label is
    abnormal. ``explains``: whether abnormal verdicts have a rationale: what is known of their words
    (``knowledge``), or else what the model says; an ``explainer`` writes them in its own words. One thread may look up while another asks; several threads that
    ask take turns, as the model has one context.
    """

    def __init__(
        self,
        reasoner: Reasoner,
        store: VerdictStore,
        mode: Mode,
        counts: Counts,
        *,
        threshold: float = 0.5,
        explains: bool = True,
        knowledge: Knowledge | None = None,
        explainer: Explainer | None = None,
    ) -> None:
        self.reasoner, self.store, self.mode, self.counts = reasoner, store, mode, counts
        self.threshold, self.explains, self._knowledge, self._explainer = threshold, explains, knowledge, explainer
        self._memory: OrderedDict[TemplateKey, Known] = OrderedDict()
        self._lock = threading.Lock()
        self._bare: set[TemplateKey] = set()  # those with an abnormal verdict and no rationale yet
        self._trouble = RateLimited()
        self.reads_severity = reads_severity(reasoner)

    def key(self, asked: TemplateKey) -> str:
        """The store's key for a verdict."""
        return store_key(asked.text, self.reasoner.digest, self.mode, asked.severity)

    def revision(self, overrides: Iterable[Verdict]) -> str:
        """16 hexadecimal digits for what all verdicts depend on: the model, the settings, the overrides."""
        settings = __version__, self.reasoner.digest, self.mode, self.threshold, self.explains
        return hashlib.sha256(repr((settings, sorted(map(repr, overrides)))).encode()).hexdigest()[:16]

    def by_key(self, key: str) -> Verdict | None:
        """The stored verdict with this key, or None. Raises StoreError."""
        found = self.store.by_key(key)
        return None if found is None else self._read(found)

    def remembered(self, keys: Sequence[TemplateKey]) -> dict[TemplateKey, Known]:
        """The verdicts that are in memory."""
        with self._lock:
            return {key: self._memory[key] for key in keys if key in self._memory}

    def look_up(self, keys: Sequence[TemplateKey], mode: Mode | None = None, who: Who = nobody) -> dict[TemplateKey, Known]:
        """The verdicts known without asking the model. Keys without one are cold. Raises StoreError.

        ``who`` is asked where a reason is needed.
        """
        mode = mode or self.mode
        found = self.remembered(keys) if mode == self.mode else {}
        missing = [key for key in keys if key not in found]
        fresh: dict[TemplateKey, Known] = {}
        for key, verdict in zip(missing, self._stored(missing, mode), strict=True):
            if verdict is not None:
                fresh[key] = self._read(verdict, who), True
            elif not has_words(key.text):
                fresh[key] = Verdict(key.text, "normal", 0.0, mode="rule", severity=key.severity), False
        self.counts.cached += sum(known for _, known in fresh.values())
        self._remember(fresh, mode)
        return {**found, **fresh}

    def _stored(self, keys: Sequence[TemplateKey], mode: Mode) -> list[Verdict | None]:
        if not keys:
            return []
        return self.store.get([key.text for key in keys], self.reasoner.digest, mode, [key.severity for key in keys])

    def ask(self, keys: Sequence[TemplateKey], mode: Mode | None = None, who: Who = nobody) -> Generator[Verdict, None, None]:
        """Ask the model for a verdict on every key. Each is kept in memory before it is yielded.

        Keys that the model did not judge come last, undecided. A model that fails, or answers what it was
        not asked, is logged. Raises Closed.
        """
        mode = mode or self.mode
        todo = dict.fromkeys(keys)
        unsaved: list[Verdict] = []
        try:
            for verdict in self._answers(asked(self.reasoner, keys, mode), keys):
                if verdict.label == "undecided":
                    continue
                read = self._read(verdict, who)
                self._remember({verdict.key: (read, False)}, mode)
                del todo[verdict.key]
                self.counts.judged += 1
                unsaved.append(verdict)
                if len(unsaved) >= SAVED_AT_ONCE:
                    self._save(unsaved, mode)
                    unsaved = []
                yield read
        finally:
            self._save(unsaved, mode)
        yield from (Verdict(key.text, model=self.reasoner.name, severity=key.severity) for key in todo)

    def explain(self, found: Mapping[TemplateKey, Known], mode: Mode | None = None, *, every: bool = False, who: Who = nobody) -> dict[TemplateKey, Known]:
        """Ask the model for the missing rationales of ``found``, and return these verdicts. ``every``: of normal verdicts, too.

        An abnormal verdict from the store lacks a rationale if it was judged with a higher threshold or with
        ``explains`` off.
        """
        mode = mode or self.mode
        if not isinstance(self.reasoner, Explaining) or not (every or self._bare):
            return {}
        bare = [verdict for key, (verdict, _) in found.items() if key in self._bare or (every and _may_be_told(verdict))]
        told = list(self._answers(self.reasoner.explained(bare, mode) if bare else (), [verdict.key for verdict in bare]))
        self._save([verdict if verdict.rationale else replace(verdict, rationale=NOTHING) for verdict in told], mode)
        explained = {verdict.key: (self._known(verdict, who), found[verdict.key][1]) for verdict in told}
        self._remember(explained, mode)
        # also those without an answer: ask only once
        self._bare.difference_update(verdict.key for verdict in bare)
        return explained

    def unexplained(self, keys: Iterable[TemplateKey]) -> set[TemplateKey]:
        """Those with an abnormal verdict for which ``explain`` has not asked the model yet."""
        return self._bare.intersection(keys) if isinstance(self.reasoner, Explaining) else set()

    def write(self, found: Mapping[TemplateKey, Known], mode: Mode, around: Around) -> dict[TemplateKey, Known]:
        """The abnormal verdicts of ``found`` with what the explainer writes, where there is one. Its failure is logged.

        ``around``: the templates of the records before and behind the first one of a template.
        """
        todo = [verdict for verdict, _ in found.values() if verdict.abnormal and verdict.reason_source not in (None, "model")]
        if self._explainer is None or not todo:
            return {}
        entries = {} if self._knowledge is None else self._knowledge.entries()
        try:
            told = self._explainer.written(todo, entries, around)
        except ModelError as error:
            self._trouble.warning("explainer", f"{len(todo)} reasons stay as they are: {error}")
            return {}
        written = {verdict.key: (verdict, found[verdict.key][1]) for verdict in told}
        self._remember(written, mode)
        return written

    def forget(self, text: str) -> None:
        """Drop a template from memory, so that it is looked up again."""
        with self._lock:
            for severity in (None, *SEVERITIES):
                self._memory.pop(TemplateKey(text, severity), None)

    def _answers(self, answers: Iterable[Verdict], asked: Sequence[TemplateKey]) -> Iterator[Verdict]:
        """The model's answers to what was asked, in any order. A failure is logged, and ends them."""
        open_ = set(asked)
        try:
            for verdict in answers:
                if not isinstance(verdict, Verdict):
                    raise TypeError(f"{verdict!r} is not a Verdict")
                if verdict.key not in open_:
                    raise ValueError(f"{verdict.template!r} was {'answered before' if verdict.key in asked else 'not asked'}")
                scored = _scored(verdict)
                open_.remove(verdict.key)
                yield scored
        except Closed:
            raise
        except Exception as error:  # noqa: BLE001  a failing model must not end the stream
            self._fail(len(open_), repr(error))
        else:
            if open_:
                self._fail(len(open_), f"it gave {len(asked) - len(open_)} answers to {len(asked)} questions")

    def _fail(self, count: int, why: str) -> None:
        name = self.reasoner.name
        self._trouble.warning("model", f"{count} template{' stays' if count == 1 else 's stay'} undecided, the model {name!r} failed: {why}")

    def _save(self, verdicts: Sequence[Verdict], mode: Mode) -> None:
        """Store verdicts for the next run. A failure is only logged: this run has them in memory."""
        if not verdicts:
            return
        try:
            self.store.put(verdicts, self.reasoner.digest, mode)
        except Closed:
            raise
        except StoreError as error:
            self.counts.unsaved += len(verdicts)
            self._trouble.warning("store", f"{len(verdicts)} verdicts are not kept for the next run: {error}")

    def _read(self, verdict: Verdict, who: Who = nobody) -> Verdict:
        """A verdict with the label for this threshold, and with a reason that belongs to it if one is known."""
        if verdict.mode in SETTLED or verdict.score is None:
            return verdict
        label: Label = "abnormal" if verdict.score >= self.threshold else "normal"
        rationale, category = verdict.rationale, verdict.category
        if label != verdict.label:
            # reasoning precedes the label, so it stays valid
            rationale, category = rationale if verdict.mode == "think" else None, None
        told = (rationale or None) if self.explains else None
        grounded, reason = (verdict.grounded, verdict.reason_source) if told else (None, None)
        read = replace(verdict, label=label, category=category, rationale=told, grounded=grounded, reason_source=reason)
        if label != "abnormal" or not self.explains:
            return read
        read = self._known(read, who)
        if rationale is None and read.rationale is None:
            self._bare.add(verdict.key)
        return read

    def _known(self, verdict: Verdict, who: Who) -> Verdict:
        """The verdict with what is known of its words. Reasoning that was asked for stays the model's."""
        if self._knowledge is None:
            return verdict
        known = self._knowledge.explain(verdict, who(verdict.key))
        if verdict.mode != "think":
            return known
        return replace(known, rationale=verdict.rationale, grounded=verdict.grounded, reason_source=verdict.reason_source)

    def _remember(self, verdicts: dict[TemplateKey, Known], mode: Mode) -> None:
        if mode != self.mode:
            return
        with self._lock:
            self._memory.update(verdicts)
            while len(self._memory) > REMEMBERED:
                self._memory.popitem(last=False)


def _scored(verdict: Verdict) -> Verdict:
    """A consistent verdict: it has a score if and only if it was judged.

    A model without probabilities gives a label only.
    """
    if verdict.label == "undecided":
        return Verdict(verdict.template, model=verdict.model, severity=verdict.severity)
    score = float(verdict.label == "abnormal") if verdict.score is None else verdict.score
    if not 0 <= score <= 1:
        raise ValueError(f"the score {score!r} of {verdict.template!r} is not a probability")
    return replace(verdict, score=score) if verdict.score is None else verdict


def _may_be_told(verdict: Verdict) -> bool:
    """Whether a model can be asked for a rationale: a model judged it, and there is none yet."""
    return verdict.rationale is None and verdict.mode not in SETTLED and verdict.score is not None
