"""Raw lines -> bodies and fields: how a format is chosen. The formats themselves stand in ``formats_table`` and ``formats_json``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ra_sdk.errors import UnknownFormat

if TYPE_CHECKING:
    import polars as pl

    from ra_sdk.hookspecs import Format

__all__ = ["builtin_formats", "detect_format", "format_named"]

SAMPLE = 200  # lines that the choice rests on
LONGEST = 4_096  # characters of a sample line that are looked at
ENOUGH = 0.5  # share of lines that must have the format


def builtin_formats() -> list[Format]:
    """The built-in formats, the specific ones before the general, ``plain`` last."""
    from ra_sdk.formats_json import JSON_FORMATS
    from ra_sdk.formats_table import PLAIN, TABLE

    formats: list[Format] = [*JSON_FORMATS, *TABLE, PLAIN]
    return formats


def detect_format(lines: pl.Series, formats: Sequence[Format]) -> Format:
    """The format that most of the first non-empty lines have; where formats tie, the first of them; ``plain`` if none has half."""
    sample = lines.filter(lines.str.contains(r"\S")).head(SAMPLE).str.head(LONGEST)
    best, best_score = format_named("plain", formats), 0.0
    if not len(sample):
        return best
    for form in formats:
        score = form.score(sample)
        if score >= ENOUGH and score > best_score + 1e-9:
            best, best_score = form, score
    return best


def format_named(name: str, formats: Sequence[Format]) -> Format:
    """The format of this name. Raises UnknownFormat."""
    names = [form.name for form in formats]
    if name in names:
        return formats[names.index(name)]
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UnknownFormat(f"format {name!r} is unknown; {hint}choose one of {', '.join(names)}, or leave it out to have it detected")
