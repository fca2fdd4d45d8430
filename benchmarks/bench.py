"""How fast it is here, as ratios against peers in one run: `make bench`, or python -m benchmarks [--data ../shared/data] [--quick].

Warm: the whole `detect()` over a file whose templates are known, against Drain3 doing its mining alone on the same lines. Drain3 gets
the same masks (as Python regular expressions, the form it takes), and in a second column five usual masks on ready-made bodies.
Cold: `LlamaReasoner` against a plain llama-cpp-python loop with the same GGUF, prompt and token budget.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import synthetic

HERE = Path(__file__).parent
FIVE_MASKS = [  # those of Drain3's own example configuration, in our words
    (r"\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b", "MAC"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}\b", "IP"),
    (r"\b0x[0-9a-fA-F]+\b", "HEX"),
    (r"\b[0-9a-f]{8,}\b", "ID"),
    (r"(?<![A-Za-z0-9])-?\d+(?![A-Za-z0-9])", "NUM"),
]


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes; the better of two."""
    best = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def peer(bodies: list[str], masks: list[object]) -> float:
    """Seconds that Drain3 needs for ready-made bodies."""
    from drain3 import TemplateMiner
    from drain3.template_miner_config import TemplateMinerConfig

    config = TemplateMinerConfig()
    config.masking_instructions = masks
    config.profiling_enabled = False
    miner = TemplateMiner(config=config)
    start = time.perf_counter()
    for body in bodies:
        miner.add_log_message(body)
    return time.perf_counter() - start


def same_masks() -> list[object]:
    """The product's masks as Drain3 takes them."""
    from drain3.masking import AbstractMaskingInstruction

    from ra_sdk.templates.masks import COARSE, fine

    class Ours(AbstractMaskingInstruction):
        def __init__(self) -> None:
            super().__init__("ours")
            python = [(p.replace("(?-u:\\b)", "\\b"), r.replace("${1}", "\\1")) for _, p, r, *_ in COARSE]
            self.patterns = [(re.compile(pattern, re.ASCII), replacement) for pattern, replacement in python]

        def mask(self, content: str, mask_prefix: str, mask_suffix: str) -> str:
            for pattern, replacement in self.patterns:
                content = pattern.sub(replacement, content)
            return fine(content)

    return [Ours()]


def five_masks() -> list[object]:
    """The masks of a usual Drain3 configuration."""
    from drain3.masking import MaskingInstruction

    return [MaskingInstruction(pattern, name) for pattern, name in FIVE_MASKS]


