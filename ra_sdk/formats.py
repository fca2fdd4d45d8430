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
NEAR = 0.1  # a format that is ahead by no more than this does not beat a more specific one


def builtin_formats() -> list[Format]:
    """The built-in formats, the specific ones before the general, ``plain`` last."""
    from ra_sdk.formats_json import JSON_FORMATS
    from ra_sdk.formats_table import PLAIN, TABLE, Text

    formats: list[Format] = [*JSON_FORMATS, *TABLE, Text(), PLAIN]
    return formats


def detect_format(lines: pl.Series, formats: Sequence[Format]) -> Format:
    """The format that most of the first non-empty lines have; of those that are near it, the first; ``plain`` if none has half."""
    head = lines.head(20 * SAMPLE)
    sample = head.filter(head.str.contains(r"\S")).head(SAMPLE).str.head(LONGEST)
    scores = [form.score(sample) if len(sample) else 0.0 for form in formats]
    enough = max(ENOUGH, max(scores, default=0.0) - NEAR)
    return next((form for form, score in zip(formats, scores) if score >= enough), None) or format_named("plain", formats)


def format_named(name: str, formats: Sequence[Format]) -> Format:
    """The format of this name. Raises UnknownFormat."""
    names = [form.name for form in formats]
    if name in names:
        return formats[names.index(name)]
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UnknownFormat(f"format {name!r} is unknown; {hint}choose one of {', '.join(names)}, or leave it out to have it detected")
