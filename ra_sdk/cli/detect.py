"""``ra detect``: sources into sinks and onto the screen."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from ra_sdk.cli import options
from ra_sdk.cli.messages import FINE, FOUND, INTERRUPTED, LOOK, WORLD, complain, say
from ra_sdk.errors import BadOption, NotInstalled, RaError, SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import typer

    from ra_sdk.cli.display import TemplateTable
    from ra_sdk.detector import Detector
    from ra_sdk.hookspecs import Sink, Source

__all__ = ["add"]

LINES = (options.Output.JSONL, options.Output.SESSIONS)  # what is written to standard output as it comes


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("detect", help=options.DETECT)(detect)


def detect(
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
    sensitivity: options.Sensitive = options.SensitivityName.DEFAULT,
    threshold: options.Threshold = None,
    format_: options.Format = None,
    format_file: options.FormatFile = None,
    knowledge: options.KnowledgeFile = None,
    store: options.Store = None,
    state: options.State = None,
    checkpoint: options.Checkpoint = None,
    plugin_option: options.Plugin = None,
    threads: options.Threads = None,
    context: options.Context = None,
    gpu_layers: options.GpuLayers = None,
    _backend: options.Backend = None,
    width: options.Width = None,
) -> int:
    """Detect anomalies in sources."""
    if everything and output is not options.Output.TABLE:
        raise BadOption(f"--all has no effect with --output {output.value}: it is about the table; leave it out, or use --output table")
    own = {"follow": follow, "checkpoint": checkpoint, "format": format_, "append": checkpoint is not None}
    reading = options.Given(own, options.pairs(plugin_option or []))
    judging = {"mode": mode.value, "explain": explain, "threshold": threshold, "sensitivity": sensitivity.value}
    keeping = {"store": store, "state": state, "format": format_}
    sizes = options.sizes(model, threads=threads, context=context, gpu_layers=gpu_layers, width=width)
    more = {"format_files": format_file or [], "knowledge": knowledge or [], "window": options.window(window, output)}
    detecting = {**judging, **keeping, **sizes, **more, "model": model}
    code, abnormal = _detect(sources, to or [], output, everything, reading, detecting)
    return FOUND if code == FINE and abnormal and fail_on else code


def _detect(
    sources: Sequence[str],
    urls: Sequence[str],
    output: options.Output,
    everything: bool,
    reading: options.Given,
    detecting: Mapping[str, Any],
) -> tuple[int, int]:
    """Detect, and print what was found, however far it got. The exit code, and the number of abnormal records."""
    from ra_sdk.cli.display import TemplateTable, console, show, show_counts, show_reasons, show_row
    from ra_sdk.sinks.jsonl import keep_apart

    keep_apart([*urls, *filter(None, (detecting["store"], detecting["state"], reading["checkpoint"]))], sources)
    out, follow, code = console(), bool(reading["follow"]), None
    table = TemplateTable((lambda row: show_row(row, out)) if follow else None)
    try:
        with (
            _meter(output, follow) as meter,
            _detector(meter, detecting) as detector,
            _sinks(detector, urls, output, table, reading) as sinks,
        ):
            code = _take(detector, sources, sinks, output, reading)
    except RaError as error:
        if code is None:
            raise
        code = max(code, complain(error))  # it could not be brought to its end; what was found is shown nevertheless
    if output is options.Output.TABLE:
        show(table, out, everything)
        show_reasons(table, out)
        show_counts(detector.counts, detector.reasoner.name, out)
    if code == FINE and (detector.counts.undecided or detector.counts.unsaved):  # the model or the store failed, and it was said how
        code = WORLD
    return code, detector.counts.abnormal


def _detector(meter: Any, detecting: Mapping[str, Any]) -> Detector:
    """A detector with the model that was asked for. If none was, and none is installed, keywords take its place, with a warning."""
    from ra_sdk.detector import Detector
    from ra_sdk.reasoner.tiers import chosen

    try:
        return Detector(progress=meter, **detecting)
    except NotInstalled as error:
        if chosen(detecting["model"]).by != "default":
            raise
        say(f"warning: {error}. Until then, keywords take the place of the model: they find fewer faults and give more false alarms")
        sizes = ("threads", "context", "gpu_layers", "width")
        return Detector(progress=meter, **{key: value for key, value in detecting.items() if key not in sizes} | {"model": "keywords"})


def _take(detector: Detector, sources: Sequence[str], sinks: Sequence[Sink], output: options.Output, reading: options.Given) -> int:
    """Every source in turn, or together if they are followed. One that fails does not stop the others; a sink that fails does."""
    from ra_sdk.sources.several import Sources

    code, together = FINE, reading["follow"] and len(sources) > 1
    named: Sequence[object] = [Sources(*sources)] if together else sources
    try:
        for source in named:
            code = max(code, _take_one(detector, source, sinks, output, reading, last=source is named[-1]))
    except KeyboardInterrupt:
        say(f"interrupted after {detector.counts.judged} model calls")
        return INTERRUPTED
    except SinkError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            raise error.__cause__ from None
        return complain(error)
    return code


def _take_one(detector: Detector, name: object, sinks: Sequence[Sink], output: options.Output, reading: options.Given, *, last: bool) -> int:
    try:
        source = detector.plugins.open_source(name, reading)
        if last:
            _check_known(reading, source)
        if output is options.Output.SESSIONS:
            for session in detector.sessions(source):
                for sink in sinks:
                    sink.write_session(session)  # type: ignore[attr-defined]
        else:
            detector.write(source, *sinks)
    except SinkError:
        raise
    except RaError as error:
        return complain(error)
    return FINE


def _check_known(reading: options.Given, source: Source) -> None:
    try:
        reading.check()
    except BadOption:
        source.close()
        raise


@contextmanager
def _sinks(detector: Detector, urls: Sequence[str], output: options.Output, table: TemplateTable, reading: options.Given) -> Iterator[list[Sink]]:
    """What --to and --output ask for, opened once for all sources."""
    with ExitStack() as stack:
        sinks: list[Sink] = []
        for url in [*urls, *(["jsonl:-"] if output in LINES else [])]:
            sink = detector.plugins.watched(detector.plugins.open_sink(url, reading))
            stack.callback(sink.close)
            if output is options.Output.SESSIONS and not hasattr(sink, "write_session"):
                raise BadOption(f"--to {url}: this sink takes no sessions; leave out --output sessions, or choose another sink")
            sinks.append(sink)
        yield [*sinks, table] if output is options.Output.TABLE else sinks


def _meter(output: options.Output, follow: bool) -> AbstractContextManager[Any]:
    """A progress bar, if standard error is a terminal that nothing else is written to."""
    busy = follow or (output in LINES and sys.stdout.isatty())
    if busy or not LOOK.progress or not sys.stderr.isatty():
        return nullcontext()
    from ra_sdk.cli.display import Meter

    return Meter()
