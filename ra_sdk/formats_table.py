"""The formats that regular expressions describe: one table, worked on by columns.

A ``Layout`` is one way a record may begin, a format has one or several. In a header (Rust syntax) the groups ``time`` and ``severity`` are read, ``pri``
is a syslog priority (RFC 5424, 6.2.1), ``body`` marks a body that is not simply the rest, and every other group becomes an attribute; two underscores
stand for a dot, so that attributes have OpenTelemetry's names (``host__name``). What cannot be read stays, as ``time`` or ``severity_text``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["PLAIN", "SEVERITY", "TABLE", "Layout", "Plain", "TableFormat", "Text", "iso_times", "looks_continued"]

Times = Callable[["pl.Series", datetime], "pl.Series"]

SEVERITY = {  # what logs call it, in lower case -> OpenTelemetry's short name
    **dict.fromkeys(["trace", "finest", "finer", "verbose", "v", "all", "silly", "t", "trc"], "TRACE"),
    **dict.fromkeys(["debug", "d", "dbg", "dbug", "fine", "config", "debug1", "debug2", "debug3", "debug4", "debug5", "7"], "DEBUG"),
    **dict.fromkeys(["info", "i", "inf", "information", "informational", "notice", "note", "n", "log", "hint", "statement"], "INFO"),
    **dict.fromkeys(["detail", "success", "system", "6", "5"], "INFO"),
    **dict.fromkeys(["warn", "w", "warning", "wrn", "4"], "WARN"),
    **dict.fromkeys(["error", "e", "err", "eror", "failure", "severe", "3", "err!"], "ERROR"),
    **dict.fromkeys(["fatal", "f", "ftl", "critical", "crit", "c", "alert", "emerg", "emergency", "panic", "dpanic"], "FATAL"),
    **dict.fromkeys(["a", "wtf", "assert", "0", "1", "2"], "FATAL"),
}
_INTEGERS = frozenset("process.pid thread.id code.line.number http.response.status_code http.response.size log.syslog.facility.code".split())
_ESCAPED = r'["\\\x00-\x1f]'  # what JSON has escapes for (RFC 8259, 7)
_TRACE = (  # what continues a record wherever it stands
    r"^(?:\s|$|Traceback \(|Caused by: |Suppressed: |\.\.\. \d+ (?:more|common)|During handling of the above|The above exception was|goroutine \d+ \[|"
    r"(?:[a-z_][\w$]*\.){2,}[A-Z][\w$]*(?:Error|Exception|Throwable)(?::|$))"
)
_NAMED = r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Warning|Interrupt|Exit)(?::|$)"  # what ends a Python traceback
_LEVEL = r"(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|ERR|FATAL|CRIT(?:ICAL)?|SEVERE|ALERT|EMERG|PANIC|FINE(?:R|ST)?|CONFIG)"
_ANY_LEVEL = r"(?:LOG|Note|System|(?i:trace|debug|info|notice|warn(?:ing)?|error|err|fatal|crit(?:ical)?|severe|alert|emerg|panic))"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
# Zones that logs name; what stands for several places (IST, BST) is left out, the American ones are those of RFC 822.
_ZONES = dict(
    zone.split("=")
    for zone in "WEST=+0100 CET=+0100 CEST=+0200 EET=+0200 EEST=+0300 MSK=+0300 SGT=+0800 HKT=+0800 JST=+0900 KST=+0900 AEST=+1000 AEDT=+1100 NZST=+1200 "
    "NZDT=+1300 EST=-0500 EDT=-0400 CST=-0600 CDT=-0500 MST=-0700 MDT=-0600 PST=-0800 PDT=-0700".split()
)
_ZONE = rf"(?:Z| ?(?:UTC|GMT)| ?[+-]\d\d:?\d\d|[+-]\d\d| (?:{'|'.join(_ZONES)}))"
_ISO = rf"\d{{4}}[-/]\d\d[-/]\d\d[T ]{_CLOCK}{_ZONE}?"
_FOREIGN = rf"^[\[(<]?(?:\d{{4}}[-/.]\d\d[-/.]\d\d[T ]|{_CLOCK}[\s\])>]|[A-Z][a-z]{{2}} [ \d]\d {_CLOCK} |{_LEVEL}[\s:\])>|])"  # another's header


def iso_times(texts: pl.Series, now: datetime) -> pl.Series:  # noqa: ARG001
    """ISO 8601 and its relatives, with or without zone (then UTC), to Datetime us, UTC; null where unreadable."""
    import polars as pl

    parts = texts.str.extract_groups(
        _ascii(rf"^(?P<date>\d{{4}}[-/]\d\d[-/]\d\d)[T ](?P<clock>\d\d:\d\d:\d\d)(?:[.,](?P<part>\d{{1,6}})\d*)?(?P<zone>{_ZONE}?)$")
    ).struct.unnest()
    text = pl.col("date").str.replace_all("/", "-", literal=True) + " " + pl.col("clock") + "." + pl.col("part").fill_null("0")
    parsed = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
    if parts["zone"].str.contains(rf"\d|{'|'.join(_ZONES)}").any():
        digits = pl.col("zone").str.strip_chars(" ").replace(_ZONES).str.replace_all(r"[^\d+-]", "")
        minutes = digits.str.slice(1, 2).cast(pl.Int64, strict=False) * 60 + digits.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
        parsed = parsed - pl.duration(minutes=pl.when(digits.str.starts_with("-")).then(-minutes).otherwise(minutes).fill_null(0))
    return parts.select(parsed.dt.replace_time_zone("UTC").alias("timestamp")).to_series()


def stamps(form: str) -> Times:
    """Times in one strptime format; without a zone they are UTC."""

    def read(texts: pl.Series, now: datetime) -> pl.Series:  # noqa: ARG001
        parsed = texts.str.to_datetime(form, strict=False, time_unit="us")
        return parsed if "%z" in form else parsed.dt.replace_time_zone("UTC")

    return read


def yearless(form: str) -> Times:
    """Times without a year: the latest year that does not put them more than a day after ``now``."""

    def read(texts: pl.Series, now: datetime) -> pl.Series:
        import polars as pl

        single = texts.str.replace_all("  ", " ", literal=True)
        latest = (now.replace(tzinfo=timezone.utc) if now.tzinfo is None else now.astimezone(timezone.utc)) + timedelta(days=1)
        found = pl.Series("timestamp", [None] * len(texts), dtype=pl.Datetime("us", "UTC"))
        for year in range(latest.year, latest.year - 9, -1):  # nine: the 29th of February is eight years apart around 1900 and 2100
            read = (f"{year} " + single).str.to_datetime(f"%Y {form}", strict=False, time_unit="us").dt.replace_time_zone("UTC")
            found = found.zip_with(found.is_not_null() | (read > latest).fill_null(value=True), read)
            if year < latest.year and not (found.is_null() & single.str.contains("29", literal=True)).any():
                break
        return found

    return read


def looks_continued(lines: pl.Series) -> pl.Series:
    """Boolean: by its looks, the line continues the one before: indented, empty, or part of a stack trace."""
    sure = lines.str.contains(_ascii(_TRACE))
    return sure | (sure.shift(1, fill_value=False) & lines.str.contains(_ascii(_NAMED)))


def _ascii(pattern: str) -> str:
    r"""The pattern with ``\d``, ``\w``, ``\s`` as ASCII: Unicode's tables make capturing several times slower."""
    ranges = {r"\d": "0-9", r"\w": "0-9A-Za-z_", r"\s": r" \t\r\n\f\v"}

    def spelled(match: re.Match[str]) -> str:
        text = match[0]
        if text == r"\S":
            return rf"[^{ranges[chr(92) + 's']}]"
        inner = re.sub(r"\\.", lambda escape: ranges.get(escape[0], escape[0]), text)
        return f"[{inner}]" if text in ranges else inner

    return re.sub(r"\[(?:\\.|[^\]\\])*\]|\\.", spelled, pattern)


