"""Raw lines -> records, bodies and fields.

Formats are data (``registry/*.toml``), and code where data is not enough: JSON of many kinds, containers. ``reading.Reader`` is the way of every line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ra_sdk.errors import UnknownFormat

__all__ = ["builtin_formats", "faults", "format_named", "from_files", "listed", "user_formats"]


def builtin_formats() -> list[Any]:
    """The built-in formats, the special before the general, ``plain`` last."""
    from ra_sdk.formats.containers import CONTAINERS
    from ra_sdk.formats.layouts import PLAIN
    from ra_sdk.formats.loading import own
    from ra_sdk.formats.special import SPECIAL
    from ra_sdk.formats.structured import JSON, LOGFMT

    return [*CONTAINERS, *SPECIAL, JSON, *own(general=False), LOGFMT, *own(general=True), PLAIN]


def user_formats(files: Iterable[str | Path] = ()) -> list[Any]:
    """The formats of the user's own files. Raises BadFormat."""
    from ra_sdk.formats.loading import users

    return list(users(files))


def from_files(formats: Sequence[Any]) -> list[Any]:
    """Those of the formats that come from the user's own files."""
    from ra_sdk.formats.layouts import TableFormat

    return [form for form in formats if isinstance(form, TableFormat) and form.origin != "ra_sdk"]


def faults(form: Any, formats: Sequence[Any]) -> list[str]:
    """What is wrong with the examples of one of these formats: file, format, example, field, what was expected and what was read."""
    from ra_sdk.formats import examples

    return list(examples.faults(form, formats))


def listed(formats: Sequence[Any]) -> list[tuple[str, str, str, str]]:
    """Name, origin, purpose and an example of each."""
    rows = []
    for form in formats:
        examples = getattr(form, "examples", ())
        example = examples[0].line.split("\n", 1)[0] if examples else ""
        rows.append((form.name, getattr(form, "origin", "plugin"), getattr(form, "about", ""), example[:100]))
    return rows


def format_named(name: str, formats: Sequence[Any]) -> Any:
    """The format of this name. Raises UnknownFormat."""
    names = [form.name for form in formats]
    if name in names:
        return formats[names.index(name)]
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UnknownFormat(f"format {name!r} is unknown; {hint}choose one of {', '.join(names)}, or leave it out to have it detected")
