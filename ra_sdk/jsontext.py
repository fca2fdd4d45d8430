"""JSON of anything: what a record holds must not keep it from leaving."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["dumped"]

DEEPEST = 100  # levels; deeper values become text
MOST_DIGITS = 4_000  # of a whole number: Python reads no longer ones (sys.get_int_max_str_digits)
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str).encode
_COMPACT = json.JSONEncoder(ensure_ascii=False, default=str, separators=(",", ":")).encode


def dumped(value: object, *, compact: bool = False) -> str:
    """The value as JSON that everybody can read: in UTF-8, and without what JSON does not have.

    Numbers that are not finite or too long to be read back, and values of other types, become text; half a surrogate pair
    becomes U+FFFD. ``compact`` is for bodies, which are text and may say NaN.
    """
    encode = _COMPACT if compact else _ENCODE
    try:
        text = encode(dict(value) if isinstance(value, Mapping) else value)
        if not text.isascii():
            text.encode()
    except Exception:  # noqa: BLE001  values of other types may raise anything when they are made text
        text = encode(_plain(value, 0))
    return text


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return value if value.bit_length() < 3 * MOST_DIGITS else hex(value)
    if depth > DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {_plain(_said(key), 0): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in value]
    return _plain(_said(value), 0)


def _said(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001
        return f"<{type(value).__name__}>"
