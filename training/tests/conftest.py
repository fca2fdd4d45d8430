"""A miniature of everything: a random Llama of two layers as GGUF, and a corpus written here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ġ r", "Ġ i", "Ġ h", "Ġ n", "Ġ s", "Ġs o", "Ġs y", "Ġs e", "Ġn o", "Ġ y", "i n", "o n", "e r"]  # so that the answers' first tokens differ


def _byte_letters() -> list[str]:
    """The letters that stand for bytes in GPT-2's vocabulary (Radford et al. 2019, encoder.py)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + at) for at, _ in enumerate(others)]


def write_tiny_gguf(path: Path, seed: int = 0) -> None:
    """A random Llama: 2 layers, width 64, 4 heads, 2 of keys and values, byte-level vocabulary."""
    import numpy as np
    from gguf import GGUFWriter

    tokens = [*SPECIAL, *_byte_letters(), *(merge.replace(" ", "") for merge in MERGES)]
    width, wide, heads, kv, layers = 64, 128, 4, 2, 2
    rng = np.random.default_rng(seed)
    writer = GGUFWriter(path, "llama")
    writer.add_name("Tiny")
    writer.add_block_count(layers)
    writer.add_context_length(1024)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(wide)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_rope_dimension_count(width // heads)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)

    def tensor(name: str, out: int, into: int) -> None:
        writer.add_tensor(name, (rng.standard_normal((out, into)) * 0.15).astype(np.float32))

    tensor("token_embd.weight", len(tokens), width)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    side = width // heads * kv
    shapes = {"attn_q": (width, width), "attn_k": (side, width), "attn_v": (side, width), "attn_output": (width, width)}
    shapes |= {"ffn_gate": (wide, width), "ffn_up": (wide, width), "ffn_down": (width, wide)}
    for layer in range(layers):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(width, np.float32))
        for name, (out, into) in shapes.items():
            tensor(f"blk.{layer}.{name}.weight", out, into)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random model's file."""
    path = tmp_path_factory.mktemp("base") / "tiny.gguf"
    write_tiny_gguf(path)
    return path


WELL = ["backup {} completed", "session {} opened in order", "{} finished with 0 errors", "link {} is up", "probe of {} passed"]
WRONG = ["backup {} aborted", "session {} denied", "{} finished with 14 errors", "link {} is down", "probe of {} failed"]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty rows in the corpus's form: train, dev, and test rows that nothing may read."""
    root = tmp_path_factory.mktemp("shared")
    (root / "corpus").mkdir()
    rows = []
    for number, name in enumerate(["alpha", "bravo", "carol", "delta", "eagle", "fjord"]):
        split = ["train", "train", "train", "train", "dev", "test"][number]
        for wrong, patterns in ((False, WELL), (True, WRONG)):
            for at, pattern in enumerate(patterns):
                message = pattern.format(name)
                think = f'The line says "{message}", which tells the operator all. Nothing else is in it.'
                label, category = ("abnormal", "software") if wrong else ("normal", None)
                rows.append(
                    {"id": f"{name}-{wrong}-{at}", "system": name, "message": message, "label": label, "category": category, "think": think, "split": split}
                )
    (root / "corpus" / "general.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def shared() -> Path:
    """The research data, which is never part of the repository."""
    place = Path(os.environ.get("RA_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    if not (place / "corpus").is_dir():
        pytest.skip(f"research data not found at {place}; set RA_SHARED to run this test")
    return place
