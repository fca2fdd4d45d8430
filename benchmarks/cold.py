"""The cold path: templates a second of `LlamaReasoner` against a plain llama-cpp-python loop.

The loop gets the same file and adapter, the same prompts as tokens, the same budget and as many threads, and keeps the prompts' common
head by itself, as that library does. Once it has to give what a verdict has, P(abnormal): for that the library wants ``logits_all``
and ``logprobs``. And once its text is enough, which is less than we give.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import synthetic

FIRST = """
import pathlib, re, ra_sdk
print(ra_sdk.Detector(store=":memory:").judge("disk failed").label)
status = pathlib.Path("/proc/self/status")  # getrusage would count what the parent held before the start
print(int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) / 1024 if status.exists() else 0)
"""


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


def plain(texts: list[str], mode: Any, budget: int, *, scored: bool) -> float:
    """Seconds of the plain loop over the high-level API."""
    from llama_cpp import Llama

    from ra_sdk import model, prompt

    files = model.resolve(None)
    llama = Llama(str(files.ready()), lora_path=str(files.adapter), n_ctx=2048, n_threads=os.cpu_count(), logits_all=scored, verbose=False)
    layout = prompt.prompt(mode)
    start = time.perf_counter()
    for text in texts:
        tokens = llama.tokenize(layout.head.encode(), add_bos=False, special=True)
        tokens += llama.tokenize(text.encode(), add_bos=False, special=False) + llama.tokenize(layout.tail.encode(), add_bos=False, special=True)
        llama.create_completion(tokens, max_tokens=budget, temperature=0.0, stop=["</answer>"], logprobs=5 if scored else None)
    return time.perf_counter() - start


def cold(data: Path | None, quick: bool) -> dict[str, float]:
    """Both modes, ours and the plain loop in turn."""
    from ra_sdk import LlamaReasoner

    results: dict[str, float] = {}
    for mode, count in (("direct", 48 if quick else 240), ("think", 16 if quick else 96)):
        texts = messages(data, count)
        with LlamaReasoner(explain="never") as reasoner:
            list(reasoner.judge(texts[:4], mode))
            start = time.perf_counter()
            verdicts = list(reasoner.judge(texts, mode))
            ours = (time.perf_counter() - start) / len(texts)
            budget = 2 if mode == "direct" else reasoner.think_tokens + 8
        assert len(verdicts) == len(texts)
        part = texts[:: 2 if quick else 4]  # the loop is slow: every so many-th, of all lengths
        scored, text = (plain(part, mode, budget, scored=scored) / len(part) for scored in (True, False))
        results |= {f"cold_templates_per_s_{mode}": 1 / ours, f"cold_ratio_stock_{mode}": scored / ours, f"cold_ratio_stock_text_only_{mode}": text / ours}
        print(f"cold: {mode}: {1 / ours:.1f} templates/s, plain loop {1 / scored:.1f} with scores, {1 / text:.1f} text only", file=sys.stderr)
    return results | first_verdict()


def first_verdict() -> dict[str, float]:
    """Seconds from the start of a process to its first verdict, the better of two, and its peak memory in MB."""
    found = []
    for _ in range(2):
        start = time.perf_counter()
        out = subprocess.run([sys.executable, "-c", FIRST], check=True, capture_output=True, text=True).stdout.split()
        found.append((time.perf_counter() - start, float(out[1])))
    seconds, megabytes = min(found)
    return {"first_verdict_s": seconds, "rss_mb": megabytes}
