"""Defaults from a configuration file, for the options of all commands.

A file is looked for in this order, and the first is taken: ``--config`` or ``RA_CONFIG``; ``ra_sdk.toml``, or ``pyproject.toml`` with a table
``[tool.ra_sdk]``, in the working directory or the nearest folder above it; ``config.toml`` in the user's configuration directory. What is given
on the command line or in the environment comes before what a file says.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ra_sdk import config
from ra_sdk.cli.messages import say
from ra_sdk.errors import BadOption

__all__ = ["Settings", "found", "settable"]

Command: TypeAlias = Any  # a command, or a group of them with ``commands``; typer has moved the types about
OWN, PROJECT, USERS = "ra_sdk.toml", "pyproject.toml", "config.toml"
UNSETTABLE = frozenset({"help", "version", "config", "revoke", "json"})  # they are of one call


@dataclass(frozen=True, slots=True)
class Settings:
    """What a file says: values for every command that has the option, and tables for single commands. ``path`` None: there is no file."""

    path: Path | None = None
    table: Mapping[str, Any] = field(default_factory=dict)

    def defaults(self, group: Command) -> dict[str, Any]:
        """The ``default_map`` of a group of commands. Raises BadOption for what no command has."""
        self._check(group)
        return self._of(group, self.table, {})

    def _of(self, group: Command, table: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
        here = {**above, **{_name(key): value for key, value in table.items() if not isinstance(value, Mapping)}}
        made: dict[str, Any] = {}
        for name, command in group.commands.items():
            own = table.get(name, {})
            own = own if isinstance(own, Mapping) else {}  # an option of this name: model
            if hasattr(command, "commands"):
                made[name] = self._of(command, own, here)
                continue
            values = {**here, **{_name(key): value for key, value in own.items()}}
            made[name] = {param: values[option] for option, param in settable(command).items() if option in values}
        return made

    def _check(self, group: Command) -> None:
        known = {option for command in _commands(group) for option in settable(command)}
        for key, value in self.table.items():
            if isinstance(value, Mapping):
                self._check_command(key, value, group)
            elif _name(key) not in known:
                raise self._unknown(key, known | set(group.commands))

    def _check_command(self, name: str, table: Mapping[str, Any], group: Command) -> None:
        command = group.commands.get(name)
        if command is None:
            raise self._unknown(name, set(group.commands))
        if hasattr(command, "commands"):
            for key, value in table.items():
                if isinstance(value, Mapping):
                    self._check_command(key, value, command)
            return
        for key in table:
            if _name(key) not in settable(command):
                raise self._unknown(f"{name}.{key}", {f"{name}.{option}" for option in settable(command)})

    def _unknown(self, key: str, known: set[str]) -> BadOption:
        near = difflib.get_close_matches(_name(key), known, 1)
        hint = f"did you mean {near[0]}?" if near else "`ra config` lists what can be set"
        return BadOption(f"{self.path}: {key!r} is not an option or a command of ra; {hint}")


def found(given: str | None) -> Settings:
    """The settings that hold in the working directory. Raises BadOption for a file that cannot be used."""
    if given is not None:
        return _read(Path(given).expanduser())
    for folder in (Path.cwd(), *Path.cwd().parents):
        for path in (folder / OWN, folder / PROJECT):
            if path.is_file() and (settings := _read(path)).path is not None and _trusted(path):
                return settings
    users = config.directory() / USERS
    return _read(users) if users.is_file() else Settings()


def settable(command: Command) -> dict[str, str]:
    """The options of a command that a file may set: their long name without dashes, and the name of their parameter."""
    names = {max(param.opts, key=len).lstrip("-"): str(param.name) for param in command.params if param.param_type_name == "option"}
    return {option: param for option, param in names.items() if option not in UNSETTABLE}


def _read(path: Path) -> Settings:
    """The settings in a file; none if it is a pyproject.toml without a table for us."""
    table = config.read_toml(path, BadOption)
    if path.name == PROJECT:
        found = table.get("tool", {}).get("ra_sdk")
        return Settings(path, found) if found is not None else Settings()
    return Settings(path, table)


def _trusted(path: Path) -> bool:
    """Whether a file that was not named may be used: it belongs to the user or to root. Somebody else's could write anywhere in the user's name."""
    if not hasattr(os, "geteuid") or path.stat().st_uid in (os.geteuid(), 0):
        return True
    say(f"warning: {path} belongs to another user, so it is not used; name it with --config if you trust it")
    return False


def _commands(group: Command) -> Iterator[Command]:
    for command in group.commands.values():
        if hasattr(command, "commands"):
            yield from _commands(command)
        else:
            yield command


def _name(key: str) -> str:
    return key.replace("_", "-")
