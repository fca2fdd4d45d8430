"""The export format of the systemd journal, decoded to what ``journalctl -o json`` prints of the same entries.

https://systemd.io/JOURNAL_EXPORT_FORMATS/: a blank line ends an entry. A field is ``NAME=text``, or ``NAME``, the
size of its value as 64 bits, little-endian, and the value, which may hold newlines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ra_sdk.errors import SourceError
from ra_sdk.text import dumped

__all__ = ["BEGINNING", "json_lines"]

BEGINNING = b"__CURSOR="  # of every entry
LARGEST = 16 << 20  # bytes of a field, and of an entry: a size may be broken, and an entry without end
_NAME = re.compile(rb"[A-Z_][A-Z0-9_]*")


def json_lines(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Each entry as a line of JSON, and each line that is not a field as it is. Raises SourceError after the entries before the fault."""
    entries = _Entries(name)
    for chunk in chunks:
        yield from entries.take(chunk)
    yield from entries.end()


class _Entries:
    """The bytes that are not decoded yet, and the fields of the entry that they belong to."""

    def __init__(self, name: str) -> None:
        self._name, self._held = name, bytearray()
        self._row: dict[str, list[str]] = {}
        self._size = 0  # of the entry so far

    def take(self, chunk: bytes) -> Iterator[bytes]:
        """The entries that end in the chunk, as JSON lines in one piece."""
        self._held += chunk
        at, lines = 0, list[str]()
        while found := self._field(at):
            key, value, behind = found
            if not _NAME.fullmatch(key):  # the blank line, or what belongs to no entry
                lines += self._entry()
                lines += [self._held[at : behind - 1].decode("utf-8", "replace")] if key else []
            else:
                self._add(key, value)
                lines += self._entry() if self._size > LARGEST else []
            at = behind
        del self._held[:at]
        if lines:
            yield "".join(f"{line}\n" for line in lines).encode()
        if len(self._held) > LARGEST:
            why = f"a field has more than {LARGEST} bytes, or its size is damaged"
            raise SourceError(f"{self._name!r} breaks off in a journal entry: {why}; export the journal again")

    def end(self) -> Iterator[bytes]:
        """The last entry, complete or not."""
        if self._held:
            yield from self.take(b"\n")
            key, _, value = bytes(self._held[:-1]).partition(b"\n")  # a value that is cut off
            if key:
                self._add(key, value[8:])
        yield "".join(f"{line}\n" for line in self._entry()).encode()

    def _field(self, at: int) -> tuple[bytes, bytes, int] | None:
        """Name and value of the field at a place, and the place behind it; None while some of it is missing."""
        end = self._held.find(b"\n", at)
        if end < 0:
            return None
        name, equals, value = bytes(self._held[at:end]).partition(b"=")
        if equals or not _NAME.fullmatch(name):
            return name, value, end + 1
        begin = end + 9
        if len(self._held) < begin:
            return None
        behind = begin + int.from_bytes(self._held[end + 1 : begin], "little")
        return (name, bytes(self._held[begin:behind]), behind + 1) if behind < len(self._held) else None

    def _add(self, key: bytes, value: bytes) -> None:
        self._row.setdefault(key.decode(), []).append(value.decode("utf-8", "replace"))
        self._size += len(key) + len(value)

    def _entry(self) -> list[str]:
        """The entry as JSON, if there is one; a field that it has several times as a list."""
        row, self._row, self._size = self._row, {}, 0
        return [dumped({key: values if len(values) > 1 else values[0] for key, values in row.items()})] if row else []
