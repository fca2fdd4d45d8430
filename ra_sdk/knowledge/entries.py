"""What an entry of the knowledge table is, and how a file of them is read.

The package's own entries are JSON lines (``data/``); a user's are TOML with the same fields. Both are checked here, so that an error names
file, entry, field, value and reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ra_sdk.config import read_toml
from ra_sdk.errors import BadKnowledge
from ra_sdk.records import CATEGORIES

__all__ = ["KINDS", "SAYS", "Entry", "Speaker", "from_lines", "from_toml", "made", "make", "packaged"]

Kind = Literal["runbook", "statement", "phrase"]
KINDS: tuple[Kind, ...] = ("runbook", "statement", "phrase")  # in the order of their rank
GENERAL = "general usage"  # how the source of entries begins that are about words which many programs share
SAYS = ("fault", "attack", "warning", "depends", "routine")
MOST_PHRASES = 200  # of one entry
MOST_WORDS = {"meaning": 45, "causes": 30, "check": 30}

_FIELDS = {
    "phrase": {"id", "match", "not", "scope", "says", "category", "meaning", "causes", "check", "source", "link"},
    "runbook": {"id", "match", "not", "scope", "says", "category", "meaning", "causes", "check", "source", "link", "owner"},
    "statement": {"id", "match", "scope", "says", "category", "meaning", "check", "source", "link"},
}
_NEEDED = {"phrase": ("match", "meaning", "source"), "runbook": ("match", "meaning"), "statement": ("match", "meaning", "source")}
_PLACEHOLDER = re.compile(r"<[a-z]+>|<\*>")


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that is known about the lines that hold one of its phrases.

    ``match``: literal phrases; of a statement, its whole text as the masks leave it. ``unless``: phrases that turn it off. ``scope``: programs
    to which it is confined, none for all. ``says``: what a line with the phrase reports, one of ``SAYS``. ``meaning``, ``causes``, ``check``:
    plain English; ``check`` is one look that changes nothing. ``source`` backs the meaning; ``link`` and ``owner`` are a runbook's.
    """

    id: str
    kind: Kind
    match: tuple[str, ...]
    meaning: str
    unless: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    says: str = "fault"
    category: str | None = None
    causes: str = ""
    check: str = ""
    source: str = ""
    link: str = ""
    owner: str = ""

    @property
    def general(self) -> bool:
        """Whether it is about wording that many programs share."""
        return self.source.startswith(GENERAL)

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary that JSON can carry, under the names that files use; empty ones are left out."""
        named: dict[str, Any] = {"id": self.id, "kind": self.kind, "match": list(self.match), "not": list(self.unless), "scope": list(self.scope)}
        named |= {"says": self.says, "category": self.category, "meaning": self.meaning, "causes": self.causes}
        named |= {"check": self.check, "source": self.source, "link": self.link, "owner": self.owner}
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Speaker:
    """A program that logs.

    ``names``: what scopes, program fields and log formats call it. ``words``: phrases by which its lines are known.
    ``also``: other scopes that apply to it, as that of the kernel to a file system. ``clause``: what it is, as in
    "kubelet, the agent that runs pods on a node". ``status``: where its own state is seen.
    """

    id: str
    names: tuple[str, ...]
    clause: str
    words: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    status: str = ""


def from_lines(path: Path, kind: Kind) -> Iterator[Entry]:
    """The entries of a file of JSON lines. Raises BadKnowledge."""
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            try:
                fields = json.loads(line)
            except ValueError as error:
                raise BadKnowledge(f"{path}:{number}: is not valid JSON: {error}") from error
            yield make(fields, kind, f"{path}:{number}")


def packaged(path: Path, kind: Kind) -> Iterator[Entry]:
    """The entries of one of the package's own files, which its tests have checked: made as they are, without the checks of ``from_lines``."""
    shared: dict[Any, Any] = {}  # what many entries have in common is kept once

    def once(value: Any) -> Any:
        return shared.setdefault(value, value)

    for line in _text(path).splitlines():
        fields = json.loads(line)
        scope = once(tuple(fields.get("scope", ())))
        says, category, source = (once(fields.get(name)) for name in ("says", "category", "source"))
        told = {name: fields.get(name, "") for name in ("causes", "check", "link")}
        match, unless = tuple(fields["match"]), tuple(fields.get("not", ()))
        yield Entry(fields["id"], kind, match, fields["meaning"], unless, scope, says or "fault", category, source=source, **told)


