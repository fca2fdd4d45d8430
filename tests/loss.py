"""The loss harness: a process writes numbered lines, its log is rotated under it, ``ra detect --follow`` is killed and started again.

``python tests/loss.py rename copytruncate symlink`` is the long run of ``make soak``; ``test_loss`` is a short one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

KEPT = 200  # rotated files: all, as a reader that is down for longer than they last cannot but lose lines

WRITER = """
import os, sys, time
path, lines, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
log, began = open(path, "ab", buffering=0), time.monotonic()
for number in range(lines):
    if number % 20 == 0:
        time.sleep(max(0.0, began + seconds * number / lines - time.monotonic()))
        try:
            if os.stat(path).st_ino != os.fstat(log.fileno()).st_ino:
                log = open(path, "ab", buffering=0)  # not before: until now these are late lines of the renamed file
        except FileNotFoundError:
            pass
    log.write(b"job %d finished\\n" % number)
"""


@dataclass
class Found:
    """What a run came to. ``renamed_ids``: lines that were repeated under another id."""

    mode: str
    lines: int
    rotations: int = 0
    kills: int = 0
    records: int = 0
    missing: int = 0
    ranges: list[tuple[int, int]] = field(default_factory=list)
    repeated: int = 0
    renamed_ids: int = 0
    cut: int = 0  # bytes that were written between copying and truncating, as far as could be seen
    said: list[str] = field(default_factory=list)


class Trial:
    """One folder, one writer, one reader that is killed."""

    def __init__(self, folder: Path, mode: str, seed: int) -> None:
        self.folder, self.mode, self.random = folder, mode, random.Random(seed)
        self.log, self.turn, self.cut = folder / "app.log", 0, 0
        self.errors = folder / "errors"
        if mode == "symlink":
            (folder / "app-0.log").touch()
            self.log.symlink_to("app-0.log")
        else:
            self.log.touch()

    def run(self, lines: int, rotations: int, kills: int, seconds: float) -> Found:
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(self.log), str(lines), str(seconds)])
        reader, found = self.start(), Found(self.mode, lines)
        while not self.reads(reader):  # what was rotated away before the first run is not its concern
            time.sleep(0.01)
        began, seconds = time.monotonic(), max(1.0, seconds - 2)
        deaths = sorted(self.random.uniform(0, seconds) for _ in range(kills))
        turns = sorted(self.random.uniform(0, seconds) for _ in range(rotations))
        while deaths or turns or writer.poll() is None:
            now = time.monotonic() - began
            if turns and turns[0] <= now:
                turns.pop(0)
                self.rotate()
                found.rotations += 1
            if deaths and deaths[0] <= now and self.reads(reader):
                deaths.pop(0)
                found.kills += 1
                self.end(reader, signal.SIGKILL if found.kills % 4 else signal.SIGTERM)
                time.sleep(self.random.uniform(0, 0.2))
                reader = self.start()
            time.sleep(0.002)
        still = time.monotonic()
        while time.monotonic() - still < 8 and self.numbers() < lines:  # until all is there, or nothing more comes
            size = self.size()
            time.sleep(0.2)
            still = still if self.size() == size else time.monotonic()
        self.end(reader, signal.SIGTERM)
        return self.count(found)

    def start(self) -> subprocess.Popen[bytes]:
        self.offset = self.size()
        command = [sys.executable, "-m", "ra_sdk", "detect", str(self.log), "--follow", "--output", "none", "--store", ":memory:"]
        command += ["--to", f"jsonl:{self.folder / 'out'}", "--checkpoint", str(self.folder / "checkpoint")]
        with self.errors.open("ab") as errors:
            return subprocess.Popen(command, env={**os.environ, "RA_MODEL": "echo"}, stderr=errors, start_new_session=True)

    def reads(self, reader: subprocess.Popen[bytes]) -> bool:
        """Whether the reader has written anything since it was started, or is already dead."""
        return self.size() > self.offset or reader.poll() is not None

    def size(self) -> int:
        out = self.folder / "out"
        return out.stat().st_size if out.exists() else 0

    def end(self, reader: subprocess.Popen[bytes], how: signal.Signals) -> None:
        if reader.poll() is None:
            reader.send_signal(how)
        reader.wait()

    def numbers(self) -> int:
        """How many of the lines are there."""
        return len({line.partition(b'"body":"')[2].partition(b'"')[0] for line in (self.folder / "out").read_bytes().splitlines()})

    def rotate(self) -> None:
        self.turn += 1
        if self.mode == "symlink":
            fresh = self.folder / f"app-{self.turn}.log"
            fresh.touch()
            link = self.folder / "link"
            link.symlink_to(fresh.name)
            link.replace(self.log)
            return
        for number in range(min(self.turn, KEPT) - 1, 0, -1):
            self.log.with_name(f"app.log.{number}").rename(self.log.with_name(f"app.log.{number + 1}"))
        first = self.log.with_name("app.log.1")
        if self.mode == "copytruncate":
            shutil.copyfile(self.log, first)
            self.cut += self.log.stat().st_size - first.stat().st_size
            os.truncate(self.log, 0)
        else:
            self.log.rename(first)
            time.sleep(self.random.choice([0, 0.005]))  # a moment in which nothing has the name
            self.log.touch()

    def count(self, found: Found) -> Found:
        ids = defaultdict[int, set[str]](set)
        for line in (self.folder / "out").read_bytes().splitlines():
            row = json.loads(line)
            number = int(row["body"].split()[1])
            found.records += 1
            found.repeated += number in ids
            ids[number].add(row["id"])
        missing = [number for number in range(found.lines) if number not in ids]
        found.missing, found.cut = len(missing), self.cut
        firsts = [number for number in missing if number - 1 in ids or not number]
        lasts = [number for number in missing if number + 1 in ids or number + 1 == found.lines]
        found.ranges = list(zip(firsts, lasts, strict=True))
        found.renamed_ids = sum(len(each) > 1 for each in ids.values())
        found.said = sorted({line for line in self.errors.read_text().splitlines() if line})
        return found


def trial(mode: str, lines: int, rotations: int, kills: int, seconds: float, *, seed: int = 1) -> Found:
    """One run in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return Trial(Path(folder), mode, seed).run(lines, rotations, kills, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modes", nargs="+", choices=["rename", "copytruncate", "symlink"])
    for name, value in (("lines", 50_000), ("rotations", 100), ("kills", 40), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--seconds", type=float, default=90.0)
    options = parser.parse_args()
    lost = 0
    for mode in options.modes:
        found = trial(mode, options.lines, options.rotations, options.kills, options.seconds, seed=options.seed)
        print(json.dumps(asdict(found), indent=1))
        lost += (found.missing and mode != "copytruncate") or found.renamed_ids
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
