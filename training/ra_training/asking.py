"""What a distillation asks for: its configuration, and the messages that it reads, redacted."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ra_sdk.records import CATEGORIES

from ra_training.corpus import wildcards
from ra_training.redact import Redactor
from ra_training.teacher import Asked, Format, Messages, Patience, request
from ra_training.validate import message_faults, statements

__all__ = ["DistilConfig", "read_messages", "read_names", "requests", "unfit"]


@dataclass(frozen=True, slots=True)
class DistilConfig:
    """What a run is made of. ``key_from`` names the environment variable with the API key; the key itself is nowhere kept."""

    source: Path
    out: Path
    endpoint: str | None = None
    model: str | None = None
    key_from: str | None = None
    gguf: Path | None = None
    context: int = 4096
    threads: int | None = None
    label: str = "label"
    system: str = ""
    split: str | None = None
    dev: float = 0.1
    templates: bool = False
    names: Path | None = None
    format: Format | None = None
    temperature: float | None = None
    reply_tokens: int = 400
    tries: int = 2
    parallel: int = 4
    timeout: float = 120.0
    patience: Patience = field(default_factory=Patience)
    most_rows: int | None = None
    most_tokens: int | None = None
    most_seconds: float | None = None


def read_messages(config: DistilConfig, redactor: Redactor) -> list[Asked]:
    """The messages of a CSV or JSONL file, redacted. Rows of the split ``test`` are left out, unless it is asked for.

    Labels may be missing. A row without an id gets one from its redacted text, so that it keeps it when rows are added. Raises SystemExit for a row that
    cannot be used.
    """
    asked: dict[str, Asked] = {}
    for number, record in enumerate(_records(config.source), 1):
        where = f"{config.source}, row {number}"
        row = _asked(record, config, redactor, where)
        if row.split != config.split if config.split else row.split == "test":
            continue
        if row.id in asked and record.get("id"):
            raise SystemExit(f"{where}: id {row.id!r} is there already; give every row its own, or none")
        if row.id not in asked:  # else the same text again, which teaches nothing new
            asked[row.id] = row
    return list(asked.values())


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                yield from csv.DictReader(file)
                return
            for number, line in enumerate(file, 1):
                record = json.loads(line) if line.strip() else None
                if record is not None and not isinstance(record, dict):
                    raise SystemExit(f"{path}, line {number}: {line.strip()[:40]!r} is no JSON object; give a CSV, or JSONL with message or template")
                if record is not None:
                    yield record
    except (OSError, ValueError) as error:
        raise SystemExit(f"messages {str(path)!r} cannot be read: {error}; give a CSV, or JSONL with message or template") from error


def _asked(record: Mapping[str, Any], config: DistilConfig, redactor: Redactor, where: str) -> Asked:
    message, label, category = record.get("message") or record.get("template"), record.get(config.label) or None, record.get("category") or None
    if not isinstance(message, str):
        raise SystemExit(f"{where}: has no message; it is looked for in message and template")
    if label not in (None, "normal", "abnormal"):
        raise SystemExit(f"{where}: label {label!r} is neither normal nor abnormal; name another column with --label, or leave it empty")
    if category is not None and category not in CATEGORIES:
        raise SystemExit(f"{where}: category {category!r} is none of {', '.join(CATEGORIES)}")
    text = redactor(wildcards(message.strip()))
    made = f"{config.source.stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return Asked(
        id=str(record.get("id") or made),
        system=redactor(str(record.get("system") or config.system)),
        message=text,
        label=label,
        category=category if label == "abnormal" else None,
        split=str(record.get("split") or ""),
    )


def unfit(messages: list[Asked], *, templates: bool) -> dict[str, str]:
    """Why rows need not be asked for, by id: no reply could make them good. The first row with a statement keeps it, whether it is done or not."""
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for asked, statement in zip(messages, statements([asked.message for asked in messages]), strict=True):
        wrong = message_faults(asked.message, templates=templates)
        if not wrong and not templates and first.setdefault(statement, asked.id) != asked.id:
            wrong = [f"message has the statement of {first[statement]!r}"]
        if wrong:
            found[asked.id] = "; ".join(wrong)
    return found


def requests(config: DistilConfig) -> Iterator[Messages]:
    """What would be sent, request by request."""
    for asked in read_messages(config, Redactor(read_names(config.names))):
        yield request(asked)


def read_names(path: Path | None) -> list[str]:
    """Words to redact, one a line. Raises SystemExit if the file cannot be read."""
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"names {str(path)!r} cannot be read: {error}; give a text file with one name a line") from error
