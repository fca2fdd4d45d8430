"""The formats whose lines have to be decoded one by one: JSON of many loggers, logfmt, journald, Docker and CRI.

Keys are those of zap, zerolog, pino, bunyan, logrus, slog, structlog, ECS and OpenTelemetry. A line that cannot be decoded is its own body.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from ra_sdk.formats_table import SEVERITY, TABLE, iso_times, looks_continued

if TYPE_CHECKING:
    import polars as pl

__all__ = ["JSON_FORMATS", "DecodedFormat"]

Fields = dict[str, Any]
MESSAGE = "message msg body log event text short_message Message MESSAGE @message @m @mt".split()
TIME = "@timestamp timestamp time ts t datetime date asctime created timeUnixNano Timestamp @t __REALTIME_TIMESTAMP".split()
LEVEL = "level severity severity_text severityText log.level levelname lvl loglevel log_level Level @l PRIORITY severityNumber severity_number".split()
CAUSE = "err error error.message error_message exception exc_info exception.message errorVerbose".split()
STACK = "stack stack_trace stacktrace error.stack_trace exception.stacktrace".split()
_NUMBERED = {10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "FATAL"}  # pino, bunyan
_LOGFMT = re.compile(r'([A-Za-z_@][\w.@/-]*)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')
_LOGFMT_LINE = r'^(?:[A-Za-z_@][\w.@/-]*=(?:"(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$)){3,}'
_CRI = re.compile(r"^(\d{4}-\d\d-\d\dT\S+) (stdout|stderr) ([FP])(?:\S*) ?(.*)$", re.DOTALL)
_CRI_LINE = r"^\d{4}-\d\d-\d\dT\S+ (?:stdout|stderr) [FP]"


@dataclass(frozen=True)
class DecodedFormat:
    """A format whose records are decoded by a Python function: text -> fields, or None where it has not the format.

    ``line``: what a line of it looks like (Rust pattern). ``inner``: whether the body has a format of its own, which is looked into.
    """

    name: str
    line: str
    decode: Callable[[str], Fields | None]
    inner: bool = False

    def score(self, lines: pl.Series) -> float:
        """Share of lines that have its looks and can be decoded."""
        looks = lines.filter(lines.str.contains(self.line)).to_list()
        whole = sum(len(text) >= 4_096 or self.decode(text) is not None for text in looks)
        return whole / len(lines) if len(lines) else 0.0

    def starts(self, lines: pl.Series) -> pl.Series | None:
        """Every line is a record; those of containers may be parts of one."""
        import polars as pl

        if not self.inner:
            return None
        parts = [self.decode(text) or {"": text} for text in lines.to_list()]
        partial = [False, *(bool(part.get("_partial")) for part in parts[:-1])]
        bodies = pl.Series([_text(part.get("", "")) for part in parts], dtype=pl.String)
        return ~(pl.Series(partial, dtype=pl.Boolean) | looks_continued(bodies))

    def bodies(self, records: pl.Series) -> pl.Series:
        """The messages, with the cause where one stands beside the message."""
        import polars as pl

        return pl.Series("body", [self._fields(text)[""] for text in records.to_list()], dtype=pl.String)

    def fields(self, records: pl.Series, now: datetime) -> pl.DataFrame:
        """Time, severity and all other keys."""
        import polars as pl

        rows = [self._fields(text) for text in records.to_list()]
        times = _times([row.pop("_time", None) for row in rows], now)
        severity = pl.Series([row.pop("_severity", None) for row in rows], dtype=pl.String)
        attributes = [{key: value for key, value in row.items() if key and key != "_partial"} for row in rows]
        texts = [json.dumps(row, ensure_ascii=False, default=str) if row else None for row in attributes]
        return pl.DataFrame({"timestamp": times, "severity": severity, "attributes": pl.Series(texts, dtype=pl.String)})

    def _fields(self, record: str) -> Fields:
        """What a record says; its body under the empty key."""
        if not self.inner:
            found = self.decode(record)
            return {"": record} if found is None else found
        parts = [self.decode(line) or {"": line} for line in record.split("\n")]
        texts = [_text(part.get("", "")) + ("" if part.get("_partial") else "\n") for part in parts]
        outer = parts[0]
        return _unwrapped("".join(texts).removesuffix("\n"), outer)


def _unwrapped(text: str, outer: Fields) -> Fields:
    """A container's record: what its text says goes before what the container says."""
    inner = _decode_json(text) if text.startswith("{") else None
    if inner is None and _LOGFMT.match(text):
        inner = _decode_logfmt(text)
    if inner is None:
        inner = _tabled(text)
    return {**outer, **inner}


def _tabled(text: str) -> Fields:
    """klog, and what begins with a time and a level, inside a container's line."""
    import polars as pl

    column = pl.Series([text], dtype=pl.String)
    for form in TABLE:
        if form.name in ("klog", "java", "python", "iso") and re.match(r"[IWEF]\d{4} |\[?\d\d", text) and form.score(column):
            fields = form.fields(column, datetime.now(timezone.utc)).row(0)
            extra = {"_severity": fields[1]} if fields[1] else {}
            return {**json.loads(fields[2] or "{}"), **extra, "": form.bodies(column)[0]}
    return {"": text}


