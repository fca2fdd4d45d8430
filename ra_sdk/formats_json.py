"""The formats whose records have to be decoded: JSON of many loggers, journald, logfmt, and the containers' Docker and CRI.

Keys are those of zap, zerolog, logrus, slog, pino, bunyan, structlog, ECS and OpenTelemetry. What is plain is read by columns, the rest record by record.
A record that cannot be decoded is its own body; nothing here raises.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from ra_sdk.formats_table import PLAIN, SEVERITY, TABLE, TableFormat, iso_times, looks_continued

if TYPE_CHECKING:
    import polars as pl

    from ra_sdk.hookspecs import Format

__all__ = ["JSON_FORMATS", "ContainerFormat", "DecodedFormat"]

MESSAGE = ["message", "msg", "body", "log", "event", "text", "short_message", "Message", "MESSAGE", "@message", "@m", "@mt", "Body"]
TIME = ["@timestamp", "timestamp", "time", "ts", "t", "datetime", "date", "asctime", "created", "timeUnixNano", "Timestamp", "@t"]
LEVEL = ["level", "severity", "severity_text", "severityText", "log.level", "levelname", "lvl", "loglevel", "log_level", "Level", "@l"]
LEVEL += ["SeverityText", "severityNumber", "severity_number", "SeverityNumber", "PRIORITY", "s"]
CAUSE = ["err", "error", "error.message", "error_message", "exception", "exception.message", "exc_info"]
STACK = ["stack", "stack_trace", "stacktrace", "error.stack_trace", "exception.stacktrace", "errorVerbose", "exc_info", "exception"]
HINTS = frozenset(CAUSE + STACK)
_CAUSED = r'"(?:err|exc|stack)[A-Za-z_.]*"\s*:'  # a key that a body may have to be completed from
_NUMBERED = {10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "FATAL"}  # pino, bunyan
_OTEL = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")  # four numbers each, from 1
_PAIR = re.compile(r'(?<![^\s,])([A-Za-z_@][\w.@/-]*)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')
_PAIRS = r'(?:[A-Za-z_@][A-Za-z0-9_.@/-]*=(?:"(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$))'
_LOGFMT = rf"^{_PAIRS}*?(?:msg|message|level|lvl|time|ts)=.*?\s[A-Za-z_@][A-Za-z0-9_.@/-]*=|^{_PAIRS}{{3,}}"
_DECODE = json.JSONDecoder(parse_constant=str, strict=False).decode
_ENCODE = json.JSONEncoder(ensure_ascii=False, default=str).encode
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_JOURNAL = {"_HOSTNAME": "host.name", "_PID": "process.pid", "SYSLOG_IDENTIFIER": "service.name"}


class Decoded(NamedTuple):
    """What a record says. ``time`` and ``severity`` as written; ``rest``: every other key."""

    body: str
    time: Any
    severity: str | None
    rest: dict[str, Any]


@dataclass(frozen=True)
class DecodedFormat:
    """A format whose records a Python function decodes, into None where it is not theirs.

    ``line``: what a line of it looks like (Rust pattern). ``quick``: bodies of the plain records by columns, null for the others.
    """

    name: str
    line: str
    decode: Callable[[str], Decoded | None]
    quick: Callable[[pl.Series], pl.Series]

    def has(self, lines: pl.Series) -> pl.Series:
        """Boolean: the line has the looks of the format."""
        return lines.str.contains(self.line)

    def score(self, lines: pl.Series) -> float:
        """Share of lines that have its looks and can be decoded."""
        looks = lines.filter(self.has(lines)).to_list()
        whole = sum(len(text) >= 4_096 or self.decode(text) is not None for text in looks)  # a longer one may be cut
        return whole / len(lines) if len(lines) else 0.0

    def starts(self, lines: pl.Series) -> pl.Series | None:  # noqa: ARG002
        """Every line is a record."""
        return None

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
        times = _times([row.time for row in rows], now)
        kept = [row.rest if row.time is None or stamp is not None else {"time": row.time, **row.rest} for row, stamp in zip(rows, times)]
        return pl.DataFrame(
            {
                "timestamp": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
                "severity": pl.Series([row.severity for row in rows], dtype=pl.String),
                "attributes": pl.Series([_dumped(rest) for rest in kept], dtype=pl.String),
            }
        )

    def _read(self, record: str) -> Decoded:
        return self.decode(record) or Decoded(record, None, None, {})


@dataclass(frozen=True)
class ContainerFormat:
    """Lines of a container runtime around lines of a program. ``unwrap`` gives the latter, and whether a line goes on in the next; ``outer`` the fields."""

    name: str
    line: str
    unwrap: Callable[[pl.Series], tuple[pl.Series, pl.Series]]
    outer: Callable[[pl.Series], tuple[pl.Series, pl.Series]]

    def score(self, lines: pl.Series) -> float:
        """Share of lines that the runtime wrote."""
        return float(lines.str.contains(self.line).sum()) / len(lines) if len(lines) else 0.0

    def starts(self, lines: pl.Series) -> pl.Series | None:
        """Lines that neither complete a partial one nor look like a continuation inside; nothing continues JSON."""
        texts, partial = self.unwrap(lines)
        after_json = texts.str.starts_with("{").shift(1, fill_value=False)
        return ~(partial.shift(1, fill_value=False) | (looks_continued(texts) & ~after_json))

    def bodies(self, records: pl.Series) -> pl.Series:
        """Bodies of what the program wrote, in whatever format that has."""
        import polars as pl

        parts = [pl.DataFrame({"row": rows["row"], "body": form.bodies(rows["text"])}) for form, rows in _inner(self._texts(records))]
        return pl.concat(parts).sort("row")["body"] if parts else records

    def fields(self, records: pl.Series, now: datetime) -> pl.DataFrame:
        """The runtime's time; severity and attributes of what the program wrote, with the runtime's."""
        import polars as pl

        parts = [form.fields(rows["text"], now).with_columns(rows["row"]) for form, rows in _inner(self._texts(records))]
        if not parts:
            return PLAIN.fields(records, now)
        times, outer = self.outer(records.str.split_exact("\n", 1).struct.field("field_0"))
        frame = pl.concat(parts).sort("row").with_columns(written=iso_times(times, now), outer=outer)
        both = pl.col("outer").str.strip_suffix("}") + "," + pl.col("attributes").str.slice(1)
        return frame.select(pl.coalesce("written", "timestamp").alias("timestamp"), "severity", pl.coalesce(both, "attributes", "outer").alias("attributes"))

    def _texts(self, records: pl.Series) -> pl.Series:
        """What the program wrote: partial lines put together, lines kept apart."""
        import polars as pl

        if not records.str.contains("\n", literal=True).any():
            return self.unwrap(records)[0]
        lines = pl.DataFrame({"line": records.str.split("\n")}).with_row_index("row").explode("line")
        texts, partial = self.unwrap(lines["line"])
        ends = partial.to_frame("partial").select(pl.when("partial").then(pl.lit("")).otherwise(pl.lit("\n"))).to_series()
        joined = lines.with_columns(text=texts + ends).group_by("row", maintain_order=True).agg(pl.col("text").str.join(""))
        return joined["text"].str.strip_suffix("\n")


def _inner(texts: pl.Series) -> Iterator[tuple[Format, pl.DataFrame]]:
    """The texts by format, each record on its own, so that it does not matter which others are in the block. Columns ``row``, ``text``."""
    import polars as pl

    left = pl.DataFrame({"text": texts}).with_row_index("row")
    for form in _INNER:
        if not len(left):
            return
        has = form.has(left["text"])
        if has.any():
            yield form, left.filter(has)
            left = left.filter(~has)
    if len(left):
        yield PLAIN, left


def _docker(lines: pl.Series) -> tuple[pl.Series, pl.Series]:
    found = lines.str.json_path_match("$.log")
    texts = found.str.replace(r"\r?\n$", "").zip_with(found.is_not_null(), lines)
    return texts, ~found.str.ends_with("\n").fill_null(value=True)


def _docker_outer(lines: pl.Series) -> tuple[pl.Series, pl.Series]:
    import polars as pl

    keys = pl.DataFrame({"line": lines}).select(
        time=pl.col("line").str.json_path_match("$.time"),
        stream=pl.struct(pl.col("line").str.json_path_match("$.stream").alias("log.iostream")).struct.json_encode(),
        attrs=',"attrs":' + pl.col("line").str.json_path_match("$.attrs") + "}",
        known=pl.col("line").str.contains(r'"stream"\s*:'),
    )
    outer = pl.coalesce(pl.col("stream").str.strip_suffix("}") + pl.col("attrs"), "stream")
    return keys["time"], keys.select(pl.when("known").then(outer)).to_series()


_CRI = r"^\d{4}-\d\d-\d\dT\S+ (?:stdout|stderr) [FP](?::\S+)?(?: |$)"


def _cri(lines: pl.Series) -> tuple[pl.Series, pl.Series]:
    return lines.str.replace(_CRI, ""), lines.str.contains(r"^\d{4}-\d\d-\d\dT\S+ (?:stdout|stderr) P")


def _cri_outer(lines: pl.Series) -> tuple[pl.Series, pl.Series]:
    stream = lines.str.extract(r"^\d{4}-\d\d-\d\dT\S+ (stdout|stderr) [FP]")
    return lines.str.extract(r"^(\S+)"), '{"log.iostream":"' + stream + '"}'


def _quick_json(records: pl.Series) -> pl.Series:
    """Messages under the usual keys, where no key hints at a cause: what is said then is the message alone."""
    return _quick(records, ~records.str.contains(_CAUSED), ["message", "msg"])


def _quick_journald(records: pl.Series) -> pl.Series:
    return _quick(records, records.str.contains(r'"MESSAGE"\s*:\s*"'), ["MESSAGE"])


def _quick(records: pl.Series, plain: pl.Series, keys: list[str]) -> pl.Series:
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


def _quick_logfmt(records: pl.Series) -> pl.Series:
    import polars as pl

    found = records.str.extract(rf'^{_PAIRS}*?(?:msg|message)="([^"\\]+)"')
    caused = records.str.contains(r"\b(?:err|exc|stack)[A-Za-z_.]*=")
    return found.to_frame("body").select(pl.when(~caused).then("body")).to_series()


def _decode_json(text: str) -> Decoded | None:
    row = _object(text)
    return None if row is None else _sorted_out(row, text)


def _decode_journald(text: str) -> Decoded | None:
    row = _object(text)
    if row is None or "MESSAGE" not in row:
        return None
    message = row["MESSAGE"]
    if isinstance(message, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in message):
        row["MESSAGE"] = bytes(message).decode("utf-8", "replace")  # journald writes what is no UTF-8 as an array of bytes
    level = SEVERITY.get(str(row.pop("PRIORITY", None)))
    time = row.get("_SOURCE_REALTIME_TIMESTAMP") or row.pop("__REALTIME_TIMESTAMP", None)
    body = _cleaned(_text(row.pop("MESSAGE"))) or text
    return Decoded(body, time, level, {_JOURNAL.get(key, key): value for key, value in row.items()})


def _decode_logfmt(text: str) -> Decoded | None:
    row: dict[str, Any] = {}
    for key, quoted, bare in _PAIR.findall(text):
        row.setdefault(key, re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted) if quoted else bare)
    return _sorted_out(row, text) if len(row) >= 2 else None


def _object(text: str) -> dict[str, Any] | None:
    try:
        row = _DECODE(text)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _sorted_out(row: dict[str, Any], text: str) -> Decoded:
    """A mapping's keys sorted into body, time, severity and the rest."""
    rest = dict(row)
    if isinstance(rest.get("log"), dict):  # ECS: {"log": {"level": …, "logger": …}}
        rest |= {f"log.{key}": value for key, value in rest.pop("log").items()}
    if "body" in rest or "Body" in rest:  # OpenTelemetry: the attributes are the attributes
        rest |= _attributes(rest.pop("attributes", None) or rest.pop("Attributes", None))
    message, (level_key, level), (_, time) = _take(rest, MESSAGE)[1], _take(rest, LEVEL), _take(rest, TIME)
    severity = _severity(level, otel="umber" in level_key)
    if level is not None and severity is None:
        rest["severity_text"] = level
    body = completed(_text(message), rest) if message not in (None, "") else text
    return Decoded(_cleaned(body) or text, time, severity, rest)


