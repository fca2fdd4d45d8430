"""JSON and logfmt of many loggers: which key is the message, the time, the level, and what has to stand with the message.

Keys are those of zap, zerolog, logrus, slog, pino, bunyan, structlog, ECS and OpenTelemetry. What is plain is read by columns, the rest
record by record. A record that cannot be decoded is its own body; nothing here raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ra_sdk.formats.layouts import Example
from ra_sdk.formats.levels import level_of
from ra_sdk.formats.patterns import COLOUR, severity_of
from ra_sdk.formats.payloads import azure_level, said, status_level, timeless
from ra_sdk.formats.times import times_of
from ra_sdk.text import dumped

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "HINTS",
    "Decoded",
    "DecodedFormat",
    "body_of",
    "completed",
    "decoded",
    "nothing_quick",
    "object_of",
    "otlp_records",
    "quick",
    "text_of",
    "uncoloured",
]

MESSAGE = "message msg body log event text short_message Message MESSAGE @message @m @mt Body textPayload".split()
TIME = "@timestamp timestamp time ts t datetime date asctime created timeUnixNano Timestamp @t".split()
TIME += "observedTimeUnixNano EventTime TimeCreated stageTimestamp requestReceivedTimestamp".split()  # OpenTelemetry, Windows, Kubernetes
LEVEL = "level severity severity_text severityText log.level levelname lvl loglevel log_level Level @l".split()
LEVEL += "SeverityText severityNumber severity_number SeverityNumber Severity LevelDisplayName PRIORITY s".split()
LEVEL += ["error_severity"]  # PostgreSQL
CAUSE = ["err", "error", "error.message", "error_message", "exception", "exception.message", "exc_info"]
STACK = "stack stack_trace stacktrace error.stack_trace exception.stacktrace errorVerbose exc_info exception".split()
LEVELS = frozenset(  # further names for a level, without regard to case and punctuation, where the value is a level's word
    "level loglevel lvl loglvl severity logseverity severitytext severitylabel severityname levelname leveltext levellabel levelstr levelstring "
    "msglevel messagelevel eventlevel eventseverity priority logpriority prioritytext syslogpriority syslogseverity syslogseverityname "
    "syslogseveritycode logsyslogseverity logsyslogseverityname logsyslogseveritycode".split()
)
TIMES = frozenset(  # and for a time
    "timestamp timestampms timestamputc time timelocal timeutc ts tsms datetime date eventtime eventdatetime eventtimestamp logtime logdate "
    "logtimestamp timegenerated timecreated createdat receivedtimestamp utctime localtime asctime".split()
)
HINTS = frozenset(CAUSE + STACK)
_CAUSED = r'"(?:err|exc|stack)[A-Za-z_.]*"\s*:'  # a key that a body may have to be completed from
_PUT_IN_PLACE = r'"(?:record|jsonPayload|resourceId|[Aa]ttributes)"\s*:'  # keys whose members may become the record's, and Azure's mark
_PAIR = re.compile(r'(?<![^\s,])([A-Za-z_@][\w.@/-]*)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')
_PAIRS = r'(?:[A-Za-z_@][A-Za-z0-9_.@/-]*=(?:"(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$))'
_LOGFMT = rf"^{_PAIRS}*?(?:msg|message|level|lvl|time|ts)=.*?\s[A-Za-z_@][A-Za-z0-9_.@/-]*=|^{_PAIRS}{{3,}}"
_DECODE = json.JSONDecoder(parse_constant=str, strict=False).decode
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class Decoded(NamedTuple):
    """What a record says. ``time`` and ``severity`` as written; ``rest``: every other key."""

    body: str
    time: Any
    severity: str | None
    rest: dict[str, Any]


def nothing_quick(records: pl.Series) -> pl.Series:
    """No bodies by columns."""
    import polars as pl

    return pl.Series("body", [None] * len(records), dtype=pl.String)


@dataclass(frozen=True)
class DecodedFormat:
    """A format whose records a Python function decodes, into None where it is not theirs.

    ``pattern``: what a line of it looks like (Rust). ``quick``: bodies of the plain records by columns, null for the others; ``quick_levels``: what
    stands under the key of their level. ``nested``: bodies may have a header of another format.
    """

    name: str
    about: str
    pattern: str
    decode: Callable[[str], Decoded | None]
    quick: Callable[[pl.Series], pl.Series]
    nested: bool = False
    examples: tuple[Example, ...] = ()
    origin: str = "ra_sdk"
    until: str = ""  # where its records have several lines: what ends them
    quick_levels: Callable[[pl.Series], pl.Series] = nothing_quick
    logged: str = ""  # what a record of a logger holds; other lines of the format may be values in a message

    @property
    def closed(self) -> bool:
        """Whether nothing continues its records: an object that has ended would not be read with more behind it."""
        return self.pattern.endswith(r"\}\s*$")

    def has(self, lines: pl.Series) -> pl.Series:
        """Boolean: the line has the looks of the format."""
        return lines.str.contains(self.pattern)

    def bodies(self, records: pl.Series) -> pl.Series:
        """The messages, with the cause where one stands beside the message."""
        import polars as pl

        found = self.quick(records)
        if not found.null_count():
            return found
        texts = [self._read(text).body if body is None else body for body, text in zip(found.to_list(), records.to_list())]
        return pl.Series("body", texts, dtype=pl.String)

    def fields(self, records: pl.Series, now: datetime) -> pl.DataFrame:
        """Time, severity and all other keys."""
        import polars as pl

        rows = [self._read(text) for text in records.to_list()]
        times = times_of([row.time for row in rows], now)
        kept = [row.rest if row.time is None or stamp is not None else {"time": row.time, **row.rest} for row, stamp in zip(rows, times)]
        return pl.DataFrame(
            {
                "timestamp": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
                "severity": pl.Series([row.severity for row in rows], dtype=pl.String),
                "attributes": pl.Series([dumped(rest) if rest else None for rest in kept], dtype=pl.String),
            }
        )

    def severities(self, records: pl.Series) -> pl.Series:
        """The column ``severity`` of ``fields``."""
        import polars as pl

        words = self.quick_levels(records)
        known = {word: level_of(word) for word in words.unique().to_list() if word is not None}
        found = words.replace_strict(known, default=None, return_dtype=pl.String)
        rows = found.is_null().arg_true()
        others = pl.Series([self._read(text).severity for text in records.gather(rows).to_list()], dtype=pl.String)
        whole: pl.Series = found.scatter(rows, others) if len(others) else found
        return whole

    def _read(self, record: str) -> Decoded:
        return self.decode(record) or Decoded(record, None, None, {})


def _quick_json(records: pl.Series) -> pl.Series:
    """Messages under the usual keys, where no key hints at a cause: what is said then is the message alone."""
    return quick(records, ~records.str.contains(_CAUSED), ["message", "msg"])


def _quick_json_levels(records: pl.Series) -> pl.Series:
    """Levels under the first of the usual keys, where nothing that is put in its place can hold one."""
    return quick(records, ~records.str.contains(_PUT_IN_PLACE), ["level"])


def quick(records: pl.Series, plain: pl.Series, keys: list[str]) -> pl.Series:
    """By columns, what stands under the first of these keys in records that are ``plain``; null for the others."""
    import polars as pl

    left, parts = pl.DataFrame({"text": records, "plain": plain}).with_row_index("row"), []
    for key in keys:
        here = left["plain"] & left["text"].str.contains(f'"{key}"', literal=True)
        rows = left.filter(here)
        parts.append(rows.select("row", body=pl.col("text").str.json_path_match(f"$.{key}")))
        left = left.filter(~here)
    parts.append(left.select("row", body=pl.lit(None, pl.String)))
    found = pl.concat(parts).sort("row")
    return found.select(pl.when(pl.col("body") != "").then("body")).to_series()


def _quick_logfmt_levels(records: pl.Series) -> pl.Series:
    """Levels of records with just one ``level=``, as a key of letters."""
    import polars as pl

    found = records.to_frame("record").select(
        once=pl.col("record").str.count_matches("level=", literal=True) == 1,
        quoted=pl.col("record").str.extract(rf'^{_PAIRS}*?level="([A-Za-z]+)"(?:\s|$)'),
        bare=pl.col("record").str.extract(rf"^{_PAIRS}*?level=([A-Za-z]+)(?:\s|$)"),
    )
    return found.select(pl.when("once").then(pl.coalesce("quoted", "bare"))).to_series()


def _quick_logfmt(records: pl.Series) -> pl.Series:
    import polars as pl

    found = records.str.extract(rf'^{_PAIRS}*?(?:msg|message)="([^"\\]+)"')
    caused = records.str.contains(r"\b(?:err|exc|stack)[A-Za-z_.]*=")
    return found.to_frame("body").select(pl.when(~caused).then("body")).to_series()


def _decode_json(text: str) -> Decoded | None:
    row = object_of(text)
    if row is None:
        return None
    found = decoded(row, text)
    if found.body != text or not found.rest or isinstance(found.time, list | dict):
        return found
    left = timeless(found.rest)
    return found._replace(body=dumped(left, compact=True)) if len(left) < len(row) else found


def _decode_logfmt(text: str) -> Decoded | None:
    row: dict[str, Any] = {}
    for key, quoted, bare in _PAIR.findall(text):
        row.setdefault(key, re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted) if quoted else bare)
    if len(row) < 2:
        return None
    found = decoded(row, text)
    return found._replace(body=_pairs_left(text, found.rest)) if found.body == text else found


def _pairs_left(text: str, rest: Mapping[str, Any]) -> str:
    """The pairs without time, level and place in the source, of a record that has no message."""
    left = _PAIR.sub(lambda pair: pair[0] if pair[1] in rest and pair[1] != "caller" else "", text)
    return re.sub(r"[ ,]{2,}", " ", left).strip(" ,") or text


def object_of(text: str) -> dict[str, Any] | None:
    """The JSON object of a text; None if it is something else."""
    try:
        row = _DECODE(text)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def decoded(row: dict[str, Any], text: str) -> Decoded:
    """A mapping's keys sorted into body, time, severity and the rest."""
    rest = dict(row)
    for outer in ("log", "log.syslog", "syslog"):  # ECS: {"log": {"level": …, "logger": …}}
        if isinstance(rest.get(outer), dict):
            rest |= {f"{outer}.{key}": value for key, value in rest.pop(outer).items()}
    for outer, keys in (("record", ["message"]), ("jsonPayload", MESSAGE)):  # loguru, Google Cloud
        inner = rest.get(outer)
        if isinstance(inner, dict) and "message" not in rest and not inner.keys().isdisjoint(keys):
            rest |= rest.pop(outer)
    if "body" in rest or "Body" in rest:  # OpenTelemetry: the attributes are the attributes
        rest |= _attributes(rest.pop("attributes", None) or rest.pop("Attributes", None))
    message = _take(rest, MESSAGE)[1]
    message = said(rest) if message in (None, "") else message
    level_key, level = _take(rest, LEVEL, LEVELS, _is_level)
    _, time = _take(rest, TIME, TIMES, _is_time)
    severity = azure_level(rest, level) or level_of(level, otel="umber" in level_key)
    if level is not None and severity is None:
        rest["severity_text"] = level
    body = completed(text_of(message), rest) if message not in (None, "") else text
    if "error_severity" in row:  # PostgreSQL's jsonlog
        told = [f"{key.upper()}:  {text_of(rest.pop(key))}" for key in ("detail", "hint") if rest.get(key)]
        body = "\n".join([body, *told])
    if level is None:
        severity = status_level(rest)
    return Decoded(cleaned(body) or text, time, severity, rest)


