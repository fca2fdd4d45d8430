"""What grows with a log: time and memory over ten million lines, and over a hundred thousand templates. Without a model."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import synthetic

MILLION = 1_000_000
RUN = """
import pathlib, re, sys, time
from ra_sdk import Detector
with Detector(model="echo", store=":memory:") as detector:
    list(detector.detect(["the first line imports what is needed"]))
    start, count = time.perf_counter(), 0
    for detection in detector.detect(sys.argv[1]):
        count += 1
    seconds = time.perf_counter() - start
status = pathlib.Path("/proc/self/status")
print(count, seconds, int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) / 1024 if status.exists() else 0)
"""


def measured(path: Path, runs: int) -> tuple[float, float]:
    """Seconds and peak memory (MB) of a process that takes a file to its end, the best of some runs."""
    found = []
    for _ in range(runs):
        out = subprocess.run([sys.executable, "-c", RUN, str(path)], check=True, capture_output=True, text=True).stdout.split()
        found.append((float(out[1]), float(out[2])))
    return min(found)


def long(place: Path, quick: bool) -> dict[str, float]:
    """Ten million lines, nearly all of them distinct, and the first million of them."""
    count = MILLION // 10 if quick else MILLION
    one, ten = place / "one.log", synthetic.write(place / "ten.log", 10 * count)
    with ten.open("rb") as file, one.open("wb") as out:
        out.writelines(islice(file, count))
    (short, small), (whole, large) = measured(one, 3), measured(ten, 2)
    return {
        "linear_10m_ratio": whole / 10 / short,
        "linear_10m_lines_per_s": 10 * count / whole,
        "linear_1m_rss_mb": small,
        "linear_10m_rss_mb": large,
    }


def many(quick: bool) -> dict[str, float]:
    """A hundred thousand texts that are templates of their own: time of the last tenth against that of the second."""
    from ra_sdk import Detector

    count = 10_000 if quick else 100_000
    random_ = random.Random(1)
    syllables = [a + b for a in "bcdfghjklmnprstvw" for b in "aeiou"]
    words = ["".join(random_.choices(syllables, k=3)) for _ in range(3_000)]
    texts = [" ".join(random_.choices(words, k=random_.randrange(4, 12))) for _ in range(count)]
    tenth, times = count // 10, list[float]()
    with Detector(model="echo", store=":memory:") as detector:
        for at in range(0, count, tenth):
            start = time.perf_counter()
            for _ in detector.blocks(texts[at : at + tenth]):
                pass
            times.append(time.perf_counter() - start)
        templates = len(detector.miner)
    return {"many_templates": templates, "many_templates_lines_per_s": count / sum(times), "many_templates_last_ratio": times[-1] / times[1]}


def growth(place: Path, quick: bool) -> dict[str, float]:
    """All of it."""
    return long(place, quick) | many(quick)
