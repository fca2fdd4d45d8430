"""The model that judges templates.

Every template is a task: a small coroutine that asks for tokens to be decoded and is sent the logits of the last one. `ra_sdk.batching` runs
many of them side by side. Here is what they ask for, and what they make of it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ra_sdk.batching import Asides, Task, run
from ra_sdk.echo import EchoReasoner
from ra_sdk.errors import BadOption, ModelError
from ra_sdk.evidence import QUOTABLE, clause, without, words
from ra_sdk.grounding import grounded, keeps_to, whole, whole_words
from ra_sdk.llama import BATCH, Llama
from ra_sdk.model import resolve
from ra_sdk.prompt import (
    ABNORMAL,
    CATEGORY_WORDS,
    CLOSE_ANSWER,
    CLOSE_THINK,
    NORMAL,
    OPEN_ANSWER,
    OPEN_THINK,
    PROMPT_VERSION,
    SAME_LAYOUT,
    SHOTS,
    Mode,
    prompt,
)
from ra_sdk.records import Label, Verdict

if TYPE_CHECKING:
    import numpy as np

__all__ = ["LlamaReasoner", "open_reasoner"]

Explain = Literal["abnormal", "always", "never"]
MODES: tuple[Mode, ...] = ("direct", "think")

CANDIDATES = 40  # tokens among which the next one is looked for when writing
TEMPLATE = 384  # tokens of a template that the model sees; a longer one is cut in the middle
QUOTED = 24  # tokens of a quote, at most
JUDGED, SURE = 3, -0.8  # words about a quote are judged from so many tokens on; mean logarithm of their probabilities from which they are kept
HANGS, CLEARLY = 2.0, 1.0  # how much of its margin a verdict loses without a quote that decides; how much more another one must take
SEARCHED = 40  # words of a message in which another quote is looked for, at most; a longer one keeps the model's
FORCED = 32  # tokens of a prompt's tail, of tags and of the answer, at most
CUT = " … "


def open_reasoner(model: str | None, options: Mapping[str, Any]) -> EchoReasoner | LlamaReasoner:
    """The reasoner that ``model=`` or ``RA_MODEL`` names; "echo" is the stand-in without a model."""
    if (model or os.environ.get("RA_MODEL")) == "echo":
        return EchoReasoner()
    return LlamaReasoner(model, **options)


class LlamaReasoner:
    """A GGUF model run by llama.cpp.

    ``model``, ``adapter``: see ``ra_sdk.model.resolve``. ``threads``: CPU threads (None: the cores this process may use). ``context``: tokens of
    one template's prompt and reply (None: what they need). ``gpu_layers``: layers on the GPU, -1 for all. ``width``: templates at once.
    ``think_tokens``, ``explain_tokens``: the most that reasoning may take. ``threshold``: P(abnormal) from which the label is abnormal.
    ``explain``: whose verdicts get a rationale in direct mode; in think mode all have one, except with "never". A model without our training gets
    a few examples in its prompt, and ``name`` says so. ``calibration``: slope and shift of the margin in direct mode.

    Greedy and with fixed seeds: the same templates get the same verdicts. Raises ModelError, BadOption.
    """

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
        explain_tokens: int = 64,
        threshold: float = 0.5,
        explain: Explain = "abnormal",
    ) -> None:
        for name, value in (("context", 1 if context is None else context), ("width", width), ("threads", 1 if threads is None else threads)):
            if not isinstance(value, int) or value < 1:
                raise BadOption(f"{name} must be a whole number of at least 1, got {value!r}")
        self.files = resolve(model, adapter)
        self.threads, self.gpu_layers, self.width = threads or _cores(), gpu_layers, width
        self.think_tokens, self.explain_tokens, self.threshold, self.explain = think_tokens, explain_tokens, threshold, explain
        self._lock = threading.Lock()
        self._llama = Llama(self.files.ready(), self.files.adapter, gpu_layers)
        try:
            self._prepare(context)
        except BaseException:
            self._llama.close()  # nobody else has it
            raise

    def _prepare(self, context: int | None) -> None:
        """Find out what the model knows, and make room for as much as its prompts and replies take."""
        adapter = self.files.adapter
        known = self._llama.metadata("ra.prompt_version", of_adapter=adapter is not None)
        if adapter is not None and known not in (None, *SAME_LAYOUT):
            raise ModelError(f"adapter {str(adapter)!r} was trained with prompt {known}, this version asks with {PROMPT_VERSION}; give one of this version")
        self.trained = adapter is not None or known in SAME_LAYOUT
        self._shots = () if self.trained else SHOTS
        title = self._llama.metadata("general.name") or self.files.path.stem
        with_adapter = f" + {adapter.stem}" if adapter else ""
        self.name = f"{title}{with_adapter}" if self.trained else f"{title} (few-shot, not trained for this)"
        self._words, self.calibration = _Words(self._llama), _calibration(self._llama.metadata("ra.calibration", of_adapter=adapter is not None))
        self._heads: dict[Mode, list[int]] = {mode: self._llama.tokens(prompt(mode, self._shots).head, special=True) for mode in MODES}
        taken = max(map(len, self._heads.values())) + max(self.think_tokens, self.explain_tokens) + FORCED
        self.context = context or taken + TEMPLATE
        self._room = min(self.context - taken, TEMPLATE, BATCH - FORCED - self.width)
        if self._room < FORCED:
            raise ModelError(f"context {self.context} is too small for the prompt; give at least {taken + FORCED} tokens")
        self.digest = self._digest()
        self._llama.open(self.threads, self.context, self.width + 1)

    def _digest(self) -> str:
        """What the verdicts depend on, and nothing else: the files, the prompts, and how replies are decoded. The threshold is not part of it."""
        prompts = [prompt(mode, self._shots) for mode in MODES]
        decoding = (self._room, self.think_tokens, self.explain_tokens, CANDIDATES, QUOTED, JUDGED, SURE, HANGS, CLEARLY, SEARCHED)
        return _short_hash([self.files.digest(), PROMPT_VERSION, repr(prompts), repr(decoding)])

    def judge(self, templates: Sequence[str], mode: Mode = "direct") -> Iterator[Verdict]:
        """A verdict for every template, in order, as soon as it and those before it are done. Raises ModelError, Closed."""
        make = self._direct if mode == "direct" else self._think
        yield from self._run([partial(make, text) for text in templates], mode)

    def explained(self, verdicts: Sequence[Verdict], mode: Mode = "direct") -> Iterator[Verdict]:
        """The verdicts with a category and a rationale that belong to their label, in order. Scores stay as they are."""
        make = self._direct if mode == "direct" else self._think
        yield from self._run([partial(make, verdict.template, given=verdict) for verdict in verdicts], mode)

    def _run(self, makes: Sequence[Callable[..., Task]], mode: Mode) -> Iterator[Verdict]:
        tail = self._llama.tokens(prompt(mode, self._shots).tail, special=True)
        with self._lock:
            yield from run(self._llama, [make(tail=tail) for make in makes], self._heads[mode], self.width)

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

    def _message(self, text: str) -> list[int]:
        """A template's tokens, control tokens in it being text; a long one is cut in the middle."""
        tokens = self._llama.tokens(text, special=False)
        if len(tokens) <= self._room:
            return tokens
        half = self._room // 2 - 4
        return tokens[:half] + self._llama.tokens(CUT, special=False) + tokens[-half:]

    def _direct(self, text: str, *, tail: list[int], given: Verdict | None = None) -> Task:
        words = self._words
        logits = yield self._message(text) + tail
        margin = words.margin(logits)
        score, label = self._labelled(words.score(logits, *self.calibration), given)
        category = rationale = None
        what, said = "nothing wrong", NORMAL
        if label == "abnormal":
            category = words.category((yield [words.abnormal]))
            what, said = "a fault", CATEGORY_WORDS[category]  # its kind is right too seldom to be said in a sentence
        if given or self.explain == "always" or (self.explain == "abnormal" and label == "abnormal"):
            forced = self._llama.tokens(f'{said}{CLOSE_ANSWER}\n{OPEN_THINK} "', special=False)
            quote, told = yield from self._point((yield forced), text)
            if label == "abnormal":
                deciding = yield from self._deciding(text, quote, margin, tail)
                quote, told = deciding, told if deciding == quote else ""
            rationale = whole(f'"{quote}"{told or f" reports {what}."}') if quote else ""
        return self._verdict(text, label, score, category, rationale, "direct")

    def _think(self, text: str, *, tail: list[int], given: Verdict | None = None) -> Task:
        words = self._words
        rationale = yield from self._write((yield self._message(text) + tail), self.think_tokens, text)
        logits = yield self._llama.tokens(f"{CLOSE_THINK}\n{OPEN_ANSWER}", special=False)
        score, label = self._labelled(words.score(logits), given)
        category = words.category((yield [words.abnormal])) if label == "abnormal" else None
        return self._verdict(text, label, score, category, rationale if given or self.explain != "never" else None, "think")

    def _labelled(self, score: float, given: Verdict | None) -> tuple[float, Label]:
        """Score and label: those that are to be explained, or the model's own."""
        if given is not None and given.score is not None:
            return given.score, given.label
        score = round(score, 4)
        return score, "abnormal" if score >= self.threshold else "normal"

    def _verdict(self, text: str, label: Label, score: float, category: str | None, rationale: str | None, mode: str) -> Verdict:
        told = rationale or None
        return Verdict(text, label, score, category, told, None if told is None else grounded(text, told), mode, self.name)

    def _point(self, logits: np.ndarray[Any, Any], text: str) -> Generator[list[int], Any, tuple[str, str]]:
        """The evidence that the model quotes, and what it says of it; nothing of that if it is not sure.

        A model of this size finds the words that decide better than it knows what they mean.
        """
        written, sure = '"', list[float]()
        for spent in range(self.explain_tokens):
            token = self._next(logits, written, text)
            if token is None:
                break
            if written.count('"') == 2:
                sure.append(_log_probability(logits, token))
                if len(sure) >= JUDGED and sum(sure) < len(sure) * SURE:
                    break
            elif written.count('"') > 2 or spent >= QUOTED:  # one quote is enough, and it is short
                break
            written += self._words.text(token)
            logits = yield [token]
        quote, _, told = written[1:].partition('"')
        kept = '"' not in told and len(told.split()) > 1 and sum(sure) >= len(sure) * SURE
        return whole_words(text, quote), told if kept else ""

    def _deciding(self, text: str, quote: str, margin: float, tail: list[int]) -> Generator[list[int] | Asides, Any, str]:
        """The quote, if the verdict hangs on it: without it the message reads less abnormal. Else the clause of the words on which it hangs most.

        They are found by halves: of the half without which the message reads less abnormal, again the half, as long as that alone decides.

        Leaving words out shows what a verdict rests on (Zeiler and Fergus 2014 for images; Li et al., "Understanding neural networks through
        representation erasure", 2016, for words).
        """

        def lost(start: int, end: int) -> Task:
            """How much of the margin these words are."""
            return margin - self._words.margin((yield self._message(without(text, start, end)) + tail))

        at = text.find(quote)
        if quote.isalpha() and quote.islower():  # a plain word alone, such as "unknown", says little
            quote = clause(text, at, at + len(quote))
            at = text.find(quote)
        weight = (yield Asides([lost(at, at + len(quote))]))[0] if quote else 0.0
        every = rest = words(text)
        while weight < HANGS and len(rest) > 1 and len(every) <= SEARCHED:
            halves = rest[: len(rest) // 2], rest[len(rest) // 2 :]
            weights = yield Asides([lost(half[0][0], half[-1][1]) for half in halves])
            most, half = max(zip(weights, halves, strict=True))
            if most < max(weight, 0.0) + CLEARLY:
                break
            rest = half
        found = rest is not every and len(rest) <= QUOTABLE
        return (clause(text, rest[0][0], rest[-1][1]) if found else "") or quote

    def _write(self, logits: np.ndarray[Any, Any], budget: int, text: str) -> Generator[list[int], Any, str]:
        """Reasoning, greedily, up to a newline or the budget. Quotes are held to the text, and so are numbers."""
        written = ""
        for _ in range(budget):
            token = self._next(logits, written, text)
            if token is None:
                break
            written += self._words.text(token)
            logits = yield [token]
        return whole(written)

    def _next(self, logits: np.ndarray[Any, Any], written: str, text: str) -> int | None:
        """The likeliest token that keeps to the text; None for the end."""
        for token in _likeliest(logits):
            if token in self._words.ends:
                return None
            if keeps_to(text, written + self._words.text(token)):
                return token
        return None


class _Words:
    """The tokens that mean something to us."""

    def __init__(self, llama: Llama) -> None:
        first = {word: llama.tokens(word, special=False)[0] for word in (NORMAL, ABNORMAL, *CATEGORY_WORDS.values())}
        if len(set(first.values())) < len(first):
            raise ModelError("the model's vocabulary cannot tell our answer words apart; use a model with another tokenizer")
        self.normal, self.abnormal = first[NORMAL], first[ABNORMAL]
        self._categories = {category: first[word] for category, word in CATEGORY_WORDS.items()}
        self.text: Callable[[int], str] = llama.text
        self.ends = llama.ends | {llama.tokens("\n", special=False)[0]}

    def score(self, logits: np.ndarray[Any, Any], slope: float = 1.0, shift: float = 0.0) -> float:
        """P(abnormal), of the two answers. ``slope`` and ``shift`` calibrate it (Platt, "Probabilistic outputs for support vector machines", 1999)."""
        import math

        return 1.0 / (1.0 + math.exp(min(-slope * self.margin(logits) - shift, 700.0)))

    def margin(self, logits: np.ndarray[Any, Any]) -> float:
        """How much more probable abnormal is than normal: the logarithm of the ratio, not calibrated."""
        return float(logits[self.abnormal]) - float(logits[self.normal])

    def category(self, logits: np.ndarray[Any, Any]) -> str:
        """The most probable of the five."""
        return max(self._categories, key=lambda category: float(logits[self._categories[category]]))


def _log_probability(logits: np.ndarray[Any, Any], token: int) -> float:
    import numpy as np

    most = logits.max()
    return float(logits[token] - most - np.log(np.exp(logits - most).sum()))


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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _short_hash(parts: Sequence[str]) -> str:
    import hashlib

    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
