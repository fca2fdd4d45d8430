"""The cold path: templates a second of `LlamaReasoner` against a plain llama-cpp-python loop."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import synthetic


def messages(data: Path | None, count: int) -> list[str]:
    """Masked messages to judge: of the corpus where it lies, else made-up ones."""
    from ra_sdk.masks import mask

    corpus = data.parent / "corpus" / "general.jsonl" if data else None
    if corpus and corpus.exists():
        rows = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
        texts = [row["message"] for row in rows if row["split"] == "dev"]
    else:
        texts = [line.split(": ", 1)[1] + f" [{'abcdefghij'[n % 10] * (n % 23)}]" for n, line in enumerate(synthetic.lines(count))]
    return list(dict.fromkeys(mask(texts)))[:count]


def stock(texts: list[str], mode: str, budget: int) -> tuple[float, int]:
    """Seconds of the plain loop over the high-level API, which keeps the common prefix by itself, and the tokens it wrote."""
    from llama_cpp import Llama

    from ra_sdk import model, prompt

    files = model.resolve(None)
    llama = Llama(str(files.path), lora_path=str(files.adapter) if files.adapter else None, n_ctx=2048, n_threads=2, verbose=False)
    layout = prompt.prompt(mode, () if files.adapter else prompt.SHOTS)
    written = 0
    start = time.perf_counter()
    for text in texts:
        tokens = llama.tokenize(layout.head.encode(), add_bos=False, special=True)
        tokens += llama.tokenize(text.encode(), add_bos=False, special=False) + llama.tokenize(layout.tail.encode(), add_bos=False, special=True)
        reply = llama.create_completion(tokens, max_tokens=budget, temperature=0.0, stop=["</answer>"])
        written += reply["usage"]["completion_tokens"]
    return time.perf_counter() - start, written


def cold(data: Path | None, quick: bool) -> dict[str, float]:
    """Both modes, ours and the plain loop in turn."""
    from ra_sdk import LlamaReasoner

    results: dict[str, float] = {}
    for mode, count in (("direct", 60 if quick else 200), ("think", 12 if quick else 48)):
        texts = messages(data, count)
        with LlamaReasoner(explain="never") as reasoner:
            list(reasoner.judge(texts[:4], mode))
            start = time.perf_counter()
            verdicts = list(reasoner.judge(texts, mode))
            ours = time.perf_counter() - start
            budget = 2 if mode == "direct" else reasoner.think_tokens + 8
            name = reasoner.name
        assert len(verdicts) == len(texts)
        plain, _ = stock(texts, mode, budget)
        results[f"cold_templates_per_s_{mode}"] = len(texts) / ours
        results[f"cold_ratio_stock_{mode}"] = plain / ours
        print(f"cold: {mode}, {name}: {len(texts) / ours:.1f} templates/s, plain loop {len(texts) / plain:.1f}", file=sys.stderr)
    results["first_verdict_s"] = first_verdict()
    return results


def first_verdict() -> float:
    """Seconds from the start of a process to its first verdict; the better of two."""
    code = "import ra_sdk; print(ra_sdk.Detector(store=':memory:').judge('disk failed').label)"
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
