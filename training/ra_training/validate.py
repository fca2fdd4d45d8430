"""Rows of a corpus, checked: one log message, an expert's short reasoning, a verdict. Whoever wrote a row, a rule that it breaks is named.

A row is ``{"id", "system", "message", "label", "category", "think"}`` and perhaps ``split``. The reasoning is 22 to 55 words in two or three plain
sentences; it quotes its evidence word for word in double quotes and states no number, code, host or path that the message lacks.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ra_sdk.reasoner.rationale import invented
from ra_sdk.records import CATEGORIES

__all__ = ["MESSAGE", "WORDS", "Report", "check", "faults", "message_faults", "statements"]

MESSAGE, TEMPLATE = (15, 400), (3, 1000)  # characters; templates are what they are
WORDS = (22, 55)  # of the reasoning
SENTENCES = (2, 3)
QUOTE = 7  # words: one quote at least is no longer. The style asks for six; seven are let pass where a cut would spoil the evidence
SPLITS = ("train", "dev", "test")
BALANCED = (0.4, 0.6)  # share of abnormal rows in a file, beyond which it is told

_TEXTS = ("id", "system", "message", "label", "think")
_KEYS = {*_TEXTS, "category"}
_QUOTE = re.compile(r'"([^"]*)"')
_TAG = re.compile(r"</?(?:think|answer)>", re.IGNORECASE)
_CONTROL_TOKEN = re.compile(r"<[|｜][^<>]{1,40}[|｜]>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>")
_MARKDOWN = re.compile(r"`|\*\*|__\w|\]\(|^\s*(?:[-*•#>]|\d+[.)])\s|[:;.]\s+(?:[-*•]|\d+[.)])\s")
_END = re.compile(r'[.!?]["\')]*(?=\s|$)')
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|approx|no)\.(?=\s)", re.IGNORECASE)
_OPENING = re.compile(r"the (?:log )?message\b", re.IGNORECASE)
_HOST = re.compile(r"\b[A-Za-z][\w-]*(?:\.[\w-]+)*\.(?:com|net|org|io|dev|local|internal|lan|corp)\b|\b[a-z][\w-]*(?:\.[a-z][\w-]*){2,}")
_TERMS = frozenset(("3d", "tg3"))  # words with a digit that are knowledge of the domain, beyond those that the product knows


def faults(row: Mapping[str, Any], *, templates: bool = False) -> list[str]:
    """The rules that a row breaks, each with the value; empty for a good row. ``templates``: messages may be short and long."""
    found = list(_form(row))
    if found:
        return found  # what is no row has no reasoning to look at
    return [
        *_verdict(row),
        *message_faults(row["message"], templates=templates),
        *_writing(row["think"]),
        *_style(row["think"]),
        *_evidence(row["message"], row["think"]),
    ]


def message_faults(message: str, *, templates: bool = False) -> list[str]:
    """What makes a message unfit for a corpus, whatever would be said of it."""
    least, most = TEMPLATE if templates else MESSAGE
    found = [] if least <= len(message) <= most else [f"message has {len(message)} characters, not {least} to {most}"]
    if len(message.splitlines()) > 1 or message != message.rstrip("\r\n"):
        found.append("message is more than one line")
    # a tab is what some products write between their fields; everything else of this kind is for a terminal, not for a reader
    found += [f"message has the control character {char!r}" for char in _controls(message.replace("\t", "")) if not char.isspace()]
    found += [f"message has the tag {tag!r}" for tag in _TAG.findall(message)[:1]]
    return found


def _form(row: Mapping[str, Any]) -> Iterator[str]:
    missing, unknown = sorted(_KEYS - set(row)), sorted(set(row) - _KEYS - {"split"})
    if missing:
        yield f"lacks {', '.join(missing)}"
    if unknown:
        yield f"has {', '.join(map(repr, unknown))}, which no row has"
    for key in _TEXTS:
        if key in row and (not isinstance(row[key], str) or not row[key].strip()):
            yield f"{key} {row[key]!r} is no text"
    if "split" in row and row["split"] not in SPLITS:
        yield f"split {row['split']!r} is none of {', '.join(SPLITS)}"


def _verdict(row: Mapping[str, Any]) -> Iterator[str]:
    label, category = row["label"], row["category"]
    if label not in ("normal", "abnormal"):
        yield f"label {label!r} is neither normal nor abnormal"
    elif label == "normal" and category is not None:
        yield f"category {category!r} of a normal row is not null"
    elif label == "abnormal" and category not in CATEGORIES:
        yield f"category {category!r} is none of {', '.join(CATEGORIES)}"


def _writing(think: str) -> Iterator[str]:
    words, plain = len(think.split()), _QUOTE.sub('"…"', think)
    if not WORDS[0] <= words <= WORDS[1]:
        yield f"think has {words} words, not {WORDS[0]} to {WORDS[1]}"
    if len(think.splitlines()) > 1:
        yield "think is more than one line"
    elif " ".join(plain.split()) != plain:
        yield "think has white space that is no single blank"
    for char in _controls(think):
        if not char.isspace():
            yield f"think has the control character {char!r}"
    sentences = len(_END.findall(_ABBREVIATION.sub("…", plain))) + len(re.findall(r'[.!?]"(?= [A-Z])', think))
    if think[-1] not in '.!?"':
        yield f"think ends in {think[-12:]!r}, not in a full stop"
    elif not SENTENCES[0] <= sentences + (plain[-1] == '"') <= SENTENCES[1]:
        yield f"think has {sentences} sentences, not {SENTENCES[0]} or {SENTENCES[1]}"


def _style(think: str) -> Iterator[str]:
    plain = _QUOTE.sub('"…"', think)
    if _OPENING.match(think):
        yield f"think starts with {' '.join(think.split()[:2])!r}"
    if _MARKDOWN.search(plain):
        yield "think has markdown or a list"
    for pattern, name in ((_TAG, "tag"), (_CONTROL_TOKEN, "chat token")):
        for text in pattern.findall(think)[:1]:
            yield f"think has the {name} {text!r}"


def _evidence(message: str, think: str) -> Iterator[str]:
    quotes = _QUOTE.findall(think)
    if think.count('"') % 2:
        yield "think has a quote that is not closed"
    elif not quotes:
        yield "think quotes nothing of the message"
    else:
        yield from (f"quote {quote!r} is not in the message" for quote in quotes if quote not in message or not quote.strip())
        if min(len(quote.split()) for quote in quotes) > QUOTE:
            yield f"think has no quote of at most {QUOTE} words"
    plain = _QUOTE.sub(" ", think)
    for value in invented(message, plain):
        if value.lower() not in _TERMS:
            yield f"{value!r} is not in the message"
    low = message.lower()
    for name in _HOST.findall(plain):
        if name.lower() not in low and not any(char.isdigit() for char in name):
            yield f"{name!r} is not in the message"


def _controls(text: str) -> list[str]:
    """Its control and invisible format characters, each once."""
    return list(dict.fromkeys(char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co")))


def statements(messages: Sequence[str]) -> list[str]:
    """What tells one statement from another: the message as the model sees it. Counts of zero and of more than zero are two."""
    from ra_training.corpus import masked

    return masked(messages)


@dataclass(slots=True)
class Report:
    """What was found in files: the faults with their places, and what the rows are."""

    rows: int = 0
    bad: int = 0
    faults: list[str] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    systems: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        abnormal = self.labels["abnormal"]
        share = abnormal / max(abnormal + self.labels["normal"], 1)
        told = f"{self.rows} rows of {len(self.systems)} systems, {share:.0%} abnormal, {self.bad} with faults"
        return told if BALANCED[0] <= share <= BALANCED[1] or not self.rows else f"{told} (a corpus is about half abnormal)"


def check(paths: Iterable[Path], *, templates: bool = False) -> Report:
    """Check files of rows. ``templates``: short, long and repeated ones may be there. Raises SystemExit if a file cannot be read."""
    report, rows = Report(), []
    for path in paths:
        for number, line in enumerate(_lines(path), 1):
            where = f"{path}:{number}"
            row, found = _parsed(line, templates)
            rows.append((where, row, found))
    texts = [row["message"] if isinstance(row.get("message"), str) else "" for _, row, _ in rows]
    first: dict[tuple[str, str], str] = {}
    for (where, row, found), statement in zip(rows, statements(texts), strict=True):
        for kind, key in (("id", str(row.get("id"))), ("statement", "" if templates else statement)):
            if key and row and first.setdefault((kind, key), where) != where:
                found.append(f"has the {kind} of {first[kind, key]}")
        _enter(report, where, row, found)
    return report


def _enter(report: Report, where: str, row: Mapping[str, Any], found: list[str]) -> None:
    report.rows += 1
    report.bad += bool(found)
    report.faults += [f"{where}: {row.get('id')}: {fault}" for fault in found]
    report.labels[str(row.get("label"))] += 1
    report.systems.add(str(row.get("system")))


def _parsed(line: str, templates: bool) -> tuple[dict[str, Any], list[str]]:
    try:
        row = json.loads(line)
    except ValueError as error:
        return {}, [f"is not JSON: {error}"]
    return (row, faults(row, templates=templates)) if isinstance(row, dict) else ({}, [f"is no object but {line.strip()[:40]!r}"])


def _lines(path: Path) -> list[str]:
    try:
        # only a newline ends a row: JSON may hold the other line separators as they are
        return [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"corpus file {str(path)!r} cannot be read: {error}; give a JSONL file in UTF-8") from error
