"""The entries that a user found wrong: they are left out, and can be exported for those who keep the table."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ra_sdk import config
from ra_sdk.errors import BadKnowledge

__all__ = ["ids", "leave_out", "rows", "use_again"]


def ids() -> frozenset[str]:
    """The ids of entries that are left out."""
    return frozenset(row["id"] for row in rows())


def rows() -> list[dict[str, Any]]:
    """What was marked: ``id``, ``template`` and ``at`` of each. Raises BadKnowledge for a file that is not ours."""
    path = _path()
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [_row(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        return {"id": str(row["id"]), "template": row.get("template"), "at": row.get("at")}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadKnowledge(f"{where}: must be a JSON object with `id`, got {line!r}; mend or remove the line") from error


def leave_out(name: str, template: str) -> None:
    """Leave an entry out from now on."""
    if name not in ids():
        _write([*rows(), {"id": name, "template": template, "at": datetime.now(timezone.utc).isoformat(timespec="seconds")}])


def use_again(name: str, _template: str) -> None:
    """Use an entry again that was left out."""
    _write([row for row in rows() if row["id"] != name])


def _write(found: list[dict[str, Any]]) -> None:
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")


def _path() -> Path:
    return config.directory() / "knowledge" / "left-out.jsonl"
