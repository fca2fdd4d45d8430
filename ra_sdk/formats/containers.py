"""What runtimes and runners put around the lines of programs: Docker, CRI, Compose, kubectl, GitHub Actions, GitLab CI.

``unwrap`` gives for each line what the program wrote, the stream that it belongs to, whether it goes on in the stream's next line, and
the runtime's own time, severity and attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ra_sdk.formats.layouts import Example, objects
from ra_sdk.formats.patterns import SEVERITY, ascii_classes, expanded, uncaptured
from ra_sdk.formats.structured import otlp_records

if TYPE_CHECKING:
    import polars as pl

__all__ = ["CONTAINERS", "Container"]


@dataclass(frozen=True)
class Container:
    """Lines of a runtime around lines of a program.

    ``unwrap`` makes of lines a frame with ``text`` (String), ``key`` (String: the stream), ``partial`` (Boolean), ``time`` (String, ISO),
    ``level`` (String) and ``outer`` (String: a JSON object), the last three null where there is nothing. Where a line holds several records,
    ``at`` (UInt32) is the line of each.
    """

    name: str
    about: str
    pattern: str
    unwrap: Callable[[pl.Series], pl.DataFrame]
    examples: tuple[Example, ...] = ()
    origin: str = "ra_sdk"

    def has(self, lines: pl.Series) -> pl.Series:
        """Boolean: the runtime wrote the line."""
        return lines.str.contains(self.pattern)


@dataclass(frozen=True)
class _Prefix:
    """Unwraps lines with a prefix: of its groups, ``time``, ``level`` and ``partial`` are read, ``key`` tells streams apart, others are attributes."""

    header: str
    partial: str = ""  # what ``partial`` holds where a line goes on
    levels: bool = True

    @cached_property
    def pattern(self) -> str:
        return "^" + uncaptured(expanded(self.header))

    def __call__(self, lines: pl.Series) -> pl.DataFrame:
        import polars as pl

        groups = lines.str.extract_groups("^" + expanded(self.header)).struct.unnest()
        names = set(groups.columns)
        none = pl.lit(None, pl.String)
        others = groups.select(pl.col(name).alias(name.replace("__", ".")) for name in groups.columns if name not in _OWN)
        key = pl.concat_str([pl.col(name).fill_null("") for name in groups.columns if name in ("key", *_KEYS)] or [pl.lit("")], separator=" ")
        level = pl.col("level").str.to_lowercase().replace_strict(SEVERITY, default=None, return_dtype=pl.String) if "level" in names else none
        return groups.select(
            key=key,
            partial=(pl.col("partial") == self.partial).fill_null(value=False) if "partial" in names else pl.lit(value=False),
            time=pl.col("time") if "time" in names else none,
            level=level,
        ).with_columns(text=lines.str.replace(self.pattern, ""), outer=objects(others) if others.width else none)


_OWN = ("time", "level", "partial", "key")
_KEYS = ("log__iostream", "service__name", "k8s__pod__name", "k8s__container__name")


def _docker(lines: pl.Series) -> pl.DataFrame:
    import polars as pl

    line = pl.col("line")
    frame = pl.DataFrame({"line": lines}).select(
        log=line.str.json_path_match("$.log"),
        stream=line.str.json_path_match("$.stream"),
        time=line.str.json_path_match("$.time"),
        attrs=line.str.extract(_ATTRS),
    )
    found = frame["log"].is_not_null()
    text = frame["log"].str.replace(r"\r?\n$", "").zip_with(found, lines)
    outer = objects(frame.select(pl.col("stream").alias("log.iostream")))
    attrs = '{"attrs":' + frame["attrs"] + "}"
    both = outer.str.strip_suffix("}") + "," + attrs.str.slice(1)
    whole = both.to_frame("both").with_columns(outer=outer, attrs=attrs).select(pl.coalesce("both", "outer", "attrs")).to_series()
    return pl.DataFrame(
        {
            "text": text,
            "key": frame["stream"].fill_null(""),
            "partial": ~frame["log"].str.ends_with("\n").fill_null(value=True),
            "time": frame["time"],
            "level": pl.Series([None] * len(lines), dtype=pl.String),
            "outer": whole,
        }
    )


def _otlp(lines: pl.Series) -> pl.DataFrame:
    """Records of https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/, each as JSON of its own; a line that has none stays."""
    import polars as pl

    rows = [(at, *record) for at, line in enumerate(lines.to_list()) for record in otlp_records(line) or [(line, None)]]
    at, texts, outer = zip(*rows) if rows else ((), (), ())
    none = pl.Series([None] * len(rows), dtype=pl.String)
    return pl.DataFrame(
        {
            "text": pl.Series(texts, dtype=pl.String),
            "key": pl.Series([""] * len(rows), dtype=pl.String),
            "partial": pl.Series([False] * len(rows), dtype=pl.Boolean),
            "time": none,
            "level": none,
            "outer": pl.Series(outer, dtype=pl.String),
            "at": pl.Series(at, dtype=pl.UInt32),
        }
    )


_TEXT = r'"(?:[^"\\]|\\.)*"'
_FLAT = rf"\{{\s*(?:{_TEXT}\s*:\s*{_TEXT}\s*,?\s*)*\}}"  # an object of texts
_MEMBER = rf'"(?:log|stream|time|attrs)"\s*:\s*(?:{_TEXT}|{_FLAT}|null)'
_ATTRS = rf'"attrs"\s*:\s*({_TEXT}|{_FLAT})(?:\s*,\s*{_MEMBER})*\s*\}}\s*$'
_DOCKER_LINE = rf'^\{{\s*(?:"(?:stream|time|attrs)"\s*:\s*(?:{_TEXT}|{_FLAT}|null)\s*,\s*)*"log"\s*:\s*{_TEXT}(?:\s*,\s*{_MEMBER})*\s*\}}\s*$'
_CRI = _Prefix(r"(?P<time>\d{4}-\d\d-\d\dT\S+) (?P<log__iostream>stdout|stderr) (?P<partial>[FP])(?::\S+)?(?: |$)", partial="P")
_COMPOSE = _Prefix(r"(?P<service__name>(?:[a-z]|\d[\d_.-]*[a-z])[a-z0-9_.-]*?(?:[_-]\d+)?) +\| ?")
_KUBECTL = _Prefix(r"\[pod/(?P<k8s__pod__name>[\w.-]+)/(?P<k8s__container__name>[\w.-]+)\] ")
_ACTIONS = _Prefix(
    r"(?:[^\t\n]+\t[^\t\n]+\t)?(?:\x{FEFF})?(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z) ?"
    r"(?:##\[(?P<level>error|warning|notice|debug)\]|##\[(?:command|section|group|endgroup)\])?"
)
_GITLAB = _Prefix(r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (?P<key>[0-9a-f]{2}[OE])(?P<partial>[ +])", partial="")
CONTAINERS: tuple[Container, ...] = (
    Container(
        "docker",
        "files of Docker's json-file driver; lines inside are read as any others",
        _DOCKER_LINE,
        _docker,
        (
            Example(
                '{"log":"WARN flour low\\n","stream":"stdout","time":"2025-03-01T10:00:00.5Z"}',
                "2025-03-01T10:00:00.500Z",
                "WARN",
                "WARN flour low",
                {"log.iostream": "stdout"},
            ),
        ),
    ),
    Container(
        "otlp",
        "files of the OpenTelemetry Collector's file exporter, whose lines may hold several records",
        r'^\{\s*"resourceLogs"\s*:',
        _otlp,
        (
            Example(
                '{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"oven"}}]},"scopeLogs":[{"logRecords":'
                '[{"timeUnixNano":"1740823200500000000","severityNumber":17,"body":{"stringValue":"flour gone"}}]}]}]}',
                "2025-03-01T10:00:00.500Z",
                "ERROR",
                "flour gone",
                {"service.name": "oven"},
            ),
        ),
    ),
    Container(
        "cri",
        "files of containerd and CRI-O; lines inside are read as any others",
        _CRI.pattern,
        _CRI,
        (Example("2025-03-01T10:00:00.5Z stderr F [ERROR] flour gone", "2025-03-01T10:00:00.500Z", "ERROR", "flour gone", {"log.iostream": "stderr"}),),
    ),
    Container(
        "github-actions",
        "job logs of GitHub Actions and Azure Pipelines, raw or by `gh run view --log`",
        _ACTIONS.pattern,
        _ACTIONS,
        (
            Example(
                "2025-03-01T10:00:00.1234567Z ##[error]Process completed with exit code 1.",
                "2025-03-01T10:00:00.123456Z",
                "ERROR",
                "Process completed with exit code 1.",
            ),
        ),
    ),
    Container(
        "gitlab-ci",
        "job logs of GitLab CI with timestamps",
        _GITLAB.pattern,
        _GITLAB,
        (Example("2025-03-01T10:00:00.123456Z 01E ERROR: Job failed: exit code 1", "2025-03-01T10:00:00.123456Z", "ERROR", "Job failed: exit code 1"),),
    ),
    Container(
        "kubectl",
        "kubectl logs --prefix",
        _KUBECTL.pattern,
        _KUBECTL,
        (Example("[pod/web-1/app] [ERROR] flour gone", None, "ERROR", "flour gone", {"k8s.pod.name": "web-1", "k8s.container.name": "app"}),),
    ),
    Container(
        "compose",
        "docker compose logs: the service's name before each line",
        ascii_classes(r"^(?:[a-z]|\d[\d_.-]*[a-z])[a-z0-9_.-]*(?: {2,}|[_-]\d+ +)\| ?"),  # a name has a letter: numbers are of quoted programs
        _COMPOSE,
        (Example("web-1  | [ERROR] flour gone", None, "ERROR", "flour gone", {"service.name": "web-1"}),),
    ),
)
