"""The file of checkpoints: how far each source was read and written, kept across restarts."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from ra_sdk.errors import StoreError

__all__ = ["Checkpoint"]

_PROCESS = Lock()  # where a lock of the system is missing, the sources of one process at least take turns


class Checkpoint:
    """What one source, named by ``key``, has in a file of checkpoints, which several sources and processes may share.

    ``entry`` is None, or a mapping that the source makes, with at least its ``identity``. Raises StoreError: for a file that is
    broken or holds something else, and where another run has since read the same source with this file.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key
        self._temporary = path.with_name(f".{path.name}.tmp")  # one name, so that what a killed run left is overwritten
        if not path.parent.is_dir():
            raise StoreError(f"checkpoint {str(path)!r} cannot be written: its folder does not exist; make it, or choose another path")
        self.entry: Mapping[str, Any] | None = self._read().get(key)
        try:
            with tempfile.TemporaryFile(dir=path.parent):  # better now than after the first block was judged
                pass
        except OSError as error:
            raise self._unwritable(error) from error

    def put(self, entry: Mapping[str, Any]) -> None:
        """Keep an entry: on the disk, whole, or not at all."""
        try:
            with self._locked():
                entries = self._read()
                if entries.get(self._key, self.entry) != self.entry:
                    raise StoreError(
                        f"checkpoint {str(self._path)!r} was moved by another run that reads {self._key!r}; stop one of them, "
                        "or give each a checkpoint of its own"
                    )
                self._write({**entries, self._key: entry})
        except OSError as error:
            raise self._unwritable(error) from error
        self.entry = entry

    def _write(self, entries: Mapping[str, Any]) -> None:
        try:
            with self._temporary.open("w", encoding="utf-8") as file:
                json.dump(entries, file)
                file.flush()
                os.fsync(file.fileno())
            self._temporary.replace(self._path)
        except BaseException:
            with suppress(OSError):
                self._temporary.unlink()
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the file's lock. Writing replaces the file, and with it the lock, so check that it is still the same file."""
        with _PROCESS:
            while True:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
                try:
                    with suppress(ImportError, OSError):  # not every system or file system has it
                        import fcntl

                        fcntl.flock(file, fcntl.LOCK_EX)
                    if _is(self._path, file):
                        yield
                        return
                finally:
                    os.close(file)

    def _read(self) -> dict[str, Any]:
        try:
            text = self._path.read_text(encoding="utf-8")
            entries = json.loads(text) if text else {}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(f"checkpoint {str(self._path)!r} cannot be read: {error.strerror or error}; choose another path") from error
        except (ValueError, RecursionError) as error:
            reason = error if isinstance(error, ValueError) else "it is nested too deeply"
            remedy = "choose another path, or remove it if it is a broken checkpoint"
            raise StoreError(f"checkpoint {str(self._path)!r} cannot be read: {reason}; {remedy}") from error
        if not isinstance(entries, dict) or not all(isinstance(entry, dict) and "identity" in entry for entry in entries.values()):
            raise StoreError(f"checkpoint {str(self._path)!r} cannot be read: it is a file of another kind, left as it is; choose another path")
        return entries

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(f"checkpoint {str(self._path)!r} cannot be written: {error.strerror or error}; choose another path")


def _is(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False
