"""What goes wrong while the work goes on is logged, to the logger ``ra_sdk``: the library decides neither where that goes nor whether.

What is wrong with a call is raised instead.
"""

from __future__ import annotations

import logging
import threading
import time

__all__ = ["LOG", "RateLimited"]

LOG = logging.getLogger("ra_sdk")
LOG.addHandler(logging.NullHandler())

EVERY_S = 10.0


class RateLimited:
    """Logs each kind of trouble at once, and while it lasts every ``every_s`` seconds with the number of times in between."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._lock = threading.Lock()
        self._said: dict[str, tuple[float, int]] = {}  # kind: when it was last logged, how often it came since

    def warning(self, kind: str, message: str) -> None:
        """Log ``message``, unless one of its ``kind`` was logged a moment ago. Kinds are few; messages may differ each time."""
        now = time.monotonic()
        with self._lock:
            at, held = self._said.get(kind, (float("-inf"), 0))
            due = now - at >= self._every_s
            self._said[kind] = (now, 0) if due else (at, held + 1)
        if due:
            LOG.warning("%s%s", message, f" (and {held} more times since this was last logged)" if held else "")
