"""The pluggy hooks on one screen, and what their results have to offer.

A plugin is a module or an object with some of the functions below, each marked with ``hookimpl``, and named in the entry-point
group ``ra_sdk``. Of a hook's arguments it declares those that it needs. The built-in sources, sinks, formats and reasoners come through
the same hooks, and are asked last. ``examples/custom_source`` is a plugin to start from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pluggy

from ra_sdk.records import LogRecord, Mode, Verdict

if TYPE_CHECKING:
    import polars as pl

    from ra_sdk.detections import Detections

__all__ = ["Explaining", "Format", "Items", "Lines", "Listener", "Part", "Preparing", "Reasoner", "Sink", "Source", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("ra_sdk")
hookimpl = pluggy.HookimplMarker("ra_sdk")


@hookspec(firstresult=True)
def ra_sdk_open_source(url: str, options: Mapping[str, Any]) -> Source | None:
    """Called once for every source that the user names, a path or a URL.

    If its scheme is yours, open it and return the source, else None: the next plugin is asked. ``options`` has ``follow``, ``checkpoint``,
    ``format`` and, as texts, what the user gave with ``--plugin-option``. Raise SourceError (its message: what, why, what to do) if it cannot
    be opened; what else is raised is reported as your plugin's fault.
    """


@hookspec(firstresult=True)
def ra_sdk_open_sink(url: str, options: Mapping[str, Any]) -> Sink | None:
    """Called once for every sink's URL, before anything is read.

    If its scheme is yours, open it and return the sink, else None. ``options`` has ``append`` when a run goes on where another stopped, so that
    what is there already must stay. It is opened, written to and closed in one thread, which is not that of the source. Raise SinkError if it
    cannot be opened.
    """


@hookspec(firstresult=True)
def ra_sdk_open_reasoner(model: str | None, options: Mapping[str, Any]) -> Reasoner | None:
    """Called once per detector with ``model=`` (None: the default).

    If the name is yours, return the reasoner, else None; it may load the model when first asked to judge. ``options`` has ``threads``,
    ``context``, ``gpu_layers``, ``width``, ``threshold``, ``sensitivity`` and ``explain``, as far as they were given. Raise ModelError if it cannot be loaded.
    """


@hookspec
def ra_sdk_masks() -> list[tuple[str, str]] | None:
    """Called once per detector: masks of your own, as pairs of a Rust regular expression and what replaces its matches.

    They are applied to bodies before the built-in masks. Use a placeholder such as ``<id>`` or ``<*>`` as replacement, so
    that rationales can be filled; ``${1}`` stands for the first group.
    """


@hookspec
def ra_sdk_formats() -> list[Format] | None:
    """Called once per detector: the log formats that you know. Where yours and a built-in one both fit a line, yours is used."""


@hookspec
def ra_sdk_knowledge() -> list[Mapping[str, Any]] | None:
    """Called once per detector: what you know about log lines, as mappings with the fields of a TOML file's ``[[runbook]]`` or ``[[phrase]]``.

    ``kind`` ("runbook", "phrase" or "statement") says which; see ``ra knowledge --help``.
    """


@hookspec(firstresult=True)
def ra_sdk_open_listener(url: str, options: Mapping[str, Any]) -> Listener | None:
    """Called by ``ra serve`` for every further address that it is to listen on, before the model is loaded.

    If its scheme is yours, bind it and return the listener, else None. ``options`` has ``limits``, ``tokens`` (None: every client is accepted),
    ``cert`` and ``key`` (PEM files, None: no TLS). Raise WorldError or BadOption if it cannot be bound.
    """


@dataclass(frozen=True, slots=True)
class Lines:
    """A piece of a byte stream; it need not end at a newline.

    ``checkpoint``: JSON-able, where reading would resume after this piece; a mapping with the byte ``offset``
    if lines that are not complete yet may be subtracted from it. ``boundary``: a file ends here, what is
    pending is complete, the next line is number 1, at offset 0. ``line`` and ``offset``: the number of the
    piece's first line, and where its first byte stands in the text of its file, unless they follow from the
    piece before. ``identity``: the source's identity from here on, where it changes: each file of a rotated
    log has its own, or offset 0 of today's would have the sink id of offset 0 of yesterday's. ``above``:
    where reading begins in the middle of a file, the ``#Fields:`` line above the piece, if the file has one.
    """

    data: bytes
    checkpoint: object = None
    boundary: bool = False
    line: int | None = None
    offset: int | None = None
    identity: str | None = None
    above: bytes = b""


@dataclass(frozen=True, slots=True)
class Items:
    """Ready records of a source that can resume: texts, mappings or LogRecords, all of one kind.

    ``offsets``: a number for each, which with ``identity`` makes its sink id: the same whenever the record is read. ``checkpoint``: JSON-able,
    where reading would resume after them. ``format``: the name of the format that texts have; None detects it. ``origin``: what they were made
    of, for a sink that passes it on; each block of them has it as ``block.origin``, and a record's offset is its place there.
    """

    items: Sequence[str | Mapping[str, Any] | LogRecord]
    offsets: Sequence[int]
    identity: str
    checkpoint: object = None
    format: str | None = None
    origin: object = None


@dataclass(frozen=True, slots=True)
class Part:
    """An item of one of the sources that a source consists of; each has its own format, line numbers and blocks.

    The checkpoint of a block is a Part too: ``item`` is what ``source`` wants back. ``ended``: nothing more comes from ``source``.
    """

    source: Source
    item: Any
    ended: bool = False


class Source(Protocol):
    """Something that logs come from.

    Iterating yields ``Lines`` (bytes, cut anywhere: the fast way), ``Items``, or one text, mapping (as a JSON line would give it) or LogRecord
    for every record, and None when a live source is idle; a source that consists of others yields a ``Part`` for each of these.
    ``name``: as the user named it. ``identity``: stable across restarts, part of sink ids.
    ``live``: reading may block; it is then done in a thread, and blocks close after a while. Optional: ``size`` and ``position`` in bytes, for
    the progress bar; ``started``, the time from which missing years are guessed; ``resumable``, whether it keeps a checkpoint; and ``bound``: it
    has to be iterated by the thread that asks for detections, and yields None itself when what it gave is to be handed on.
    """

    name: str
    identity: str
    live: bool

    def __iter__(self) -> Iterator[Lines | Items | Part | str | Mapping[str, Any] | LogRecord | None]: ...

    def acknowledge(self, checkpoint: object) -> None:
        """Everything up to ``checkpoint``, one of those yielded, was written by every sink: a restart may begin there. Never called with None."""

    def close(self) -> None:
        """Let go of files and connections."""


class Sink(Protocol):
    """Something that detections go to. Optional: ``write_session(session)``, for windows of them, and ``stop()``, called from another thread when
    the run is broken off: a ``write`` that waits is to raise SinkError.
    """

    name: str

    def write(self, detections: Detections) -> None:
        """Return once the block is accepted for good; wait as long as it takes. Raise SinkError when it never will be."""

    def close(self) -> None:
        """Let go of files and connections."""


class Listener(Protocol):
    """Another door of the service, with threads of its own. ``url``: where it is."""

    url: str

    def start(self, judge: Callable[[Sequence[str], Sequence[Collection[str]], Sequence[str | None]], Future[Any]]) -> None:
        """The model is loaded; until then clients are told to come again.

        ``judge`` takes bodies, and for each the names that its record has for the program that wrote it, and its severity (both: or none at all),
        from any thread; it gives a ``service.Judged``.
        """

    def close(self, grace_s: float) -> None:
        """Take nothing more, and answer what was taken within so many seconds."""


@runtime_checkable
class Preparing(Protocol):
    """What a sink has beside that, if it wants its work halved: the blocks of a run are prepared in one thread, and written in another."""

    def prepare(self, detections: Detections) -> Any:
        """What ``write_prepared`` is to be called with, in place of ``write`` with the block. Called for a block while an earlier one is written."""
        ...

    def write_prepared(self, prepared: Any) -> None:
        """As ``write``."""


@runtime_checkable
class Reasoner(Protocol):
    """A model that judges templates. ``digest`` tells its verdicts from those of other models.

    The label of a verdict is read from its score, at the threshold of the caller: a score is needed, or a label that stands for 0 or 1.

    Optional: ``thresholds``, by sensitivity ("low", "default", "high") the score from which a template is abnormal. ``reads_severity = True``, if the
    model is shown the severity of the records: ``judge`` then takes a keyword ``severities`` too, one for each template (one of ``SEVERITIES``, or
    None), and each verdict has the severity that it was judged with.
    """

    name: str
    digest: str

    def judge(self, templates: Sequence[str], mode: Mode = "direct") -> Iterable[Verdict]:
        """A verdict for every template, its text as it was given; it may yield them as they are done."""
        ...


@runtime_checkable
class Explaining(Protocol):
    """What a reasoner has beside that, if it can say why it judged as it did when it is asked later."""

    def explained(self, verdicts: Sequence[Verdict], mode: Mode = "direct") -> Iterable[Verdict]:
        """The verdicts with the category and rationale that belong to their label, even if the reasoner itself would draw the line elsewhere."""
        ...


class Format(Protocol):
    """A log format. Works on columns (String, no nulls).

    A line has the first of all formats whose ``has`` takes it. Optional: ``pattern``, a Rust regular expression that is true of every such
    line, so that others are passed over quickly; ``about``, a sentence for ``ra formats``; ``nested``: bodies may have a header of another format;
    ``until`` and ``continuation``, patterns of lines that end and that continue a record (see the registry's TOML).
    """

    @property
    def name(self) -> str:
        """What a user calls it."""
        ...

    def has(self, lines: pl.Series) -> pl.Series:
        """Boolean: the line begins a record of this format."""
        ...

    def bodies(self, records: pl.Series) -> pl.Series:
        """The bodies of records. What does not have the format is its own body."""
        ...

    def fields(self, records: pl.Series, now: datetime) -> pl.DataFrame:
        """Columns ``timestamp`` (Datetime us, UTC), ``severity`` (String) and ``attributes`` (String: a JSON object), nulls where absent."""
        ...
