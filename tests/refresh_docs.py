"""Writes what is generated in the documentation again: the command line reference, the list of formats, and the output of the first command."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from ra_sdk.cli.app import app
from ra_sdk.formats import builtin_formats, listed

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
STARTED = DOCS / "getting-started.md"
BLOCK = re.compile(r"(<!-- output -->\n```\n)(.*?)(```\n<!-- /output -->)", re.DOTALL)


def first_output(store: str = ":memory:") -> str:
    """What ``ra detect examples/shop/*.log`` prints where nothing is stored yet, 100 columns wide."""
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "examples" / "shop").glob("*.log"))
    command = [sys.executable, "-m", "ra_sdk", "detect", *sources, "--store", store]
    environment = {**os.environ, "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def printed(text: str) -> str:
    """The output that stands in the documentation."""
    found = BLOCK.search(text)
    return found[2] if found else ""


def command_line() -> str:
    """The reference of all commands, as their --help says it."""
    parts = ["# Command line reference\n\nWhat `--help` says of each command. Generated; do not edit.\n"]
    for path, command in _commands(typer.main.get_command(app), "ra"):
        with typer.Context(command, info_name=path, max_content_width=100, terminal_width=100) as context:
            parts.append(f"## {path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


def formats() -> str:
    """The table of all formats."""
    rows = [(name, about, example) for name, _, about, example in listed(builtin_formats())]
    lines = [f"| `{name}` | {_cell(about)} | <code>{_code(example)}</code> |" for name, about, example in rows]
    return "\n".join(["# List of formats\n\nWhat `ra formats` lists. Generated; do not edit.\n", "| format | about | example |", "|---|---|---|", *lines, ""])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    """Text of a log, which may look like HTML or Markdown, as it is."""
    shown = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"[|\\`*_\[\]~#]", lambda match: f"&#{ord(match[0])};", shown)


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from _commands(each, f"{path} {name}")


if __name__ == "__main__":
    (DOCS / "cli.md").write_text(command_line(), encoding="utf-8")
    (DOCS / "formats-list.md").write_text(formats(), encoding="utf-8")
    if "--output" in sys.argv:
        output = first_output()
        STARTED.write_text(BLOCK.sub(lambda match: match[1] + output + match[3], STARTED.read_text(encoding="utf-8")), encoding="utf-8")
