"""The ``ra`` command: a door to ``Detector``. Heavy imports stand inside the commands, so that ``ra --help`` is quick."""

from __future__ import annotations

import errno
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ra_sdk import __version__
from ra_sdk.cli import config as cli_config
from ra_sdk.cli import detect as cli_detect
from ra_sdk.cli import general, options, settings
from ra_sdk.cli import knowledge as cli_knowledge
from ra_sdk.cli import models as cli_model
from ra_sdk.cli import serve as cli_serve
from ra_sdk.cli import stats as cli_stats
from ra_sdk.cli.messages import FINE, INTERRUPTED, NO_READER, USAGE, WORLD, complain, say, troubles_told
from ra_sdk.errors import BadOption, RaError
from ra_sdk.text import json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ra_sdk.hookspecs import Reasoner

__all__ = ["app", "main"]

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_Misuse: Any = typer.BadParameter.__base__  # what the command line's parser raises; typer has moved it about

app = typer.Typer(help=options.ABOUT, rich_markup_mode=None, context_settings=options.SETTINGS)
cli_detect.add(app)
cli_model.add(app)
cli_serve.add(app)
cli_knowledge.add(app)
cli_stats.add(app)
cli_config.add(app)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ra {__version__}")
        raise typer.Exit(FINE)


@app.callback(invoke_without_command=True)
def ra(
    context: typer.Context,
    verbose: general.Verbose = False,
    quiet: general.Quiet = False,
    log_level: general.Level = None,
    color: general.Color = general.ColorName.AUTO,
    config: general.Config = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,  # noqa: ARG001
) -> None:
    """Apply what holds for all commands. Show the help where no command is given."""
    general.apply(verbose=verbose, quiet=quiet, level=log_level, color=color)
    if context.invoked_subcommand is None:
        print(context.get_help())
    elif context.invoked_subcommand != "config":
        context.default_map = settings.found(config).defaults(context.command)
    context.obj = config


@app.command(help=options.JUDGE)
def judge(
    line: Annotated[str, typer.Argument(metavar="LINE", help="One log line, with or without its header.", show_default=False)],
    think: Annotated[bool, typer.Option("--think/--direct", help="Let the model reason before it decides.")] = False,
    as_json: options.AsJson = False,
    model: options.Model = None,
    store: options.Store = None,
    format_: options.Format = None,
    format_file: options.FormatFile = None,
    knowledge: options.KnowledgeFile = None,
    threads: options.Threads = None,
    context: options.Context = None,
    gpu_layers: options.GpuLayers = None,
    _backend: options.Backend = None,
) -> int:
    """Judge one line, and show the whole reasoning."""
    from ra_sdk.cli.display import console, show_fields
    from ra_sdk.detector import Detector

    sizes = options.sizes(model, threads=threads, context=context, gpu_layers=gpu_layers)
    with Detector(
        model=model, store=store, format=format_, format_files=format_file or [], knowledge=knowledge or [], mode="think" if think else "direct", **sizes
    ) as detector:
        detection = detector.examine(line, explain=True)
    found = {"body": detection.body, **detection.verdict.to_dict(), "rationale": detection.rationale, "cached": detection.cached}
    if as_json:
        print(json_text(found))
    else:
        show_fields(found, console())
    return FINE


@app.command()
def templates(
    source: options.Source,
    as_json: options.AsLines = False,
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
    _list(as_json, ("count", "template"), found)
    return FINE


@app.command()
def formats(
    as_json: options.AsLines = False,
    format_file: options.FormatFile = None,
    check: Annotated[bool, typer.Option("--check", help="Check the examples of your own formats instead.")] = False,
) -> int:
    """List the log formats, with an example and where they come from; a line has the first that fits it."""
    from ra_sdk.formats import listed
    from ra_sdk.plugins import PluginSet

    known = PluginSet().formats(format_file or [])
    if check:
        return _check_formats(known)
    _list(as_json, ("format", "from", "about", "example"), listed(known))
    return FINE


def _check_formats(known: Sequence[Any]) -> int:
    """Say which examples of the user's own formats do not hold."""
    from ra_sdk.formats import faults, from_files

    own = from_files(known)
    if not own:
        raise BadOption("no formats of your own were found to check; name a file with --format-file")
    found = [fault for form in own for fault in faults(form, known)]
    for fault in found:
        say(fault)
    if not found:
        print(f"formats: {len(own)}, examples: {sum(len(form.examples) for form in own)}, all as expected")
    return USAGE if found else FINE


@app.command()
def plugins(as_json: options.AsLines = False) -> int:
    """List the plugins that are installed, and the distributions that they came with."""
    from ra_sdk.plugins import PluginSet

    found = [(p.name, f"{p.distribution} {p.version}", " ".join(p.hooks), p.error or "") for p in PluginSet().listing()]
    _list(as_json, ("plugin", "distribution", "hooks", "error"), found)
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
    from ra_sdk.cli.bench import bench as measure
    from ra_sdk.cli.display import console, show_fields

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            print(f"{text} …", file=sys.stderr)

    sizes = options.sizes(model, threads=threads, width=width)
    found = measure(source, lambda: _reasoner(model, sizes), lines=lines, sample=sample, log_format=format_, say=progress).to_dict()
    if as_json:
        print(json_text(found))
    else:
        show_fields(found, console())
    return FINE


def main(args: Sequence[str] | None = None) -> int:
    """Run ``ra``. Returns the exit code; every error that is not a bug is one line on stderr."""
    _ready_streams()
    with troubles_told():
        try:
            return _run(sys.argv[1:] if args is None else list(args))
        except RaError as error:
            return complain(error)
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
    """Standard output failed: its reader has left, or the disk is full. Any other error is a bug."""
    if not isinstance(error, BrokenPipeError) and error.errno not in NO_ROOM:
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python complains once more when it flushes at its end
    if isinstance(error, BrokenPipeError):
        return NO_READER
    say(f"standard output cannot be written: {error.strerror}; make room or choose another place")
    return WORLD


def _run(args: list[str]) -> int:
    command = typer.main.get_command(app)
    if "_RA_COMPLETE" in os.environ:  # the shell asks what could come next
        command.main(args, prog_name="ra")
    try:
        with command.make_context("ra", general.in_front(args)) as context:
            code = command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except _Misuse as error:
        path = getattr(getattr(error, "ctx", None), "command_path", "ra")
        say(f"{options.misuse(error)}; try '{path} --help'")
        return USAGE
    return code or FINE


def _reasoner(model: str | None, sizes: Mapping[str, Any]) -> Reasoner:
    from ra_sdk.plugins import PluginSet

    return PluginSet().open_reasoner(model, sizes)


def _list(as_json: bool, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    if as_json:
        for row in rows:
            print(json_text(dict(zip(columns, row, strict=True))))
        return
    from ra_sdk.cli.display import console, show_list

    show_list(columns, list(rows), console())


if __name__ == "__main__":
    sys.exit(main())