def body_of(row: dict[str, Any], text: str) -> str:
    """The body of a record that is a mapping; ``text``, which is what it was written as, where no key has a message."""
    return _sorted_out(row, text).body


def completed(body: str, row: Mapping[str, Any]) -> str:
    """The body, with the cause that stands beside it, and the stack trace."""
    if HINTS.isdisjoint(row):
        return body
    cause = next((found for key in CAUSE if (found := _cause(row.get(key)))), "")
    if cause and cause not in body:
        body = f"{body}: {cause}"
    nested = [row[key] for key in ("err", "error", "exception") if isinstance(row.get(key), dict)]
    traces = [row.get(key) for key in STACK] + [trace for error in nested for trace in (error.get("stack"), error.get("stack_trace"))]
    stack = next((trace for trace in traces if isinstance(trace, str) and "\n" in trace), "")
    return body if not stack or stack in body else f"{body}\n{stack}"


def _cause(value: object) -> str:
    """The words of an error, which many loggers write as an object; of a long text the first line, the others being its stack trace."""
    if isinstance(value, dict):
        name, words = value.get("type") or value.get("name"), value.get("message") or value.get("msg")
        return ": ".join(str(part) for part in (name, words) if part) or _text(value)
    return value.split("\n", 1)[0] if isinstance(value, str) and value not in ("null", "<nil>", "nil", "-") else ""


