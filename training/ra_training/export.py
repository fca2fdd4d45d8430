"""From a run's adapter to GGUF: a LoRA file for shipping, or base and adapter merged into one model.

Tensor names and the order of the rows of q and k are those of llama.cpp's own converters (convert_lora_to_gguf.py, convert_hf_to_gguf.py:
``LlamaModel.permute``): in the llama architecture llama.cpp rotates neighbouring pairs of rows, transformers the two halves of a head; in qwen2
both do the latter.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ra_sdk.reasoner.llama_cpp import requantise
from ra_sdk.reasoner.prompt import PROMPT_VERSION

from ra_training.base import Base, fast_bf16, load_base, with_lora

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFReader, GGUFWriter

    Array = np.ndarray[Any, Any]

__all__ = [
    "KINDS",
    "Adapter",
    "Shape",
    "agreement",
    "calibrated",
    "calibration",
    "direct_scores",
    "merge",
    "read_adapter",
    "read_gguf",
    "read_shape",
    "with_gguf",
    "write_adapter",
]

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_MODULES = {short: module for module, short in _NAMES.items()}
_KEY = re.compile(r"base_model\.model\.model\.layers\.([0-9]+)\.(\S+)\.lora_([AB])\.weight")
ARCHITECTURES = ("llama", "qwen2")
KINDS = ("F16", "Q8_0", "Q4_K_M", "Q4_0")  # of a merged model, the largest and truest first
LICENCE = "apache-2.0"


@dataclass(frozen=True, slots=True)
class Shape:
    """What of the base's metadata the export needs."""

    heads: int
    kv_heads: int
    name: str
    architecture: str = "llama"

    def permuted(self, name: str) -> int | None:
        """The heads by which the rows of a tensor have another order in llama.cpp; None if they have the same."""
        return {"attn_q": self.heads, "attn_k": self.kv_heads}.get(name) if self.architecture == "llama" else None


@dataclass(frozen=True, slots=True)
class Adapter:
    """``pairs``: GGUF tensor name -> (A: rank x in, B: out x rank), rows in llama.cpp's order. A linear layer gains scale * B @ A."""

    alpha: float
    rank: int
    pairs: Mapping[str, tuple[Array, Array]]

    @property
    def scale(self) -> float:
        """What the product of the two is multiplied with."""
        return self.alpha / self.rank

    @property
    def layers(self) -> int:
        """On how many layers it is; those are the upper ones."""
        return len({name.split(".")[1] for name in self.pairs})


def read_shape(base: Path) -> Shape:
    """Heads, name and architecture of a GGUF. Raises SystemExit if it is of an architecture that is not known here."""
    from gguf import GGUFReader

    fields = GGUFReader(base).fields
    architecture = fields["general.architecture"].contents()
    if architecture not in ARCHITECTURES:
        raise SystemExit(f"base {str(base)!r} has the architecture {architecture!r}; it must be one of {', '.join(ARCHITECTURES)}")
    name = fields["general.name"].contents() if "general.name" in fields else base.stem
    heads = int(fields[f"{architecture}.attention.head_count"].contents())
    grouped = f"{architecture}.attention.head_count_kv"
    return Shape(heads, int(fields[grouped].contents()) if grouped in fields else heads, str(name), architecture)


def read_adapter(directory: Path, shape: Shape) -> Adapter:
    """An adapter in peft's form. Raises SystemExit if it holds what llama.cpp's LoRA files cannot."""
    import numpy as np
    from safetensors.numpy import load_file

    config = json.loads((directory / "adapter_config.json").read_text(encoding="utf-8"))
    halves: dict[str, dict[str, Array]] = {}
    for key, tensor in load_file(directory / "adapter_model.safetensors").items():
        match = _KEY.fullmatch(key)
        if match is None or match[2] not in _NAMES:
            raise SystemExit(f"adapter {str(directory)!r}: tensor {key!r} has no place in a GGUF; train linear layers only")
        name = _NAMES[match[2]]
        if match[3] == "B" and (heads := shape.permuted(name)):
            tensor = permuted(tensor, heads)
        halves.setdefault(f"blk.{match[1]}.{name}.weight", {})[match[3]] = np.ascontiguousarray(tensor, dtype=np.float32)
    pairs = {name: (half["A"], half["B"]) for name, half in sorted(halves.items())}
    return Adapter(float(config["lora_alpha"]), int(config["r"]), pairs)


