"""The nouns: LogRecord, Template, Verdict. They are not changed once made, and have no behaviour beyond text.

Names and severities are those of the OpenTelemetry log data model
(https://opentelemetry.io/docs/specs/otel/logs/data-model/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

__all__ = [
    "CATEGORIES",
    "SEVERITIES",
    "THRESHOLDS",
    "Label",
    "LogRecord",
    "Mode",
    "ReasonSource",
    "Sensitivity",
    "Severity",
    "Template",
    "TemplateKey",
    "Verdict",
    "quotes",
]

Mode = Literal["direct", "think"]
Label = Literal["normal", "abnormal", "undecided"]
ReasonSource = Literal["runbook", "statement", "phrase", "quote", "model"]
Severity = Literal["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
Sensitivity = Literal["low", "default", "high"]
THRESHOLDS: dict[Sensitivity, float] = {"low": 0.8, "default": 0.5, "high": 0.3}  # scores from which a verdict is abnormal, unless the model has its own
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


class TemplateKey(NamedTuple):
    """What a verdict is about: a template's ``text``, and the ``severity`` of its records (None: unknown, or not shown to the model)."""

    text: str
    severity: str | None = None


_REASONS: dict[str, ReasonSource] = {"direct": "quote", "think": "model"}  # by mode: whose words a model's rationale is


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was said of a template.

    ``score`` is P(abnormal) in 0..1, None if and only if ``label`` is undecided. ``category`` is one of
    ``CATEGORIES`` for abnormal ones that a model has explained, else None. ``rationale`` speaks of the template, placeholders and all;
    ``grounded`` is False when it names a specific that the template lacks, None without a rationale.
    ``mode``: direct or think (the model), rule (no words to judge), override (an operator), none (not judged).

    ``reason_source``: where the rationale is from: an entry of the knowledge table (runbook, statement, phrase), the words on which the verdict
    hangs (quote), the model's own reasoning (model), None without a rationale and for an operator's own. ``knowledge``: ids of the entries;
    ``checks`` and ``links``: first looks, and pages to read, of these.

    ``severity``: the severity that the model was shown with the template, one of ``SEVERITIES``; None where the records have none, or the model
    is not shown it.
    """

    template: str
    label: Label = "undecided"
    score: float | None = None
    category: str | None = None
    rationale: str | None = None
    grounded: bool | None = None
    mode: str = "none"
    model: str | None = None
    reason_source: ReasonSource | None = None
    knowledge: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    severity: str | None = None

    def __post_init__(self) -> None:
        if self.rationale and self.reason_source is None:
            object.__setattr__(self, "reason_source", _REASONS.get(self.mode))

    @property
    def evidence(self) -> list[str]:
        """The words of the template that the rationale quotes."""
        return quotes(self.rationale)

    @property
    def key(self) -> TemplateKey:
        """What the verdict is about."""
        return TemplateKey(self.template, self.severity)

    @property
    def abnormal(self) -> bool:
        """Whether the label is abnormal."""
        return self.label == "abnormal"

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary that JSON can carry."""
        lists = {name: list(getattr(self, name)) for name in ("knowledge", "checks", "links")}
        return asdict(self) | lists | {"evidence": self.evidence}

    def __str__(self) -> str:
        score = "" if self.score is None else f" {self.score:.2f}"
        return f"{self.label}{score}: {self.rationale or self.template}"


def quotes(rationale: str | None) -> list[str]:
    """What stands in double quotes in a rationale: words of the line, or of its template."""
    return (rationale or "").split('"')[1::2]