def _attributes(found: object) -> dict[str, Any]:
    """Attributes of OTLP's JSON, a list of {key, value: {stringValue: …}}, or of exporters that write an object."""
    if isinstance(found, list) and all(isinstance(item, dict) and "key" in item for item in found):
        return {str(item["key"]): _value(item.get("value")) for item in found}
    return found if isinstance(found, dict) else {} if found is None else {"attributes": found}


def _value(value: object) -> object:
    if isinstance(value, dict) and len(value) == 1 and str(next(iter(value))).endswith("Value"):
        return next(iter(value.values()))
    return value


def _take(row: dict[str, Any], keys: list[str]) -> tuple[str, Any]:
    for key in keys:
        if row.get(key) is not None:
            return key, row.pop(key)
    return "", None


def _text(value: object) -> str:
    value = _value(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":"))


def _cleaned(text: str) -> str:
    """Without lone surrogates, which JSON can name and no encoding can write."""
    return text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text)


def _dumped(row: Mapping[str, Any]) -> str | None:
    try:
        return _cleaned(_ENCODE(row)) if row else None
    except (ValueError, RecursionError):
        return None


def _severity(level: object, *, otel: bool = False) -> str | None:
    """The short name of what a logger wrote; numbers are those of pino and bunyan, of syslog, or of OpenTelemetry."""
    if isinstance(level, str):
        return SEVERITY.get(level.strip().lower()) or (_severity(int(level)) if level.isdecimal() and len(level) < 4 else None)
    if not isinstance(level, int | float) or isinstance(level, bool):
        return None
    if otel or 8 <= level < 10 or 10 < level < 20:
        return _OTEL[(int(level) - 1) // 4] if 1 <= level <= 24 else None
    return _NUMBERED.get(int(level) // 10 * 10) if 10 <= level < 70 else SEVERITY.get(str(int(level))) if 0 <= level < 8 else None


def _times(values: list[Any], now: datetime) -> list[datetime | None]:
    """ISO texts, and numbers since the epoch in s, ms, us or ns, told apart by their size; MongoDB's {"$date": …}."""
    import polars as pl

    values = [value.get("$date") if isinstance(value, dict) else value for value in values]
    parsed = iso_times(pl.Series([_cleaned(value) if isinstance(value, str) else None for value in values], dtype=pl.String), now)
    return [_epoch(value) if stamp is None and value is not None else stamp for stamp, value in zip(parsed.to_list(), values)]


def _epoch(value: object) -> datetime | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(number) or not 1e8 < number < 4e18:
        return None
    while number > 4e9:  # seconds reach that in 2096
        number /= 1e3
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=round(number * 1e6))


_JSON = DecodedFormat("json", r"^\s*\{", _decode_json, _quick_json)
_LOGFMT_FORMAT = DecodedFormat("logfmt", _LOGFMT, _decode_logfmt, _quick_logfmt)
JSON_FORMATS: tuple[DecodedFormat | ContainerFormat, ...] = (
    DecodedFormat("journald", r'^\{.*"MESSAGE"\s*:', _decode_journald, _quick_journald),
    ContainerFormat("docker", r'^\s*\{.*"log"\s*:\s*".*"time"\s*:|^\s*\{.*"time"\s*:.*"log"\s*:\s*"', _docker, _docker_outer),
    ContainerFormat("cri", _CRI, _cri, _cri_outer),
    _JSON,
    _LOGFMT_FORMAT,
)
_WRAPPED = ("klog", "access", "nginx-error", "apache-error", "java", "python", "iso")  # what programs in containers write
_INNER: tuple[DecodedFormat | TableFormat, ...] = (_JSON, _LOGFMT_FORMAT, *(form for form in TABLE if form.name in _WRAPPED))
