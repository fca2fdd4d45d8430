"""The help texts and options of ``ra``. ``cli`` has the commands."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ra_sdk.errors import BadOption

if TYPE_CHECKING:
    from ra_sdk.sessions.window import Window

__all__ = [
    "ABOUT",
    "CODES",
    "DETECT",
    "JUDGE",
    "SETTINGS",
    "All",
    "AsJson",
    "AsLines",
    "Backend",
    "Checkpoint",
    "Context",
    "Explain",
    "Fail",
    "FailOn",
    "Follow",
    "Format",
    "FormatFile",
    "Given",
    "GpuLayers",
    "Mode",
    "ModeName",
    "Model",
    "Out",
    "Output",
    "Plugin",
    "Sensitive",
    "SensitivityName",
    "Source",
    "Sources",
    "State",
    "Store",
    "Threads",
    "Threshold",
    "To",
    "Width",
    "WindowText",
    "misuse",
    "pairs",
    "sizes",
    "window",
]

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
CODES = """Exit codes: 0 fine · 1 a source, sink, model or store failed · 2 wrong usage ·
3 something abnormal was found (with --fail-on abnormal) · 130 interrupted · 141 the reader of the output left."""

ABOUT = f"""Finds anomalies in logs and says why, on the machine where the logs are.

\b
  ra detect app.log                      what is wrong in it, by template
  ra detect app.log --output jsonl       every record with its verdict
  ra judge "disk sda: I/O error"         one line, with its rationale
  ra templates app.log                   what kinds of lines there are; no model

\b
{CODES}"""
DETECT = """Detect anomalies in SOURCEs, and say why.

A SOURCE is a path, a folder, a quoted pattern such as '/srv/*/app.log', or a URL: file:…, stdin: (or -),
journald:unit=…&priority=…, and what plugins add. Compressed files are read as they are. With --follow, several
sources are read at the same time, and new files are picked up.

\b
  ra detect /var/log/syslog app.log.gz
  journalctl -o json | ra detect -
  ra detect app.log --output jsonl | jq 'select(.label == "abnormal")'
  ra detect app.log --output sessions --window key=trace_id
  ra detect app.log --follow --to jsonl:verdicts.jsonl --checkpoint app.pos
  ra detect build.log --output none --fail-on abnormal

The first run judges every template once. Verdicts are kept, so later runs need no model calls for known templates.
"""
JUDGE = """Judge one LINE, and say why. The model sees only the line's template.

\b
  ra judge "Failed password for root from 203.0.113.7 port 51514 ssh2"
  ra judge --think "check finished with 14 errors"
"""

Sources = Annotated[list[str], typer.Argument(metavar="SOURCE", help="Paths, folders, patterns or URLs; - is standard input.", show_default=False)]
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A path, folder, pattern or URL; - is standard input.", show_default=False)]


class Output(str, Enum):
    """What goes to standard output."""

    TABLE, JSONL, SESSIONS, NONE = "table", "jsonl", "sessions", "none"


class ModeName(str, Enum):
    """The model's modes."""

    DIRECT, THINK = "direct", "think"


class SensitivityName(str, Enum):
    """How readily a template counts as abnormal."""

    LOW, DEFAULT, HIGH = "low", "default", "high"


class BackendName(str, Enum):
    """The builds of llama.cpp."""

    NATIVE, WHEEL = "native", "wheel"


class FailOn(str, Enum):
    """What turns the exit code to 3."""

    ABNORMAL = "abnormal"


def option(*names: str, **more: Any) -> Any:
    return typer.Option(*names, show_default=False, **more)


def _use_backend(name: BackendName | None) -> BackendName | None:
    """Keep the choice where the model's library is loaded, which happens once for the whole process."""
    if name is not None:
        os.environ["RA_BACKEND"] = name.value
    return name