def body_of(row: dict[str, Any], text: str) -> str:
    """The body of a record that is a mapping; ``text``, which is what it was written as, where no key has a message."""
    return decoded(row, text).body


def completed(body: str, row: Mapping[str, Any]) -> str:
    """The body, with the cause that stands beside it, and the stack trace; what both say is said once."""
    if HINTS.isdisjoint(row):
        return body
    cause = next((found for key in CAUSE if (found := _cause(row.get(key)))), "")
    nested = [row[key] for key in ("err", "error", "exception") if isinstance(row.get(key), dict)]
    traces = [row.get(key) for key in STACK] + [trace for error in nested for trace in (error.get("stack"), error.get("stack_trace"))]
    stack = next((trace for trace in traces if isinstance(trace, str) and "\n" in trace), "")
    head, _, frames = stack.partition("\n")
    if stack in body:
        stack = ""
    elif 0 <= stack.find(body) <= len(head):
        return stack
    elif cause and cause in head and not head.startswith("Traceback"):
        cause, stack = head, frames
    if cause and cause not in body and not cause.startswith("Traceback"):
        body = f"{body}: {cause}"
    return f"{body}\n{stack}" if stack else body


def _cause(value: object) -> str:
    """The words of an error, which many loggers write as an object; of a long text the first line, the others being its stack trace."""
    if isinstance(value, dict):
        name, words = value.get("type") or value.get("name"), value.get("message") or value.get("msg")
        return ": ".join(str(part) for part in (name, words) if part) or text_of(value)
    return value.split("\n", 1)[0] if isinstance(value, str) and value not in ("null", "<nil>", "nil", "-") else ""