def _decode_json(text: str) -> Fields | None:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _read(row, text) if isinstance(row, dict) else None


def _decode_logfmt(text: str) -> Fields | None:
    pairs = [(m[1], m[2].replace('\\"', '"').replace("\\n", "\n") if m[2] is not None else m[3]) for m in _LOGFMT.finditer(text)]
    return _read(dict(pairs), text) if len(pairs) >= 2 else None


def _decode_journald(text: str) -> Fields | None:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or "MESSAGE" not in row:
        return None
    message = row["MESSAGE"]
    if isinstance(message, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in message):
        row["MESSAGE"] = bytes(message).decode("utf-8", "replace")  # journald writes what is no UTF-8 as an array of bytes
    return _read(row, text)


def _decode_docker(text: str) -> Fields | None:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not isinstance(row.get("log"), str) or "time" not in row:
        return None
    body = row["log"]
    return {"": body.removesuffix("\n"), "_partial": not body.endswith("\n"), "_time": row["time"], "log.iostream": row.get("stream", "stdout")}


def _decode_cri(text: str) -> Fields | None:
    match = _CRI.match(text)
    return match and {"": match[4], "_partial": match[3] == "P", "_time": match[1], "log.iostream": match[2]}


def _read(row: Mapping[str, Any], text: str) -> Fields:
    """Sort a mapping's keys into body, time, severity and the rest."""
    rest: Fields = dict(row)
    if isinstance(rest.get("log"), dict):  # ECS: {"log": {"level": …, "logger": …}}
        rest |= {f"log.{key}": value for key, value in rest.pop("log").items()}
    if isinstance(rest.get("attributes"), dict) and "body" in rest:  # OpenTelemetry: the attributes are the attributes
        rest |= rest.pop("attributes")
    message = _take(rest, MESSAGE)
    if isinstance(message, dict):
        message = message.get("stringValue", json.dumps(message, ensure_ascii=False))
    level, time = _take(rest, LEVEL), _take(rest, TIME)
    body = text if message is None or message == "" else _text(message)
    cause = next((_cause(rest[key]) for key in CAUSE if rest.get(key) not in (None, "", False)), "")
    if message is not None and cause and cause not in body:
        body = f"{body}: {cause}"
    stack = next((_text(rest[key]) for key in STACK if isinstance(rest.get(key), str) and rest[key]), "")
    if message is not None and stack and stack not in body:
        body = f"{body}\n{stack}"
    return {**rest, "": body, "_time": time, "_severity": _severity(level)}


def _take(row: Fields, keys: list[str]) -> Any:
    return next((row.pop(key) for key in keys if row.get(key) is not None), None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _cause(value: object) -> str:
    """The words of an error, which many loggers write as an object."""
    if isinstance(value, Mapping):
        name, words = value.get("type") or value.get("name"), value.get("message") or value.get("msg")
        return ": ".join(str(part) for part in (name, words) if part) or _text(value)
    return value if isinstance(value, str) else ""


def _severity(level: object) -> str | None:
    if isinstance(level, int | float) and not isinstance(level, bool):
        if level in _NUMBERED:
            return _NUMBERED[int(level)]
        if 0 <= level <= 7:  # syslog
            return SEVERITY[str(int(level))]
        return ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")[min(5, int(level - 1) // 4)] if 1 <= level <= 24 else None
    return SEVERITY.get(level.strip().lower()) if isinstance(level, str) else None


def _times(values: list[Any], now: datetime) -> pl.Series:
    """ISO texts, datetimes, and numbers since the epoch in s, ms, us or ns, told apart by their size."""
    import polars as pl

    texts = pl.Series([value if isinstance(value, str) else None for value in values], dtype=pl.String)
    parsed = iso_times(texts, now).to_list()
    found = [stamp if stamp is not None else _epoch(value) for stamp, value in zip(parsed, values)]
    return pl.Series("timestamp", found, dtype=pl.Datetime("us", "UTC"))


def _epoch(value: Any) -> datetime | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number) or not 1e8 < number < 4e18:
        return None
    while number > 4e9:  # seconds reach that in 2096
        number /= 1e3
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=round(number * 1e6))


JSON_FORMATS: tuple[DecodedFormat, ...] = (
    DecodedFormat("journald", r'^\{.*"MESSAGE"', _decode_journald),
    DecodedFormat("docker", r'^\{"log":|^\{.*"log":".*"time":', _decode_docker, inner=True),
    DecodedFormat("cri", _CRI_LINE, _decode_cri, inner=True),
    DecodedFormat("json", r"^\s*\{", _decode_json),
    DecodedFormat("logfmt", _LOGFMT_LINE, _decode_logfmt),
)