To = Annotated[list[str] | None, option("--to", metavar="SINK", help="Also write every record there: jsonl:PATH, and what plugins add. Repeatable.")]
Out = Annotated[Output, typer.Option("--output", "-o", help="What goes to standard output.")]
WindowText = Annotated[str | None, option(metavar="WINDOW", help="Group records into sessions: 100 (records), 60s, 5m, 1h, or key=trace_id.")]
Follow = Annotated[bool, option("--follow", "-f", help="Keep reading as logs grow, rotate and appear; Ctrl-C ends it.")]
Format = Annotated[str | None, option("--format", metavar="NAME", help="Force a log format, see ra formats; plain: every line is a message.")]
KnowledgeFile = Annotated[list[str] | None, option("--knowledge", metavar="FILE", help="A TOML file with runbooks of your own. Repeatable.")]
FormatFile = Annotated[list[str] | None, option("--format-file", metavar="FILE", help="A TOML file with log formats of your own. Repeatable.")]
Store = Annotated[str | None, option(metavar="PATH", help="Where verdicts are kept: a file, or :memory:. Default: a file in your cache directory.")]
State = Annotated[str | None, option(metavar="PATH", help="File that keeps the mined templates, for the next run.")]
Checkpoint = Annotated[str | None, option(metavar="PATH", help="File that keeps how far was read and written, for the next run to resume there.")]
Mode = Annotated[ModeName, typer.Option(help="direct: the verdict at once; think: the model reasons first.")]
Explain = Annotated[bool, typer.Option("--explain/--no-explain", help="Write a rationale for what is abnormal.")]
Threshold = Annotated[float | None, option(metavar="P", help="P(abnormal) from which a template counts as abnormal, in place of --sensitivity.")]
Sensitive = Annotated[SensitivityName, typer.Option("--sensitivity", help="low: fewer false alarms; high: fewer missed faults.")]
Fail = Annotated[FailOn | None, option("--fail-on", help="Exit with 3 if something abnormal was found.")]
All = Annotated[bool, option("--all", help="Show every template in the table, normal ones too.")]
Plugin = Annotated[list[str] | None, option("--plugin-option", metavar="NAME=VALUE", help="An option for a plugin's source or sink. Repeatable.")]
MODEL_HELP = "One of `ra model list`, a GGUF file, hf:…, a plugin's model, or keywords, which needs no model and finds less."
Model = Annotated[str | None, option(envvar="RA_MODEL", metavar="MODEL", help=MODEL_HELP)]
Threads = Annotated[int | None, option(metavar="N", min=1, help="Threads that the model uses.")]
Context = Annotated[int | None, option(metavar="N", min=1, help="Size of one template's prompt and reply, in tokens.")]
GpuLayers = Annotated[int | None, option("--gpu-layers", metavar="N", help="Layers of the model on the GPU; -1: all.")]
Backend = Annotated[
    BackendName | None,
    option(
        "--backend",
        envvar="RA_BACKEND",
        callback=_use_backend,
        help="The build of llama.cpp: native (llama-cpp-python, compiled on this machine) or wheel (prebuilt). Default: native where it is installed.",
    ),
]
Width = Annotated[int | None, option(metavar="N", min=1, help="Templates judged at the same time.")]
AsJson = Annotated[bool, option("--json", help="Print one JSON object.")]
AsLines = Annotated[bool, option("--json", help="Print JSON, one object a line.")]


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """The options of ``--plugin-option NAME=VALUE``. Raises BadOption."""
    for text in texts:
        if "=" not in text:
            raise BadOption(f"--plugin-option {text!r} has no value; write NAME=VALUE")
    return dict(text.split("=", 1) for text in texts)


class Given(Mapping[str, Any]):
    """What sources and sinks are opened with: options of ``ra`` itself, and those given with ``--plugin-option``. Notes which were asked for."""

    def __init__(self, own: Mapping[str, Any], given: Mapping[str, str]) -> None:
        if taken := next((name for name in given if name in own), None):
            raise BadOption(f"--plugin-option {taken}={given[taken]} is an option of ra itself; write --{taken}")
        self._all, self._given, self._asked = {**own, **given}, given, set[str]()

    def __getitem__(self, name: str) -> Any:
        self._asked.add(name)
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        self._asked.update(self._all)
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def check(self) -> None:
        """Raise BadOption for one that no plugin has asked for, now that all are opened."""
        for name in self._given.keys() - self._asked:
            near = difflib.get_close_matches(name, self._asked, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise BadOption(f"--plugin-option {name}={self._given[name]} is unknown to all sources and sinks of this run; {hint}see the plugin's documentation")


def sizes(model: str | None, **given: int | None) -> dict[str, Any]:
    """The sizes that were given. Raises BadOption if the model is one that has none."""
    found = {name: value for name, value in given.items() if value is not None}
    if model in ("echo", "keywords") and found:
        name = next(iter(found)).replace("_", "-")
        raise BadOption(f"--{name} has no effect with --model {model}, which runs no model; leave it out, or name a model")
    return found


def misuse(error: Any) -> str:
    """What the parser's error says, and the value that it is about: where typer asks pydantic, that is left out."""
    said = str(error.format_message()).rstrip(".").replace("Value error, ", "")
    faults: list[Any] = getattr(error.__cause__, "errors", list)()
    value = repr(faults[0]["input"]) if faults else ""
    return said if value in said else f"{said}, not {value}"


def window(text: str | None, output: Output) -> Window | None:
    """The windows that --window asks for. Raises BadOption."""
    from ra_sdk.sessions.window import Window

    if text is None and output is Output.SESSIONS:
        raise BadOption("--output sessions without --window: sessions are windows of records; add --window 100, 60s or key=trace_id")
    if text is None:
        return None
    parsed = Window.parse(text)
    if output is not Output.SESSIONS:
        raise BadOption(f"--window {text} has no effect with --output {output.value}: it makes sessions; add --output sessions, or leave it out")
    return parsed
