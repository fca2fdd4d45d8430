"""The cold path: templates a second of `LlamaReasoner` against a plain llama-cpp-python loop.

The loop gets the same file and adapter, the same prompts as tokens, the same budget and as many threads, and keeps the prompts' common
head by itself, as that library does. ``stock``: it has to give what a verdict has, P(abnormal): for that the library wants ``logits_all``
and ``logprobs``. ``text_only``: its text is enough, which is less than we give. ``same_type``: it even gets the file in the type that we
turn it into, so that what is left is batching. Beside it, what llama.cpp's batched decoding can do at best.
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

WRITTEN = Path(__file__).parent.parent / "training" / "ra_training" / "written.jsonl"
FIRST = """
import pathlib, re, ra_sdk
print(ra_sdk.Detector(store=":memory:").judge("disk failed").label)
status = pathlib.Path("/proc/self/status")  # getrusage would count what the parent held before the start
print(int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) / 1024 if status.exists() else 0)
"""


def messages(data: Path | None, count: int) -> list[str]:
    """Masked messages to judge: of the corpus where it lies, else made-up ones."""
    from ra_sdk.templates.masks import mask

    corpus = data.parent / "corpus" / "general.jsonl" if data else None
    if corpus and corpus.exists():
        rows = [json.loads(line) for file in (corpus, WRITTEN) for line in file.read_text(encoding="utf-8").splitlines()]
        texts = [row["message"] for row in rows if row["split"] == "dev"]
    else:
        texts = [line.split(": ", 1)[1] + f" [{'abcdefghij'[n % 10] * (n % 23)}]" for n, line in enumerate(synthetic.lines(count))]
    return list(dict.fromkeys(mask(texts)))[:count]


def plain(texts: list[str], mode: Any, budget: int, *, scored: bool, given: bool) -> float:
    """Seconds of the plain loop over the high-level API. ``given``: the GGUF as it comes, and not in the type that it is run in here."""
    from llama_cpp import Llama

    from ra_sdk.reasoner import files as model
    from ra_sdk.reasoner import prompt

    files = model.resolve(None)
    file = files.path if given else files.ready()
    llama = Llama(str(file), lora_path=str(files.adapter), n_ctx=2048, n_threads=os.cpu_count(), logits_all=scored, verbose=False)
    head, tail = prompt.head(mode), prompt.tail(mode)
    start = time.perf_counter()
    for text in texts:
        tokens = llama.tokenize(head.encode(), add_bos=False, special=True)
        tokens += llama.tokenize((prompt.level(None) + text).encode(), add_bos=False, special=False)
        tokens += llama.tokenize(tail.encode(), add_bos=False, special=True)
        llama.create_completion(tokens, max_tokens=budget, temperature=0.0, stop=["</answer>"], logprobs=5 if scored else None)
    return time.perf_counter() - start


def batched(texts: list[str], mode: Any, tokens: float) -> float:
    """Seconds a template that llama.cpp's batched decoding takes for as many sequences as ours, whatever they say.

    As llama-batched-bench measures it: the head shared, prompts of the mean length decoded together, then one token of every sequence again and
    again, up to ``tokens`` a template in all, which is what ours took. No sampling, no waiting for those that take longer.
    """
    from ra_sdk import LlamaReasoner
    from ra_sdk.reasoner import files as model
    from ra_sdk.reasoner import prompt
    from ra_sdk.reasoner.llama_cpp import BATCH, Llama

    files = model.resolve(None)
    with LlamaReasoner() as ours:
        width, threads, context = ours.width, ours.threads, ours.context
    llama = Llama(files.ready(), files.adapter, 0)
    try:
        llama.open(threads, context, width + 1)
        head = llama.tokens(prompt.head(mode), special=True)
        tail = llama.tokens(prompt.tail(mode), special=True)
        asked = [llama.tokens(prompt.level(None) + text, special=False) + tail for text in texts]
        length = round(sum(map(len, asked)) / len(asked))
        together = min(width, BATCH // length)
        token, rounds = asked[0][0], max(len(texts) // width, 1)
        llama.start(head)
        start = time.perf_counter()
        for _ in range(rounds):
            for sequence in range(1, width + 1):
                llama.copy(0, sequence)
            for first in range(1, width + 1, together):
                llama.decode([([token] * length, len(head), sequence, True) for sequence in range(first, min(first + together, width + 1))])
            for step in range(round(tokens - length)):
                llama.decode([([token], len(head) + length + step, sequence, True) for sequence in range(1, width + 1)])
        return (time.perf_counter() - start) / (rounds * width)
    finally:
        llama.close()


def agreement(data: Path | None, count: int) -> dict[str, float]:
    """How many direct verdicts are those of the plain path: one template after the other, a context of its own. Not timed."""
    import math

    import llama_cpp

    from ra_sdk import LlamaReasoner
    from ra_sdk.reasoner import files as model
    from ra_sdk.reasoner import prompt

    texts, files = messages(data, count), model.resolve(None)
    head, tail = prompt.head("direct"), prompt.tail("direct")
    with LlamaReasoner(explain="never") as reasoner:
        ours = [verdict.score or 0.0 for verdict in reasoner.judge(texts)]
        slope, shift = reasoner.calibration
    llama = llama_cpp.Llama(str(files.ready()), lora_path=str(files.adapter), n_ctx=1024, n_threads=os.cpu_count(), verbose=False)
    encode = lambda text, special: llama.tokenize(text.encode(), add_bos=False, special=special)  # noqa: E731
    no, yes = (encode(word, False)[0] for word in (prompt.NORMAL, prompt.ABNORMAL))
    same, apart = 0, 0.0
    for text, score in zip(texts, ours, strict=True):
        llama.reset()
        llama.eval(encode(head, True) + encode(prompt.level(None) + text, False) + encode(tail, True))
        logits = llama_cpp.llama_get_logits(llama._ctx.ctx)
        theirs = 1 / (1 + math.exp(-slope * (logits[yes] - logits[no]) - shift))
        same, apart = same + ((theirs >= 0.5) == (score >= 0.5)), max(apart, abs(theirs - score))
    return {"cold_agreement": same / len(texts), "cold_agreement_templates": len(texts), "cold_scores_apart": apart}


def cold(data: Path | None, quick: bool) -> dict[str, float]:
    """Both modes, ours and the plain loop in turn."""
    from ra_sdk import LlamaReasoner

    results: dict[str, float] = {}
    for mode, count in (("direct", 48 if quick else 240), ("think", 16 if quick else 96)):
        texts = messages(data, count)
        with LlamaReasoner(explain="never") as reasoner:
            list(reasoner.judge(texts[:4], mode))
            before, start = reasoner.decoded, time.perf_counter()
            verdicts = list(reasoner.judge(texts, mode))
            ours = (time.perf_counter() - start) / len(texts)
            tokens = (reasoner.decoded - before) / len(texts)
            budget = 2 if mode == "direct" else reasoner.think_tokens + 8
        assert len(verdicts) == len(texts)
        part = texts[:: 2 if quick else 4]  # the loop is slow: every so many-th, of all lengths
        loops = {
            "stock": plain(part, mode, budget, scored=True, given=True),
            "stock_text_only": plain(part, mode, budget, scored=False, given=True),
            "same_type": plain(part, mode, budget, scored=True, given=False),
            "same_type_text_only": plain(part, mode, budget, scored=False, given=False),
        }
        results[f"cold_templates_per_s_{mode}"] = 1 / ours
        results |= {f"cold_ratio_{name}_{mode}": seconds / len(part) / ours for name, seconds in loops.items()}
        results[f"cold_ratio_llama_batched_{mode}"] = batched(texts, mode, tokens) / ours
        said = ", ".join(f"{name} {len(part) / seconds:.1f}" for name, seconds in loops.items())
        print(f"cold: {mode}: {1 / ours:.1f} templates/s; loops: {said}", file=sys.stderr)
    results["cold_ratio_llama_batched"] = min(results["cold_ratio_llama_batched_direct"], results["cold_ratio_llama_batched_think"])
    return results | agreement(data, 100 if quick else 500) | first_verdict()


def first_verdict() -> dict[str, float]:
    """Seconds from the start of a process to its first verdict, the better of two, and its peak memory in MB."""
    found = []
    for _ in range(2):
        start = time.perf_counter()
        out = subprocess.run([sys.executable, "-c", FIRST], check=True, capture_output=True, text=True).stdout.split()
        found.append((time.perf_counter() - start, float(out[1])))
    seconds, megabytes = min(found)
    return {"first_verdict_s": seconds, "rss_mb": megabytes}