def _attributes(found: object) -> dict[str, Any]:
    """Attributes of OTLP's JSON, a list of {key, value: {stringValue: …}}, or of exporters that write an object."""
    if isinstance(found, list) and all(isinstance(item, dict) and "key" in item for item in found):
        return {str(item["key"]): _value(item.get("value")) for item in found}
    return found if isinstance(found, dict) else {} if found is None else {"attributes": found}


def otlp_records(line: str) -> list[tuple[str, str | None]]:
    """Records of OTLP's JSON, each with the attributes of its resource; none where a line is not that."""
    found, row = [], object_of(line) or {}
    for resource in _objects(row.get("resourceLogs")):
        told = resource.get("resource")
        attributes = _attributes(told.get("attributes")) if isinstance(told, dict) else {}
        outer = dumped(attributes) if attributes else None
        for scope in _objects(resource.get("scopeLogs")):
            for record in _objects(scope.get("logRecords")):
                kept = {key: value for key, value in record.items() if value not in ("", 0, None)}
                found.append((dumped({"body": "", **kept}), outer))
    return found


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _value(value: object) -> object:
    if isinstance(value, dict) and len(value) == 1 and str(next(iter(value))).endswith("Value"):
        return next(iter(value.values()))
    return value


def _take(row: dict[str, Any], keys: list[str], names: frozenset[str] = frozenset(), fits: Callable[[str, Any], bool] = lambda *_: False) -> tuple[str, Any]:
    """Remove and return the first of the keys, else the first that has one of the names in another spelling and a value that fits."""
    for key in keys:
        if row.get(key) is not None:
            return key, row.pop(key)
    for key, value in row.items():
        if _spelled(key) in names and fits(_spelled(key), value):
            return key, row.pop(key)
    return "", None


