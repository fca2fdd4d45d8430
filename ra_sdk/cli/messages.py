"""What the commands have in common: exit codes, and how errors and troubles are told on standard error."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ra_sdk.errors import RaError, UsageError
from ra_sdk.text import visible

__all__ = ["FINE", "FOUND", "INTERRUPTED", "LOOK", "NO_READER", "USAGE", "WORLD", "complain", "say", "troubles_told"]

FINE, WORLD, USAGE, FOUND, INTERRUPTED, NO_READER = 0, 1, 2, 3, 130, 141


@dataclass
class _Shown:
    """How output looks: coloured or not (None: as it is usual there), with progress bars or without."""

    color: bool | None = None
    progress: bool = True


LOOK = _Shown()


def say(message: str) -> None:
    """A line on standard error."""
    print(f"ra: {visible(message)}", file=sys.stderr, flush=True)


def complain(error: RaError) -> int:
    """An error as a line on standard error; its exit code."""
    say(str(error))
    return USAGE if isinstance(error, UsageError) else WORLD


@contextmanager
def troubles_told() -> Iterator[None]:
    """Meanwhile, what the library logs and warns of stands on standard error, a line each."""
    handler, logger = _Telling(), logging.getLogger("ra_sdk")
    before = logger.level
    logger.addHandler(handler)
    LOOK.color, LOOK.progress = None, True
    try:
        with warnings.catch_warnings():
            for kind in (RuntimeWarning, UserWarning):
                warnings.simplefilter("always", kind)
            warnings.showwarning = lambda message, *_: logger.warning("%s", message)
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Telling(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"{record.levelname.lower()}: {record.getMessage()}")
