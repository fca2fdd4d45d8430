"""A distillation's books: what it may cost, what it was made of, and which rows are done."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from ra_training.asking import DistilConfig
from ra_training.corpus import digest
from ra_training.record import Run
from ra_training.teacher import PROMPT_SHA256, Asked, shown_url

__all__ = ["Budget", "Files", "begin"]

_FIXED = ("teacher", "prompt_sha256", "label", "names_sha256", "templates")  # what a run may not change on its way


class Budget:
    """What a run may cost. Tokens are set aside before a request and settled after it, so that requests in flight do not pass the limit together."""

    def __init__(self, rows: int | None = None, tokens: int | None = None, seconds: float | None = None) -> None:
        self.rows, self.tokens = rows, tokens
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self.used = 0
        self._aside = 0
        self._lock = threading.Lock()

    def spent(self, rows: int) -> str | None:
        """The limit that keeps another row from being asked for, but for tokens."""
        if self.rows is not None and rows >= self.rows:
            return f"--most-rows {self.rows}"
        return "--most-seconds" if self.deadline is not None and time.monotonic() >= self.deadline else None

    def reserve(self, tokens: int) -> bool:
        """Set tokens aside; False if they are more than is left."""
        with self._lock:
            if self.tokens is not None and self.used + self._aside + tokens > self.tokens:
                return False
            self._aside += tokens
            return True

    def settle(self, reserved: int, used: int) -> None:
        """What a request for which ``reserved`` tokens were set aside came to."""
        with self._lock:
            self._aside -= reserved
            self.used += used


class Files:
    """The two files of rows, open for more."""

    def __init__(self, out: Path) -> None:
        (out / "corpus").mkdir(parents=True, exist_ok=True)
        self._accepted, good = _healed(out / "corpus" / "general.jsonl")
        self._rejected, bad = _healed(out / "rejected.jsonl")
        self.done = good | bad

    def accept(self, row: dict[str, Any]) -> None:
        """Write a row of the corpus."""
        self._write(self._accepted, row)

    def reject(self, asked: Asked, reasons: list[str], reply: str | None) -> None:
        """Write a message that no row came of, and why."""
        row = {"id": asked.id, "system": asked.system, "message": asked.message, "label": asked.label, "reasons": reasons, "reply": reply}
        self._write(self._rejected, row)

    def close(self) -> None:
        """Close both."""
        self._accepted.close()
        self._rejected.close()

    @staticmethod
    def _write(file: Any, row: dict[str, Any]) -> None:
        file.write((json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
        file.flush()


def _healed(path: Path) -> tuple[Any, set[str]]:
    """A file of rows, open at its end, and the ids in it. A last line that was cut off is taken away: its row is asked for again."""
    path.touch()
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        try:
            json.loads(content[len(whole) :])
        except ValueError:
            os.truncate(path, len(whole))
        else:  # only its newline was lost
            whole = content + b"\n"
            path.write_bytes(whole)
    try:
        ids = {str(json.loads(line)["id"]) for line in whole.split(b"\n") if line.strip()}
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{str(path)!r} has a line that is no row: {error!r}; repair it, or give another --out") from error
    return path.open("ab"), ids


def begin(run: Run, config: DistilConfig) -> None:
    """Write down what the run is made of. Raises SystemExit if it goes on with something else than it began with."""
    made = {
        "stage": "distil",
        "teacher": {"gguf_sha256": digest(config.gguf)} if config.gguf else {"model": config.model},
        "where": str(config.gguf) if config.gguf else shown_url(str(config.endpoint)),
        "key_from": config.key_from,
        "source": str(config.source),
        "source_sha256": digest(config.source),
        "prompt_sha256": PROMPT_SHA256,
        "names_sha256": digest(config.names) if config.names else None,
        **{
            name: getattr(config, name)
            for name in ("label", "system", "split", "dev", "templates", "format", "temperature", "reply_tokens", "tries", "parallel")
        },
        **{name: getattr(config, name) for name in ("most_rows", "most_tokens", "most_seconds")},
    }
    before = run.config()
    changed = [key for key in _FIXED if before and before.get(key) != made[key]]
    if changed:
        raise SystemExit(f"run {str(run.path)!r} cannot go on, it differs in {', '.join(changed)}; give another --out")
    run.path.mkdir(parents=True, exist_ok=True)
    (run.path / "config.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