@lru_cache(4096)
def _spelled(key: str) -> str:
    """The letters of a key, in lower case."""
    return re.sub("[^a-z]", "", key.lower())


def _is_level(name: str, value: object) -> bool:
    """A number is a level for syslog alone: others count in ways of their own. A priority has words of its own, too."""
    if not isinstance(value, str) or value.isdecimal():
        return "syslog" in name and level_of(value) is not None
    return severity_of(value) is not None and (len(value) > 2 or "priority" not in name)


def _is_time(_: str, value: object) -> bool:
    return (isinstance(value, str) and value[:1].isdigit()) or (isinstance(value, int | float) and value > 1e8)


def text_of(value: object) -> str:
    """A value as text: itself, or its JSON. Never raises."""
    value = _value(value)
    if isinstance(value, str):
        return value
    return dumped(value, compact=True)


def cleaned(text: str) -> str:
    """Without lone surrogates, which JSON can name and no encoding can write."""
    return text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text)


def uncoloured(text: str) -> str:
    """Without a terminal's colours, which are taken off lines before they are decoded."""
    return re.sub(COLOUR, "", text).rstrip("\r") if "\x1b[" in text else text


JSON = DecodedFormat(
    "json",
    "JSON lines of zap, zerolog, slog, pino, bunyan, structlog, ECS, MongoDB and others",
    r'^\{\s*(?:"(?s:.*))?\}\s*$',
    _decode_json,
    _quick_json,
    quick_levels=_quick_json_levels,
    logged=r'"(?:ts|t|@t|[\w@.]*(?i:time|stamp|date|level|severity|msg|message|log|event|body|text)\w*)"\s*:',
    examples=(
        Example(
            '{"level":"error","ts":1740823201,"logger":"oven","msg":"cannot read probe","error":"open /dev/probe0"}',
            "2025-03-01T10:00:01Z",
            "ERROR",
            "cannot read probe: open /dev/probe0",
            {"logger": "oven"},
        ),
    ),
)
LOGFMT = DecodedFormat(
    "logfmt",
    "pairs of key=value",
    _LOGFMT,
    _decode_logfmt,
    _quick_logfmt,
    quick_levels=_quick_logfmt_levels,
    examples=(Example('time=2025-03-01T10:00:00Z level=info msg="loaf sold" price=3.20', "2025-03-01T10:00:00Z", "INFO", "loaf sold"),),
)