def warm(path: Path, with_loglead: Path | None) -> dict[str, float]:
    """Lines a second of `detect()`, of file to JSONL, of reading alone, of Drain3, and of LogLead if an interpreter that has it is given."""
    from ra_sdk import Detector, VerdictStore
    from ra_sdk.formats.lines import split

    with VerdictStore(":memory:") as store, Detector(model="echo", store=store) as detector:
        bodies = [body for block in detector.blocks(path) for body in block.block.bodies.to_list()]
        count = len(bodies)
        ours = timed(lambda: sum(detection.abnormal for detection in detector.detect(path)))
        with tempfile.TemporaryDirectory() as place:
            sink = timed(lambda: detector.write(path, f"jsonl:{place}/out.jsonl"))
    floor = timed(lambda: split(path.read_bytes()))
    part = bodies[: max(20_000, count // 5)]  # the peer is slow: a part of the lines, scaled
    same, five = (peer(part, masks) * count / len(part) for masks in (same_masks(), five_masks()))
    peers = {} if with_loglead is None else loglead(with_loglead, bodies, path.parent)
    return {
        **{f"loglead_{parser}_lines_per_s": count / peers[parser] for parser in ("drain", "tip") if peers},
        "lines": count,
        "lines_per_s": count / ours,
        "jsonl_lines_per_s": count / sink,
        "floor_lines_per_s": count / floor,
        "drain3_lines_per_s": count / same,
        "drain3_five_masks_lines_per_s": count / five,
        "ratio_drain3": same / ours,
        "ratio_drain3_five_masks": five / ours,
        "share_of_floor": floor / ours,
    }


def loglead(python: Path, bodies: list[str], place: Path) -> dict[str, float]:
    """Seconds that LogLead takes to mask and mine the bodies, by an interpreter that has it."""
    import polars as pl

    pl.DataFrame({"m_message": bodies}).write_parquet(place / "bodies.parquet")
    out = subprocess.run([python, HERE / "loglead_peer.py", place / "bodies.parquet"], check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def mixed(paths: list[Path], place: Path) -> Path:
    """Lines of several logs in turn, as a collector interleaves them."""
    parts = [path.read_bytes().splitlines(keepends=True)[:100_000] for path in paths]
    (place / "mixed.log").write_bytes(b"".join(line for lines in zip(*parts) for line in lines))
    return place / "mixed.log"


def files(data: Path | None, place: Path, quick: bool) -> Iterable[tuple[str, Path]]:
    """The inputs: made-up ones always, research data where they lie."""
    yield "synthetic", synthetic.write(place / "synthetic.log", 50_000 if quick else 200_000)
    if data is None:
        return
    import polars as pl

    hdfs = pl.read_parquet(data / "hdfs" / "hdfs_222k.parquet")
    columns = [pl.col(name) for name in ("date", "time", "id", "level", "component", "m_message")]
    head = pl.concat_str([*columns[:5]], separator=" ")
    text = hdfs.select(head + pl.lit(": ") + columns[5]).to_series()
    (place / "hdfs.log").write_text("\n".join(text.to_list()) + "\n", encoding="utf-8")
    yield "hdfs", place / "hdfs.log"
    (place / "bgl.log").write_bytes(lzma.decompress((data / "bgl" / "BGL_errors_300k.log.xz").read_bytes()))
    yield "bgl", place / "bgl.log"
    yield "mixed", mixed([place / f"{name}.log" for name in ("synthetic", "hdfs", "bgl")], place)


def child(code: str) -> tuple[float, str]:
    """Median seconds of a fresh process over five runs, and its output."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[2], out.strip()


def small(results: dict[str, float]) -> None:
    """Start-up times, less the interpreter's own."""
    bare, _ = child("pass")
    results["import_ms"] = (child("import ra_sdk")[0] - bare) * 1e3
    results["help_ms"] = child("import sys; sys.argv=['ra','--help']; from ra_sdk.cli.app import main\ntry: main()\nexcept SystemExit: pass")[0] * 1e3


COLUMNS = {  # heading: what stands below, and how it is written
    "lines": ("lines", "{:,.0f}"),
    "detect() lines/s": ("lines_per_s", "{:,.0f}"),
    "to JSONL": ("jsonl_lines_per_s", "{:,.0f}"),
    "reading alone": ("floor_lines_per_s", "{:,.0f}"),
    "share of that": ("share_of_floor", "{:.2f}"),
    "Drain3, same masks": ("drain3_lines_per_s", "{:,.0f}"),
    "ratio": ("ratio_drain3", "**{:.1f}x**"),
    "Drain3, five masks on bodies": ("drain3_five_masks_lines_per_s", "{:,.0f}"),
    "ratio ": ("ratio_drain3_five_masks", "**{:.1f}x**"),
    "LogLead, Drain": ("loglead_drain_lines_per_s", "{:,.0f}"),
    "LogLead, Tipping": ("loglead_tip_lines_per_s", "{:,.0f}"),
}


def table(rows: dict[str, dict[str, float]]) -> str:
    """The warm figures as Markdown."""
    shown = {head: column for head, column in COLUMNS.items() if all(column[0] in row for row in rows.values())}
    head = f"| input | {' | '.join(map(str.strip, shown))} |\n|---|{'---:|' * len(shown)}"
    lines = [f"| {name} | {' | '.join(form.format(row[key]) for key, form in shown.values())} |" for name, row in rows.items()]
    return "\n".join([head, *lines])


def main() -> None:
    """Measure, print, and write ``results.json`` beside this file."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("RA_SHARED", HERE.parent.parent / "shared")) / "data"
    arguments.add_argument("--data", type=Path, default=shared if shared.is_dir() else None, help="folder with the research data")
    arguments.add_argument("--quick", action="store_true", help="smaller inputs")
    arguments.add_argument("--no-warm", action="store_true", help="leave the warm part out")
    arguments.add_argument("--no-model", action="store_true", help="leave the cold part out")
    arguments.add_argument("--no-growth", action="store_true", help="leave out the ten million lines")
    arguments.add_argument("--loglead", type=Path, metavar="PYTHON", help="interpreter of an environment with LogLead, to compare with (make bench makes one)")
    options = arguments.parse_args()
    results: dict[str, float] = {}
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        for name, path in () if options.no_warm else files(options.data, Path(place), options.quick):
            rows[name] = warm(path, options.loglead)
            print(f"warm: {name} done", file=sys.stderr)
        if not options.no_growth:
            from growth import growth

            results |= growth(Path(place), options.quick)
            print("growth done", file=sys.stderr)
    small(results)
    versions = ", ".join(f"{name} {version(name)}" for name in ("polars", "drain3-improved"))
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}; {versions}\n\n{table(rows)}")
    for name, row in rows.items():
        results |= {f"warm_ratio_drain3_{name}": row["ratio_drain3"], f"warm_lines_per_s_{name}": row["lines_per_s"]}
        results |= {f"warm_ratio_drain3_five_masks_{name}": row["ratio_drain3_five_masks"], f"warm_share_of_floor_{name}": row["share_of_floor"]}
        results |= {f"floor_lines_per_s_{name}": row["floor_lines_per_s"], f"jsonl_lines_per_s_{name}": row["jsonl_lines_per_s"]}
    if not options.no_model:
        from cold import cold

        results |= cold(options.data, options.quick)
    print("\n| figure | value |\n|---|---:|\n" + "\n".join(f"| {name} | {value:,.2f} |" for name, value in results.items() if "warm" not in name))
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
