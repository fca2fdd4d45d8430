"""The registry: formats as data. The package's own TOML files, those of the user's configuration directory, and files that are named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ra_sdk import config
from ra_sdk.errors import BadFormat
from ra_sdk.formats.layouts import Example, Layout, TableFormat, Trace
from ra_sdk.formats.patterns import FRAGMENTS, expanded
from ra_sdk.formats.times import reader
from ra_sdk.records import SEVERITIES

__all__ = ["load", "own", "users"]

HERE = Path(__file__).parent / "registry"
LAST = ("syslog", "languages", "generic")  # files whose formats are tried after all others, in this order
_FORMAT = {"name", "about", "program", "layout", "example", "unless", "continuation", "until", "comment", "nested", "weak", "trace"}
_LAYOUT = {"header", "time", "severity", "body"}
_TRACE = {"same", "continues", "after"}
_EXAMPLE = {"line", "timestamp", "severity", "body", "attributes"}


@cache
def own(*, general: bool) -> tuple[TableFormat, ...]:
    """The package's formats: those of the files in ``LAST`` if ``general``, else all others."""
    files = {path.stem: path for path in sorted(HERE.glob("*.toml"))}
    names = [name for name in LAST if name in files] if general else [name for name in files if name not in LAST]
    return tuple(form for name in names for form in load(files[name], "ra_sdk"))


def users(files: Iterable[str | Path] = ()) -> list[TableFormat]:
    """The user's formats: of the files that are named, then of ``formats/*.toml`` in the configuration directory. Raises BadFormat."""
    found = [*map(Path, files), *sorted((config.directory() / "formats").glob("*.toml"))]
    return [form for path in found for form in load(path, str(path))]


def load(path: Path, origin: str) -> list[TableFormat]:
    """The formats of one file. Raises BadFormat, which names file, entry, field and reason."""
    table = config.read_toml(path, BadFormat)
    entries = table.get("format")
    if not isinstance(entries, list) or set(table) - {"format"}:
        raise BadFormat(f"{path}: must hold [[format]] entries and nothing else; see `ra formats`")
    return [_format(_Entry(path, f"format {number}", entry), origin) for number, entry in enumerate(entries, 1)]


class _Entry:
    """A table of a file, with what is needed to say where a fault is."""

    def __init__(self, path: Path, where: str, table: object) -> None:
        self.path, self.where = path, where
        self.table: Mapping[str, Any] = table if isinstance(table, Mapping) else {}
        if not isinstance(table, Mapping):
            raise self.fault("", "must be a table")

    def fault(self, name: str, why: str) -> BadFormat:
        """The error to raise."""
        return BadFormat(f"{self.path}: {self.where}{f', `{name}`' if name else ''}: {why}")

    def known(self, names: set[str]) -> None:
        """Raises BadFormat for a key that is not one of ``names``."""
        for name in sorted(set(self.table) - names):
            raise self.fault(name, f"is not a field; the fields are {', '.join(sorted(names))}")

    def text(self, name: str, *, needed: bool = False) -> str:
        """A text; empty where it is absent and not needed."""
        value = self.table.get(name, "")
        if not isinstance(value, str) or (needed and not value):
            raise self.fault(name, "must be a text that is not empty" if needed else f"must be a text, got {value!r}")
        return value

    def pattern(self, name: str, *, needed: bool = False) -> str:
        """A pattern that compiles, or one of several."""
        value = self.table.get(name, "")
        text = "|".join(f"(?:{part})" for part in value) if isinstance(value, list) else self.text(name, needed=needed)
        try:
            if text and self.path.parent != HERE:  # the package's own are tested
                _compiles(expanded(text))
            return text
        except KeyError as error:
            raise self.fault(name, f"{{{error.args[0]}}} is not a fragment; those are {', '.join(FRAGMENTS)}") from error
        except ValueError as error:
            raise self.fault(name, f"does not compile: {error}") from error

    def tables(self, name: str) -> Iterator[_Entry]:
        """The tables of a list."""
        found = self.table.get(name, [])
        if not isinstance(found, list):
            raise self.fault(name, f"must be written as [[format.{name}]]")
        for number, table in enumerate(found, 1):
            yield _Entry(self.path, f"{self.where}, {name} {number}", table)

    def read(self, name: str, make: Callable[[Any], Any]) -> Any:
        """What ``make`` gives for a value; its ValueError is the reason of the fault."""
        try:
            return make(self.table[name])
        except (ValueError, TypeError, AttributeError) as error:
            raise self.fault(name, str(error)) from error


def _format(entry: _Entry, origin: str) -> TableFormat:
    entry.known(_FORMAT)
    name = entry.text("name", needed=True)
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise entry.fault("name", f"must be of lower-case letters, digits, dots and dashes, got {name!r}")
    entry.where = f"format {name!r}"
    layouts = tuple(_layout(layout) for layout in entry.tables("layout"))
    if not layouts:
        raise entry.fault("layout", "is missing: a format has at least one [[format.layout]]")
    patterns = {key: entry.pattern(key) for key in ("unless", "continuation", "until", "comment")}
    examples = tuple(_example(example) for example in entry.tables("example"))
    nested, weak = (entry.table.get(key) is True for key in ("nested", "weak"))
    more: dict[str, Any] = {**patterns, "program": entry.text("program"), "nested": nested, "weak": weak, "trace": _trace(entry), "examples": examples}
    return TableFormat(name, layouts, entry.text("about"), **more, origin=origin)


def _trace(parent: _Entry) -> Trace | None:
    if "trace" not in parent.table:
        return None
    entry = _Entry(parent.path, f"{parent.where}, trace", parent.table["trace"])
    entry.known(_TRACE)
    same = entry.table.get("same")
    if not isinstance(same, list) or not all(isinstance(name, str) for name in same):
        raise entry.fault("same", "must be a list of groups of the header")
    return Trace(tuple(same), entry.pattern("continues", needed=True), entry.pattern("after", needed=True))


def _layout(entry: _Entry) -> Layout:
    entry.known(_LAYOUT)
    header = entry.pattern("header", needed=True)
    if header.startswith("^"):
        raise entry.fault("header", "must not begin with ^: a header stands at the beginning of its line anyway")
    names = set(re.findall(r"\(\?P<(\w+)>", expanded(header)))
    template = entry.text("body")
    shown = {name for name, _ in re.findall(r"\{(\w+)(:reason|:path|:junk|:quoted|:line)?\}", template)}
    for name in sorted(shown - names):
        raise entry.fault("body", f"{{{name}}} is not a group of the header; those are {', '.join(sorted(names))}")
    times = entry.read("time", reader) if "time" in entry.table else reader("iso")
    return Layout(header, times, entry.read("severity", _words) if "severity" in entry.table else {}, template)


def _example(entry: _Entry) -> Example:
    entry.known(_EXAMPLE)
    body = entry.text("body") if "body" in entry.table else None
    stamp = entry.table.get("timestamp")
    stamp = stamp if stamp is None or isinstance(stamp, str) else stamp.isoformat()
    return Example(entry.text("line", needed=True), stamp or None, entry.text("severity") or None, body, entry.table.get("attributes", {}))


def _words(table: Mapping[str, str]) -> dict[str, str]:
    found = {str(word): str(level) for word, level in table.items()}
    for level in set(found.values()) - set(SEVERITIES):
        raise ValueError(f"{level!r} is not a severity; those are {', '.join(SEVERITIES)}")
    return found


def _compiles(pattern: str) -> None:
    """Raises ValueError for a pattern that Rust's regex does not take."""
    import polars as pl

    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        raise ValueError(" ".join(str(error).split())) from error
