"""The formats that a regular expression describes: one table, worked on by columns.

In a pattern (Rust syntax) the group ``body`` is what is judged, ``time`` and ``severity`` are read, every other group becomes an attribute; two
underscores stand for a dot, so that attributes have OpenTelemetry's names (``host__name``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["PLAIN", "SEVERITY", "TABLE", "Plain", "TableFormat", "iso_times", "looks_continued"]

Times = Callable[["pl.Series", datetime], "pl.Series"]

SEVERITY = {  # what logs call it, in lower case -> OpenTelemetry's short name
    **dict.fromkeys("trace finest finer verbose v all silly t".split(), "TRACE"),
    **dict.fromkeys("debug d dbg fine config debug1 debug2 debug3 debug4 debug5 7".split(), "DEBUG"),
    **dict.fromkeys("info i inf information informational notice n log hint statement detail success 6 5".split(), "INFO"),
    **dict.fromkeys("warn w warning wrn 4".split(), "WARN"),
    **dict.fromkeys("error e err eror failure 3 err!".split(), "ERROR"),
    **dict.fromkeys("fatal f ftl critical crit c severe alert emerg emergency panic dpanic a wtf assert 0 1 2".split(), "FATAL"),
}
_CONTINUED = (
    r"^(?:\s|$|Traceback \(|Caused by: |Suppressed: |\.\.\. \d+ (?:more|common)|During handling of the above|The above exception was|"
    r"[A-Za-z_][A-Za-z0-9_.$]*(?:Error|Exception|Warning|Interrupt|Throwable)(?::|$))"
)
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
_LEVEL = r"(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|ERR|FATAL|CRIT(?:ICAL)?|SEVERE|ALERT|EMERG|PANIC|LOG|trace|debug|info|notice|warn(?:ing)?|error|fatal|crit(?:ical)?)"
_BODY = r"(?P<body>(?s:.*))"


def iso_times(texts: pl.Series, now: datetime) -> pl.Series:  # noqa: ARG001
    """ISO 8601 and its relatives, with or without zone (then UTC), to Datetime us, UTC; null where unreadable."""
    import polars as pl

    frame = pl.DataFrame({"text": texts.str.replace(",", ".", literal=True).str.replace("/", "-", literal=True, n=2)})
    zone = pl.col("text").str.extract(r"([+-]\d\d:?\d\d)$").str.replace(":", "")
    minutes = zone.str.slice(1, 2).cast(pl.Int64) * 60 + zone.str.slice(3, 2).cast(pl.Int64)
    offset = pl.duration(minutes=pl.when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes).fill_null(0))
    naive = pl.col("text").str.head(10) + " " + pl.col("text").str.extract(r"(\d\d:\d\d:\d\d(?:\.\d{1,9})?)").str.head(15)
    parsed = naive.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
    return frame.select((parsed - offset).dt.replace_time_zone("UTC")).to_series()


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

        def at(year: int) -> pl.Expr:
            text = pl.lit(f"{year} ") + pl.col("text").str.replace_all(" +", " ")
            return text.str.to_datetime(f"%Y {form}", strict=False, time_unit="us").dt.replace_time_zone("UTC")

        this = pl.DataFrame({"text": texts}).with_columns(this=at(now.year), last=at(now.year - 1))
        late = pl.col("this").is_null() | (pl.col("this") > now + timedelta(days=1))
        return this.select(pl.when(late).then("last").otherwise("this")).to_series()

    return read


def looks_continued(lines: pl.Series) -> pl.Series:
    """Boolean: by its looks, the line continues the one before (indented, empty, or part of a stack trace)."""
    return lines.str.contains(_CONTINUED)


@dataclass(frozen=True)
class TableFormat:
    """A format of one pattern. ``greedy``: every line without a header continues the record before it."""

    name: str
    pattern: str
    times: Times
    greedy: bool = False
    levels: tuple[tuple[str, str], ...] = ()  # severities that mean something else here

    @cached_property
    def header(self) -> str:
        """What stands before the body, without groups: finding is many times as fast as capturing."""
        return re.sub(r"\(\?P<\w+>", "(?:", self.pattern[: self.pattern.index("(?P<body>")])

    def score(self, lines: pl.Series) -> float:
        """Share of the lines that have the header, leaving out those that look like a continuation."""
        matched = lines.str.contains(self.pattern)
        heads = lines.filter(matched | ~looks_continued(lines))
        return float(matched.sum()) / len(heads) if len(heads) else 0.0

    def starts(self, lines: pl.Series) -> pl.Series | None:
        """Lines with the header begin a record; of the others, those that do not look like a continuation."""
        matched = lines.str.contains(self.pattern)
        if self.greedy or matched.all():
            return matched
        return matched | ~looks_continued(lines)

    def bodies(self, records: pl.Series) -> pl.Series:
        """What follows the header; the whole record where there is none."""
        return records.str.replace(self.header, "")

    def fields(self, records: pl.Series, now: datetime) -> pl.DataFrame:
        """Time, severity and attributes of the header."""
        import polars as pl

        groups = records.str.extract_groups(self.pattern).struct.unnest()
        none = pl.Series([None] * len(records), dtype=pl.String)
        time = self.times(groups["time"], now) if "time" in groups.columns else none.cast(pl.Datetime("us", "UTC"))
        names = [name for name in groups.columns if name not in ("body", "time", "severity")]
        known = SEVERITY | dict(self.levels)
        severity = groups["severity"].str.to_lowercase().replace_strict(known, default=None, return_dtype=pl.String) if "severity" in groups.columns else none
        attributes = _attributes(groups.select(pl.col(name).alias(name.replace("__", ".")) for name in names)) if names else none
        return pl.DataFrame({"timestamp": time, "severity": severity, "attributes": attributes})


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


def _attributes(columns: pl.DataFrame) -> pl.Series:
    """One JSON object a row, of what is not null; null for nothing."""
    import polars as pl

    def member(name: str) -> pl.Expr:
        value = pl.struct(name).struct.json_encode().str.slice(1).str.head(-1)
        return pl.when(pl.col(name).is_null() | (pl.col(name) == "")).then(pl.lit("")).otherwise(pl.lit(",") + value)

    members = columns.select(pl.concat_str([member(name) for name in columns.columns]).str.slice(1)).to_series()
    frame = pl.DataFrame({"members": members})
    return frame.select(pl.when(pl.col("members") == "").then(None).otherwise(pl.lit("{") + pl.col("members") + "}")).to_series()


_SYSLOG_TAG = r"(?:(?P<service__name>[^\s:\[\]]{1,64})(?:\[(?P<process__pid>\d+)\])?: )?"
_BGL_TIME = r"\d{4}-\d\d-\d\d-\d\d\.\d\d\.\d\d\.\d+"
TABLE: tuple[TableFormat, ...] = (
    TableFormat(
        "bgl",
        rf"^(?:(?P<alert>\S+) \d{{9,10}} \d{{4}}\.\d\d\.\d\d \S+ )?(?P<time>{_BGL_TIME}) (?P<host__name>\S+) (?P<facility>\S+) (?P<component>\S+) (?P<severity>[A-Z]+) ?{_BODY}",
        stamps("%Y-%m-%d-%H.%M.%S%.f"),
    ),
    TableFormat(
        "spirit",
        rf"^(?P<alert>\S+) (?P<time>\d{{9,10}}) \d{{4}}\.\d\d\.\d\d (?P<host__name>\S+) [A-Z][a-z]{{2}} +\d{{1,2}} \d\d:\d\d:\d\d \S+ {_SYSLOG_TAG}{_BODY}",
        stamps("%s"),
    ),
    TableFormat("hdfs", rf"^(?P<time>\d{{6}} \d{{6}}) (?P<thread__id>\d+) (?P<severity>[A-Z]+) (?P<log__logger>[^\s:]+): ?{_BODY}", stamps("%y%m%d %H%M%S")),
    TableFormat("cbs", rf"^(?P<time>\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d), (?P<severity>[A-Z][a-z]+) {{2,}}(?P<component>\S+) +{_BODY}", iso_times),
    TableFormat(
        "rfc5424",
        r"^<(?P<pri>\d{1,3})>1 (?P<time>\S+) (?:-|(?P<host__name>\S+)) (?:-|(?P<service__name>\S+)) (?:-|(?P<process__pid>\S+)) (?:-|(?P<event__name>\S+)) "
        r'(?:-|(?P<structured_data>(?:\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\])+)) ?(?:\x{FEFF})?(?P<body>(?s:.*))',
        iso_times,
    ),
    TableFormat(
        "rfc3164",
        rf"^(?:<(?P<pri>\d{{1,3}})>)?(?P<time>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d) (?P<host__name>\S+) {_SYSLOG_TAG}{_BODY}",
        yearless("%b %d %H:%M:%S"),
    ),
    TableFormat(
        "rsyslog",
        rf"^(?P<time>\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) (?P<host__name>[A-Za-z0-9._-]+) (?P<service__name>[^\s:\[\]]{{1,64}})(?:\[(?P<process__pid>\d+)\])?: {_BODY}",
        iso_times,
    ),
    TableFormat(
        "klog",
        rf"^(?P<severity>[IWEF])(?P<time>\d{{4}} \d\d:\d\d:\d\d\.\d+) +(?P<thread__id>\d+) (?P<code__file__path>[^\s:]+):(?P<code__line__number>\d+)\] {_BODY}",
        yearless("%m%d %H:%M:%S%.f"),
    ),
    TableFormat(
        "logcat",
        rf"^(?P<time>\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}}) +(?P<process__pid>\d+) +(?P<thread__id>\d+) (?P<severity>[VDIWEFA]) (?P<log__logger>[^:]*?) *: ?{_BODY}",
        yearless("%m-%d %H:%M:%S%.f"),
    ),
    TableFormat("logcat-brief", rf"^(?P<severity>[VDIWEFA])/(?P<log__logger>[^(]+?) *\( *(?P<process__pid>\d+)\): ?{_BODY}", iso_times),
    TableFormat(
        "access",
        r'^(?P<client__address>\S+) \S+ (?P<user__name>\S+) \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] (?P<body>"[^"]*" \d{3} (?:\d+|-)(?s:.*))',
        stamps("%d/%b/%Y:%H:%M:%S %z"),
    ),
    TableFormat(
        "nginx-error", rf"^(?P<time>\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d) \[(?P<severity>[a-z]+)\] (?P<process__pid>\d+)#(?P<thread__id>\d+): {_BODY}", iso_times
    ),
    TableFormat(
        "apache-error",
        rf"^\[(?P<time>[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? \d{{4}})\] \[(?:(?P<component>\w*):)?(?P<severity>[a-z]+)\d?\](?: \[pid (?P<process__pid>\d+)(?::tid (?P<thread__id>\d+))?\])?(?: \[client (?P<client__address>[^\]]+)\])? {_BODY}",
        stamps("%a %b %d %H:%M:%S%.f %Y"),
    ),
    TableFormat(
        "java",
        rf"^\[?(?P<time>(?:\d{{4}}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d[.,]\d{{3,9}}(?:Z|[+-]\d\d:?\d\d)?)\]? +(?:\[(?P<thread__name>[^\]]*)\] +)?\[?(?P<severity>{_LEVEL})\]? +(?:(?P<process__pid>\d+) +--- +)?(?:\[[^\]]*\] +)?(?:\((?P<thread>[^)]*)\) +)?(?:\[(?P<context>[^\]]*)\] +)?(?P<log__logger>[A-Za-z_$][A-Za-z0-9_.$/\[\]]*)(?:\((?P<code__location>[^)]*)\))? *(?: -|:) {_BODY}",
        iso_times,
        greedy=True,
    ),
    TableFormat(
        "python",
        rf"^(?P<time>\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d(?:,\d{{3}})?) - (?P<log__logger>[^\s]+) - (?P<severity>[A-Z]+) - {_BODY}",
        iso_times,
        greedy=True,
    ),
    TableFormat("python-basic", rf"^(?P<severity>DEBUG|INFO|WARNING|ERROR|CRITICAL):(?P<log__logger>[^:\s]+):{_BODY}", iso_times, greedy=True),
    TableFormat("iso", rf"^\[?(?P<time>{_ISO})\]?(?:[ \t]+[\[(<]?(?P<severity>{_LEVEL})[\])>]?:?)?[ \t]*{_BODY}", iso_times, greedy=True),
)
PLAIN = Plain()
