"""The nouns: LogRecord, Template, Verdict, Detection, Session. They are not changed once made, and have no behaviour beyond text.

Names and severities are those of the OpenTelemetry log data model
(https://opentelemetry.io/docs/specs/otel/logs/data-model/).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from ra_sdk.slabs import Slab

__all__ = [
    "CATEGORIES",
    "SEVERITIES",
    "THRESHOLDS",
    "Detection",
    "Label",
    "LogRecord",
    "ReasonSource",
    "Sensitivity",
    "Session",
    "Severity",
    "Template",
    "TemplateKey",
    "Verdict",
    "quotes",
]

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


class Detection:
    """A record with its verdict.

    Small, and apart from a few rows beside it nothing is held with it: detections can be collected, hashed, compared, pickled and copied.
    Two are equal if source, position, body and verdict are. Fields are read when asked for. Sorting puts them in the order of their source.
    """

    __slots__ = ("_row", "_slab")

    def __init__(self, slab: Slab, row: int) -> None:
        self._slab = slab
        self._row = row

    @classmethod
    def of(
        cls,
        record: LogRecord,
        verdict: Verdict,
        *,
        source: str = "",
        identity: str | None = None,
        line: int = 1,
        last_line: int | None = None,
        cached: bool = False,
    ) -> Detection:
        """A detection made by hand."""
        from ra_sdk.slabs import Slab

        return Slab.of(source, source if identity is None else identity, record, verdict, (line, last_line or line), cached)[0]

    @property
    def body(self) -> str:
        """The record's body."""
        return self._slab.rows.bodies[self._row]

    @property
    def timestamp(self) -> datetime | None:
        """The record's time, with its zone."""
        return self._slab.rows.fields[self._row][0]

    @property
    def severity(self) -> str | None:
        """The record's severity, one of ``SEVERITIES``."""
        return self._slab.rows.fields[self._row][1]

    @property
    def attributes(self) -> dict[str, Any]:
        """What else the record carried."""
        text = self._slab.rows.fields[self._row][2]
        attributes: dict[str, Any] = json.loads(text) if text else {}
        return attributes

    @property
    def record(self) -> LogRecord:
        """The record, as it was read."""
        return LogRecord(self.body, self.timestamp, self.severity, self.attributes)

    @property
    def verdict(self) -> Verdict:
        """The verdict of the record's template, about the template."""
        return self._slab.verdicts[self._row]

    @property
    def label(self) -> Label:
        """The verdict's label."""
        return self._slab.verdicts[self._row].label

    @property
    def abnormal(self) -> bool:
        """Whether the verdict is abnormal."""
        return self._slab.verdicts[self._row].label == "abnormal"

    @property
    def score(self) -> float | None:
        """The verdict's score, P(abnormal)."""
        return self._slab.verdicts[self._row].score

    @property
    def category(self) -> str | None:
        """The verdict's category."""
        return self._slab.verdicts[self._row].category

    @property
    def grounded(self) -> bool | None:
        """Whether the rationale names nothing that the template lacks."""
        return self._slab.verdicts[self._row].grounded

    @property
    def mode(self) -> str:
        """How the verdict was made."""
        return self._slab.verdicts[self._row].mode

    @property
    def template(self) -> str:
        """Text of the template that the record was mined to."""
        return self._slab.verdicts[self._row].template

    @property
    def rationale(self) -> str | None:
        """The verdict's rationale with this record's own values in place of placeholders."""
        return self._slab.rationale(self._row)

    @property
    def evidence(self) -> list[str]:
        """The words of this record that the rationale quotes."""
        return quotes(self.rationale)

    @property
    def cached(self) -> bool:
        """Whether the verdict was in the store before this run."""
        return self._slab.rows.known[self._row]

    @property
    def source(self) -> str:
        """The source as the user named it."""
        return self._slab.source

    @property
    def line(self) -> int:
        """First physical line (1-based) of the record; the position in an iterable."""
        return self._slab.rows.lines[self._row]

    @property
    def last_line(self) -> int:
        """Last physical line (1-based) of the record."""
        return self._slab.rows.last_lines[self._row]

    def to_dict(self) -> dict[str, Any]:
        """The object of ``ra detect --output jsonl``: keys and types as documented there."""
        timestamp = self.timestamp
        return {
            "source": self.source,
            "line": self.line,
            "last_line": self.last_line,
            "timestamp": timestamp.isoformat() if timestamp else None,
            "severity": self.severity,
            "body": self.body,
            "attributes": self.attributes,
            "template": self.template,
            "label": self.label,
            "score": self.score,
            "category": self.category,
            "rationale": (rationale := self.rationale),
            "evidence": quotes(rationale),
            "reason_source": self.verdict.reason_source,
            "knowledge": list(self.verdict.knowledge),
            "checks": list(self.verdict.checks),
            "links": list(self.verdict.links),
            "grounded": self.grounded,
            "mode": self.mode,
            "cached": self.cached,
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Detection):
            return NotImplemented
        return self._place == other._place and self.body == other.body and self.verdict == other.verdict

    def __hash__(self) -> int:
        return hash((self._place, self.body))

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Detection):
            return NotImplemented
        return self._place < other._place

    @property
    def _place(self) -> tuple[str, str, int, int]:
        return self.source, self._slab.identity, self.line, self.last_line

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.record, self.verdict, self.source, self._slab.identity, self.line, self.last_line, self.cached)

    def __repr__(self) -> str:
        return f"Detection({self.source!r}, line={self.line}, label={self.label!r}, score={self.score}, body={self.body!r})"

    def __str__(self) -> str:
        score = "" if self.score is None else f" {self.score:.2f}"
        return f"{self.source}:{self.line} {self.label}{score} {self.body}"


def quotes(rationale: str | None) -> list[str]:
    """What stands in double quotes in a rationale: words of the line, or of its template."""
    return (rationale or "").split('"')[1::2]


def _restored(record: LogRecord, verdict: Verdict, source: str, identity: str, line: int, last_line: int, cached: bool) -> Detection:
    """A detection that was pickled or copied."""
    return Detection.of(record, verdict, source=source, identity=identity, line=line, last_line=last_line, cached=cached)


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
