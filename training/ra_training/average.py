"""Several runs from the same start as one adapter: the mean of what they add to the weights.

Runs that differ in their seed err in different ways, and the mean of their weights errs less, for the price of one at run time (Wortsman et al.,
"Model soups", 2022). What a LoRA adds is the product of its two matrices, so the products are averaged, and cut to the rank again by their singular
values (Eckart and Young, 1936).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ra_training.record import Run

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["average", "mean_product"]

SAME = ("base_sha256", "prompt_version")
WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"  # peft's names


def average(runs: Sequence[Path], out: Path) -> float:
    """Write a run's directory with the mean of the runs' adapters; how much of the mean the rank keeps, as a share of its squared norm.

    Raises SystemExit if the runs do not fit together, or ``out`` is there already.
    """
    from safetensors.numpy import load_file, save_file

    found, made = [_run(path) for path in runs], Run(out)
    if made.adapter.exists():
        raise SystemExit(f"run {str(out)!r} is there already; give another --out")
    weights = [load_file(run.adapter / WEIGHTS) for run in found]
    settings = [json.loads((run.adapter / SETTINGS).read_text(encoding="utf-8")) for run in found]
    _check(found, weights)
    scales = [setting["lora_alpha"] / setting["r"] for setting in settings]
    mean: dict[str, Array] = {}
    kept = whole = 0.0
    for key in (key for key in weights[0] if ".lora_A." in key):
        other = key.replace(".lora_A.", ".lora_B.")
        a, b, values = mean_product([(tensors[key], tensors[other] * scale) for tensors, scale in zip(weights, scales, strict=True)])
        mean[key], mean[other] = a, b / scales[0]
        kept, whole = kept + float((values[: len(a)] ** 2).sum()), whole + float((values**2).sum())
    made.adapter.mkdir(parents=True)
    save_file(mean, made.adapter / WEIGHTS, metadata={"format": "pt"})
    (made.adapter / SETTINGS).write_text(json.dumps(settings[0], indent=2) + "\n", encoding="utf-8")
    first = found[0].config()
    config = {"stage": "average", "runs": [run.config() for run in found], **{key: first[key] for key in (*SAME, "base", "corpus") if key in first}}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return kept / whole if whole else 1.0


def _run(path: Path) -> Run:
    """A run that has an adapter. Raises SystemExit."""
    if not (Run(path).adapter / WEIGHTS).is_file():
        raise SystemExit(f"run {str(path)!r} holds no adapter; give the directory that ra-train sft wrote")
    return Run(path)


def _check(runs: Sequence[Run], weights: Sequence[Mapping[str, Array]]) -> None:
    """Raise SystemExit if the runs are of different bases, prompts, layers or ranks."""
    shapes = [{key: tensor.shape for key, tensor in tensors.items()} for tensors in weights]
    for run, shape in zip(runs, shapes, strict=True):
        odd = [key for key in SAME if run.config().get(key) != runs[0].config().get(key)] + ["layers or rank"] * (shape != shapes[0])
        if odd:
            raise SystemExit(f"run {str(run.path)!r} differs from {str(runs[0].path)!r} in {', '.join(odd)}; average runs of the same start")


def mean_product(pairs: Sequence[tuple[Array, Array]]) -> tuple[Array, Array, Array]:
    """A and B whose product is nearest to the mean of the pairs' B @ A, at the rank that each pair has; and all singular values of that mean.

    Pairs: A (rank x in) and B (out x rank). The mean is never built whole: it is as small as the pairs' ranks together.
    """
    import numpy as np

    rank = len(pairs[0][0])
    a = np.concatenate([a for a, _ in pairs]).astype(np.float64)
    b = np.concatenate([b for _, b in pairs], axis=1).astype(np.float64) / len(pairs)
    (left, small_b), (right, small_a) = np.linalg.qr(b), np.linalg.qr(a.T)
    u, values, v = np.linalg.svd(small_b @ small_a.T)
    root = np.sqrt(values[:rank])
    new_a, new_b = root[:, None] * (v[:rank] @ right.T), (left @ u[:, :rank]) * root
    return new_a.astype(np.float32), new_b.astype(np.float32), values
