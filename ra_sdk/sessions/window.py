"""How detections are grouped, and what a group of them is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ra_sdk.errors import BadOption

if TYPE_CHECKING:
    from ra_sdk.detections import Detection
    from ra_sdk.records import Label

__all__ = ["Session", "Window"]

MOST_OVERLAP = 1_000  # windows that one record may lie in
LONGEST_SECONDS = 1e10  # three centuries; times are counted in microseconds of 64 bits
_UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)")
_NAME = re.compile(r"[A-Za-z_@][\w.@/-]*")


@dataclass(frozen=True, slots=True)
class Window:
    """How detections are grouped: ``lines`` (records), ``seconds`` of their timestamps, or ``key``, the name of an attribute.

    ``key`` alone makes one session of all records with the same value (those without it are together, in key None); with ``lines`` or
    ``seconds`` it makes windows within each value. Dots in the name are part of it, or else lead into nested attributes. A key closes
    at the end of the input, or when more than 100,000 are open and it was silent longest.

    ``step`` less than the size makes windows slide; None: they follow each other. Windows of seconds begin at multiples of the step
    from the epoch. One closes when a record comes that is a whole window past its end; a record that comes later still goes to the
    oldest that is open. A record without a time goes with the one before.

    Raises BadOption.
    """

    lines: int | None = None
    seconds: float | None = None
    key: str | None = None
    step: float | None = None

    def __post_init__(self) -> None:
        if self.lines is not None and self.seconds is not None:
            raise BadOption(f"window of lines={self.lines!r} and seconds={self.seconds!r} cannot be both; give one of them")
        if self.lines is None and self.seconds is None and self.key is None:
            raise BadOption("window None has no size; give one of lines, seconds and key, as in Window(lines=100)")
        if self.key is not None and (not isinstance(self.key, str) or not self.key or re.search(r'["\'\\\x00-\x1f]', self.key)):
            raise BadOption(f"window key={self.key!r} is no attribute's name; give one, as in key='trace_id'")
        name = "lines" if self.seconds is None else "seconds"
        size = getattr(self, name)
        if size is not None:
            self._check_sizes(name, size)
        elif self.step is not None:
            raise BadOption(f"window step={self.step!r} has no size to fit; give lines or seconds, or no step")

    def _check_sizes(self, name: str, size: float) -> None:
        kind = "a whole number of records" if name == "lines" else "a number of seconds"
        if not _is_size(size, whole=name == "lines"):
            raise BadOption(f"window {name}={size!r} is no size; give {kind} above 0")
        if self.step is None:
            return
        if not _is_size(self.step, whole=name == "lines") or self.step > size:
            raise BadOption(f"window step={self.step!r} does not fit {name}={size!r}; give {kind} above 0 and not above the size")
        if size / self.step > MOST_OVERLAP:
            raise BadOption(f"window step={self.step!r} puts a record into {size / self.step:.0f} windows; give at least {size / MOST_OVERLAP:g}")

    @classmethod
    def parse(cls, text: str) -> Window:
        """A window as the command line names it: ``100`` (records), ``60s`` or ``5m`` (time), ``trace_id`` or ``key=trace_id``.

        A second number is the step: ``100/10``, ``60s/10s``.
        """
        text = text.strip()
        if text.startswith("key="):
            return cls(key=text[4:].strip())
        size, slash, step = text.partition("/")
        sizes = [_amount(part) for part in ([size, step] if slash else [size])]
        if {kind for kind, _ in sizes} == {"lines"}:
            return cls(lines=int(sizes[0][1]), step=int(sizes[1][1]) if step else None)
        if {kind for kind, _ in sizes} == {"seconds"}:
            return cls(seconds=sizes[0][1], step=sizes[1][1] if step else None)
        if _NAME.fullmatch(text):
            return cls(key=text)
        raise BadOption(f"window {text!r} is not understood; give 100 (records), 60s or 5m (time), or key=trace_id (attribute)")


def _is_size(value: object, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return False
    return value >= 1 if whole else 1e-6 <= value <= LONGEST_SECONDS


def _amount(text: str) -> tuple[str, float]:
    match = _AMOUNT.fullmatch(text.strip())
    if match and match[2] in ("", "line", "lines") and "." not in match[1]:
        return "lines", int(match[1])
    if match and match[2] in _UNITS:
        return "seconds", float(match[1]) * _UNITS[match[2]]
    return "", 0.0


@dataclass(frozen=True, slots=True)
class Session:
    """A window of detections with its own verdict.

    ``key`` is the attribute's value for keyed windows, else None. ``score`` is the highest of its detections
    (None when none was judged); ``evidence`` has the abnormal detections, worst first.
    """

    source: str
    first_line: int
    last_line: int
    key: str | None
    label: Label
    score: float | None
    evidence: Sequence[Detection]
    count: int

    @property
    def abnormal(self) -> bool:
        """Whether any detection of the window is abnormal."""
        return self.label == "abnormal"

    def to_dict(self) -> dict[str, Any]:
        """The object of ``ra detect --output sessions``."""
        return {
            "source": self.source,
            "first_line": self.first_line,
            "last_line": self.last_line,
            "key": self.key,
            "label": self.label,
            "score": self.score,
            "evidence": [detection.to_dict() for detection in self.evidence],
        }

    def __str__(self) -> str:
        where = f"{self.source}:{self.first_line}-{self.last_line}"
        return f"{where} {self.label}, {len(self.evidence)} of {self.count} records are evidence"
