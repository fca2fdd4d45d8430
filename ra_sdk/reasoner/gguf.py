"""The texts in the head of a GGUF file, without loading it: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

__all__ = ["texts"]

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of a value, by its type
STRING, ARRAY = 8, 9
LONGEST = 1 << 24  # bytes of a string; a longer one is no string


def texts(path: Path, keys: Iterable[str]) -> dict[str, str]:
    """The values of those ``keys`` that the file has as strings. A file that is broken gives what stands before the fault. Raises OSError."""
    wanted, found = set(keys), dict[str, str]()
    with path.open("rb") as file:
        try:
            magic, _version, _tensors, count = struct.unpack("<4sIQQ", file.read(24))
            for _ in range(count if magic == b"GGUF" else 0):
                key, (kind,) = _string(file), struct.unpack("<I", file.read(4))
                if kind == STRING:
                    value = _string(file)
                    if key in wanted:
                        found[key] = value
                else:
                    _skip(file, kind)
                if found.keys() == wanted:
                    break
        except (struct.error, KeyError, ValueError):
            return found
    return found


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    data = file.read(length) if length <= LONGEST else b""
    if len(data) < length:
        raise ValueError(f"a string of {length} bytes is not there")
    return data.decode("utf-8", "replace")


def _skip(file: BinaryIO, kind: int) -> None:
    if kind != ARRAY:
        file.seek(SIZES[kind], 1)
        return
    of, count = struct.unpack("<IQ", file.read(12))
    if of == STRING:
        for _ in range(count):
            _string(file)
    else:
        file.seek(SIZES[of] * count, 1)
