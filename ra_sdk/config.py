"""Where a user's own files are (formats, masks, knowledge, tokens), and how the TOML ones are read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["directory", "read_toml"]


def directory() -> Path:
    """The configuration directory: ``RA_CONFIG_DIR``, or else the platform's usual place. It need not exist."""
    from platformdirs import user_config_dir

    return Path(os.environ.get("RA_CONFIG_DIR") or user_config_dir("ra_sdk")).expanduser()


def read_toml(path: Path, error: type[Exception]) -> dict[str, Any]:
    """The tables of a TOML file. Raises ``error``, which names the file and the reason, if it cannot be used."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise error(f"{path}: cannot be read: {fault.strerror}; give the path of a TOML file") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise error(f"{path}: is not valid TOML: {fault}") from fault
    return table