def read_gguf(path: Path, shape: Shape) -> tuple[Adapter, dict[str, Array]]:
    """A LoRA file: what `write_adapter` wrote, and its weights by peft's names, rows in transformers' order. Raises SystemExit if it is none."""
    import numpy as np
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
    except (OSError, ValueError) as error:
        raise SystemExit(f"adapter {str(path)!r} cannot be read: {error}; give a LoRA in GGUF, as ra-train export writes it") from error
    if "adapter.lora.alpha" not in reader.fields:
        raise SystemExit(f"{str(path)!r} is a model, not a LoRA adapter; give one that ra-train export wrote without --merge")
    tensors = {tensor.name: np.asarray(tensor.data, dtype=np.float32) for tensor in reader.tensors}
    names = sorted({name.rpartition(".lora_")[0] for name in tensors})
    pairs = {name: (tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]) for name in names}
    rank = pairs[names[0]][0].shape[0]
    weights = {}
    for name, (a, b) in pairs.items():
        _, layer, short, _ = name.split(".")
        place = f"base_model.model.model.layers.{layer}.{_MODULES[short]}"
        heads = shape.permuted(short)
        weights[f"{place}.lora_A.default.weight"] = a
        weights[f"{place}.lora_B.default.weight"] = unpermuted(b, heads) if heads else b
    return Adapter(float(reader.fields["adapter.lora.alpha"].contents()), rank, pairs), weights


def with_gguf(base: Base, path: Path) -> Any:
    """The base with the LoRA of a file as `write_adapter` wrote it, trainable. Raises SystemExit if it does not fit."""
    import torch

    adapter, weights = read_gguf(path, read_shape(base.path))
    model = with_lora(base.model, adapter.rank, int(adapter.alpha), adapter.layers)
    odd = model.load_state_dict({name: torch.from_numpy(weight.copy()) for name, weight in weights.items()}, strict=False).unexpected_keys
    if odd:
        raise SystemExit(f"adapter {str(path)!r} does not fit the base {base.path.name!r}: it has no {odd[0]!r}")
    return model


