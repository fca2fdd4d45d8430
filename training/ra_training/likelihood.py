"""How likely tokens are among those that may come: what rollouts sample from, and whose gradient GRPO takes.

Both must be the same distribution. A token is drawn from the tokens that the rules of a reply allow at its place, so its probability is its share
of those, not of the whole vocabulary; else an update would move what no reply can show.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["Allowed", "cut", "last_hidden", "margins", "next_logits", "probability", "read_prompts", "reply_hidden", "token_log_probs"]

NEVER = -1e30  # logit of what may not come: with it a probability is 0, and its logarithm still a number
Allowed = tuple[int, ...] | None  # the tokens among which the next one is; None: the whole vocabulary


def next_logits(llama: Any, hidden: torch.Tensor, allowed: Sequence[Allowed]) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Logits after hidden states (rows, width), in at most two parts: the rows, the tokens (columns), the logits (rows, columns).

    Rows that are held to some tokens are computed for those tokens only: the output layer is a fifth of the model and more.
    """
    import torch

    weight = llama.lm_head.weight
    free = [row for row, some in enumerate(allowed) if some is None]
    if free:
        yield free, torch.arange(weight.shape[0], device=weight.device), llama.lm_head(hidden[free]).float()
    held = [(row, some) for row, some in enumerate(allowed) if some is not None]
    if held:
        union = sorted({token for _, some in held for token in some})
        place = {token: at for at, token in enumerate(union)}
        may = torch.zeros(len(held), len(union), dtype=torch.bool)
        for at, (_, some) in enumerate(held):
            may[at, [place[token] for token in some]] = True
        tokens, rows = torch.tensor(union, device=weight.device), [row for row, _ in held]
        logits = torch.nn.functional.linear(hidden[rows], weight[tokens]).float()
        yield rows, tokens, logits.masked_fill(~may.to(weight.device), NEVER)


def read_prompts(llama: Any, asked: Sequence[Sequence[int]]) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """Cache, attention and last hidden state of every prompt, padded on the left. Equal prompts are computed once."""
    import torch
    from transformers import DynamicCache

    device = llama.lm_head.weight.device
    distinct = list(dict.fromkeys(map(tuple, asked)))
    longest = max(map(len, distinct))
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in distinct], device=device)
    attention = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in distinct], device=device)
    past = DynamicCache(config=llama.config)
    hidden = last_hidden(llama, ids, attention, past)[:, -1]
    place = {prompt: at for at, prompt in enumerate(distinct)}
    index = torch.tensor([place[tuple(prompt)] for prompt in asked], device=device)
    past.batch_select_indices(index)
    return past, attention[index], hidden[index]


def last_hidden(llama: Any, ids: torch.Tensor, attention: torch.Tensor, past: Any) -> torch.Tensor:
    """The hidden states at the new tokens (rows, tokens, width). ``attention`` covers those before too."""
    positions = (attention.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    states: torch.Tensor = llama.model(input_ids=ids, attention_mask=attention, position_ids=positions, past_key_values=past, use_cache=True).last_hidden_state
    return states


def reply_hidden(llama: Any, asked: Sequence[Sequence[int]], replies: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    """The hidden states from which the tokens of the replies (rows, tokens; padded on the right) come, with a gradient if one is asked for."""
    import torch

    past, before, first = read_prompts(llama, asked)
    after = last_hidden(llama, replies, torch.cat([before, attention], 1), past)
    return torch.cat([first[:, None], after[:, :-1]], 1)


def token_log_probs(llama: Any, hidden: torch.Tensor, replies: torch.Tensor, allowed: Sequence[Sequence[Allowed]], temperature: float) -> tuple[Any, Any]:
    """Log probability and entropy of every token of the replies (rows, tokens). 0 where nothing was to be chosen, and on padding."""
    import torch

    chosen = [(row, at, some) for row, line in enumerate(allowed) for at, some in enumerate(line) if some is None or len(some) > 1]
    found, entropies = (torch.zeros(replies.shape, device=hidden.device) for _ in range(2))
    if not chosen:
        return found, entropies
    row, column = (torch.tensor([place[part] for place in chosen], device=hidden.device) for part in (0, 1))
    states, wanted = hidden[row, column], replies[row, column]
    for rows, tokens, logits in next_logits(llama, states, [some for *_, some in chosen]):
        each = torch.log_softmax(logits / temperature, -1)
        at = torch.searchsorted(tokens, wanted[rows].contiguous())
        place = row[rows], column[rows]
        found = found.index_put(place, each.gather(-1, at[:, None])[:, 0])
        with torch.no_grad():
            entropies = entropies.index_put(place, -(each.exp() * each).sum(-1))
    return found, entropies


def cut(ids: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    """The rows of a padded batch as lists, without the padding."""
    return [row[kept.bool()].tolist() for row, kept in zip(ids, mask, strict=True)]


def margins(model: Any, asked: Sequence[Sequence[int]], answers: tuple[int, int], *, bf16: bool = False, size: int = 16) -> list[float]:
    """How much more probable the first of two answers is than the second after each prompt, in order: the logarithm of the ratio."""
    import torch

    order = sorted(range(len(asked)), key=lambda at: len(asked[at]))
    found, device = [0.0] * len(asked), next(model.parameters()).device
    llama = model.get_base_model() if hasattr(model, "get_base_model") else model
    for start in range(0, len(order), size):
        part = order[start : start + size]
        length = max(len(asked[at]) for at in part)
        ids = torch.tensor([[*asked[at], *[0] * (length - len(asked[at]))] for at in part], device=device)
        ends = torch.tensor([len(asked[at]) - 1 for at in part], device=device)
        attention = (torch.arange(length, device=device) <= ends[:, None]).long()
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            hidden = llama.model(input_ids=ids, attention_mask=attention).last_hidden_state[torch.arange(len(part)), ends]
            both = torch.nn.functional.linear(hidden, llama.lm_head.weight[list(answers)]).float()
        for at, margin in zip(part, (both[:, 0] - both[:, 1]).tolist(), strict=True):
            found[at] = margin
    return found


def probability(margin: float) -> float:
    """What a margin of log odds is as a probability."""
    return 1 / (1 + math.exp(-margin)) if margin > -700 else 0.0
