"""The source of the systemd journal, through ``journalctl``, whose cursors are its checkpoints."""

from __future__ import annotations

import os
import re
import select
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl

from ra_sdk.errors import BadOption, SourceError
from ra_sdk.hookspecs import Items
from ra_sdk.sources.checkpoints import Checkpoint
from ra_sdk.sources.files import polling

__all__ = ["JournalSource"]

PIECE = 1 << 20  # bytes of journalctl's output that are taken at once
WAIT_SECONDS = 0.2
_CURSOR = re.compile(rb'"__CURSOR"\s*:\s*"(s=([0-9a-f]+);i=([0-9a-f]+)[^"]*)"')
_OPTIONS = {"unit": "--unit", "user_unit": "--user-unit", "priority": "--priority", "identifier": "--identifier", "boot": "--boot", "since": "--since"}


class JournalSource:
    """``journald:``, with options as in ``journald:unit=ssh.service&priority=err``; several units are read together.

    ``journald:/path`` reads a journal file, or the files of a folder; options follow behind a question mark. Options: ``unit``, ``user_unit``,
    ``priority``, ``identifier``, ``boot`` and ``since``, as ``journalctl`` has them. With ``follow``, it waits for more. A record is known by
    its sequence number, so its sink id is always the same. Raises SourceError, BadOption, and StoreError for the checkpoint.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        options = options or {}
        self.name = self.identity = url
        self.live, _, self._stop = polling(options)
        self._checkpoint = Checkpoint(Path(options["checkpoint"]), url) if options.get("checkpoint") else None
        self.resumable = self._checkpoint is not None
        self._closed = self._reading = False
        saved = (self._checkpoint and self._checkpoint.entry) or {}
        command = ["journalctl", "--output=json", "--all", "--no-pager", "--quiet", *_arguments(url)]
        command += ["--follow", "--no-tail"] if self.live else []
        command += [f"--after-cursor={saved['cursor']}"] if "cursor" in saved else []
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  closed with the source
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._complaints)  # noqa: S603
            self._output: IO[bytes] = self._process.stdout  # type: ignore[assignment]  # it is a pipe
        except OSError as error:
            self._complaints.close()
            raise SourceError(f"{url!r} cannot be read: journalctl cannot be started ({error.strerror}); install systemd, or name a file") from error

    def __iter__(self) -> Iterator[Items]:
        rest, self._reading = b"", True
        with self._output as stream:
            while chunk := self._chunk(stream.fileno()):
                whole, newline, rest = (rest + chunk).rpartition(b"\n")
                if newline:
                    yield from self._items(whole.split(b"\n"))
        if not self._closed and self._process.wait():
            self._complaints.seek(0)
            reason = self._complaints.read().decode("utf-8", "replace").strip().replace("\n", "; ")
            raise SourceError(f"{self.name!r} cannot be read: journalctl says {reason!r}; check the options and the permissions")

    def acknowledge(self, checkpoint: object) -> None:
        """Write the cursor down, atomically."""
        if self._checkpoint is not None:
            self._checkpoint.put({"identity": self.name, "cursor": str(checkpoint)})

    def close(self) -> None:
        """End journalctl."""
        self._closed = True
        self._process.kill()  # which ends the output, if it is being read
        self._process.wait()
        if not self._reading:
            self._output.close()
        self._complaints.close()

    def _chunk(self, output: int) -> bytes:
        """What journalctl has written; empty at its end, and when the source is stopped."""
        while not select.select([output], [], [], WAIT_SECONDS)[0]:
            if self._stop.is_set():
                self.close()
                return b""
        return os.read(output, PIECE)

    def _items(self, lines: list[bytes]) -> Iterator[Items]:
        found = [(match[2], match, line) for line in lines if (match := _CURSOR.search(line))]
        for journal, group in groupby(found, lambda each: each[0]):
            members = list(group)
            texts = [line.decode("utf-8", "replace") for _, _, line in members]
            numbers = [int(match[3], 16) for _, match, _ in members]
            yield Items(texts, numbers, f"journald-{journal.decode()}", members[-1][1][1].decode(), "journald")


def _arguments(url: str) -> list[str]:
    rest = url.removeprefix("journald:").removeprefix("//")
    path, _, query = rest.partition("?") if rest.startswith(("/", ".")) else ("", "", rest.removeprefix("?"))
    arguments = []
    if path:
        if not Path(path).exists():
            raise SourceError(f"{url!r} cannot be read: {path!r} does not exist; name a journal file, or a folder of journal files")
        arguments.append(f"--directory={path}" if Path(path).is_dir() else f"--file={path}")
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _OPTIONS:
            raise BadOption(f"{url!r}: {key!r} is not an option of journald; choose from {', '.join(_OPTIONS)}, as in journald:unit=ssh.service&priority=err")
        arguments.append(f"{_OPTIONS[key]}={value}")
    return arguments
