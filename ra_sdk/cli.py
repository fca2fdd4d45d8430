"""The ``ra`` command: a door to ``Detector``. Heavy imports stand inside the commands, so that ``ra --help`` is quick."""

from __future__ import annotations

import json
import os
import sys
import warnings
from contextlib import ExitStack, contextmanager, nullcontext
from enum import Enum
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ra_sdk import __version__
from ra_sdk.errors import BadOption, RaError, SinkError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from ra_sdk.detector import Detector
    from ra_sdk.hookspecs import Sink
    from ra_sdk.records import Session
    from ra_sdk.sessions import Window
    from ra_sdk.table import TemplateTable

__all__ = ["app", "main"]

FINE, WORLD, USAGE, FOUND, INTERRUPTED, NO_READER = 0, 1, 2, 3, 130, 141
_Misuse: Any = typer.BadParameter.__base__  # what the command line's parser raises; typer has moved it about
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_SECONDS = {"s": 1, "m": 60, "h": 3600}
CODES = """Exit codes: 0 fine · 1 the world's fault (a source, sink, model or store) · 2 wrong usage ·
3 something abnormal was found (with --fail-on abnormal) · 130 interrupted · 141 the reader of the output left."""

ABOUT = f"""Finds anomalies in logs and says why, on the machine where the logs are.

\b
  ra detect app.log                      what is wrong in it, by template
  ra detect app.log --output jsonl       every record with its verdict
  ra judge "disk sda: I/O error"         one line, with the whole reasoning
  ra templates app.log                   what kinds of lines there are; no model

\b
{CODES}"""
DETECT = """Detect anomalies in SOURCEs, and say why.

A SOURCE is a path or a URL (file:…, stdin: or -, what plugins add). Compressed files are read as they are.

\b
  ra detect /var/log/syslog app.log.gz
  journalctl -o json | ra detect -
  ra detect app.log --output jsonl | jq 'select(.label == "abnormal")'
  ra detect app.log --output sessions --window key=trace_id
  ra detect app.log --follow --to jsonl:verdicts.jsonl --checkpoint app.pos
  ra detect build.log --output none --fail-on abnormal

The first run judges every template once. Verdicts are kept: the next run needs no model call for what is known.
"""
JUDGE = """Judge one LINE, and show the whole reasoning. The model sees the line's template only.

\b
  ra judge "Failed password for root from 203.0.113.7 port 51514 ssh2"
  ra judge --think "check finished with 14 errors"
"""

Sources = Annotated[list[str], typer.Argument(metavar="SOURCE", help="Paths or URLs; - is standard input.", show_default=False)]
Source = Annotated[str, typer.Argument(help="A path or URL; - is standard input.", show_default=False)]


class Output(str, Enum):
    """What goes to standard output."""

    TABLE, JSONL, SESSIONS, NONE = "table", "jsonl", "sessions", "none"


class Listing(str, Enum):
    """How a listing is printed."""

    TABLE, JSONL = "table", "jsonl"


class ModeName(str, Enum):
    """The model's modes."""

    DIRECT, THINK = "direct", "think"


class FailOn(str, Enum):
    """What turns the exit code to 3."""

    ABNORMAL = "abnormal"


def _opt(*names: str, **more: Any) -> Any:
    return typer.Option(*names, show_default=False, **more)


To = Annotated[
    list[str] | None, _opt("--to", metavar="SINK", help="Also write every record there (jsonl:PATH, what plugins add). Repeatable.")
]
Out = Annotated[Output, typer.Option("--output", "-o", help="What goes to standard output.")]
WindowText = Annotated[str | None, _opt(metavar="WINDOW", help="Group records into sessions: 100 (records), 60s, 5m, 1h, or key=trace_id.")]
Follow = Annotated[bool, _opt("--follow", "-f", help="Go on reading as the file grows or is rotated; Ctrl-C ends it.")]
Format = Annotated[
    str | None, _opt("--format", metavar="NAME", help="Log format, else detected; plain: every line is a message. See ra formats.")
]
Store = Annotated[str | None, _opt(metavar="PATH", help="Where verdicts are kept: a file or :memory:. Else in your cache directory.")]
State = Annotated[str | None, _opt(metavar="PATH", help="Keeps what was mined, so that the next run goes on from it.")]
Checkpoint = Annotated[str | None, _opt(metavar="PATH", help="Keeps how far was read and written, so that the next run goes on there.")]
Mode = Annotated[ModeName, typer.Option(help="direct reads the verdict at once; think lets the model reason first.")]
Explain = Annotated[bool, typer.Option("--explain/--no-explain", help="Write a rationale for what is abnormal.")]
Threshold = Annotated[float, typer.Option(metavar="P", help="P(abnormal) from which a template is abnormal.")]
Fail = Annotated[FailOn | None, _opt("--fail-on", help="Exit with 3 if something abnormal was found.")]
All = Annotated[bool, _opt("--all", help="Show every template in the table, normal ones too.")]
Plugin = Annotated[
    list[str] | None, _opt("--plugin-option", metavar="NAME=VALUE", help="An option for a plugin's source or sink. Repeatable.")
]
Model = Annotated[
    str | None, _opt(envvar="RA_MODEL", metavar="MODEL", help="A GGUF file, a plugin's model, or echo: no model, for trials.")
]
Threads = Annotated[int | None, _opt(metavar="N", min=1, help="Threads of the model.")]
Context = Annotated[int | None, _opt(metavar="N", min=1, help="Tokens of the model's context.")]
GpuLayers = Annotated[int | None, _opt("--gpu-layers", metavar="N", help="Layers of the model on the GPU; -1: all.")]
Width = Annotated[int | None, _opt(metavar="N", min=1, help="Templates judged at once.")]
AsJson = Annotated[bool, _opt("--json", help="Print one JSON object.")]
List = Annotated[Listing, typer.Option("--output", "-o", help="How the list is printed.")]

