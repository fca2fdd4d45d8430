"""Replies sampled as the product decodes them: the model chooses where the product lets it choose, everything else is forced.

A reply is written by a small coroutine that says which tokens are forced and which may come next, and takes the one that was sampled, so that the loop
below, and vLLM, run the same rules. Prompts come as token ids from `ra_training.examples.Encoder`: a control token's name in a log line is text.

    direct    the verdict (of two), after an abnormal one the category (of five), then the words that decide, held to the line, up to the end
    think     the reasoning (any token), up to a line break; then verdict and category
    choice    yes or no
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ra_sdk.reasoner.llama import EVIDENCE_TOKENS
from ra_sdk.reasoner.prompt import ABNORMAL, CATEGORY_WORDS, CLOSE_THINK, EVIDENCE, FITS, FITS_NOT, NORMAL, OPEN_THINK

from ra_training.examples import Encoder
from ra_training.likelihood import Allowed, last_hidden, next_logits, read_prompts
from ra_training.stretches import Pieces

if TYPE_CHECKING:
    import torch

__all__ = ["Kind", "Reply", "Writer", "greedy", "sampled", "write", "write_with_vllm"]

Kind = Literal["direct", "think", "choice"]
Script = Generator[tuple[list[int], Allowed], int, list[int]]  # what is forced now and what may come next; at last what is forced at the end
Choose = Callable[[Any], Any]  # logits (rows, tokens) -> which of the tokens (rows)
Seen = Callable[["Reply", Any, Any], None]  # is told of a reply, of the tokens in question and of their logits before one is taken


@dataclass(slots=True)
class Reply:
    """Token ids of a reply; ``own``: 1 where the model chose the token, 0 where it was forced; ``allowed``: among which tokens each one was.

    ``logprobs`` of its own, if the sampler tells them. ``next``: among which tokens the next one is.
    """

    script: Script
    ids: list[int] = field(default_factory=list)
    own: list[int] = field(default_factory=list)
    allowed: list[Allowed] = field(default_factory=list)
    logprobs: list[float | None] = field(default_factory=list)
    next: Allowed = None
    done: bool = False
    fed: int = 0

    def __post_init__(self) -> None:
        self._forced(next(self.script))

    def take(self, token: int, logprob: float | None = None, *, free: bool = False) -> None:
        """Add a chosen token and what is forced after it. ``free``: it was chosen from the whole vocabulary, whatever may come here."""
        self._add(token, 1, None if free else self.next, logprob)
        self._send(token)
        while not self.done and self.next is not None and len(self.next) == 1:  # no choice is left
            (only,) = self.next
            self._add(only, 0, self.next)
            self._send(only)

    def thought(self) -> slice:
        """Where the reasoning of a reply in think mode stands: up to the first forced token."""
        return slice(0, self.own.index(0) if 0 in self.own else len(self.own))

    def _send(self, token: int) -> None:
        try:
            self._forced(self.script.send(token))
        except StopIteration as end:
            self.done = True
            self._forced((end.value, None))

    def _forced(self, asked: tuple[list[int], Allowed]) -> None:
        forced, self.next = asked
        for token in forced:
            self._add(token, 0, (token,))

    def _add(self, token: int, own: int, allowed: Allowed, logprob: float | None = None) -> None:
        self.ids.append(token)
        self.own.append(own)
        self.allowed.append(allowed)
        self.logprobs.append(logprob)


class Writer:
    """The rules of a reply, with at most ``budget`` tokens of reasoning.

    Reasoning ends with a line break of the model's own, evidence with the end of its turn. A reply that runs out of its budget, writes a control token,
    or answers what is no answer ends right there, unclosed, so that the format reward sees it.
    """

    def __init__(self, encoder: Encoder, tokenizer: Any, budget: int) -> None:
        self.budget, self._tokenizer, self.pieces = budget, tokenizer, Pieces(tokenizer)
        self._end, self.verdicts = encoder.end, (encoder.normal, encoder.abnormal)
        self.choices = encoder.fits, encoder.fits_not
        self._normal, self._abnormal = (encoder.tokens(word, special=False)[1:] for word in (NORMAL, ABNORMAL))
        said = [encoder.tokens(word, special=False) for word in CATEGORY_WORDS.values()]
        self._categories = {word[0]: word[1:] for word in said}
        self._colon, self._close = (encoder.tokens(text, special=False) for text in (EVIDENCE, CLOSE_THINK.lstrip()))
        answer = 1 + len(self._abnormal) + max(map(len, said))
        self.longest = answer + 1 + max(len(self._colon) + EVIDENCE_TOKENS, budget + len(self._close))

    def start(self, kind: Kind, text: str = "") -> Reply:
        """A reply of which nothing is written, to the line ``text``."""
        return Reply(self._direct(text) if kind == "direct" else self._think() if kind == "think" else self._choice())

    def text(self, reply: Reply, kind: Kind) -> str:
        """The reply in letters, the opening tag that stands in the prompt and the end of its turn included. Control tokens are shown."""
        if kind == "choice":
            return FITS if reply.ids[0] == self.choices[0] else FITS_NOT
        said: str = self._tokenizer.decode(reply.ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return OPEN_THINK + said if kind == "think" else said

    def _direct(self, text: str) -> Script:
        rest = yield from self._verdict([])
        if rest is None:
            return []
        forced, written = rest + self._colon, ""
        for _ in range(EVIDENCE_TOKENS):
            token = yield forced, (*self.pieces.following(text, written), self._end)
            if token == self._end:
                return []
            forced, written = [], written + self.pieces.texts[token]
        return []

    def _think(self) -> Script:
        for _ in range(self.budget):
            token = yield [], None
            if token in self.pieces.newlines:
                rest = yield from self._verdict(self._close)
                return [] if rest is None else [*rest, self._end]
            if token in self.pieces.controls:
                return []
        return []

    def _choice(self) -> Script:
        yield [], self.choices
        return []

    def _verdict(self, forced: list[int]) -> Generator[tuple[list[int], Allowed], int, list[int] | None]:
        """Verdict and category. What is left of their words to be forced; None for a token that is none of them, as vLLM may write one."""
        token = yield forced, self.verdicts
        if token == self.verdicts[0]:
            return self._normal
        if token != self.verdicts[1]:
            return None
        token = yield self._abnormal, tuple(self._categories)
        return self._categories.get(token)


def greedy(logits: torch.Tensor) -> torch.Tensor:
    """The most probable token of each row."""
    return logits.argmax(-1)


def sampled(temperature: float) -> Choose:
    """Tokens by their probability at a temperature, from all that may come: the distribution whose gradient GRPO takes."""
    import torch

    def choose(logits: torch.Tensor) -> torch.Tensor:
        return torch.multinomial(torch.softmax(logits.float() / temperature, -1), 1)[:, 0]

    return choose


def write(llama: Any, asked: Sequence[list[int]], replies: Sequence[Reply], choose: Choose, *, bf16: bool = False, seen: Seen | None = None) -> None:
    """Write a reply to each prompt. ``llama``: the causal model (its adapter active). Equal prompts are computed once."""
    import torch

    device = llama.lm_head.weight.device
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        past, attention, hidden = read_prompts(llama, asked)
        live = list(replies)
        while True:
            _choose(llama, hidden, live, choose, seen)
            going = [at for at, reply in enumerate(live) if not reply.done]
            if not going:
                return
            if len(going) < len(live):
                index = torch.tensor(going, device=device)
                past.batch_select_indices(index)
                attention, live = attention[index], [live[at] for at in going]
            attention = torch.cat([attention, attention.new_ones(len(live), 1)], 1)
            following = torch.tensor([[reply.ids[reply.fed]] for reply in live], device=device)
            hidden = last_hidden(llama, following, attention, past)[:, -1]
            for reply in live:
                reply.fed += 1


def _choose(llama: Any, hidden: torch.Tensor, live: Sequence[Reply], choose: Choose, seen: Seen | None) -> None:
    """Let the replies that are fed with all they have take their next token; the others have forced tokens still to be read."""
    ready = [at for at, reply in enumerate(live) if reply.fed == len(reply.ids)]
    if not ready:
        return
    for rows, tokens, logits in next_logits(llama, hidden[ready], [live[at].next for at in ready]):
        for at, (row, token) in enumerate(zip(rows, tokens[choose(logits)].tolist(), strict=True)):
            if seen:
                seen(live[ready[row]], tokens, logits[at])
            live[ready[row]].take(token)


def write_with_vllm(vllm: Any, asked: Sequence[list[int]], replies: Sequence[Reply]) -> None:
    """The same from trl's vLLM (``trl.generation.vllm_generation.VLLMGeneration``), for think mode; it has to stop at a line break.

    One call for each of the two parts, with all prompts, whether they need it or not: in a group of processes every call is collective. It knows nothing
    of what may come, so its tokens count as chosen from the whole vocabulary.
    """
    for _ in range(2):
        contexts = [prompt + reply.ids for prompt, reply in zip(asked, replies, strict=True)]
        _, written, logprobs, _ = vllm.generate(prompts=contexts, images=None, num_generations=1)
        for reply, tokens, probabilities in zip(replies, written, logprobs, strict=True):
            _take_part(reply, tokens, [probability[0] for probability in probabilities])


def _take_part(reply: Reply, tokens: Sequence[int], logprobs: Sequence[float]) -> None:
    """Take tokens up to where something is forced that was not written: what follows there was written without it."""
    at = 0
    while at < len(tokens) and not reply.done:
        before = len(reply.ids)
        reply.take(tokens[at], logprobs[at], free=True)
        forced = reply.ids[before + 1 :]
        if list(tokens[at + 1 : at + 1 + len(forced)]) != forced:
            return
        at += 1 + len(forced)
