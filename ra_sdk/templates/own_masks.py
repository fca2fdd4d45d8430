"""A user's own masks: ``masks.toml`` in the configuration directory, and what plugins give.

[[mask]]
pattern = "order [A-Z]{2}-[0-9]+"   # a Rust regular expression, without look-around
replacement = "order <id>"          # optional, <*> if left out; ${1} is the first group
"""

from __future__ import annotations

from collections.abc import Sequence

from ra_sdk import config
from ra_sdk.errors import BadOption
from ra_sdk.templates.placeholders import WILDCARD, Mask

__all__ = ["checked", "configured"]


def configured() -> list[Mask]:
    """The masks of ``masks.toml``, which need not exist. Raises BadOption, which names file and entry."""
    path = config.directory() / "masks.toml"
    if not path.exists():
        return []
    table = config.read_toml(path, BadOption)
    entries = table.get("mask")
    if not isinstance(entries, list) or set(table) - {"mask"}:
        raise BadOption(f"{path}: must hold [[mask]] entries and nothing else")
    return [_mask(entry, f"{path}, mask {number}") for number, entry in enumerate(entries, 1)]


def checked(pairs: Sequence[tuple[str, str]], where: str) -> list[Mask]:
    """Masks of pairs of a pattern and its replacement. Raises BadOption, which names ``where`` and the number."""
    return [_mask({"pattern": pattern, "replacement": replacement}, f"{where}, mask {number}") for number, (pattern, replacement) in enumerate(pairs, 1)]


def _mask(entry: object, where: str) -> Mask:
    import polars as pl

    if not isinstance(entry, dict) or set(entry) - {"pattern", "replacement"}:
        raise BadOption(f"{where}: must be a table with `pattern` and, if wanted, `replacement`")
    pattern, replacement = entry.get("pattern"), entry.get("replacement", WILDCARD)
    if not isinstance(pattern, str) or not pattern or not isinstance(replacement, str):
        raise BadOption(f"{where}: `pattern` and `replacement` must be texts, got {pattern!r} and {replacement!r}")
    try:
        matches_nothing = pl.Series([""]).str.contains(pattern).any()
        pl.Series(["x"]).str.replace_all(pattern, replacement)
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).split())
        raise BadOption(f"{where}: `pattern` must be a Rust regular expression (no look-around), got {pattern!r}: {reason}") from error
    if matches_nothing:
        raise BadOption(f"{where}: `pattern` must not match the empty text, got {pattern!r}")
    return Mask("", pattern, replacement, rare=True)
