"""``ra config`` and ``ra cache``: what is set and from where; what is kept on this machine, and how to be rid of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ra_sdk.cli import options, settings
from ra_sdk.cli.messages import FINE
from ra_sdk.errors import BadOption, StoreError
from ra_sdk.text import json_text

__all__ = ["add"]

CONFIG = """Show which options are set, and by what: the environment, a configuration file, or else the default.

\b
What counts, the first that is given:
  1. the option on the command line
  2. a variable of the environment, such as RA_MODEL
  3. --config FILE or RA_CONFIG; else ra_sdk.toml, or [tool.ra_sdk] in pyproject.toml, here or in a folder
     above; else config.toml in your configuration directory
  4. the default

\b
A file in TOML has options by their long names, for all commands or for one:
  model = "standard"
  [detect]
  fail-on = "abnormal"
  knowledge = ["runbooks.toml"]

Paths in a file are relative to the working directory. A file of another user is not used unless it is named.
"""
CACHE = """Show and clear what is kept on this machine: verdicts, and models in the form in which they run.

\b
  ra cache list
  ra cache path
  ra cache clear --verdicts      judge everything again; corrections by operators stay
  ra cache clear --models        they are made or fetched again when they are needed
"""
_cache = typer.Typer(help=CACHE, context_settings=options.SETTINGS)
Verdicts = Annotated[bool, typer.Option("--verdicts", help="Clear the verdicts of all models. What operators corrected stays.")]
Models = Annotated[bool, typer.Option("--models", help="Remove the models.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("config", help=CONFIG)(config)
    app.add_typer(_cache, name="cache")


def config(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Show the options that have their default, too.")] = False,
    as_json: options.AsJson = False,
) -> int:
    """Show what is set."""
    from ra_sdk.cli.display import console, show_list

    group: Any = context.find_root().command
    found = settings.found(context.find_root().obj)
    rows = list(_rows(group, found.defaults(group), str(found.path), ""))
    rows = [row for row in rows if everything or row["from"] != "default"]
    if as_json:
        print(json_text({"file": str(found.path) if found.path else None, "options": rows}))
        return FINE
    out = console()
    show_list((f"configuration file: {found.path or 'none'}",), [], out)
    show_list(("command", "option", "value", "from"), [tuple(map(str, row.values())) for row in rows], out)
    return FINE


def _rows(group: Any, defaults: dict[str, Any], path: str, before: str) -> Iterator[dict[str, Any]]:
    """Every option of every command, with its value."""
    for name, command in group.commands.items():
        own = defaults.get(name, {})
        if hasattr(command, "commands"):
            yield from _rows(command, own, path, f"{before}{name} ")
            continue
        by_name = {str(param.name): param for param in command.params}
        for option, param in settings.settable(command).items():
            variable = by_name[param].envvar
            value, source = (own[param], path) if param in own else (_plain(by_name[param].default), "default")
            if variable and os.environ.get(variable):
                value, source = os.environ[variable], variable
            yield {"command": f"{before}{name}", "option": option, "value": value, "from": source}


def _plain(value: Any) -> Any:
    """An option's default as JSON has it."""
    value = getattr(value, "value", value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


@_cache.callback(invoke_without_command=True)
def cache(context: typer.Context) -> None:
    """Show the help where no command is given."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@_cache.command("path")
def path_() -> int:
    """Print the cache directory."""
    print(_directory())
    return FINE


@_cache.command("list")
def list_(as_json: options.AsJson = False) -> int:
    """List what is kept, with its size."""
    from ra_sdk.cli.display import console, show_list

    rows: list[dict[str, Any]] = [{"path": str(path), "kind": kind, "bytes": path.stat().st_size} for kind, path in _kept()]
    if as_json:
        print(json_text({"directory": str(_directory()), "files": rows}))
        return FINE
    show_list(("kind", "MB", "file"), [(str(row["kind"]), f"{row['bytes'] / 1e6:.1f}", str(row["path"])) for row in rows], console())
    return FINE


@_cache.command()
def clear(verdicts: Verdicts = False, models: Models = False) -> int:
    """Clear the verdicts, the models, or both."""
    from ra_sdk.verdicts.store import VerdictStore

    if not (verdicts or models):
        raise BadOption("say what to clear: --verdicts, --models, or both")
    if verdicts:
        with VerdictStore() as store:
            print(f"{store.clear()} verdicts cleared; {len(store.overrides())} corrections by operators stay")
    removed = [path for kind, path in _kept() if kind == "model"] if models else []
    for path in removed:
        _remove(path)
    if models:
        print(f"{len(removed)} models removed")
    return FINE


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise StoreError(f"{path} cannot be removed: {error.strerror or error}; check its permissions") from error


def _directory() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("ra_sdk")


def _kept() -> list[tuple[str, Path]]:
    """Kind and path of every file that is kept."""
    from ra_sdk.reasoner.bases import cache as models

    store = Path(os.environ.get("RA_STORE") or _directory() / "verdicts.db").expanduser()
    found = [("verdicts", store)] if store.is_file() else []
    return [*found, *(("model", path) for path in sorted(models().glob("*.gguf")))]
