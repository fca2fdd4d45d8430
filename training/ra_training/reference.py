"""Where GRPO starts: the adapter, a frozen copy of it beside it on the same base (the reference), and what that is asked for: perplexity, and what a
verdict loses without its evidence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ra_training.base import Base, with_lora
from ra_training.corpus import digest
from ra_training.evidence import left_out
from ra_training.examples import Encoder
from ra_training.export import read_gguf, read_shape, with_gguf
from ra_training.likelihood import margins
from ra_training.record import Run
from ra_training.tasks import Task

__all__ = ["REFERENCE", "described", "find_adapter", "freeze_copy", "lost_without", "perplexities", "with_adapter"]

GGUF = ".gguf"
REFERENCE = "ref"  # so trl names its own copy, which it makes when the divergence has a weight


def with_adapter(base: Base, adapter: Path | None, rank: int, alpha: int, layers: int | None = None) -> Any:
    """The base with the adapter, trainable. transformers still calls it quantised, and its Trainer refuses that; but its weights are float32 by now."""
    import torch
    from peft import PeftModel

    model = base.model
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer and all(weight.dtype == torch.float32 for weight in model.parameters()):
        quantizer.remove_quantization_config(model)
    if adapter is None:
        whole = with_lora(model, rank, alpha, layers)
    elif adapter.suffix == GGUF:
        whole = with_gguf(base, adapter)
    else:
        whole = PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
    whole.peft_config["default"].base_model_name_or_path = ""  # with a name, saving asks the Hugging Face hub about it
    return whole


def find_adapter(given: Path, base: Path) -> Path:
    """The adapter: the given GGUF or directory, or that in a run's directory. Raises SystemExit if there is none, or it was trained on another base."""
    if given.suffix == GGUF and given.is_file():
        return given
    run = Run(given)
    directory = run.adapter if run.adapter.is_dir() else given
    if not (directory / "adapter_config.json").is_file():
        raise SystemExit(f"adapter {str(given)!r} holds no adapter; give the directory that ra-train sft wrote, or a LoRA in GGUF")
    trained_on = run.config().get("base_sha256")
    if trained_on is not None and trained_on != digest(base):
        raise SystemExit(f"adapter {str(given)!r} was not trained on {base.name}; give --base as it was given to ra-train sft")
    return directory


def described(adapter: Path, base: Path) -> dict[str, Any]:
    """What a run's configuration says of the adapter that it begins with."""
    if adapter.suffix == GGUF:
        found, _ = read_gguf(adapter, read_shape(base))
        return {"rank": found.rank, "alpha": int(found.alpha), "adapter_sha256": digest(adapter)}
    shape = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    return {"rank": shape["r"], "alpha": shape["lora_alpha"], "adapter_sha256": digest(adapter / "adapter_model.safetensors")}


def freeze_copy(model: Any) -> None:
    """Give a model in peft's form the copy of its adapter that trl would give it."""
    model.add_adapter(REFERENCE, model.peft_config["default"])
    for name, weight in model.named_parameters():
        if ".default." in name:
            model.get_parameter(name.replace(".default.", f".{REFERENCE}.")).data.copy_(weight.data)


def lost_without(model: Any, encoder: Encoder, quoted: Sequence[tuple[Task, str]], *, bf16: bool = False) -> list[float]:
    """The log odds that the true verdict of each task loses under the reference when these words are left out of its line, in order.

    One forward pass over all that is distinct: a group's replies share the line, and often the words.
    """
    from trl.trainer.utils import use_adapter

    pairs = [((task.text, task.severity), (left_out(task.text, evidence), task.severity)) for task, evidence in quoted]
    lines = list(dict.fromkeys(line for pair in pairs for line in pair))
    asked = [encoder.asked(text, severity) for text, severity in lines]
    with use_adapter(model, REFERENCE):
        found = dict(zip(lines, margins(model, asked, (encoder.abnormal, encoder.normal), bf16=bf16, size=max(len(lines), 1)), strict=True))
    return [(found[whole] - found[rest]) * (1 if task.abnormal else -1) for (task, _), (whole, rest) in zip(quoted, pairs, strict=True)]


def perplexities(
    model: Any, asked: Sequence[list[int]], said: Sequence[list[int]], *, adapter: str | None = None, bf16: bool = False, size: int = 16
) -> list[float]:
    """exp of the mean negative log probability of the tokens ``said`` after ``asked``, each at least one, in order; under ``adapter`` (None: the active)."""
    import torch
    from trl.trainer.utils import use_adapter

    found: list[float] = []
    device = next(model.parameters()).device.type
    with torch.no_grad(), use_adapter(model, adapter) if adapter else nullcontext(), torch.autocast(device, torch.bfloat16, enabled=bf16):
        for at in range(0, len(asked), size):
            found += _perplexities(model.get_base_model(), asked[at : at + size], said[at : at + size])
    return found


def _perplexities(llama: Any, asked: Sequence[list[int]], said: Sequence[list[int]]) -> list[float]:
    import torch

    device = llama.lm_head.weight.device
    whole = [before + after for before, after in zip(asked, said, strict=True)]
    longest = max(map(len, whole))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in whole], device=device)
    attention = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in whole], device=device)
    learnt = torch.zeros(ids.shape[0], longest - 1, dtype=torch.bool, device=device)
    for at, (before, row) in enumerate(zip(asked, whole, strict=True)):
        learnt[at, len(before) - 1 : len(row) - 1] = True
    # only the rows that are looked at go through the output layer: it is a fifth of the model
    hidden = llama.model(input_ids=ids, attention_mask=attention, use_cache=False).last_hidden_state[:, :-1][learnt]
    losses = torch.nn.functional.cross_entropy(llama.lm_head(hidden).float(), ids[:, 1:][learnt], reduction="none")
    return [float(part.mean().exp()) for part in losses.split([len(after) for after in said])]