app = typer.Typer(help=ABOUT, add_completion=False, rich_markup_mode=None, context_settings=SETTINGS)
model_app = typer.Typer(help="Show the model that judges.", context_settings=SETTINGS)
app.add_typer(model_app, name="model")


@app.callback(invoke_without_command=True)
def ra(context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    """Show the version, or the help where no command is given."""
    if version:
        print(f"ra {__version__}")
    else:
        _help(context)


@model_app.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("detect", help=DETECT)
def detect_(
    sources: Sources,
    to: To = None,
    output: Out = Output.TABLE,
    window: WindowText = None,
    follow: Follow = False,
    fail_on: Fail = None,
    everything: All = False,
    model: Model = None,
    mode: Mode = ModeName.DIRECT,
    explain: Explain = True,
    threshold: Threshold = 0.5,
    format_: Format = None,
    store: Store = None,
    state: State = None,
    checkpoint: Checkpoint = None,
    plugin_option: Plugin = None,
    threads: Threads = None,
    context: Context = None,
    gpu_layers: GpuLayers = None,
    width: Width = None,
) -> int:
    """Detect anomalies in sources, and print what was found, however far it got."""
    from ra_sdk.detector import Detector
    from ra_sdk.table import TemplateTable, console, show, show_counts, show_row

    if follow and len(sources) > 1:
        raise BadOption(f"--follow with {len(sources)} sources: the first has no end; start one ra detect --follow for each")
    options = {"follow": follow, "checkpoint": checkpoint, "format": format_, **_pairs(plugin_option or [])}
    judging = {"mode": mode.value, "explain": explain, "threshold": threshold, "store": store, "state": state, "format": format_}
    judging |= {"model": model, "threads": threads, "context": context, "gpu_layers": gpu_layers, "width": width}
    out = console()
    table = TemplateTable((lambda row: show_row(row, out)) if follow else None)
    with (
        _meter(output, follow) as meter,
        Detector(progress=meter, window=_window(window, output), **judging) as detector,
        _sinks(detector, to or [], output, table, options) as sinks,
    ):
        code = _take(detector, sources, sinks, output, options)
    if output is Output.TABLE:
        show(table, out, everything)
        show_counts(detector.counts, detector.reasoner.name, out)
    return FOUND if code == FINE and fail_on and detector.counts.abnormal else code


@app.command(help=JUDGE)
def judge(
    line: Annotated[str, typer.Argument(metavar="LINE", help="One log line, with or without its header.", show_default=False)],
    think: Annotated[bool, typer.Option("--think/--direct", help="Let the model reason before it decides.")] = False,
    as_json: AsJson = False,
    model: Model = None,
    store: Store = None,
    format_: Format = None,
    threads: Threads = None,
    context: Context = None,
    gpu_layers: GpuLayers = None,
) -> int:
    """Judge one line, and show the whole reasoning."""
    from ra_sdk.detector import Detector
    from ra_sdk.grounding import fill
    from ra_sdk.table import console, show_fields

    sizes = {"threads": threads, "context": context, "gpu_layers": gpu_layers}
    with Detector(model=model, store=store, format=format_, mode="think" if think else "direct", **sizes) as detector:
        verdict = detector.judge(line)
        cached = detector.counts.cached > 0
    rationale = verdict.rationale and fill(verdict.rationale, verdict.template, line)
    found = {"line": line, **verdict.to_dict(), "rationale": rationale, "cached": cached}
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        show_fields(found, console())
    return FINE


@app.command()
def templates(source: Source, output: List = Listing.TABLE, format_: Format = None, state: State = None) -> int:
    """List the kinds of lines in SOURCE, the most frequent first. No model is needed.

    \b
      ra templates app.log
    """
    from ra_sdk.detector import Detector

    with Detector(model="echo", store=":memory:", format=format_, state=state) as detector:
        for _ in detector.blocks(source):
            pass
        found = [(template.count, template.text) for template in detector.templates()]
    _list(output, ("count", "template"), found)
    return FINE


@app.command()
def formats(output: List = Listing.TABLE) -> int:
    """List the log formats that --format knows; the first that fits a source is taken."""
    from ra_sdk.plugins import PluginSet

    found = [(form.name, (type(form).__doc__ or "").partition("\n")[0]) for form in PluginSet().formats()]
    _list(output, ("format", "what"), found)
    return FINE


@app.command()
def plugins(output: List = Listing.TABLE) -> int:
    """List the plugins that are installed, and the distributions that they came with."""
    from ra_sdk.plugins import PluginSet

    _list(output, ("plugin", "distribution", "hooks"), PluginSet().listing())
    return FINE


@model_app.command()
def info(
    model: Model = None, as_json: AsJson = False, threads: Threads = None, context: Context = None, gpu_layers: GpuLayers = None
) -> int:
    """Show which model judges: its file, adapter, digest, prompt and sizes."""
    from ra_sdk.plugins import PluginSet
    from ra_sdk.table import console, show_fields

    return FINE


def main(args: Sequence[str] | None = None) -> int:
    """Run ``ra``. Returns the exit code; every error that is no bug is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.simplefilter("default", RuntimeWarning)
        warnings.showwarning = lambda message, *_: _say(f"warning: {message}")
        try:
            return _run(sys.argv[1:] if args is None else list(args))
        except RaError as error:
            return _complain(error)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python complains once more when it flushes at its end
            return NO_READER
        except KeyboardInterrupt:
            return INTERRUPTED


def _run(args: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("ra", args) as context:
            code = command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except _Misuse as error:
        context = getattr(error, "ctx", None)
        _say(f"{error.format_message().rstrip('.')}; try '{context.command_path if context else 'ra'} --help'")
        return USAGE
    return code or FINE


def _take(detector: Detector, sources: Sequence[str], sinks: Sequence[Sink], output: Output, options: Mapping[str, Any]) -> int:
    """Every source in turn. One that fails does not stop the others; a sink that fails does."""
    code = FINE
    try:
        for source in sources:
            code = max(code, _take_one(detector, source, sinks, output, options))
    except KeyboardInterrupt:
        return INTERRUPTED
    except SinkError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            raise error.__cause__ from None
        return _complain(error)
    return code


def _take_one(detector: Detector, name: str, sinks: Sequence[Sink], output: Output, options: Mapping[str, Any]) -> int:
    try:
        source = detector.plugins.open_source(name, options)
        if output is Output.SESSIONS:
            _print_sessions(detector.sessions(source), sinks)
        else:
            detector.write(source, *sinks)
    except SinkError:
        raise
    except RaError as error:
        return _complain(error)
    return FINE


def _print_sessions(sessions: Iterable[Session], sinks: Sequence[Sink]) -> None:
    for session in sessions:
        print(json.dumps(session.to_dict(), ensure_ascii=False), flush=True)
        for sink in sinks:
            sink.write_session(session)


@contextmanager
def _sinks(
    detector: Detector, urls: Sequence[str], output: Output, table: TemplateTable, options: Mapping[str, Any]
) -> Iterator[list[Sink]]:
    """What --to and --output ask for, opened once for all sources."""
    with ExitStack() as stack:
        sinks: list[Sink] = []
        for url in [*urls, *(["jsonl:-"] if output is Output.JSONL else [])]:
            sink = detector.plugins.open_sink(url, options)
            stack.callback(sink.close)
            if output is Output.SESSIONS and not hasattr(sink, "write_session"):
                raise BadOption(f"--to {url}: this sink takes no sessions; leave out --output sessions, or choose another sink")
            sinks.append(sink)
        yield [*sinks, table] if output is Output.TABLE else sinks


def _meter(output: Output, follow: bool) -> AbstractContextManager[Any]:
    """A progress bar, where somebody sees it and nothing else is written to that screen meanwhile."""
    busy = follow or (output in (Output.JSONL, Output.SESSIONS) and sys.stdout.isatty())
    if busy or not sys.stderr.isatty():
        return nullcontext()
    from ra_sdk.table import Meter

    return Meter()


def _window(text: str | None, output: Output) -> Window | None:
    from ra_sdk.sessions import Window

    if text is None:
        if output is Output.SESSIONS:
            raise BadOption("--output sessions without --window: sessions are windows of records; add --window 100, 60s or key=trace_id")
        return None
    number, unit = text[:-1], text[-1:]
    if text.startswith("key=") and len(text) > 4:
        return Window(key=text[4:])
    if text.isdecimal() and int(text):
        return Window(lines=int(text))
    if number.isdecimal() and int(number) and unit in _SECONDS:
        return Window(seconds=int(number) * _SECONDS[unit])
    raise BadOption(f"--window {text!r} is no window; give a number of records (100), a time (60s, 5m, 1h) or key=ATTRIBUTE")


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise BadOption(f"--plugin-option {text!r} has no value; write NAME=VALUE")
    return dict(text.split("=", 1) for text in texts)


def _list(output: Listing, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    if output is Listing.JSONL:
        for row in rows:
            print(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False))
        return
    from ra_sdk.table import console, show_list

    show_list(columns, list(rows), console())


def _complain(error: RaError) -> int:
    _say(str(error))
    return USAGE if isinstance(error, UsageError) else WORLD


def _say(message: str) -> None:
    from ra_sdk.table import visible

    print(f"ra: {visible(message)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
