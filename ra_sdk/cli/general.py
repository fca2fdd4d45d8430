"""The options that every command has: they may stand before it or behind it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum
from typing import Annotated

import typer

from ra_sdk.cli.messages import LOOK
from ra_sdk.errors import BadOption

__all__ = ["Color", "ColorName", "Config", "Level", "LevelName", "Quiet", "Verbose", "apply", "in_front"]


class ColorName(str, Enum):
    """When output is coloured."""

    AUTO, ALWAYS, NEVER = "auto", "always", "never"


class LevelName(str, Enum):
    """From which level on messages are shown."""

    DEBUG, INFO, WARNING, ERROR = "debug", "info", "warning", "error"


Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show more of what goes on, as --log-level info.", show_default=False)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no warnings, as --log-level error.", show_default=False)]
Level = Annotated[LevelName | None, typer.Option("--log-level", help="Messages from this level on go to standard error. Default: warning.", show_default=False)]
Color = Annotated[ColorName, typer.Option("--color", help="When to colour; auto: on a terminal, unless NO_COLOR is set.")]
Config = Annotated[str | None, typer.Option("--config", envvar="RA_CONFIG", metavar="FILE", help="Configuration file, see ra config.", show_default=False)]
_FLAGS, _VALUED = {"-v", "--verbose", "-q", "--quiet"}, {"--log-level", "--color", "--config"}


def in_front(args: Sequence[str]) -> list[str]:
    """The arguments with these options before the command, wherever they stood. What is behind ``--`` is left as it is."""
    front: list[str] = []
    rest: list[str] = []
    at = 0
    while at < len(args) and args[at] != "--":
        word = args[at]
        if word in _FLAGS or (word.split("=", 1)[0] in _VALUED and "=" in word):
            front.append(word)
        elif word in _VALUED and at + 1 < len(args):
            front += [word, args[at + 1]]
            at += 1
        else:
            rest.append(word)
        at += 1
    return [*front, *rest, *args[at:]]


def apply(*, verbose: bool, quiet: bool, level: LevelName | None, color: ColorName) -> None:
    """Set the level of the logger ``ra_sdk``, whether output is coloured, and whether progress is shown.

    Raises BadOption for options that contradict each other.
    """
    given = [name for name, on in {"--verbose": verbose, "--quiet": quiet, "--log-level": level}.items() if on]
    if len(given) > 1:
        raise BadOption(f"{' and '.join(given)} contradict each other; give one of them")
    chosen = "info" if verbose else "error" if quiet else level.value if level else "warning"
    logging.getLogger("ra_sdk").setLevel(chosen.upper())
    LOOK.color, LOOK.progress = {ColorName.ALWAYS: True, ColorName.NEVER: False}.get(color), chosen != "error"