def from_toml(path: Path) -> Iterator[Entry]:
    """The entries of a user's file: ``[[runbook]]``, ``[[phrase]]`` and ``[[statement]]`` tables. Raises BadKnowledge."""
    table = read_toml(path, BadKnowledge)
    for name in table:
        if name not in KINDS:
            raise BadKnowledge(f"{path}: tables must be [[runbook]], [[phrase]] or [[statement]], got [[{name}]]")
    for kind in KINDS:
        entries = table.get(kind, [])
        if not isinstance(entries, list):
            raise BadKnowledge(f"{path}: {kind} must be written as [[{kind}]]")
        for number, fields in enumerate(entries, 1):
            yield make(fields, kind, f"{path}: {kind} {number}")


def made(fields: Mapping[str, Any], where: str) -> Entry:
    """An entry of fields that say their ``kind`` themselves. Raises BadKnowledge."""
    kind = fields.get("kind", "runbook") if isinstance(fields, Mapping) else "runbook"
    if kind not in KINDS:
        raise BadKnowledge(f"{where}: `kind` must be one of {', '.join(KINDS)}, got {kind!r}")
    return make({name: value for name, value in fields.items() if name != "kind"}, kind, where)


def make(fields: object, kind: Kind, where: str) -> Entry:
    """An entry of the fields of a file. ``where`` is named in errors. Raises BadKnowledge."""
    if not isinstance(fields, Mapping):
        raise BadKnowledge(f"{where}: must be a table of fields, got {fields!r}")
    for name in fields:
        if name not in _FIELDS[kind]:
            raise BadKnowledge(f"{where}: `{name}` is not a field of a {kind}; the fields are {', '.join(sorted(_FIELDS[kind]))}")
    for name in _NEEDED[kind]:
        if not fields.get(name):
            raise BadKnowledge(f"{where}: `{name}` is missing")
    texts = {name: _prose(fields, name, where, quoting=kind == "statement") for name in ("meaning", "causes", "check", "source", "link", "owner")}
    match, unless, scope = (_phrases(fields, name, where) for name in ("match", "not", "scope"))
    says, category = fields.get("says", "fault"), fields.get("category")
    if says not in SAYS:
        raise BadKnowledge(f"{where}: `says` must be one of {', '.join(SAYS)}, got {says!r}")
    if category is not None and category not in CATEGORIES:
        raise BadKnowledge(f"{where}: `category` must be one of {', '.join(CATEGORIES)}, got {category!r}")
    name = fields.get("id") or re.sub(r"[^a-z0-9]+", "-", f"{kind} {match[0]}".lower()).strip("-")[:60]
    return Entry(str(name), kind, match, texts.pop("meaning"), unless, tuple(word.lower() for word in scope), says, category, **texts)


def _prose(fields: Mapping[str, Any], name: str, where: str, *, quoting: bool) -> str:
    value = fields.get(name) or ""
    if not isinstance(value, str):
        raise BadKnowledge(f"{where}: `{name}` must be a text, got {value!r}")
    value = " ".join(value.split())
    if len(value.split()) > MOST_WORDS.get(name, 100):
        raise BadKnowledge(f"{where}: `{name}` must have at most {MOST_WORDS[name]} words, got {len(value.split())}")
    value = value if quoting else value.replace('"', "'")  # double quotes mark what stands in the line
    if name in MOST_WORDS and not quoting and (found := _PLACEHOLDER.search(value)):
        raise BadKnowledge(f"{where}: `{name}` must not hold the placeholder {found[0]}; write a name in capitals, as in HOST")
    return value


def _phrases(fields: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    value = fields.get(name) or ()
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) and text.strip() for text in value):
        raise BadKnowledge(f"{where}: `{name}` must be a list of texts, got {value!r}")
    if len(value) > MOST_PHRASES:
        raise BadKnowledge(f"{where}: `{name}` must have at most {MOST_PHRASES} phrases, got {len(value)}")
    return tuple(" ".join(text.split()) for text in value)


def speakers(path: Path) -> Iterator[Speaker]:
    """The speakers of a file of JSON lines."""
    for line in _text(path).splitlines():
        fields = json.loads(line)
        names = tuple(fields["names"])
        yield Speaker(fields["id"], names, fields["clause"], tuple(fields.get("words", ())), tuple(fields.get("also", ())), fields.get("status", ""))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadKnowledge(f"{path}: cannot be read: {error.strerror}; give the path of a knowledge file") from error
    except UnicodeDecodeError as error:
        raise BadKnowledge(f"{path}: must be UTF-8: {error}") from error


def unique(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Entries by id; of two with one id, the first."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found.setdefault(entry.id, entry)
    return found
