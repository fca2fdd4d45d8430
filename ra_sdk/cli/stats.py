"""``ra stats``: what the results of runs hold, by label, category and where reasons are from."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ra_sdk.cli import options
from ra_sdk.cli.messages import FINE, say
from ra_sdk.errors import BadOption, SourceError
from ra_sdk.text import json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Stats", "add", "counted"]

HELP = """Count what results hold: records and templates by label, abnormal templates by category and by where their reason is from.

\b
  ra detect app.log --to jsonl:results.jsonl; ra stats results.jsonl
  ra detect app.log --output jsonl | ra stats -
"""


@dataclass
class Stats:
    """``records`` and ``templates`` by label, abnormal templates by ``categories`` and ``reasons``, and how many lines are ``unreadable``."""

    records: Counter[str] = field(default_factory=Counter)
    templates: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, the most frequent first."""
        names = ("records", "templates", "categories", "reasons")
        return {**{name: dict(getattr(self, name).most_common()) for name in names}, "unreadable": self.unreadable}


def counted(lines: Iterable[bytes]) -> Stats:
    """The counts of JSON lines as ``ra detect`` writes them. A template counts once, with its last verdict."""
    stats, verdicts = Stats(), dict[str, dict[str, Any]]()
    for line in lines:
        if not line.strip():
            continue
        try:
            found = json.loads(line)
            template, label = str(found["template"]), str(found["label"])
        except (ValueError, KeyError, TypeError, RecursionError):
            stats.unreadable += 1
            continue
        stats.records[label] += 1
        verdicts[template] = found
    stats.templates.update(str(found["label"]) for found in verdicts.values())
    abnormal = [found for found in verdicts.values() if found["label"] == "abnormal"]
    stats.categories.update(str(found.get("category") or "none") for found in abnormal)
    stats.reasons.update(str(found.get("reason_source") or "none") for found in abnormal)
    return stats


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("stats", help=HELP)(stats)


def stats(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="JSON lines as `ra detect` writes them; - reads standard input.", show_default=False)],
    as_json: Annotated[bool, options.option("--json", help="Print JSON.")] = False,
) -> int:
    """Count what results hold."""
    found = counted(line for name in files for line in _lines(name))
    if not found.records:
        raise BadOption(f"{', '.join(files)} must hold results as `ra detect --output jsonl` writes them; none of {found.unreadable} lines is one")
    if found.unreadable:
        say(f"warning: {found.unreadable} lines are not results, and not counted")
    if as_json:
        print(json_text(found.to_dict()))
        return FINE
    for title, counts in found.to_dict().items():
        if isinstance(counts, dict) and counts:
            _show(title, counts)
    return FINE


def _lines(name: str) -> Iterable[bytes]:
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as file:
            yield from file
    except OSError as error:
        raise SourceError(f"{name!r} cannot be read: {error.strerror}") from error


def _show(title: str, counts: dict[str, int]) -> None:
    from ra_sdk.cli.display import console, show_list

    total = sum(counts.values())
    titles = {"categories": "abnormal templates by category", "reasons": "abnormal templates by reason"}
    rows: Sequence[tuple[str, int, str]] = [(name, count, f"{count / total:.1%}") for name, count in counts.items()]
    show_list((titles.get(title, title), "count", "share"), rows, console())
    print()
