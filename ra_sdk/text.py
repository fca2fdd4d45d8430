r"""Text that is safe to show and to write: log text is hostile, and may hold what JSON or a terminal must not see.

``visible`` and ``inert_json`` escape what a terminal would obey, reorder or hide: control characters, bidirectional overrides and marks,
zero-width and tag characters, line separators. ``dumped`` writes any value as JSON that every reader accepts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["dumped", "inert_json", "json_text", "visible"]

DEEPEST = 100  # levels of nesting; deeper values become text
MOST_DIGITS = 4_000  # of a whole number: Python reads no longer ones (sys.get_int_max_str_digits)
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str).encode
_COMPACT = json.JSONEncoder(ensure_ascii=False, default=str, separators=(",", ":")).encode
_SIGNS = "\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff"
_IN_TEXT = re.compile(f"[\x00-\x1f{_SIGNS}\ud800-\udfff]")
_IN_JSON = re.compile(  # the same in UTF-8, but for what JSON escapes anyway
    b"\x7f|\xc2[\x80-\x9f\xad]|\xd8\x9c|\xe1\xa0\x8e|\xe2(?:\x80[\x8b\x8e\x8f\xa8-\xae]|\x81[\xa0-\xaf])"
    b"|\xef(?:\xbb\xbf|\xbf[\xb9-\xbb])|\xf3\xa0[\x80-\xbf][\x80-\xbf]"
)
_LEADS = (b"\x7f", b"\xc2", b"\xd8", b"\xe1", b"\xe2", b"\xef", b"\xf3")  # their first bytes: most texts have none
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def visible(text: str) -> str:
    r"""Text that a terminal shows and does not obey: control characters become ``\x1b``, ``\u202e`` and the like."""
    return _IN_TEXT.sub(_escape, text)


def inert_json(data: bytes) -> bytes:
    r"""JSON that means the same, with ``\u202e`` and the like in its texts. Costs next to nothing where there is nothing to escape."""
    if not any(lead in data for lead in _LEADS):
        return data
    return _IN_JSON.sub(_json_escape, data)


def json_text(thing: object) -> str:
    """The JSON of an object, to be printed."""
    data = json.dumps(thing, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return inert_json(data).decode("utf-8", "surrogatepass")


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


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    code = ord(char)
    return _SHORT.get(char) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def _json_escape(match: re.Match[bytes]) -> bytes:
    """JSON escapes code units of UTF-16, of which characters beyond U+FFFF have two."""
    units = match.group().decode().encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)).encode()


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
