"""The wire format of ``/v1``, as types: what a request may be, and what an answer is. ``plugins/contract`` has it in files.

msgspec reads straight into these, and what is not named here is passed over without being built, so that a body of a few megabytes
cannot become a hundred times that in memory.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ra_sdk.formats.patterns import severity_of
from ra_sdk.formats.structured import HINTS, completed, uncoloured
from ra_sdk.knowledge.who import NAMING, NOBODY, named
from ra_sdk.records import Label, ReasonSource, Severity, Verdict
from ra_sdk.service.limits import MOST_WAIT_MS, Limits
from ra_sdk.templates.fill import fill

if TYPE_CHECKING:
    from ra_sdk.service.batches import Judged

__all__ = ["Answer", "Ask", "Failure", "Page", "Record", "Refusal", "decode", "encode_answer", "entry", "names_of", "severities_of", "texts_of"]

FILL_S = 0.25  # of one answer: a rationale whose placeholders would take longer keeps them
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL)
_T = TypeVar("_T")


class Refusal(Exception):
    """A request that is not answered as it was meant: HTTP ``status``, a ``code`` for programs, a message for people."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})


class Record(Struct, gc=False):
    """A log record; ``severity`` and ``attributes`` have OpenTelemetry's names. The model does not see attributes; reasons heed the program that they name."""

    body: Annotated[str, Meta(description="The message, without the header that a logger puts before it.")]
    severity: Annotated[str, Meta(description="Such as INFO, in any spelling; evidence for a model that reads it.")] | None = None
    attributes: (
        Annotated[
            dict[str, msgspec.Raw],
            Meta(
                description="What else the record carries. An exception's message and stack trace complete the body, names of the program help to choose "
                "the reason; the rest is passed over."
            ),
        ]
        | None
    ) = None


class Ask(Struct):
    """A batch of records, and what is wanted of the answer."""

    records: list[Record]
    wait_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=MOST_WAIT_MS,
            description="How long to wait for templates that were not judged yet; what takes longer is undecided, and judged all the same.",
        ),
    ] = 0
    fill: Annotated[bool, Meta(description="Whether records have the rationale in their own words, where that differs from the verdict's.")] = True


class Reference(Struct, omit_defaults=True):
    """What is said of one record."""

    verdict: Annotated[int, Meta(ge=0, description="Index into verdicts.")]
    rationale: Annotated[str, Meta(description="The verdict's rationale with this record's values; absent where it would be the same.")] | UnsetType = UNSET


class Entry(Struct):
    """A verdict on a template; see ``ra_sdk.Verdict``. ``key`` is what it is asked for by."""

    key: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    template: str
    label: Label
    score: Annotated[float, Meta(ge=0, le=1)] | None
    category: Literal["hardware", "network", "software", "system", "security"] | None
    rationale: str | None
    grounded: bool | None
    mode: str
    model: str | None
    evidence: Annotated[list[str], Meta(description="The words of the template that the rationale quotes.")]
    reason_source: Annotated[ReasonSource | None, Meta(description="Where the rationale is from.")]
    knowledge: Annotated[list[str], Meta(description="Ids of the entries that it is from.")]
    checks: Annotated[list[str], Meta(description="First looks, none of which changes anything.")]
    links: list[str]
    severity: Annotated[Severity | None, Meta(description="The severity that the model was shown; null for none, or a model that is not shown it.")]


class Answer(Struct):
    """One reference for every record, in order, and each distinct verdict once."""

    records: list[Reference]
    verdicts: list[Entry]


class Listed(Struct):
    """A template: how many records were mined to it, and its verdict."""

    count: Annotated[int, Meta(ge=0)]
    verdict: Entry


class Page(Struct):
    """A page of templates. ``total``: of all pages; ``next``: the offset of the next page, null on the last."""

    total: Annotated[int, Meta(ge=0)]
    templates: list[Listed]
    next: int | None


class Fault(Struct):
    """``code`` is for programs, ``message`` for people."""

    code: str
    message: str


class Failure(Struct):
    """Every answer that reports an error."""

    error: Fault


