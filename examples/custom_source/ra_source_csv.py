"""A source for ra-sdk: ``csv:PATH#COLUMN`` reads log messages from a column of a CSV file.

pip install ./examples/custom_source
ra detect 'csv:tickets.csv#message'
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ra_sdk import LogRecord, SourceError, hookimpl


class CsvSource:
    """Every row is a record: the named column is its body, the others are attributes."""

    live = False

    def __init__(self, url: str) -> None:
        self.name = url
        path, _, self.column = url.removeprefix("csv:").partition("#")
        self.identity = f"csv:{Path(path).resolve()}#{self.column}"
        try:
            self._file = Path(path).open(encoding="utf-8", newline="")
        except OSError as error:
            raise SourceError(f"{url!r} cannot be read: {error.strerror}; check the path") from error
        self._rows = csv.DictReader(self._file)
        if self.column not in (self._rows.fieldnames or []):
            columns = ", ".join(self._rows.fieldnames or [])
            self.close()
            raise SourceError(f"{url!r} names no column of the file; write csv:PATH#COLUMN with one of {columns}")

    def __iter__(self) -> Iterator[LogRecord]:
        for row in self._rows:
            yield LogRecord(row.pop(self.column) or "", attributes={key: value for key, value in row.items() if key and value})

    def acknowledge(self, checkpoint: object) -> None:
        """A CSV file is read from its start each time: there is nothing to keep."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@hookimpl
def ra_sdk_open_source(url: str, options: Mapping[str, Any]) -> CsvSource | None:
    """Open what begins with ``csv:``; leave everything else to others."""
    return CsvSource(url) if url.startswith("csv:") else None
