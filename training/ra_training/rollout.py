"""Replies sampled as the product decodes them: the model writes the reasoning and the answer, the tags between them are forced.

A reply is written by a small coroutine that says which tokens are forced and takes those that were sampled, so that the loop below, and vLLM, run
the same rules. Prompts come as token ids from `ra_training.examples.Encoder`: a control token's name in a log line is text.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any

from ra_sdk.prompt import CLOSE_THINK, END, EVIDENCE, OPEN_THINK, Mode, answer
from ra_sdk.records import CATEGORIES

from ra_training.examples import Encoder

if TYPE_CHECKING:
    import torch

__all__ = ["Reply", "Writer", "greedy", "sampled", "write", "write_with_vllm"]

Choose = Callable[[Any], Any]  # logits (rows, vocabulary) -> token ids (rows)


@dataclass(slots=True)
class Reply:
    """Token ids of a reply; ``own``: 1 where the model wrote the token, 0 where it was forced; ``logprobs`` of its own, if the sampler tells them."""

    script: Generator[list[int], int, list[int]]
    ids: list[int] = field(default_factory=list)
    own: list[int] = field(default_factory=list)
    logprobs: list[float | None] = field(default_factory=list)
    done: bool = False
    fed: int = 0

    def __post_init__(self) -> None:
        next(self.script)

    def take(self, token: int, logprob: float | None = None) -> None:
        """Add a sampled token and what is forced after it."""
        try:
            forced = self.script.send(token)
        except StopIteration as end:
            forced, self.done = end.value, True
        self.ids += [token, *forced]
        self.own += [1, *[0] * len(forced)]
        self.logprobs += [logprob, *[None] * len(forced)]

    def thought(self, mode: Mode) -> slice:
        """Where the reasoning stands: what the model wrote first in think mode, second in direct mode. Empty if it did not come to that."""
        runs = [(value, len(list(run))) for value, run in groupby(self.own)]
        ends = list(accumulate(length for _, length in runs))
        own = [slice(end - length, end) for (value, length), end in zip(runs, ends, strict=True) if value]
        at = 0 if mode == "think" else 1
        return own[at] if at < len(own) else slice(0, 0)


class Writer:
    """The rules of a reply in ``mode``, with at most ``budget`` tokens of reasoning.

    Reasoning ends with a newline of the model's own; a reply that runs out of the budget, writes a control token, or answers what is no answer
    ends right there, unclosed, so that the format reward sees it.
    """

    def __init__(self, encoder: Encoder, tokenizer: Any, mode: Mode, budget: int) -> None:
        self.mode, self.budget, self._tokenizer = mode, budget, tokenizer
        self.newline = encoder.tokens("\n", special=False)[0]
        self._broken = {token for token in tokenizer.all_special_ids if token != self.newline}
        self._answers = [encoder.tokens(answer(category), special=False) for category in (None, *CATEGORIES)]
        self._between = encoder.tokens(CLOSE_THINK.lstrip() if mode == "think" else EVIDENCE, special=False)
        self._close = encoder.tokens(END, special=True)
        self.longest = budget + len(self._between) + max(map(len, self._answers)) + len(self._close)

    def start(self) -> Reply:
        """A reply of which nothing is written."""
        return Reply(self._script())

    def text(self, reply: Reply) -> str:
        """The reply in letters: its opening tag, which stands in the prompt, included, the end of its turn not. Control tokens are shown."""
        said: str = self._tokenizer.decode(reply.ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return (OPEN_THINK if self.mode == "think" else "") + said.removesuffix(END)

    def _script(self) -> Generator[list[int], int, list[int]]:
        first, second = (self._think, self._answer) if self.mode == "think" else (self._answer, self._think)
        written = (yield from first([])) and (yield from second(self._between))
        return self._close if written else []

    def _think(self, forced: list[int]) -> Generator[list[int], int, bool]:
        for _ in range(self.budget):
            token = yield forced
            forced = []
            if token == self.newline or token in self._broken:
                return token == self.newline
        return False

    def _answer(self, forced: list[int]) -> Generator[list[int], int, bool]:
        said: list[int] = []
        while True:
            said.append((yield forced))
            forced = []
            fitting = [known for known in self._answers if known[: len(said)] == said]
            if not fitting or said in fitting:
                return bool(fitting)


def greedy(logits: torch.Tensor) -> torch.Tensor:
    """The most probable token of each row."""
    return logits.argmax(-1)


def sampled(temperature: float) -> Choose:
    """Tokens by their probability at a temperature, from the whole vocabulary: the distribution whose gradient GRPO takes."""
    import torch

    def choose(logits: torch.Tensor) -> torch.Tensor:
        return torch.multinomial(torch.softmax(logits.float() / temperature, -1), 1)[:, 0]

    return choose


def write(llama: Any, writer: Writer, asked: Sequence[list[int]], choose: Choose, *, bf16: bool = False) -> list[Reply]:
    """A reply to each prompt, in order. ``llama``: the causal model (its adapter active). Equal prompts are computed once."""
    import torch

    replies = [writer.start() for _ in asked]
    device = llama.lm_head.weight.device
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        past, attention, hidden = _read_prompts(llama, asked, device)
        live = list(replies)
        while True:
            for reply, token in zip(live, choose(llama.lm_head(hidden)).tolist(), strict=True):
                if reply.fed == len(reply.ids):  # else a forced token is still to be read
                    reply.take(token)
            going = [at for at, reply in enumerate(live) if not reply.done]
            if not going:
                return replies
            if len(going) < len(live):
                index = torch.tensor(going, device=device)
                past.batch_select_indices(index)
                attention, live = attention[index], [live[at] for at in going]
            attention = torch.cat([attention, attention.new_ones(len(live), 1)], 1)
            following = torch.tensor([[reply.ids[reply.fed]] for reply in live], device=device)
            hidden = _last(llama, following, attention, past)
            for reply in live:
                reply.fed += 1


def _read_prompts(llama: Any, asked: Sequence[list[int]], device: torch.device) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """Cache, attention and last hidden state of every prompt, padded on the left."""
    import torch
    from transformers import DynamicCache

    distinct = list(dict.fromkeys(map(tuple, asked)))
    longest = max(map(len, distinct))
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in distinct], device=device)
    attention = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in distinct], device=device)
    past = DynamicCache(config=llama.config)
    hidden = _last(llama, ids, attention, past)
    place = {prompt: at for at, prompt in enumerate(distinct)}
    index = torch.tensor([place[tuple(prompt)] for prompt in asked], device=device)
    past.batch_select_indices(index)
    return past, attention[index], hidden[index]


def _last(llama: Any, ids: torch.Tensor, attention: torch.Tensor, past: Any) -> torch.Tensor:
    """The hidden state at the last of the new tokens."""
    positions = (attention.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    hidden = llama.model(input_ids=ids, attention_mask=attention, position_ids=positions, past_key_values=past, use_cache=True).last_hidden_state
    last: torch.Tensor = hidden[:, -1]
    return last


def write_with_vllm(vllm: Any, writer: Writer, asked: Sequence[list[int]]) -> list[Reply]:
    """The same from trl's vLLM (``trl.generation.vllm_generation.VLLMGeneration``), which has to stop at `Writer.newline`.

    One call for each of the two parts, with all prompts, whether they need it or not: in a group of processes every call is collective.
    """
    replies = [writer.start() for _ in asked]
    for _ in range(2):
        contexts = [prompt + reply.ids for prompt, reply in zip(asked, replies, strict=True)]
        _, written, logprobs, _ = vllm.generate(prompts=contexts, images=None, num_generations=1)
        for reply, tokens, probabilities in zip(replies, written, logprobs, strict=True):
            part = len(reply.ids)
            for token, probability in zip(tokens, probabilities, strict=True):
                if reply.done or (len(reply.ids) > part and not reply.own[-1]):
                    break  # this part is over: what follows was written without the forced tags
                reply.take(token, probability[0])
    return replies
