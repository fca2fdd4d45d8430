"""Puts the output of the README's first command into the README. Run from anywhere, with the `model` extra installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- output -->\n```\n)(.*?)(```\n<!-- /output -->)", re.DOTALL)


def first_output(store: str = ":memory:") -> str:
    """What ``ra detect examples/shop/*.log`` prints where nothing is stored yet, 100 columns wide."""
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "examples" / "shop").glob("*.log"))
    command = [sys.executable, "-m", "ra_sdk", "detect", *sources, "--store", store]
    environment = {**os.environ, "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def printed(text: str) -> str:
    """The output that stands in the README."""
    found = BLOCK.search(text)
    return found[2] if found else ""


if __name__ == "__main__":
    output = first_output()
    README.write_text(BLOCK.sub(lambda match: match[1] + output + match[3], README.read_text(encoding="utf-8")), encoding="utf-8")
