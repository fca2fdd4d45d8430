"""What is learnt beside labelled messages: statements mined from source code, and choices among known entries."""

from __future__ import annotations

import json
import random
from pathlib import Path

from ra_training.examples import Choice, Statement

__all__ = ["known_choices", "mined_statements"]

OF_A_SYSTEM = 600  # statements of one system, at most: a few large projects would drown the others


def mined_statements(path: Path, seed: int = 0) -> list[Statement]:
    """The statements that ``ra-train mine`` left, at most so many of each system and level, distinct."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    random.Random(seed).shuffle(rows)
    taken: dict[tuple[str, str], int] = {}
    found: dict[str, Statement] = {}
    for row in rows:
        kind = row["system"], row["level"]
        if row["text"] not in found and taken.get(kind, 0) < OF_A_SYSTEM // 6:
            taken[kind] = taken.get(kind, 0) + 1
            found[row["text"]] = Statement(row["text"], row["level"].lower())
    return list(found.values())


def known_choices(path: Path, split: str) -> list[Choice]:
    """The labelled pairs of a line and a known entry. An entry that is gone is left out."""
    from ra_sdk.knowledge.base import own

    entries = {entry.id: entry.meaning for entry in own()}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        Choice(row["text"], entries[candidate], candidate in row["fits"])
        for row in rows
        if row["split"] == split
        for candidate in row["candidates"]
        if candidate in entries
    ]