def decode(data: bytes, kind: type[_T]) -> _T:
    """JSON as one of the types. Raises Refusal: 400 for invalid JSON, 422 for JSON of another shape."""
    try:
        return _decode(data, kind)
    except msgspec.ValidationError as error:
        raise Refusal(422, "wrong_shape", f"{error}; see /openapi.json for what belongs there") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refusal(400, "no_json", f"the body ({len(data)} bytes) is not valid JSON: {error}; send one JSON object in UTF-8") from error


def texts_of(ask: Ask, limits: Limits) -> list[str]:
    """What is mined of the records. Raises Refusal for too many, or one that is too long."""
    if len(ask.records) > limits.batch:
        raise Refusal(413, "batch_too_large", f"{len(ask.records)} records are more than the {limits.batch} of one batch; send smaller ones")
    texts = [uncoloured(record.body if not record.attributes else _with_cause(record.body, record.attributes)) for record in ask.records]
    for place, text in enumerate(texts):
        if len(text) > limits.line:
            raise Refusal(413, "line_too_long", f"record {place} has {len(text)} characters, more than {limits.line}; cut it, or send the batch without it")
    return texts


def names_of(ask: Ask) -> list[frozenset[str]]:
    """For each record the names that its attributes have for the program that wrote it."""
    known: dict[tuple[Any, ...], frozenset[str]] = {}
    return [_called(record.attributes, known) if record.attributes else NOBODY for record in ask.records]


def severities_of(ask: Ask) -> list[str | None]:
    """The short name of each record's severity, None where it has none or an unknown one."""
    return [severity_of(record.severity) if record.severity else None for record in ask.records]


def _called(attributes: Mapping[str, msgspec.Raw], known: dict[tuple[Any, ...], frozenset[str]]) -> frozenset[str]:
    """The names in some attributes; each set of them is kept once."""
    own = tuple(sorted((name, bytes(attributes[name])) for name in attributes.keys() & NAMING))
    if own not in known:
        known[own] = frozenset(named({name: _plain(msgspec.Raw(value)) for name, value in own}))
    return known[own]


def encode_answer(judged: Judged, texts: Sequence[str], *, filled: bool) -> bytes:
    """The JSON of an answer."""
    references: list[Reference] = [Reference(code) for code in range(len(judged.verdicts))]
    records = [references[code] for code in judged.codes]
    if filled:
        _fill(records, judged, texts)
    return msgspec.json.encode(Answer(records, [entry(verdict, key) for verdict, key in zip(judged.verdicts, judged.keys)]))


def entry(verdict: Verdict, key: str) -> Entry:
    """A verdict as it is sent."""
    v = verdict
    category: Any = v.category
    severity: Any = v.severity
    known = v.reason_source, list(v.knowledge), list(v.checks), list(v.links)
    return Entry(key, v.template, v.label, v.score, category, v.rationale, v.grounded, v.mode, v.model, v.evidence, *known, severity)


def _fill(records: list[Reference], judged: Judged, texts: Sequence[str]) -> None:
    """Put each record's own values into its rationale, as far as time allows: an answer must not keep others waiting."""
    end = time.monotonic() + FILL_S
    told = {code: verdict for code, verdict in enumerate(judged.verdicts) if verdict.rationale}
    for place, code in enumerate(judged.codes):
        if code in told and time.monotonic() < end:
            rationale = fill(told[code].rationale or "", told[code].template, texts[place])
            if rationale != told[code].rationale:
                records[place] = Reference(code, rationale)


def _decode(data: bytes, kind: type[_T]) -> _T:
    """Lone surrogates and invalid UTF-8, which loggers do write, become U+FFFD as they do in files."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        mended = _ESCAPE.sub(lambda match: rb"\ufffd" if match["lone"] else match[0], data).decode("utf-8", "replace").encode()
        if mended == data or isinstance(error, msgspec.ValidationError):
            raise
        return msgspec.json.decode(mended, type=kind)


def _with_cause(body: str, attributes: Mapping[str, msgspec.Raw]) -> str:
    """The body, completed from an exception's attributes just as that of a JSON line is."""
    hints = {name: _plain(value) for name, value in attributes.items() if name in HINTS}
    return completed(body, hints) if hints else body


def _plain(value: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return None
