"""A run's written record: what it was made of, how it went, and where it can go on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Run"]

_FIXED = (  # what a run may not change on its way; a stage that has no such thing has none before and after
    *("stage", "base_sha256", "adapter_sha256", "corpus", "rank", "alpha", "layers", "seed", "batch", "mixture", "prompt_version"),
    *("mode", "prompts", "group", "temperature", "kl", "think_tokens", "hostile", "weights", "outcomes", "choices_sha256", "choice_share", "pair_share"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """A run's directory: ``config.json``, ``metrics.jsonl``, ``checkpoint.pt``, and ``adapter/`` in peft's form."""

    path: Path

    @property
    def adapter(self) -> Path:
        """The adapter of the last checkpoint."""
        return self.path / "adapter"

    @property
    def checkpoint(self) -> Path:
        """Everything that is needed to go on."""
        return self.path / "checkpoint.pt"

    def begin(self, config: dict[str, Any], *, resume: bool) -> None:
        """Make the directory and write the configuration. Raises SystemExit if a run is there already and is not resumed, or was another one."""
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / "config.json"
        if resume and self.checkpoint.is_file():
            before = json.loads(file.read_text(encoding="utf-8"))
            changed = [key for key in _FIXED if before.get(key) != config.get(key)]
            if changed:
                raise SystemExit(f"run {str(self.path)!r} cannot go on, it differs in {', '.join(changed)}; give another --out")
        elif self.checkpoint.is_file():
            raise SystemExit(f"run {str(self.path)!r} is there already; give --resume, or another --out")
        file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def config(self) -> dict[str, Any]:
        """The configuration as it was written; empty if there is none."""
        file = self.path / "config.json"
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        return found

    def log(self, **figures: Any) -> None:
        """Add a line to the metrics."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")
