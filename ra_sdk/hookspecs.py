"""The pluggy hooks on one screen, and what their results have to offer.

A plugin is a module or an object with some of the functions below, marked with ``hookimpl``, and named in the entry-point group
``ra_sdk``. The built-in sources, sinks, formats and reasoners come through the same hooks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pluggy

from ra_sdk.prompt import Mode
from ra_sdk.records import LogRecord, Verdict

if TYPE_CHECKING:
    import polars as pl

    from ra_sdk.blocks import Detections

__all__ = ["Format", "Lines", "Reasoner", "Sink", "Source", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("ra_sdk")
hookimpl = pluggy.HookimplMarker("ra_sdk")


@hookspec(firstresult=True)
def ra_sdk_open_source(url: str, options: Mapping[str, Any]) -> Source | None:
    """Called with what the user named: open it if the scheme is yours, else return None. Raise SourceError if it cannot be opened."""


@hookspec(firstresult=True)
def ra_sdk_open_sink(url: str, options: Mapping[str, Any]) -> Sink | None:
    """Called with a sink's URL: open it if the scheme is yours, else return None. Raise SinkError if it cannot be opened."""


@hookspec(firstresult=True)
def ra_sdk_open_reasoner(model: str | None, options: Mapping[str, Any]) -> Reasoner | None:
    """Called with ``model=`` (None: the default): load it if it is yours, else return None. Raise ModelError if it cannot be loaded."""


@hookspec
def ra_sdk_formats() -> list[Format] | None:
    """Called once per detector: the log formats that you know. They are asked before the built-in ones."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A piece of a byte stream; it need not end at a newline.

    ``checkpoint``: JSON-able, where reading would resume after this piece. ``boundary``: a file ends here, what is pending is complete.
    ``line``: the number of the piece's first line, where it is not the one that follows.
    """

    data: bytes
    checkpoint: object = None
    boundary: bool = False
    line: int | None = None


class Source(Protocol):
    """Something that logs come from. Iterating yields ``Lines``, texts, mappings or LogRecords, and None when a live source is idle.

    ``name``: as the user named it. ``identity``: stable across restarts, part of sink ids. ``live``: reading may block. Optional: ``size``
    and ``position`` in bytes, for the progress bar, and ``started``, the time from which missing years are guessed.
    """

    name: str
    identity: str
    live: bool

    def __iter__(self) -> Iterator[Lines | str | Mapping[str, Any] | LogRecord | None]: ...

    def acknowledge(self, checkpoint: object) -> None:
        """Everything up to ``checkpoint`` was written by every sink."""

    def close(self) -> None:
        """Let go of files and connections."""


class Sink(Protocol):
    """Something that detections go to."""

    name: str

    def write(self, detections: Detections) -> None:
        """Return once the block is accepted for good; wait as long as it takes. Raise SinkError when it never will be."""

    def close(self) -> None:
        """Let go of files and connections."""


@runtime_checkable
class Reasoner(Protocol):
    """A model that judges templates. ``digest`` tells its verdicts from those of other models."""

    name: str
    digest: str

    def judge(self, templates: Sequence[str], mode: Mode = "direct") -> Iterable[Verdict]:
        """A verdict for every template, in their order; it may yield them as they are done."""
        ...


class Format(Protocol):
    """A log format. Works on columns (String, no nulls)."""

    @property
    def name(self) -> str:
        """What a user calls it."""
        ...

    def score(self, lines: pl.Series) -> float:
        """The share of up to 200 sample lines, 0..1, that begin a record of this format."""
        ...

    def starts(self, lines: pl.Series) -> pl.Series | None:
        """Boolean: the line begins a record, else it continues the one before. None: every line is a record."""
        ...

    def bodies(self, records: pl.Series) -> pl.Series:
        """The bodies of records. What does not have the format is its own body."""
        ...

    def fields(self, records: pl.Series, now: datetime) -> pl.DataFrame:
        """Columns ``timestamp`` (Datetime us, UTC), ``severity`` (String) and ``attributes`` (String: a JSON object), nulls where absent."""
        ...
