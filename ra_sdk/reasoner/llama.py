"""The model that judges templates.

Every template is a task: a small coroutine that asks for tokens to be decoded and is sent the logits of the last one. `ra_sdk.reasoner.batching` runs
many of them side by side. Here is what they ask for, and what they make of it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ra_sdk.errors import BadOption, ModelError
from ra_sdk.reasoner.batching import Task, run
from ra_sdk.reasoner.echo import EchoReasoner
from ra_sdk.reasoner.files import resolve
from ra_sdk.reasoner.keywords import KeywordReasoner
from ra_sdk.reasoner.llama_cpp import BATCH, Llama
from ra_sdk.reasoner.prompt import (
    ABNORMAL,
    CATEGORY_WORDS,
    CLOSE_THINK,
    END,
    EVIDENCE,
    FITS,
    FITS_NOT,
    KNOWN,
    NORMAL,
    PROMPT_VERSION,
    SHOTS,
    head,
    level,
    tail,
)
from ra_sdk.reasoner.rationale import grounded, keeps_to, whole, whole_words
from ra_sdk.records import THRESHOLDS, Label, Mode, Sensitivity, TemplateKey, Verdict
from ra_sdk.templates.quotes import shortened

if TYPE_CHECKING:
    import numpy as np

__all__ = ["LlamaReasoner", "open_reasoner"]

Explain = Literal["abnormal", "always", "never"]
MODES: tuple[Mode, ...] = ("direct", "think")

CANDIDATES = 40  # tokens among which the next one is looked for when writing
TEMPLATE = 384  # tokens of a template that the model sees; a longer one is cut in the middle
EVIDENCE_TOKENS = 24  # of the words that decide, at most
MEANING_TOKENS = 96  # of a known entry's meaning, at most
FORCED = 32  # tokens of a level, of control tokens and of the answer, at most
CUT = " … "


def open_reasoner(model: str | None, options: Mapping[str, Any]) -> EchoReasoner | KeywordReasoner | LlamaReasoner:
    """The reasoner that ``model=`` or ``RA_MODEL`` names; "echo" and "keywords" need no model."""
    named = model or os.environ.get("RA_MODEL")
    if named == "echo":
        return EchoReasoner()
    if named == "keywords":
        return KeywordReasoner()
    return LlamaReasoner(model, **options)


class LlamaReasoner:
    """A GGUF model run by llama.cpp.

    ``model``, ``adapter``: see ``ra_sdk.reasoner.files.resolve``. ``threads``: CPU threads (None: the cores this process may use). ``context``: tokens of
    one template's prompt and reply (None: what they need). ``gpu_layers``: layers on the GPU, -1 for all. ``width``: templates at once.
    ``think_tokens``: the most that reasoning may take. ``threshold``: P(abnormal) from which the label is abnormal
    (None: the adapter's own for ``sensitivity``).
    ``explain``: whose verdicts get a rationale in direct mode; in think mode all have one, except with "never". A model without our training gets
    a few examples in its prompt, and ``name`` says so. ``calibration``: slope and shift of the margin in direct mode.

    Greedy and with fixed seeds: the same templates get the same verdicts. Raises ModelError, BadOption.
    """

    reads_severity = True

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        adapter: str | Path | None = None,
        threads: int | None = None,
        context: int | None = None,
        gpu_layers: int = 0,
        width: int = 16,
        think_tokens: int = 64,
        threshold: float | None = None,
        sensitivity: Sensitivity = "default",
        explain: Explain = "abnormal",
    ) -> None:
        for name, value in (("context", 1 if context is None else context), ("width", width), ("threads", 1 if threads is None else threads)):
            if not isinstance(value, int) or value < 1:
                raise BadOption(f"{name} must be a whole number of at least 1, got {value!r}")
        self.files = resolve(model, adapter)
        self.threads, self.gpu_layers, self.width = threads or _cores(), gpu_layers, width
        self.think_tokens, self.explain = think_tokens, explain
        self._lock = threading.Lock()
        self._llama = Llama(self.files.ready(), self.files.adapter, gpu_layers)
        try:
            self._prepare(context)
            self.thresholds = _thresholds(self._llama.metadata("ra.thresholds", of_adapter=self.files.adapter is not None))
            self.threshold = self.thresholds[sensitivity] if threshold is None else threshold
        except BaseException:
            self._llama.close()  # nobody else has it
            raise

    def _prepare(self, context: int | None) -> None:
        """Find out what the model knows, and make room for as much as its prompts and replies take."""
        adapter = self.files.adapter
        known = self._llama.metadata("ra.prompt_version", of_adapter=adapter is not None)
        if adapter is not None and known not in (None, PROMPT_VERSION):
            raise ModelError(f"adapter {str(adapter)!r} was trained with prompt {known}, this version asks with {PROMPT_VERSION}; give one of this version")
        self.trained = adapter is not None or known == PROMPT_VERSION
        self._shots = () if self.trained else SHOTS
        title = self._llama.metadata("general.name") or self.files.path.stem
        with_adapter = f" + {adapter.stem}" if adapter else ""
        self.name = f"{title}{with_adapter}" if self.trained else f"{title} (few-shot, not trained for this)"
        self._words, self.calibration = _Words(self._llama), _calibration(self._llama.metadata("ra.calibration", of_adapter=adapter is not None))
        self._heads: dict[Mode, list[int]] = {mode: self._llama.tokens(head(mode, self._shots), special=True) for mode in MODES}
        self._tails: dict[Mode, list[int]] = {mode: self._llama.tokens(tail(mode), special=True) for mode in MODES}
        taken = max(map(len, self._heads.values())) + max(self.think_tokens, EVIDENCE_TOKENS, MEANING_TOKENS) + FORCED
        self.context = context or taken + TEMPLATE
        self._room = min(self.context - taken, TEMPLATE, BATCH - FORCED - self.width)
        if self._room < FORCED:
            raise ModelError(f"context {self.context} is too small for the prompt; give at least {taken + FORCED} tokens")
        self.digest = self._digest()
        self._llama.open(self.threads, self.context, self.width + 1)

    def _digest(self) -> str:
        """What the verdicts depend on, and nothing else: the files, the prompts, and how replies are decoded. The threshold is not part of it."""
        prompts = [(head(mode, self._shots), tail(mode)) for mode in MODES]
        decoding = (self._room, self.think_tokens, CANDIDATES, EVIDENCE_TOKENS)
        return _short_hash([self.files.digest(), PROMPT_VERSION, repr(prompts), repr(decoding)])

    def judge(self, templates: Sequence[str], mode: Mode = "direct", *, severities: Sequence[str | None] = ()) -> Iterator[Verdict]:
        """A verdict for every template, in order, as soon as it and those before it are done. Raises ModelError, Closed.

        ``severities``: those of the templates' records, one of ``SEVERITIES`` or None each; empty: none is known.
        """
        asked = map(TemplateKey, templates, severities or [None] * len(templates))
        make = self._direct if mode == "direct" else self._think
        yield from self._run([make(key) for key in asked], mode)

    def explained(self, verdicts: Sequence[Verdict], mode: Mode = "direct") -> Iterator[Verdict]:
        """The verdicts with a category and a rationale that belong to their label, in order. Scores stay as they are."""
        make = self._direct if mode == "direct" else self._think
        yield from self._run([make(verdict.key, verdict) for verdict in verdicts], mode)

    def fits(self, pairs: Sequence[tuple[TemplateKey, str]]) -> list[float]:
        """For each pair of a template and the meaning of a known entry the probability that the entry explains the template. Raises ModelError, Closed."""
        return list(self._run([self._fit(key, meaning) for key, meaning in pairs], "direct"))

    def _run(self, tasks: Sequence[Task], mode: Mode) -> Iterator[Any]:
        with self._lock:
            yield from run(self._llama, tasks, self._heads[mode], self.width)

    @property
    def decoded(self) -> int:
        """Tokens that the model has decoded so far, prompts and replies."""
        return self._llama.decoded

    def tokens(self, text: str) -> int:
        """How many tokens a text takes."""
        return len(self._llama.tokens(text, special=False))

    def close(self) -> None:
        """Free the model."""
        with self._lock:
            self._llama.close()

    def __enter__(self) -> LlamaReasoner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _shown(self, key: TemplateKey) -> list[int]:
        """Severity and template as tokens, control tokens in them being text; a long template is cut in the middle."""
        tokens = self._llama.tokens(key.text, special=False)
        if len(tokens) > self._room:
            half = self._room // 2 - 4
            tokens = tokens[:half] + self._llama.tokens(CUT, special=False) + tokens[-half:]
        return self._llama.tokens(level(key.severity), special=False) + tokens

    def _direct(self, key: TemplateKey, given: Verdict | None = None) -> Task:
        words = self._words
        logits = yield self._shown(key) + self._tails["direct"]
        score, label = self._labelled(words.score(logits, *self.calibration), given)
        category = rationale = None
        said = NORMAL
        if label == "abnormal":
            category = words.category((yield [words.abnormal]))
            said = CATEGORY_WORDS[category]
        if given or self.explain == "always" or (self.explain == "abnormal" and label == "abnormal"):
            told = "reports a fault" if label == "abnormal" else "reports nothing wrong"  # the kind is right too seldom to be said in a sentence
            evidence = yield from self._evidence((yield self._llama.tokens(f"{said}{EVIDENCE}", special=False)), key.text)
            rationale = f'"{evidence}" {told}.' if evidence else ""
        return self._verdict(key, label, score, category, rationale, "direct")

    def _think(self, key: TemplateKey, given: Verdict | None = None) -> Task:
        words = self._words
        rationale = yield from self._write((yield self._shown(key) + self._tails["think"]), self.think_tokens, key.text)
        logits = yield self._llama.tokens(CLOSE_THINK, special=False)
        score, label = self._labelled(words.score(logits), given)
        category = words.category((yield [words.abnormal])) if label == "abnormal" else None
        return self._verdict(key, label, score, category, rationale if given or self.explain != "never" else None, "think")

    def _fit(self, key: TemplateKey, meaning: str) -> Task:
        told = self._llama.tokens(meaning, special=False)[:MEANING_TOKENS]
        logits = yield [*self._shown(TemplateKey(key.text)), self._words.known, *told, self._words.end]
        return self._words.fits(logits)

    def _labelled(self, score: float, given: Verdict | None) -> tuple[float, Label]:
        """Score and label: those that are to be explained, or the model's own."""
        if given is not None and given.score is not None:
            return given.score, given.label
        score = round(score, 4)
        return score, "abnormal" if score >= self.threshold else "normal"

    def _verdict(self, key: TemplateKey, label: Label, score: float, category: str | None, rationale: str | None, mode: str) -> Verdict:
        told = rationale or None
        kept = None if told is None else grounded(key.text, told)
        return Verdict(key.text, label, score, category, told, kept, mode, self.name, severity=key.severity)

    def _evidence(self, logits: np.ndarray[Any, Any], text: str) -> Generator[list[int], Any, str]:
        """The words that decide: what the model writes, held to a stretch of the text."""
        written = ""
        for _ in range(EVIDENCE_TOKENS):
            token = self._next(logits, written, lambda said: said.strip() in text)
            if token is None:
                break
            written += self._words.text(token)
            logits = yield [token]
        return shortened(whole_words(text, written).partition('"')[0], EVIDENCE_TOKENS)

    def _write(self, logits: np.ndarray[Any, Any], budget: int, text: str) -> Generator[list[int], Any, str]:
        """Reasoning, greedily, up to a newline or the budget. Quotes are held to the text, and so are numbers."""
        written = ""
        for _ in range(budget):
            token = self._next(logits, written, partial(keeps_to, text))
            if token is None:
                break
            piece, ended, _ = self._words.text(token).partition("\n")  # some vocabularies have one token for a full stop and a line break
            written += piece
            if ended:
                break
            logits = yield [token]
        return whole(written)

    def _next(self, logits: np.ndarray[Any, Any], written: str, keeps: Callable[[str], bool]) -> int | None:
        """The likeliest token with which what is written may go on; None for the end."""
        for token in _likeliest(logits):
            if token in self._words.ends:
                return None
            if keeps(written + self._words.text(token)):
                return token
        return None


class _Words:
    """The tokens that mean something to us."""

    def __init__(self, llama: Llama) -> None:
        first = {word: llama.tokens(word, special=False)[0] for word in (NORMAL, ABNORMAL, FITS, FITS_NOT, *CATEGORY_WORDS.values())}
        if len(set(first.values())) < len(first):
            raise ModelError("the model's vocabulary cannot tell our answer words apart; use a model with another tokenizer")
        self.normal, self.abnormal, self._yes, self._no = first[NORMAL], first[ABNORMAL], first[FITS], first[FITS_NOT]
        self.end, self.known = (llama.tokens(word, special=True)[0] for word in (END, KNOWN))
        self._categories = {category: first[word] for category, word in CATEGORY_WORDS.items()}
        self.text: Callable[[int], str] = llama.text
        self.ends = llama.ends | {llama.tokens("\n", special=False)[0]}

    def score(self, logits: np.ndarray[Any, Any], slope: float = 1.0, shift: float = 0.0) -> float:
        """P(abnormal), of the two answers. ``slope`` and ``shift`` calibrate it (Platt, "Probabilistic outputs for support vector machines", 1999)."""
        import math

        return 1.0 / (1.0 + math.exp(min(-slope * self.margin(logits) - shift, 700.0)))

    def fits(self, logits: np.ndarray[Any, Any]) -> float:
        """P(yes), of yes and no."""
        import math

        return 1.0 / (1.0 + math.exp(min(float(logits[self._no]) - float(logits[self._yes]), 700.0)))

    def margin(self, logits: np.ndarray[Any, Any]) -> float:
        """How much more probable abnormal is than normal: the logarithm of the ratio, not calibrated."""
        return float(logits[self.abnormal]) - float(logits[self.normal])

    def category(self, logits: np.ndarray[Any, Any]) -> str:
        """The most probable of the five."""
        return max(self._categories, key=lambda category: float(logits[self._categories[category]]))


def _likeliest(logits: np.ndarray[Any, Any]) -> Iterator[int]:
    """Tokens, the most probable first. The first is nearly always taken, so the others are sorted only when it is not."""
    import numpy as np

    yield int(logits.argmax())
    best = np.argpartition(logits, -CANDIDATES)[-CANDIDATES:]
    yield from best[np.argsort(-logits[best], kind="stable")].tolist()[1:]


def _calibration(known: str | None) -> tuple[float, float]:
    """Slope and shift of the margin in direct mode, as ``ra-train export`` found them. Raises ModelError."""
    try:
        slope, shift = map(float, (known or "1 0").split())
    except ValueError:
        raise ModelError(f"the model's ra.calibration must be a pair of numbers, got {known!r}; export the model again") from None
    return slope, shift


def _thresholds(known: str | None) -> dict[Sensitivity, float]:
    """P(abnormal) for low, default and high sensitivity, as ``ra-train export`` found them. Raises ModelError."""
    try:
        low, default, high = map(float, (known or " ".join(map(str, THRESHOLDS.values()))).split())
    except ValueError:
        raise ModelError(f"the model's ra.thresholds must be three numbers, got {known!r}; export the model again") from None
    return {"low": low, "default": default, "high": high}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _short_hash(parts: Sequence[str]) -> str:
    import hashlib

    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
