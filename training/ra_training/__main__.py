"""``python -m ra_training``: the same as ``ra-train``."""

from __future__ import annotations

import sys

from ra_training.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
