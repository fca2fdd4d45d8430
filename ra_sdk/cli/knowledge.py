"""``ra knowledge`` and ``ra feedback``: look at what is known about log lines, try it, and leave out what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ra_sdk.cli import options
from ra_sdk.cli.messages import FINE, USAGE, say
from ra_sdk.errors import BadOption
from ra_sdk.text import json_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ra_sdk.knowledge import Entry, Knowledge

__all__ = ["add"]

KNOWLEDGE = """Show what is known about phrases, codes and statements in logs: the reasons are chosen from it.

\b
  ra knowledge search "connection refused"       entries with these words
  ra knowledge show errno-econnrefused           one entry, with its source
  ra knowledge test "disk full on /var"          which entries match a line, and why
  ra knowledge check runbooks.toml               whether a file of your own can be used

\b
Your own runbooks come first. Put TOML files into knowledge/ in the configuration directory, or name them with --knowledge:
  [[runbook]]
  match = ["payment gateway timeout"]
  meaning = "The card processor did not answer within 10 s; orders wait in the outbox."
  check = "Dashboard 'Payments'; then status.example.com."
  link = "https://wiki.example.com/payments"
  owner = "team-payments"
"""
FEEDBACK = """Mark the reason of a LINE as wrong: its entry is left out from now on.

\b
  ra feedback --reason "kernel: usb 1-1: device descriptor read/64, error -71"
  ra feedback --reason LINE --undo
  ra feedback --export                           what was marked, as JSON lines
"""
Files = Annotated[list[str] | None, options.option("--knowledge", metavar="FILE", help="A TOML file of your own entries. Repeatable.")]
Line = Annotated[str, typer.Argument(metavar="LINE", help="One log line, with or without its header.", show_default=False)]
_app = typer.Typer(help=KNOWLEDGE, context_settings=options.SETTINGS)


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="knowledge")
    app.command("feedback", help=FEEDBACK)(feedback)


@_app.callback(invoke_without_command=True)
def knowledge(context: typer.Context) -> None:
    """Show the help where no command is given."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@_app.command("list")
def list_(
    kind: Annotated[str | None, options.option("--kind", metavar="KIND", help="Only runbook, statement or phrase.")] = None,
    as_json: options.AsLines = False,
    files: Files = None,
) -> int:
    """List all entries."""
    from ra_sdk.knowledge import KINDS

    if kind is not None and kind not in KINDS:
        raise BadOption(f"--kind must be one of {', '.join(KINDS)}, got {kind!r}")
    _print((entry for entry in _known(files).entries().values() if kind in (None, entry.kind)), as_json)
    return FINE


@_app.command()
def show(name: Annotated[str, typer.Argument(metavar="ID", show_default=False)], files: Files = None) -> int:
    """Show one entry whole."""
    from ra_sdk.cli.display import console, show_fields

    entries = _known(files).entries()
    if name not in entries:
        import difflib

        near = difflib.get_close_matches(name, entries, 3)
        hint = f"; did you mean {', '.join(near)}?" if near else "; see `ra knowledge search WORDS`"
        raise BadOption(f"no entry has the id {name!r}{hint}")
    show_fields({key: "; ".join(value) if isinstance(value, list) else value for key, value in entries[name].to_dict().items()}, console())
    return FINE


@_app.command()
def search(
    words: Annotated[list[str], typer.Argument(metavar="WORDS", show_default=False)],
    as_json: options.AsLines = False,
    files: Files = None,
) -> int:
    """List the entries that hold all of the words."""
    wanted = " ".join(words).lower().split()
    found = [entry for entry in _known(files).entries().values() if all(word in json_text(entry.to_dict()).lower() for word in wanted)]
    _print(found, as_json)
    return FINE


@_app.command()
def check(files: Annotated[list[str], typer.Argument(metavar="FILE", help="TOML files of entries.", show_default=False)]) -> int:
    """Check files of your own: that they can be read, and that each phrase can be found in a log."""
    from pathlib import Path

    from ra_sdk.knowledge import Knowledge, from_toml

    code = FINE
    for file in files:
        entries = list(from_toml(Path(file)))
        for phrase, entry in Knowledge(entries, own=()).hidden:
            say(f"{file}: {entry.id}: the phrase {phrase!r} can never be found: the masks hide its number; add words that stand beside it")
            code = USAGE
        print(f"{file}: {len(entries)} {'entry' if len(entries) == 1 else 'entries'} read")
    return code


