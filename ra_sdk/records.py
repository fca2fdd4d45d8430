"""The nouns: LogRecord, Template, Verdict, Detection, Session. Frozen, no behaviour beyond text.

Names and severities are those of the OpenTelemetry log data model
(https://opentelemetry.io/docs/specs/otel/logs/data-model/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ra_sdk.blocks import Detections

__all__ = ["CATEGORIES", "SEVERITIES", "Detection", "Label", "LogRecord", "Session", "Template", "Verdict"]

Label = Literal["normal", "abnormal", "undecided"]
SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
CATEGORIES = ("hardware", "network", "software", "system", "security")


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One log record: the body that is mined and judged, and the fields that stay with it.

    ``timestamp`` is timezone-aware (UTC where the log names no zone); ``severity`` is one of
    ``SEVERITIES`` or None; ``attributes`` are what else the line carried (host, component, pid…).
    """

    body: str
    timestamp: datetime | None = None
    severity: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.body


@dataclass(frozen=True, slots=True)
class Template:
    """A mined template: its masked ``text``, and the records (``count``) that were mined to it."""

    text: str
    count: int = 0

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was said of a template.

    ``score`` is P(abnormal) in 0..1, None if and only if ``label`` is undecided. ``category`` is one of
    ``CATEGORIES`` for abnormal ones, else None. ``rationale`` speaks of the template, placeholders and all;
    ``grounded`` is False when it names a specific that the template lacks, None without a rationale.
    ``mode``: direct or think (the model), rule (no words to judge), override (an operator), none (not judged).
    """

    template: str
    label: Label = "undecided"
    score: float | None = None
    category: str | None = None
    rationale: str | None = None
    grounded: bool | None = None
    mode: str = "none"
    model: str | None = None

    @property
    def abnormal(self) -> bool:
        """Whether the label is abnormal."""
        return self.label == "abnormal"

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary that JSON can carry."""
        return asdict(self)

    def __str__(self) -> str:
        score = "" if self.score is None else f" {self.score:.2f}"
        return f"{self.label}{score}: {self.rationale or self.template}"


class Detection(tuple["Detections", int]):
    """A record with its verdict: a row of a block of detections. Its fields are built when asked for.

    A tuple, because millions a second are made of it; ``Detections.of`` makes one by hand.
    """

    __slots__ = ()

    @property
    def record(self) -> LogRecord:
        """The record, as it was read."""
        return self[0].record(self[1])

    @property
    def verdict(self) -> Verdict:
        """The verdict of the record's template, about the template."""
        return self[0].verdict(self[1])

    @property
    def abnormal(self) -> bool:
        """Whether the verdict is abnormal."""
        return self[0].verdict(self[1]).label == "abnormal"

    @property
    def template(self) -> str:
        """Text of the template that the record was mined to."""
        return self[0].verdict(self[1]).template

    @property
    def rationale(self) -> str | None:
        """The verdict's rationale with this record's own values in place of placeholders."""
        return self[0].rationale(self[1])

    @property
    def cached(self) -> bool:
        """Whether the verdict was in the store before this run."""
        return self[0].cached(self[1])

    @property
    def source(self) -> str:
        """The source as the user named it."""
        return self[0].source

    @property
    def line(self) -> int:
        """First physical line (1-based) of the record; the position in an iterable."""
        return self[0].line(self[1])

    @property
    def last_line(self) -> int:
        """Last physical line (1-based) of the record."""
        return self[0].last_line(self[1])

    def to_dict(self) -> dict[str, Any]:
        """The object of ``ra detect --output jsonl``: keys and types as documented there."""
        return self[0].to_dict(self[1])

    def __str__(self) -> str:
        verdict = self.verdict
        score = "" if verdict.score is None else f" {verdict.score:.2f}"
        return f"{self.source}:{self.line} {verdict.label}{score} {self.record.body}"


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
