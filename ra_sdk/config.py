"""Where a user's own files are: formats, masks, tokens."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["directory"]


def directory() -> Path:
    """The configuration directory: ``RA_CONFIG_DIR``, or else the platform's usual place. It need not exist."""
    from platformdirs import user_config_dir

    return Path(os.environ.get("RA_CONFIG_DIR") or user_config_dir("ra_sdk")).expanduser()
