"""The ``ra`` command: a door to ``Detector``. Heavy imports stand inside the commands, so that ``ra --help`` is quick."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from contextlib import ExitStack, contextmanager, nullcontext
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ra_sdk import __version__, cli_serve, options
from ra_sdk.errors import BadOption, RaError, SinkError, UsageError
from ra_sdk.inert import json_text, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from ra_sdk.detector import Detector
    from ra_sdk.hookspecs import Reasoner, Sink
    from ra_sdk.table import TemplateTable

__all__ = ["app", "main"]

FINE, WORLD, USAGE, FOUND, INTERRUPTED, NO_READER = 0, 1, 2, 3, 130, 141
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
LINES = (options.Output.JSONL, options.Output.SESSIONS)  # what is written to standard output as it comes
_Misuse: Any = typer.BadParameter.__base__  # what the command line's parser raises; typer has moved it about

app = typer.Typer(help=options.ABOUT, add_completion=False, rich_markup_mode=None, context_settings=options.SETTINGS)
model_app = typer.Typer(help="Show the model that judges.", context_settings=options.SETTINGS)
app.add_typer(model_app, name="model")
cli_serve.add(app)


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


@app.command("detect", help=options.DETECT)
def detect_(
    sources: options.Sources,
    to: options.To = None,
    output: options.Out = options.Output.TABLE,
    window: options.WindowText = None,
    follow: options.Follow = False,
    fail_on: options.Fail = None,
    everything: options.All = False,
    model: options.Model = None,
    mode: options.Mode = options.ModeName.DIRECT,
    explain: options.Explain = True,
    threshold: options.Threshold = 0.5,
    format_: options.Format = None,
    format_file: options.FormatFile = None,
    store: options.Store = None,
    state: options.State = None,
    checkpoint: options.Checkpoint = None,
    plugin_option: options.Plugin = None,
    threads: options.Threads = None,
    context: options.Context = None,
    gpu_layers: options.GpuLayers = None,
    width: options.Width = None,
) -> int:
    """Detect anomalies in sources."""
    if follow and len(sources) > 1:
        raise BadOption(f"--follow with {len(sources)} sources: the first has no end; start one ra detect --follow for each")
    reading = {"follow": follow, "checkpoint": checkpoint, "format": format_, "append": checkpoint is not None}
    judging = {"mode": mode.value, "explain": explain, "threshold": threshold, "store": store, "state": state, "format": format_}
    sizes = {"model": model, "threads": threads, "context": context, "gpu_layers": gpu_layers, "width": width}
    detecting = {**judging, **sizes, "format_files": format_file or [], "window": options.window(window, output)}
    code, abnormal = _detect(sources, to or [], output, everything, {**reading, **options.pairs(plugin_option or [])}, detecting)
    return FOUND if code == FINE and abnormal and fail_on else code


@app.command(help=options.JUDGE)
def judge(
    line: Annotated[str, typer.Argument(metavar="LINE", help="One log line, with or without its header.", show_default=False)],
    think: Annotated[bool, typer.Option("--think/--direct", help="Let the model reason before it decides.")] = False,
    as_json: options.AsJson = False,
    model: options.Model = None,
    store: options.Store = None,
    format_: options.Format = None,
    format_file: options.FormatFile = None,
    threads: options.Threads = None,
    context: options.Context = None,
    gpu_layers: options.GpuLayers = None,
) -> int:
    """Judge one line, and show the whole reasoning."""
    from ra_sdk.detector import Detector
    from ra_sdk.grounding import fill
    from ra_sdk.table import console, show_fields

    mode: Any = "think" if think else "direct"
    reasoner = _reasoner(model, {"threads": threads, "context": context, "gpu_layers": gpu_layers, "explain": "always"})
    with Detector(model=reasoner, store=store, format=format_, format_files=format_file or [], mode=mode) as detector:
        detection = next(detector.detect([line]))
        verdict, body = detection.verdict, detection.record.body
        if verdict.rationale is None and verdict.mode == mode:  # of a run that explained only what is abnormal
            verdict = next(iter(reasoner.judge([verdict.template], mode)))
    rationale = verdict.rationale and fill(verdict.rationale, verdict.template, body)
    found = {"body": body, **verdict.to_dict(), "rationale": rationale, "cached": detection.cached}
    if as_json:
        print(json_text(found))
    else:
        show_fields(found, console())
    return FINE


@app.command()
def templates(
    source: options.Source,
    output: options.List = options.Listing.TABLE,
    format_: options.Format = None,
    format_file: options.FormatFile = None,
    state: options.State = None,
) -> int:
    """List the kinds of lines in SOURCE, the most frequent first. No model is needed."""
    from ra_sdk.detector import Detector

    with Detector(model="echo", store=":memory:", format=format_, format_files=format_file or [], state=state) as detector:
        for _ in detector.blocks(source):
            pass
        found = [(template.count, template.text) for template in detector.templates()]
    _list(output, ("count", "template"), found)
    return FINE


@app.command()
def formats(output: options.List = options.Listing.TABLE, format_file: options.FormatFile = None) -> int:
    """List the log formats, with an example and where they come from; a line has the first that fits it."""
    from ra_sdk.formats import listed
    from ra_sdk.plugins import PluginSet

    _list(output, ("format", "from", "about", "example"), listed(PluginSet().formats(format_file or [])))
    return FINE


@app.command()
def plugins(output: options.List = options.Listing.TABLE) -> int:
    """List the plugins that are installed, and the distributions that they came with."""
    from ra_sdk.plugins import PluginSet

    found = [(p.name, f"{p.distribution} {p.version}", " ".join(p.hooks), p.error or "") for p in PluginSet().listing()]
    _list(output, ("plugin", "distribution", "hooks", "error"), found)
    return FINE


@app.command()
def bench(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A log file of yours.", show_default=False)],
    lines: Annotated[int, typer.Option(metavar="N", min=1, help="How many of its lines to measure with.")] = 200_000,
    sample: Annotated[int, typer.Option(metavar="N", min=1, help="How many templates the model judges.")] = 64,
    as_json: options.AsJson = False,
    model: options.Model = None,
    format_: options.Format = None,
    threads: options.Threads = None,
    width: options.Width = None,
) -> int:
    """Measure what this machine does with FILE, and how long a first pass over it will take.

    \b
      ra bench app.log
      ra bench app.log --lines 1000000 --json
    """
    from ra_sdk.bench import bench as measure
    from ra_sdk.table import console, show_fields

    def say(text: str) -> None:
        if sys.stderr.isatty():
            print(f"{text} …", file=sys.stderr)

    found = measure(source, lambda: _reasoner(model, {"threads": threads, "width": width}), lines=lines, sample=sample, log_format=format_, say=say).to_dict()
    if as_json:
        print(json_text(found))
    else:
        show_fields(found, console())
    return FINE


@model_app.command()
def info(
    model: options.Model = None,
    as_json: options.AsJson = False,
    threads: options.Threads = None,
    context: options.Context = None,
    gpu_layers: options.GpuLayers = None,
) -> int:
    """Show which model judges: its file, adapter, digest, prompt and sizes."""
    from ra_sdk.prompt import PROMPT_VERSION
    from ra_sdk.table import console, show_fields

    reasoner = _reasoner(model, {"threads": threads, "context": context, "gpu_layers": gpu_layers})
    files = getattr(reasoner, "files", None)
    found = {
        "name": reasoner.name,
        "file": str(files.path) if files else None,
        "adapter": str(files.adapter) if files and files.adapter else None,
        "digest": reasoner.digest,
        "prompt": PROMPT_VERSION,
        **{name: getattr(reasoner, name, None) for name in ("trained", "context", "threads", "width", "gpu_layers")},
    }
    if as_json:
        print(json_text(found))
    else:
        show_fields(found, console())
    return FINE


def main(args: Sequence[str] | None = None) -> int:
    """Run ``ra``. Returns the exit code; every error that is no bug is one line on stderr."""
    _ready_streams()
    with warnings.catch_warnings():
        for kind in (RuntimeWarning, UserWarning):
            warnings.simplefilter("default", kind)
        warnings.showwarning = lambda message, *_: _say(f"warning: {message}")
        try:
            return _run(sys.argv[1:] if args is None else list(args))
        except RaError as error:
            return _complain(error)
        except OSError as error:
            return _unwritten(error)
        except KeyboardInterrupt:
            return INTERRUPTED


def _ready_streams() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed before we began, as a daemon's may be
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  open to the end
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _unwritten(error: OSError) -> int:
    """What standard output did not take: its reader has left, or there is no room. Any other error is a bug."""
    if not isinstance(error, BrokenPipeError) and error.errno not in NO_ROOM:
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python complains once more when it flushes at its end
    if isinstance(error, BrokenPipeError):
        return NO_READER
    _say(f"standard output cannot be written: {error.strerror}; make room or choose another place")
    return WORLD


def _run(args: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("ra", args) as context:
            code = command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except _Misuse as error:
        path = getattr(getattr(error, "ctx", None), "command_path", "ra")
        _say(f"{options.misuse(error)}; try '{path} --help'")
        return USAGE
    return code or FINE


def _detect(
    sources: Sequence[str],
    urls: Sequence[str],
    output: options.Output,
    everything: bool,
    reading: Mapping[str, Any],
    detecting: Mapping[str, Any],
) -> tuple[int, int]:
    """Detect, and print what was found, however far it got. The exit code, and the number of abnormal records."""
    from ra_sdk.detector import Detector
    from ra_sdk.sinks import keep_apart
    from ra_sdk.table import TemplateTable, console, show, show_counts, show_row

    keep_apart([*urls, *filter(None, (detecting["store"], detecting["state"], reading["checkpoint"]))], sources)
    out, follow, code = console(), bool(reading["follow"]), None
    table = TemplateTable((lambda row: show_row(row, out)) if follow else None)
    try:
        with (
            _meter(output, follow) as meter,
            Detector(progress=meter, **detecting) as detector,
            _sinks(detector, urls, output, table, reading) as sinks,
        ):
            code = _take(detector, sources, sinks, output, reading)
    except RaError as error:
        if code is None:
            raise
        code = max(code, _complain(error))  # it could not be brought to its end; what was found is shown nevertheless
    if output is options.Output.TABLE:
        show(table, out, everything)
        show_counts(detector.counts, detector.reasoner.name, out)
    if code == FINE and detector.counts.undecided:  # the model failed, and a warning has said how
        code = WORLD
    return code, detector.counts.abnormal


def _take(detector: Detector, sources: Sequence[str], sinks: Sequence[Sink], output: options.Output, reading: Mapping[str, Any]) -> int:
    """Every source in turn. One that fails does not stop the others; a sink that fails does."""
    code = FINE
    try:
        for source in sources:
            code = max(code, _take_one(detector, source, sinks, output, reading))
    except KeyboardInterrupt:
        _say(f"interrupted after {detector.counts.judged} model calls")
        return INTERRUPTED
    except SinkError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            raise error.__cause__ from None
        return _complain(error)
    return code


def _take_one(detector: Detector, name: str, sinks: Sequence[Sink], output: options.Output, reading: Mapping[str, Any]) -> int:
    try:
        source = detector.plugins.open_source(name, reading)
        if output is options.Output.SESSIONS:
            for session in detector.sessions(source):
                for sink in sinks:
                    sink.write_session(session)  # type: ignore[attr-defined]
        else:
            detector.write(source, *sinks)
    except SinkError:
        raise
    except RaError as error:
        return _complain(error)
    return FINE


@contextmanager
def _sinks(detector: Detector, urls: Sequence[str], output: options.Output, table: TemplateTable, reading: Mapping[str, Any]) -> Iterator[list[Sink]]:
    """What --to and --output ask for, opened once for all sources."""
    with ExitStack() as stack:
        sinks: list[Sink] = []
        for url in [*urls, *(["jsonl:-"] if output in LINES else [])]:
            sink = detector.plugins.open_sink(url, reading)
            stack.callback(sink.close)
            if output is options.Output.SESSIONS and not hasattr(sink, "write_session"):
                raise BadOption(f"--to {url}: this sink takes no sessions; leave out --output sessions, or choose another sink")
            sinks.append(sink)
        yield [*sinks, table] if output is options.Output.TABLE else sinks


def _reasoner(model: str | None, sizes: Mapping[str, Any]) -> Reasoner:
    from ra_sdk.plugins import PluginSet

    return PluginSet().open_reasoner(model, {name: value for name, value in sizes.items() if value is not None})


def _meter(output: options.Output, follow: bool) -> AbstractContextManager[Any]:
    """A progress bar, where somebody sees it and nothing else is written to that screen meanwhile."""
    busy = follow or (output in LINES and sys.stdout.isatty())
    if busy or not sys.stderr.isatty():
        return nullcontext()
    from ra_sdk.table import Meter

    return Meter()


def _list(output: options.Listing, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    if output is options.Listing.JSONL:
        for row in rows:
            print(json_text(dict(zip(columns, row, strict=True))))
        return
    from ra_sdk.table import console, show_list

    show_list(columns, list(rows), console())


def _complain(error: RaError) -> int:
    _say(str(error))
    return USAGE if isinstance(error, UsageError) else WORLD


def _say(message: str) -> None:
    print(f"ra: {visible(message)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