@_app.command("test")
def try_(line: Line, as_json: options.AsJson = False, files: Files = None) -> int:
    """Show which entries match LINE, which one is chosen, and why. No model is needed: LINE is taken as abnormal."""
    from ra_sdk.cli.display import console, show_fields, show_list

    detection, names, known = _asked(line, files)
    verdict = known.explain(_abnormal(detection.template), names)
    rows = [_row(candidate) for candidate in known.candidates(detection.template, names, _abnormal(detection.template))]
    found = {"body": detection.body, "template": detection.template, "reason": verdict.rationale, "source": verdict.reason_source}
    if as_json:
        print(json_text({**found, "knowledge": list(verdict.knowledge), "candidates": rows}))
        return FINE
    show_fields(found, console())
    print()
    show_list(("id", "kind", "fits", "words"), [(row["id"], row["kind"], f"{row['fits']:.2f}", row["words"]) for row in rows], console())
    return FINE


def feedback(
    line: Annotated[str | None, typer.Argument(metavar="LINE", help="The line whose reason is wrong.", show_default=False)] = None,
    reason: Annotated[bool, options.option("--reason", help="The reason is wrong.")] = False,
    undo: Annotated[bool, options.option("--undo", help="Use the entry again.")] = False,
    export: Annotated[bool, options.option("--export", help="Print what was marked, as JSON lines.")] = False,
    files: Files = None,
) -> int:
    """Mark a reason as wrong."""
    from ra_sdk.knowledge import leftout

    if export:
        for row in leftout.rows():
            print(json_text(row))
        return FINE
    if line is None or not reason:
        raise BadOption("`ra feedback` needs --reason and the LINE whose reason is wrong, or --export; see `ra feedback --help`")
    detection, names, known = _asked(line, files, everything=undo)
    ids = known.explain(_abnormal(detection.template), names).knowledge
    if not ids:
        raise BadOption(f"no entry of the knowledge table explains {line!r}; its reason is the model's own quote")
    for name in ids:
        (leftout.use_again if undo else leftout.leave_out)(name, detection.template)
        print(f"{name} is used again" if undo else f"{name} is left out from now on; --undo takes that back")
    return FINE


def _known(files: Sequence[str] | None, *, everything: bool = False) -> Knowledge:
    from ra_sdk.knowledge import Knowledge
    from ra_sdk.plugins import PluginSet

    return Knowledge(PluginSet().knowledge(files or []), left_out=() if everything else None)


def _asked(line: str, files: Sequence[str] | None, *, everything: bool = False) -> tuple[Any, Collection[str], Knowledge]:
    """The line as it is read, the names for the program that wrote it, and what is known."""
    from ra_sdk.detector import Detector
    from ra_sdk.knowledge.who import agreed

    with Detector(model="echo", store=":memory:", knowledge=None) as detector:
        (block,) = detector.blocks([line])
        return block[0], agreed(block.block, [0]), _known(files, everything=everything)


def _abnormal(template: str) -> Any:
    from ra_sdk.records import Verdict

    return Verdict(template, "abnormal", 1.0)


def _row(candidate: Any) -> dict[str, Any]:
    """A candidate as it is shown: what makes it fit, and how well."""
    from dataclasses import asdict

    entry = candidate.entry
    words = entry.match[0] if entry.kind == "statement" else candidate.words
    return {"id": entry.id, "kind": entry.kind, "fits": round(candidate.fits, 3), "words": words, "features": asdict(candidate.features)}


def _print(entries: Iterable[Entry], as_json: bool) -> None:
    if as_json:
        for entry in entries:
            print(json_text(entry.to_dict()))
        return
    from ra_sdk.cli.display import console, show_list

    show_list(("id", "kind", "phrase", "meaning"), [(e.id, e.kind, e.match[0], e.meaning) for e in entries], console())
