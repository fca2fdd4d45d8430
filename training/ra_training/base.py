"""The base model: a GGUF file, dequantised, with the tokenizer that llama.cpp would use; and the LoRA on it.

The adapter is trained on exactly the weights that run, so that no quantisation gap is left.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ra_sdk.reasoner.files import resolve

if TYPE_CHECKING:
    import torch

__all__ = ["TARGETS", "Base", "base_path", "fast_bf16", "keep_in_bf16", "load_base", "load_tokenizer", "with_lora"]

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Base:
    """A model in PyTorch and its tokenizer."""

    model: Any
    tokenizer: Any
    path: Path


def base_path(given: str | None) -> Path:
    """The GGUF to train on: the given one, or what ra_sdk runs by default, in the very type it runs in. Raises ra_sdk.errors.ModelError."""
    return resolve(given, "none").ready()


def load_tokenizer(path: Path) -> Any:
    """The tokenizer in a GGUF.

    transformers leaves out the split into single digits of the "smollm" pre-tokenizer; with it, tokens equal those of llama.cpp.
    The pre-tokenizers of other models are taken as they are.
    """
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    if _pre_tokenizer(path) == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
        )
    return tokenizer


def _pre_tokenizer(path: Path) -> str:
    """Name of the pre-tokenizer in a GGUF's metadata; empty if it names none."""
    from gguf import GGUFReader

    field = GGUFReader(path).get_field("tokenizer.ggml.pre")
    return str(field.contents()) if field else ""


def load_base(path: Path) -> Base:
    """Model (float32) and tokenizer of a GGUF."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=torch.float32)
    model.config.use_cache = False
    return Base(model, load_tokenizer(path), path)


def with_lora(model: Any, rank: int, alpha: int, layers: int | None = None) -> Any:
    """The model with a fresh LoRA on every linear layer, or on those of the upper ``layers`` only; only that is trained."""
    from peft import LoraConfig, get_peft_model

    every = model.config.num_hidden_layers
    upper = None if layers is None else list(range(max(every - layers, 0), every))
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=list(TARGETS), layers_to_transform=upper, task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here. On a CPU without instructions for it, it is five to fifteen times slower."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu" or platform.system() != "Linux":
        return False
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return "avx512_bf16" in flags or "amx_bf16" in flags


def keep_in_bf16(model: Any) -> None:
    """Hold the frozen linear layers in bfloat16, all but the output layer: what autocast makes of them, made once and not at every token."""
    import torch

    llama = model.get_base_model()
    for module in llama.modules():
        if isinstance(module, torch.nn.Linear) and module is not llama.lm_head and not module.weight.requires_grad:
            module.weight.data = module.weight.data.bfloat16()
