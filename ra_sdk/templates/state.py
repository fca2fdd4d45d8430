"""The file that keeps what was mined across runs: JSON in gzip, readable by its user only, since templates hold words of the log."""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
import time
import warnings
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ra_sdk.errors import StoreError
from ra_sdk.locks import locked

__all__ = ["read_state", "write_state"]

VERSION = 2
SIGN = "ra_sdk-state"  # the file name in gzip's header, by which a broken file is known as one of ours


def read_state(path: Path) -> dict[str, Any] | None:
    """A saved state; None if there is none. A broken one is set aside with a RuntimeWarning.

    Raises StoreError for a path that cannot be read or written, and for a file that is not ours.
    """
    _check_folder(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"state {str(path)!r} cannot be read: {error.strerror or error}; choose another path") from error
    try:
        return _checked(json.loads(gzip.decompress(data))) if data else None
    except _Newer as error:
        raise StoreError(f"state {str(path)!r} {error}; remove the file to start afresh") from error
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        if data[10:].startswith(SIGN.encode() + b"\0"):
            _set_aside(path, reason)
            return None
        raise StoreError(
            f"state {str(path)!r} is not a state of ra_sdk, so it is left as it is ({reason}); choose another path, or remove the file to start afresh"
        ) from error


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Replace the file by this state, whole or not at all. Raises StoreError."""
    packed = io.BytesIO()
    with gzip.GzipFile(SIGN, "wb", 1, packed) as file:
        file.write(json.dumps({"version": VERSION, **state}).encode())
    temporary = path.with_name(f".{path.name}.tmp")  # one name, so that what a killed run left is overwritten
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path):
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as out:
                    out.write(packed.getbuffer())
                temporary.replace(path)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise
    except OSError as error:
        raise _unwritable(path, error) from error


class _Newer(Exception):
    """A state of a later version."""


def _checked(state: Any) -> dict[str, Any]:
    """The state, if it has the shape of one. Raises TypeError, ValueError, KeyError or _Newer."""
    if isinstance(state["version"], int) and state["version"] < VERSION:
        raise ValueError(f"it has version {state['version']}, whose templates differ")
    if state["version"] != VERSION:
        raise _Newer(f"has version {state['version']!r}, this is version {VERSION}")
    pairs = [*state["memo"], *state["counts"], *state["clusters"]]
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ValueError("its entries are not pairs")
    places = [place for _, place in state["memo"] if type(place) is not int or not 0 <= place < len(state["clusters"])]
    texts = [*(text for text, _ in state["memo"]), *places, *(text for text, _ in state["counts"])]
    words = [word for tokens, _ in state["clusters"] for word in tokens]
    numbers = [number for _, number in (*state["counts"], *state["clusters"])]
    if set(map(type, [*texts, *words])) - {str} or set(map(type, numbers)) - {int}:
        raise ValueError("its entries are not texts with numbers")
    return dict(state)


def _set_aside(path: Path, reason: str) -> None:
    aside = path.with_name(f"{path.name}.corrupt-{time.time_ns()}")
    try:
        path.rename(aside)
    except OSError as error:
        raise _unwritable(path, error) from error
    said = f"state {str(path)!r} cannot be used ({reason}); it has been set aside as {str(aside)!r}, and mining starts afresh"
    warnings.warn(said, RuntimeWarning, stacklevel=4)


def _check_folder(path: Path) -> None:
    """Raise StoreError if a state cannot be saved there: now, and not after the work."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"state {str(path)!r} cannot be written: {error.strerror or error}; choose another path")
