"""Labelled messages: where they are read, and how they become what the product's model sees.

Training reads the splits ``train`` and ``dev``; ``test`` is read by `ra_training.evaluate` only.
"""

from __future__ import annotations

import csv
import hashlib
import json
import lzma
import os
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ra_sdk.records import CATEGORIES
from ra_sdk.templates.masks import mask

__all__ = ["RAW", "Row", "corpus_files", "digest", "masked", "place", "read_rows", "training_rows", "wildcards"]

_VARIABLE = re.compile(r"#[0-9]+#")  # how the templates of the paper write a variable; mining writes <*>

_BGL = re.compile(r" RAS \S+ (INFO|WARNING|ERROR|SEVERE|FATAL|FAILURE) +(\S.*)")  # level and message of a raw line
RAW = ("bgl-2k", "bgl-5000", "bgl-errors")  # logs from which templates take their level


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled message. ``category`` is None for normal ones; ``think`` (the expert's reasoning), ``level`` (a severity) and
    ``evidence`` (the words of the message on which the verdict hangs) may be missing."""

    id: str
    system: str
    message: str
    label: str
    category: str | None = None
    think: str | None = None
    split: str = ""
    level: str | None = None
    evidence: str | None = None

    @property
    def abnormal(self) -> bool:
        """Whether the label is abnormal."""
        return self.label == "abnormal"


def place(given: Path | None) -> Path:
    """The directory of the research data: the given one, or else that of ``RA_SHARED``. Raises SystemExit if it is not there."""
    found = given or (Path(os.environ["RA_SHARED"]) if "RA_SHARED" in os.environ else None)
    if found is None or not found.is_dir():
        raise SystemExit(f"corpus {str(found)!r} is no directory; give --corpus or set RA_SHARED")
    return found


def read_rows(path: Path, label: str = "label") -> list[Row]:
    """The rows of a labelled JSONL or CSV file. ``label`` names the column that holds normal or abnormal.

    The message is in ``message`` or ``template``. Raises SystemExit with the line if a row has no label or no message.
    """
    with path.open(encoding="utf-8", newline="") as file:
        records: Iterable[dict[str, Any]] = csv.DictReader(file) if path.suffix == ".csv" else (json.loads(line) for line in file if line.strip())
        return [_row(record, label, f"{path}, row {number}") for number, record in enumerate(records, 1)]


def _row(record: dict[str, Any], label: str, where: str) -> Row:
    message, said = record.get("message") or record.get("template"), record.get(label)
    if not message or said not in ("normal", "abnormal"):
        raise SystemExit(f"{where}: needs a message and, in {label!r}, normal or abnormal, not {said!r}")
    category = record.get("category") or None
    if category is not None and category not in CATEGORIES:
        raise SystemExit(f"{where}: category {category!r} is none of {', '.join(CATEGORIES)}")
    text, think = wildcards(message), record.get("think") or None
    return Row(
        id=str(record.get("id", where)),
        system=record.get("system") or "",
        message=text,
        label=str(said),
        category=category if said == "abnormal" else None,
        think=wildcards(think) if think else None,
        split=record.get("split") or "",
        level=record.get("level") or None,
        evidence=record.get("evidence") or None,
    )


def corpus_files(shared: Path) -> dict[str, Path]:
    """The files that training reads, by name. Missing ones are left out; ``written`` and ``hard`` are part of this package."""
    files = {
        "general": shared / "corpus/general.jsonl",
        "templates": shared / "corpus/templates.jsonl",
        "written": Path(__file__).with_name("written.jsonl"),
        "hard": Path(__file__).with_name("hard.jsonl"),
        "panel": shared / "data/templates.csv",
        "bgl-2k": shared / "data/bgl/BGL_2k.log",
        "bgl-5000": shared / "data/bgl/BGL_5000.log",
        "bgl-errors": shared / "data/bgl/BGL_errors_300k.log.xz",
    }
    return {name: path for name, path in files.items() if path.is_file()}


def training_rows(files: dict[str, Path], split: str, *, seed: int = 0, plain: int = 350) -> list[Row]:
    """The rows of a split, messages distinct.

    Templates without reasoning come too; of the normal ones among them (most are register dumps) at most ``plain``, so that they do not dominate.
    Raises ValueError for any split but train and dev.
    """
    if split not in ("train", "dev"):
        raise ValueError(f"split {split!r} is not for training; train and dev are")
    rows = levelled([row for name in ("general", "written") if name in files for row in read_rows(files[name]) if row.split == split])
    rows += [row for row in read_rows(files["hard"]) if row.split == split] if "hard" in files else []  # bodies, with their level
    if "panel" not in files:
        return list(_distinct(rows))
    every = read_rows(files["panel"], "label_panel")
    levels = template_levels([files[name] for name in RAW if name in files], [row.message for row in every if row.system.lower() == "bgl"])
    told = [row for row in read_rows(files["templates"]) if row.split == split] if "templates" in files else []
    rows += [replace(row, level=levels.get(row.message)) for row in told]
    panel = [replace(row, level=levels.get(row.message)) for row in every if row.split == split]
    reasoned = {row.message for row in rows}
    rest = [row for row in _distinct(panel) if row.message not in reasoned]
    normal = [row for row in rest if not row.abnormal]
    random.Random(seed).shuffle(normal)
    return list(_distinct([*rows, *(row for row in rest if row.abnormal), *normal[:plain]]))


def levelled(rows: Sequence[Row]) -> list[Row]:
    """Messages as the product reads them: the severity that a header gives, and the body. One in which nothing but a header is found stays whole."""
    from ra_sdk.formats import builtin_formats
    from ra_sdk.formats.lines import raw_blocks
    from ra_sdk.sources.builtin import IterableSource

    raw = raw_blocks(IterableSource([row.message for row in rows]), builtin_formats(), None, len(rows) + 1, 0.1)
    blocks = [block.parse() for block in raw if block is not None]
    read = [pair for block in blocks for pair in zip(block.bodies.to_list(), block.fields["severity"].to_list())]
    return [replace(row, message=body or row.message, level=level) for row, (body, level) in zip(rows, read, strict=True)]


def template_levels(logs: Sequence[Path], templates: Sequence[str]) -> dict[str, str]:
    """The level that most BGL lines of a template have, by template text. Lines that fit several templates count for none of them."""
    levels = _levels_of_bodies(logs)
    shapes = [(template, _shape(text)) for template, text in zip(templates, masked(templates))]
    found: dict[str, Counter[str]] = {}
    for body, counts in levels.items():
        fitting = [template for template, shape in shapes if shape.fullmatch(body)]
        if len(fitting) == 1:
            found.setdefault(fitting[0], Counter()).update(counts)
    return {template: counts.most_common(1)[0][0] for template, counts in found.items()}


def _levels_of_bodies(logs: Sequence[Path]) -> dict[str, Counter[str]]:
    """How often each masked body of BGL logs has which level: the word behind ``RAS`` and the facility."""
    found: Counter[tuple[str, str]] = Counter()
    for path in logs:
        with (lzma.open if path.suffix == ".xz" else open)(path, "rt", encoding="utf-8", errors="replace") as file:
            found.update((str(match[1]), str(match[2])) for match in map(_BGL.search, file) if match)
    levels: dict[str, Counter[str]] = {}
    for (level, _), body, count in zip(found, masked([body for _, body in found]), found.values()):
        known = "FATAL" if level == "FAILURE" else "ERROR" if level == "SEVERE" else level.replace("WARNING", "WARN")
        levels.setdefault(body, Counter())[known] += count
    return levels


def _shape(text: str) -> re.Pattern[str]:
    """A masked template as a pattern for masked bodies."""
    return re.compile(".+?".join(map(re.escape, text.split("<*>"))))


def _distinct(rows: Iterable[Row]) -> Iterator[Row]:
    seen: set[str] = set()
    for row in rows:
        if row.message not in seen:
            seen.add(row.message)
            # an abnormal row must name one of the five: the answer says it
            yield replace(row, category="system") if row.abnormal and row.category is None else row


def masked(messages: Sequence[str]) -> list[str]:
    """Messages as the product's miner hands them on: masked, white space single."""
    return [" ".join(text.split()) for text in mask(messages)]


def wildcards(text: str) -> str:
    """A template as it was published, its variables written as mining writes them."""
    return _VARIABLE.sub("<*>", text)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