def permuted(rows: Array, heads: int) -> Array:
    """Rows (out x anything) of q or k from transformers' order to llama.cpp's."""
    halves: Array = rows.reshape(heads, 2, rows.shape[0] // heads // 2, rows.shape[1])
    pairs: Array = halves.swapaxes(1, 2).reshape(rows.shape)
    return pairs


def unpermuted(rows: Array, heads: int) -> Array:
    """What `permuted` did, undone."""
    pairs: Array = rows.reshape(heads, rows.shape[0] // heads // 2, 2, rows.shape[1])
    halves: Array = pairs.swapaxes(1, 2).reshape(rows.shape)
    return halves


def write_adapter(adapter: Adapter, shape: Shape, config: Mapping[str, Any], out: Path) -> None:
    """A LoRA file in f16, with where it comes from in its metadata."""
    import numpy as np
    from gguf import GGUFWriter

    writer = GGUFWriter(out, shape.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", adapter.alpha)
    writer.add_name(f"RationAnomaly adapter for {shape.name}")
    _describe(writer, config)
    for name, (a, b) in adapter.pairs.items():
        writer.add_tensor(f"{name}.lora_a", a.astype(np.float16))
        writer.add_tensor(f"{name}.lora_b", b.astype(np.float16))
    _finish(writer)


def merge(base: Path, adapter: Adapter, config: Mapping[str, Any], out: Path, kind: str) -> None:
    """Base and adapter as one GGUF: in F16, or from there in another of ``KINDS`` by llama.cpp's own quantiser. Raises ra_sdk.errors.ModelError."""
    if kind == "F16":
        _merge(base, adapter, config, out)
        return
    with tempfile.TemporaryDirectory(dir=out.parent) as place:
        _merge(base, adapter, config, Path(place) / "f16.gguf")
        requantise(Path(place) / "f16.gguf", out, kind)


def _merge(base: Path, adapter: Adapter, config: Mapping[str, Any], out: Path) -> None:
    """The adapted layers in F16, everything else as in the base."""
    from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
    from gguf.quants import dequantize, quantize

    reader, wanted = GGUFReader(base), GGMLQuantizationType.F16
    writer = GGUFWriter(out, read_shape(base).architecture)
    _copy_fields(reader, writer, leave={"general.file_type", "general.name", "general.license"})
    writer.add_name("RationAnomaly")
    writer.add_file_type(1)
    _describe(writer, config)
    for tensor in reader.tensors:
        if tensor.name in adapter.pairs:
            a, b = adapter.pairs[tensor.name]
            whole = dequantize(tensor.data, tensor.tensor_type).reshape(b.shape[0], a.shape[1]) + adapter.scale * (b @ a)
            writer.add_tensor(tensor.name, quantize(whole.astype("float32"), wanted), raw_dtype=wanted)
        else:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    _finish(writer)


def direct_scores(base: Path, directory: Path, lines: Sequence[tuple[str, str | None]]) -> list[float]:
    """P(abnormal) of masked texts with their levels in direct mode, by PyTorch (in bfloat16 where that is fast), not calibrated."""
    import torch
    from peft import PeftModel

    from ra_training.examples import Encoder
    from ra_training.sft import abnormal_scores

    loaded = load_base(base)
    model = PeftModel.from_pretrained(loaded.model, str(directory)).eval()
    return abnormal_scores(model, Encoder(loaded.tokenizer), lines, bf16=fast_bf16(torch.device("cpu")))


def calibration(scores: Sequence[float], abnormal: Sequence[bool], counts: Sequence[int] | None = None) -> tuple[float, float]:
    """Slope and shift of the log odds that fit the labels best (Platt 1999). (1, 0) if all labels are the same. ``counts``: how often each counts."""
    from sklearn.linear_model import LogisticRegression

    if len(set(abnormal)) < 2:
        return 1.0, 0.0
    fitted = LogisticRegression(C=100.0).fit([[_log_odds(score)] for score in scores], abnormal, counts)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def calibrated(score: float, slope: float, shift: float) -> float:
    """A score, calibrated."""
    return 1 / (1 + math.exp(-(slope * _log_odds(score) + shift)))


def _log_odds(score: float) -> float:
    kept = min(max(score, 1e-7), 1 - 1e-7)
    return math.log(kept / (1 - kept))


def agreement(ours: Sequence[float], base: Path, exported: Path, lines: Sequence[tuple[str, str | None]], *, merged: bool) -> tuple[float, float]:
    """Share of masked texts (each with its level) that have the same direct verdict in PyTorch (its scores) and llama.cpp, and how far scores are apart."""
    from ra_sdk.reasoner.llama import LlamaReasoner

    with LlamaReasoner(exported if merged else base, adapter="none" if merged else exported, explain="never") as reasoner:
        texts, severities = [text for text, _ in lines], [severity for _, severity in lines]
        theirs = [verdict.score or 0.0 for verdict in reasoner.judge(texts, severities=severities)]
    same = sum((mine >= 0.5) == (other >= 0.5) for mine, other in zip(ours, theirs, strict=True))
    return same / max(len(lines), 1), max((abs(mine - other) for mine, other in zip(ours, theirs)), default=0.0)


def _describe(writer: GGUFWriter, config: Mapping[str, Any]) -> None:
    writer.add_license(LICENCE)
    writer.add_string("ra.prompt_version", str(config.get("prompt_version", PROMPT_VERSION)))
    if "calibration" in config:
        writer.add_string("ra.calibration", " ".join(f"{number:.4f}" for number in config["calibration"]))
    if "thresholds" in config:
        writer.add_string("ra.thresholds", " ".join(f"{number:.4f}" for number in config["thresholds"]))
    for key in ("base", "base_sha256", "stage"):
        if key in config:
            writer.add_string(f"ra.{key}", str(config[key]))
    for name, value in dict(config.get("corpus", {})).items():
        writer.add_string(f"ra.corpus.{name}.sha256", str(value))


def _copy_fields(reader: GGUFReader, writer: GGUFWriter, leave: set[str]) -> None:
    from gguf import GGUFValueType

    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture" or name in leave:
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=inner)


def _finish(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