@dataclass(frozen=True)
class Layout:
    """One way a record may begin: its header, without a ``^``, and how its time is written."""

    header: str
    times: Times = iso_times

    @cached_property
    def uncaptured(self) -> str:
        """The header without groups, but for the body's: finding is many times as fast as capturing."""
        return _ascii(re.sub(r"\(\?P<(?!body>)\w+>", "(?:", self.header))

    def read(self, records: pl.Series, now: datetime) -> pl.DataFrame:
        """Columns ``timestamp``, ``severity`` and ``attributes`` of records that begin so."""
        import polars as pl

        groups = records.str.extract_groups("^" + _ascii(self.header)).struct.unnest()
        names = groups.columns
        frame = groups.with_columns(timestamp=self.times(groups["time"], now) if "time" in names else pl.lit(None, pl.Datetime("us", "UTC")))
        frame = frame.with_columns(_severity(names).alias("level"))
        left = [pl.when(pl.col("timestamp").is_null()).then("time").alias("time")] if "time" in names else []
        left += [pl.when(pl.col("level").is_null()).then("severity").alias("severity_text")] if "severity" in names else []
        left += [(pl.col("pri").cast(pl.Int64) // 8).cast(pl.String).alias("log.syslog.facility.code")] if "pri" in names else []
        others = [name for name in names if name not in ("body", "time", "severity", "pri")]
        attributes = _objects(frame.select(*(pl.col(name).alias(name.replace("__", ".")) for name in others), *left))
        return frame.select("timestamp", pl.col("level").alias("severity")).with_columns(attributes.alias("attributes"))


def _severity(names: list[str]) -> pl.Expr:
    import polars as pl

    if "severity" in names:
        return pl.col("severity").str.to_lowercase().replace_strict(SEVERITY, default=None, return_dtype=pl.String)
    if "pri" in names:
        return (pl.col("pri").cast(pl.Int64) % 8).cast(pl.String).replace_strict(SEVERITY, default=None, return_dtype=pl.String)
    if "http__response__status_code" in names:
        kinds = {"1": "INFO", "2": "INFO", "3": "INFO", "4": "WARN", "5": "ERROR"}
        return pl.col("http__response__status_code").str.head(1).replace_strict(kinds, default=None, return_dtype=pl.String)
    return pl.lit(None, pl.String)


def _objects(columns: pl.DataFrame) -> pl.Series:
    """One JSON object a row, of what is not null and not empty; null for nothing."""
    import polars as pl

    told = [series for series in columns if series.null_count() < len(series)]
    if not told:
        return pl.Series([None] * len(columns), dtype=pl.String)
    inner = pl.DataFrame(told).select(pl.concat_str([_members(series) for series in told]).str.strip_suffix(",").alias("inner"))
    return inner.select(pl.when(pl.col("inner") != "").then("{" + pl.col("inner") + "}")).to_series()


def _members(series: pl.Series) -> pl.Expr:
    """A column as ``"name":value,``, or as nothing where there is no value. What needs no escaping gets none: that is four times as fast."""
    import polars as pl

    column, name = pl.col(series.name), f'"{series.name}":'
    if series.str.contains(_ESCAPED).any():
        texts = pl.struct(series.name).struct.json_encode().str.strip_prefix("{" + name).str.strip_suffix("}")
    else:
        texts = '"' + column + '"'
    if series.name in _INTEGERS:
        texts = pl.when(column.str.contains("^(?:0|[1-9][0-9]{0,17})$")).then(column).otherwise(texts)
    return pl.when(column != "").then(name + texts + ",").otherwise(pl.lit(""))


@dataclass(frozen=True)
class TableFormat:
    """A format by its layouts.

    ``also``: layouts that are read as well, without being a reason to choose the format. ``greedy``: a line without a header
    continues the record before it, unless it has the looks of another format's header. ``never``: what no line of it matches. ``halves``: of a header
    on two lines, what the first is from its start to its end, and how the second begins.
    """

    name: str
    layouts: tuple[Layout, ...]
    also: tuple[Layout, ...] = ()
    greedy: bool = False
    never: str = ""
    halves: tuple[str, str] | None = None

    @cached_property
    def own(self) -> str:
        """Pattern of the layouts that the format is chosen by."""
        return f"^(?:{'|'.join(layout.uncaptured for layout in self.layouts)})"

    @cached_property
    def header(self) -> str:
        """Pattern of every layout that is read."""
        return f"^(?:{'|'.join(layout.uncaptured for layout in (*self.layouts, *self.also))})"

    def has(self, lines: pl.Series) -> pl.Series:
        """Boolean: the line has one of the layouts that the format is chosen by."""
        found = lines.str.contains(self.own)
        return found & ~lines.str.contains(_ascii(self.never)) if self.never else found

    def score(self, lines: pl.Series) -> float:
        """Share of the lines that begin a record of this format, leaving out those that look like a continuation."""
        matched = self.has(lines)
        heads = len(lines.filter((matched | ~looks_continued(lines)) & ~self._second(lines)))
        return float(matched.sum()) / heads if heads else 0.0

    def starts(self, lines: pl.Series) -> pl.Series | None:
        """Lines with a header begin a record; of the others, those that do not look like a continuation."""
        matched = lines.str.contains(self.header)
        if matched.all():
            return matched
        found = matched | (lines.str.contains(_ascii(_FOREIGN)) if self.greedy else ~looks_continued(lines))
        return found & ~self._second(lines)

    def _second(self, lines: pl.Series) -> pl.Series:
        """Boolean: the line is the second half of a header whose first half is the line before."""
        import polars as pl

        if self.halves is None:
            return pl.repeat(value=False, n=len(lines), dtype=pl.Boolean, eager=True)
        first, second = (_ascii(half) for half in self.halves)
        return lines.str.contains(f"^{first}$").shift(1, fill_value=False) & lines.str.contains(f"^{second}")

    def bodies(self, records: pl.Series) -> pl.Series:
        """What follows the header; the whole record where there is none."""
        return records.str.replace(self.header, "${1}" if "(?P<body>" in self.header else "")

    def fields(self, records: pl.Series, now: datetime) -> pl.DataFrame:
        """Time, severity and attributes of the headers."""
        import polars as pl

        left, parts = pl.DataFrame({"record": records}).with_row_index("row"), []
        for layout in (*self.layouts, *self.also):
            hit = left["record"].str.contains("^" + layout.uncaptured)
            if hit.any():
                rows = left.filter(hit)
                parts.append(layout.read(rows["record"], now).with_columns(rows["row"]))
                left = left.filter(~hit)
        parts.append(PLAIN.fields(left["record"], now).with_columns(left["row"]))
        return pl.concat(parts).sort("row").drop("row")


class Plain:
    """Every line is a record, and its body."""

    name = "plain"

    def score(self, lines: pl.Series) -> float:  # noqa: ARG002
        """Never more than any other."""
        return 0.0

    def starts(self, lines: pl.Series) -> pl.Series | None:  # noqa: ARG002
        """Every line is a record."""
        return None

    def bodies(self, records: pl.Series) -> pl.Series:
        """The lines."""
        return records

    def fields(self, records: pl.Series, now: datetime) -> pl.DataFrame:  # noqa: ARG002
        """Nothing is known."""
        import polars as pl

        none = pl.Series([None] * len(records), dtype=pl.String)
        return pl.DataFrame({"timestamp": none.cast(pl.Datetime("us", "UTC")), "severity": none, "attributes": none})


class Text(Plain):
    """Lines without a header, among them stack traces, which are joined to what they follow."""

    name = "text"

    def score(self, lines: pl.Series) -> float:
        """Just enough where a stack trace is seen, so that any real format goes before."""
        return 0.5 if lines.str.contains(r'^(?:Traceback \(most recent|\s+at [\w.$<>/]+\(|\s+File ".*", line \d+)').any() else 0.0

    def starts(self, lines: pl.Series) -> pl.Series | None:
        """What does not look like a continuation."""
        return ~looks_continued(lines) | (lines == "")


def _format(name: str, *headers: str, times: Times = iso_times) -> TableFormat:
    return TableFormat(name, tuple(Layout(header, times) for header in headers))


_TAG = r"(?:(?P<service__name>[^\s:\[\]]+)(?:\[(?P<process__pid>\d+)\])?:(?: |(?m:$)))?"
_BSD = Layout(rf"(?:<(?P<pri>\d{{1,3}})>)?(?P<time>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d) (?P<host__name>\S+) {_TAG}", yearless("%b %d %H:%M:%S"))
_RSYSLOG = Layout(
    r"(?:<(?P<pri>\d{1,3})>)?(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) (?P<host__name>[\w.:-]+) "
    r"(?P<service__name>[^\s:\[\]]+)(?:\[(?P<process__pid>\d+)\])?:(?: |(?m:$))"
)
_GAP = r"[ \t]+(?:[-|][ \t]+)?"
_BEFORE = rf"(?:(?:\[(?P<thread__name>[^\]\n]+)\]|(?P<process__pid>\d+)(?: \d+)?){_GAP})?(?:[\w-]+@[\w-]+ )?"
_ISO_LAYOUTS = (
    Layout(rf"\[(?P<time>{_ISO}) (?P<severity>{_LEVEL}) +(?P<log__logger>[\w:]+)\] "),
    Layout(rf"\[?(?P<time>{_ISO})\]?{_GAP}{_BEFORE}[\[(<]?(?P<severity>{_ANY_LEVEL})[ \t]*(?:[\])>]:?|:|(?:[ \t]\|))(?:{_GAP})?"),
    Layout(rf"\[?(?P<time>{_ISO})\]?{_GAP}{_BEFORE}(?P<severity>{_LEVEL})(?:{_GAP}|(?m:$))"),
    Layout(rf"\[?(?P<time>{_ISO})\]?:?(?:{_GAP}|(?m:$))"),
)
_JTIME = rf"(?P<time>(?:\d{{4}}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d{{3,9}})?{_ZONE}?)"
_LOGGER = r"(?P<log__logger>[A-Za-z_$][\w.$/\-]*(?:\[[^\]\s]*\])?)"
_JAVA = (
    Layout(rf"\[?{_JTIME}\]? +(?P<severity>{_LEVEL}) +(?P<process__pid>\d+) +--- +(?:\[[^\]]*\] +)?\[ *(?P<thread__name>[^\]]*)\] +{_LOGGER} *: "),
    Layout(rf"\[?{_JTIME}\]? +\[ *(?P<thread__name>[^\]]*)\] +\[?(?P<severity>{_LEVEL}) *\]? +{_LOGGER}(?:[:(][\w.:]*\)?)?(?: --?|:) "),
    Layout(rf"\[?{_JTIME}\]? +\[?(?P<severity>{_LEVEL}) *\]? +(?:\[ *(?P<thread__name>[^\]]*)\] +)?{_LOGGER}(?:[:(][\w.:]*\)?)? +--? "),
    Layout(rf"\[?{_JTIME}\]? +(?P<severity>{_LEVEL}) +(?:\[ *(?P<thread__name>[^\]]*)\] +)?(?P<log__logger>[A-Za-z]\w*\.[\w.$]+): "),
    Layout(rf"\[?{_JTIME}\]? +(?P<severity>{_LEVEL}) +\[(?P<log__logger>[\w.$-]+)\] +\((?P<thread__name>[^)]*)\) "),
    Layout(rf"\[?{_JTIME}\]? +(?:\[[^\]]*\] +)?- +(?P<severity>{_LEVEL}) +\[(?P<thread__name>[^\]]*)\] +- "),
    Layout(rf"\[{_JTIME}\]\[(?P<severity>{_LEVEL}) *\]\[(?P<log__logger>[\w.$-]+) *\] ?(?:\[(?P<host__name>[^\]]*)\] ?)?"),
    Layout(rf"(?P<severity>{_LEVEL}) +\[(?P<thread__name>[^\]]*)\] +{_JTIME} +(?P<code__file__path>[\w.$]+):(?P<code__line__number>\d+) - "),
    Layout(rf"\d+ +\[(?P<thread__name>[^\]]*)\] +(?P<severity>{_LEVEL}) +{_LOGGER}(?: \S*)? - "),
    Layout(
        rf"(?P<time>\d\d-[A-Z][a-z]{{2}}-\d{{4}} \d\d:\d\d:\d\d\.\d{{3}}) (?P<severity>{_LEVEL}) \[(?P<thread__name>[^\]]*)\] {_LOGGER} ",
        stamps("%d-%b-%Y %H:%M:%S%.f"),
    ),
    Layout(rf"(?P<time>\d\d/\d\d/\d\d \d\d:\d\d:\d\d) (?P<severity>{_LEVEL}) {_LOGGER}: ", stamps("%y/%m/%d %H:%M:%S")),
)
_JUL = r"[A-Z][a-z]{2} \d{1,2}, \d{4} \d{1,2}:\d\d:\d\d [AP]M"  # java.util.logging: time, class and method, then level and message on a line of their own
_JUL_LAYOUT = Layout(
    rf"(?P<time>{_JUL}) (?P<log__logger>[\w.$]+)(?: (?P<code__function__name>[\w.$<>]+))?(?:\n(?P<severity>{_LEVEL}): )?", stamps("%b %d, %Y %I:%M:%S %p")
)
_PYTHON_LEVEL = r"(?P<severity>DEBUG|INFO|WARNING|ERROR|CRITICAL)"
_PYTHON = (
    Layout(rf"\[?(?P<time>{_ISO})\]? - (?P<log__logger>\S+) - {_PYTHON_LEVEL} - "),
    Layout(rf"(?P<time>{_ISO}) \| (?P<severity>[A-Z]+) +\| (?P<log__logger>[\w.<>]+):(?P<code__function__name>[\w<>]+):(?P<code__line__number>\d+) - "),
    Layout(rf"\[(?P<time>{_ISO}): {_PYTHON_LEVEL}/(?P<thread__name>[\w-]+)\] "),
    Layout(rf"{_PYTHON_LEVEL}:(?P<log__logger>[^:\s]+):"),
    Layout(rf"{_PYTHON_LEVEL}: +"),
)
_BGL = (
    Layout(
        r"(?:(?P<alert>-|[A-Za-z_]\S*) \d{9,10} \d{4}\.\d\d\.\d\d \S+ )?(?P<time>\d{4}-\d\d-\d\d-\d\d\.\d\d\.\d\d\.\d+) (?:(?P<host__name>\S+) )?(?P<type>RAS|NULL) "
        r"(?P<component>\S+) (?P<severity>[A-Z]+)(?: |(?m:$))",
        stamps("%Y-%m-%d-%H.%M.%S%.f"),
    ),
    Layout(
        rf"(?P<alert>-|[A-Za-z_]\S*) (?P<time>\d{{9,10}}) \d{{4}}\.\d\d\.\d\d (?P<host__name>\S+) [A-Z][a-z]{{2}} +\d{{1,2}} \d\d:\d\d:\d\d \S+ {_TAG}",
        stamps("%s"),
    ),
)
_ACCESS = (
    r"(?:\S+:\d+ )?(?P<client__address>\S+) \S+ (?:-|(?P<user__name>\S+(?: \S+){0,3}?)) \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    r'(?P<body>"(?:(?P<http__request__method>[A-Z]+) (?P<url__original>[^\s"]+)(?:[^"\\]|\\.)*|(?:[^"\\]|\\.)*)" (?P<http__response__status_code>\d{3}) '
    r'(?:(?P<http__response__size>\d+)|-))(?: "(?:-|(?P<http__request__referrer>(?:[^"\\]|\\.)*))" "(?:-|(?P<user_agent__original>(?:[^"\\]|\\.)*))")?(?P<rest>(?s:.*))'
)
TABLE: tuple[TableFormat, ...] = (
    TableFormat("bgl", _BGL),
    _format("hdfs", r"(?P<time>\d{6} \d{6}) (?P<thread__id>\d+) (?P<severity>[A-Z]+) (?P<log__logger>[^\s:]+): ?", times=stamps("%y%m%d %H%M%S")),
    _format("cbs", r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d), (?P<severity>[A-Z][a-z]+) {2,}(?P<component>\S+) +"),
    _format(
        "rfc5424",
        r"<(?P<pri>\d{1,3})>1 (?:-|(?P<time>\d\S*)) (?:-|(?P<host__name>\S+)) (?:-|(?P<service__name>\S+)) (?:-|(?P<process__pid>\S+)) "
        r'(?:-|(?P<log__syslog__msgid>\S+)) (?:-|(?P<log__syslog__structured_data>(?:\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\])+)) ?(?:\x{FEFF})?',
    ),
    TableFormat("rfc3164", (_BSD,), also=(_RSYSLOG,)),
    TableFormat("rsyslog", (_RSYSLOG,), also=(_BSD,), never=rf"^\S+ {_ANY_LEVEL} "),
    _format(
        "klog",
        r"(?P<severity>[IWEF])(?P<time>\d{4} \d\d:\d\d:\d\d\.\d+) +(?P<thread__id>\d+) (?P<code__file__path>[^\s:]+):(?P<code__line__number>\d+)\] ",
        times=yearless("%m%d %H:%M:%S%.f"),
    ),
    _format(
        "logcat",
        r"(?P<time>\d\d-\d\d \d\d:\d\d:\d\d\.\d{3,6}) +(?P<process__pid>\d+) +(?P<thread__id>\d+) (?P<severity>[VDIWEFA]) (?P<log__logger>[^:\n]*?) *: ?",
        r"(?:(?P<time>\d\d-\d\d \d\d:\d\d:\d\d\.\d{3,6}) )?(?P<severity>[VDIWEFA])/(?P<log__logger>[^(\n]+?) *\( *(?P<process__pid>\d+)\): ?",
        times=yearless("%m-%d %H:%M:%S%.f"),
    ),
    _format("access", _ACCESS, times=stamps("%d/%b/%Y:%H:%M:%S %z")),
    _format(
        "nginx-error",
        r"(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(?P<severity>[a-z]+)\] (?P<process__pid>\d+)#(?P<thread__id>\d+): ",
    ),
    _format(
        "apache-error",
        r"\[(?P<time>[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? \d{4})\] \[(?:(?P<component>\w*):)?(?P<severity>[a-z]+)\d?\]"
        r"(?: \[pid (?P<process__pid>\d+)(?::tid (?P<thread__id>\d+))?\])?(?: \[client (?P<client__address>[^\]]+)\])? ",
        times=stamps("%a %b %d %H:%M:%S%.f %Y"),
    ),
    TableFormat("java", (*_JAVA, _JUL_LAYOUT), also=_ISO_LAYOUTS, greedy=True, halves=(rf"{_JUL} [\w.$]+(?: [\w.$<>]+)?", rf"{_LEVEL}: ")),
    TableFormat("python", _PYTHON, also=_ISO_LAYOUTS, greedy=True),
    TableFormat("iso", _ISO_LAYOUTS, greedy=True),
)
PLAIN = Plain()
