"""The functions of the package. Each opens a ``Detector``, uses it, and closes it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict

from ra_sdk.detector import Detector, Progress

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ra_sdk.detections import Detection
    from ra_sdk.hookspecs import Reasoner, Source
    from ra_sdk.knowledge import Knowledge
    from ra_sdk.records import LogRecord, Mode, Sensitivity, Verdict
    from ra_sdk.sessions.window import Window
    from ra_sdk.sources.several import Sources
    from ra_sdk.verdicts.store import VerdictStore

__all__ = ["DetectorOptions", "LogSource", "adetect", "detect", "judge"]


class Column(Protocol):
    """A column of a polars or pandas frame."""

    def to_list(self) -> list[Any]:
        """The values."""


class Frame(Protocol):
    """A polars or pandas frame, of which ``column=`` names the column with the log lines."""

    @property
    def columns(self) -> Any:
        """The names of the columns."""


LogSource: TypeAlias = (
    "str | os.PathLike[str] | IO[str] | IO[bytes] | Iterable[str | bytes | Mapping[str, Any] | LogRecord] | "
    "Sequence[os.PathLike[str]] | Column | Frame | Sources | Source"
)


class DetectorOptions(TypedDict, total=False):
    """The options of ``Detector``, which explains them, as keywords of the functions here."""

    model: str | Path | Reasoner | None
    store: str | Path | VerdictStore | None
    state: str | Path | None
    format: str | None
    format_files: Sequence[str | Path]
    window: Window | None
    mode: Mode
    explain: bool
    knowledge: Knowledge | Sequence[str | Path] | None
    threshold: float | None
    sensitivity: Sensitivity
    follow: bool
    checkpoint: str | Path | None
    block: int
    wait_ms: int
    threads: int | None
    context: int | None
    gpu_layers: int | None
    width: int | None
    plugins: Sequence[object]
    progress: Callable[[Progress], None] | None


def detect(source: LogSource, *, column: str | None = None, **options: Unpack[DetectorOptions]) -> Iterator[Detection]:
    """Every record of a source with its verdict, in input order.

    Args:
        source: A path, URL, folder or pattern; several of them as ``Sources`` or as a list of ``Path`` objects; an open file; an iterable of
            strings, mappings or ``LogRecord`` objects; a column of a frame; or a frame, of which ``column`` is read.
        column: Name of the column with the log lines, if ``source`` is a polars, pandas or Arrow table.
        **options: The options of ``Detector``.

    Raises:
        RaError: What ``Detector`` and ``Detector.detect`` raise, at this call and not at the first record.
    """
    detector = Detector(**options)
    try:
        found = detector.detect(source, column=column)
    except BaseException:
        detector.close()
        raise
    return _then_close(detector, found)


def adetect(source: LogSource, *, column: str | None = None, **options: Unpack[DetectorOptions]) -> AsyncIterator[Detection]:
    """``detect`` for asyncio: blocks are read and judged in one thread, a given iterable too, and the event loop never waits for them.

    Raises at this call, as ``detect`` does; it loads the model, which may take seconds. Leaving the loop, or cancelling it, closes everything.
    """
    from ra_sdk.aio import beside

    detector = Detector(**options)
    try:
        blocks = detector.blocks(source, column=column)
    except BaseException:
        detector.close()
        raise
    return beside(blocks, detector.stop, detector.close)


def judge(line: str, **options: Unpack[DetectorOptions]) -> Verdict:
    """The verdict of one line, the same that ``detect([line])`` gives it. For many lines use a ``Detector``, which loads the model once.

    Raises:
        RaError: What ``Detector`` raises.
    """
    with Detector(**options) as detector:
        return detector.judge(line)


def _then_close(detector: Detector, found: Iterable[Detection]) -> Iterator[Detection]:
    with closing(detector):
        yield from found
