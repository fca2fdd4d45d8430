"""The detector: joins the rooms. Read ``Detector.blocks`` first; everything else is a door to it.

A line's way: source -> lines and formats -> templates -> verdicts -> sessions -> sink; only for a template without
a verdict: prompt -> reasoner.
"""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ra_sdk.blocks import Block, Detections
from ra_sdk.errors import BadOption, SourceError
from ra_sdk.formats import format_named
from ra_sdk.formats.reading import Reader
from ra_sdk.judging import Counts, Judge, Known
from ra_sdk.lines import RawBlock, raw_blocks, without_ends
from ra_sdk.masks import mask
from ra_sdk.outlets import Outlets
from ra_sdk.plugins import PluginSet
from ra_sdk.prompt import Mode
from ra_sdk.records import Detection, Session, Template, Verdict
from ra_sdk.sessions import Window, sessions
from ra_sdk.sinks import keep_apart
from ra_sdk.templates import Miner, distinct
from ra_sdk.verdicts import VerdictStore

if TYPE_CHECKING:
    import polars as pl

    from ra_sdk.hookspecs import Reasoner, Sink, Source

__all__ = ["Counts", "Detector", "Progress", "adetect", "detect"]

T = TypeVar("T")
LOOKAHEAD = 3  # blocks that are parsed and masked while one is judged
STATE_SECONDS = 60.0  # how often a long run saves its mining state


class _Closable(Protocol):
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is: bytes ``position`` of ``size`` (None: unknown) of the source, and ``to_judge`` templates ahead of the model."""

    source: str
    position: int
    size: int | None
    counts: Counts
    to_judge: int = 0


class Detector:
    """Finds anomalies in logs and says why.

    ``model``: a GGUF path, a Hugging Face id, "echo" for trials without a model, or any object with ``judge()``; None takes ``RA_MODEL``
    or the model of the ``model`` extra. ``store``: where verdicts are kept (a path, ":memory:", a VerdictStore; None: the user's cache).
    ``state``: a file that keeps what was mined across runs. ``format``: name of a log format (None: each line's is detected).
    ``format_files``: TOML files with formats of your own, see ``ra formats``.
    ``window``: for ``sessions``. ``mode``: "direct" reads the verdict at once, "think" after reasoning. ``explain``: write rationales for
    abnormal templates. ``threshold``: P(abnormal) from which a template is abnormal. ``follow``, ``checkpoint``: see ``ra_sdk.sources``.
    ``block``: records in a block; ``wait_ms``: a block of a live source closes after so many milliseconds. ``threads``, ``context`` (tokens),
    ``gpu_layers``, ``width`` (templates at once) are the model's; None is a sane default. ``plugins``: more plugin objects.

    Raises UsageError for wrong options, ModelError and StoreError, all at the call.
    """

    def __init__(
        self,
        *,
        model: str | Path | Reasoner | None = None,
        store: str | Path | VerdictStore | None = None,
        state: str | Path | None = None,
        format: str | None = None,  # noqa: A002
        format_files: Sequence[str | Path] = (),
        window: Window | None = None,
        mode: Mode = "direct",
        explain: bool = True,
        threshold: float = 0.5,
        follow: bool = False,
        checkpoint: str | Path | None = None,
        block: int = 50_000,
        wait_ms: int = 500,
        threads: int | None = None,
        context: int | None = None,
        gpu_layers: int | None = None,
        width: int | None = None,
        plugins: Sequence[object] = (),
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        _check(mode=mode, threshold=threshold, block=block, wait_ms=wait_ms, window=window)
        self.window, self.mode, self.progress = window, mode, progress
        self.counts = Counts()
        self.plugins = PluginSet(plugins)
        self.formats = self.plugins.formats(format_files)
        self._format = format_named(format, self.formats).name if format else None
        self._size, self._wait = block, wait_ms / 1000
        self._reading = {"follow": follow, "checkpoint": checkpoint, "format": format}
        model_options = {"threads": threads, "context": context, "gpu_layers": gpu_layers, "width": width}
        judging = {"threshold": threshold, "explain": "abnormal" if explain else "never"}
        self._state, self._saved = state, time.monotonic()
        self.miner = Miner()
        if state is not None:
            self.miner.load(state)
        self.reasoner: Reasoner = self.plugins.open_reasoner(model, {k: v for k, v in model_options.items() if v is not None} | judging)
        digest = f"{self.reasoner.digest}{'' if explain else '+mute'}{'' if threshold == 0.5 else f'+{threshold}'}"
        self._own_store = not isinstance(store, VerdictStore)
        self.store = store if isinstance(store, VerdictStore) else VerdictStore(store)
        self.judging = Judge(self.reasoner, self.store, digest, mode, self.counts)
        self._ahead = ThreadPoolExecutor(2, "ra-parse")

    def detect(self, source: object) -> Iterator[Detection]:
        """Every record of a source with its verdict, in input order.

        ``source``: a path or URL, an iterable of strings, mappings or LogRecords, or a column of a DataFrame.
        """
        return chain.from_iterable(self.blocks(source))

    def blocks(self, source: object) -> Iterator[Detections]:
        """The same in blocks, for those who work on columns. Raises SourceError and UsageError at the call."""
        opened: Source = self.plugins.open_source(source, self._reading)
        return _then_close(opened, self._blocks(opened))

    def sessions(self, source: object) -> Iterator[Session]:
        """The source's windows with their own verdicts. Raises BadOption without a window."""
        if self.window is None:
            raise BadOption("window None: sessions need a window; give the detector one, as in Window(lines=100)")
        return _with_known_key(sessions(self.blocks(source), self.window), self.window.key)

    def judge(self, line: str, *, mode: Mode | None = None) -> Verdict:
        """The verdict of one line. Its header is taken off if it has one of the known formats."""
        import polars as pl

        lines = without_ends(pl.Series("line", [line], dtype=pl.String))
        bodies = Reader(self.formats, self._format).whole(lines).bodies()
        text = " ".join(mask(bodies.to_list())[0].split())
        return self._judge([text], mode or self.mode)[0][0]

    def write(self, source: object, *sinks: str | Sink) -> Counts:
        """Take a source to its end, into sinks (URLs or objects). A checkpoint moves once every sink has written.

        Sinks opened here are closed here. Raises SourceError, SinkError, BadOption.
        """
        keep_apart([sink for sink in sinks if isinstance(sink, str)], [str(source)] if isinstance(source, str | Path) else [])
        opened: Source = self.plugins.open_source(source, self._reading)
        resumed = {"append": self._reading["checkpoint"] is not None}

        def written(block: Detections) -> None:
            if block.checkpoint is not None:
                opened.acknowledge(block.checkpoint)
            self.save_state()

        with closing(opened), Outlets(sinks, lambda url: self.plugins.open_sink(url, resumed), written, at_once=opened.live) as outlets:
            for block in self._blocks(opened, fields=True):
                outlets.write(block)
        return self.counts

    def templates(self) -> list[Template]:
        """What was mined so far, the most frequent first."""
        return self.miner.templates()

    def close(self) -> None:
        """Save the state, and let the model and the store go."""
        self._ahead.shutdown(wait=True, cancel_futures=True)
        self.save_state(0.0)
        if self._own_store:
            self.store.close()
        getattr(self.reasoner, "close", lambda: None)()

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _blocks(self, source: Source, *, fields: bool = False) -> Iterator[Detections]:
        started = time.monotonic()
        for block, codes, masked, sizes in self._prepared(source, fields=fields):
            codes, texts = self.miner.mine_masked(codes, masked, sizes)
            found = self._judge(texts, self.mode, source)
            detections = Detections(block, codes, [verdict for verdict, _ in found], [known for _, known in found])
            self._count(detections, time.monotonic() - started)
            started = time.monotonic()
            self._report(source)
            yield detections
            started = time.monotonic() if source.live else started

    def _prepared(self, source: Source, *, fields: bool) -> Iterator[tuple[Block, pl.Series, list[str], list[int]]]:
        """Blocks parsed (``fields`` too, if asked) and masked in threads, a few ahead of who asks; Polars lets go of the interpreter while it works."""
        waiting: deque[Future[tuple[Block, pl.Series, list[str], list[int]]]] = deque()
        broken: SourceError | None = None
        try:
            for raw in raw_blocks(source, self.formats, self._format, self._size, self._wait):
                if raw is not None:
                    waiting.append(self._ahead.submit(_prepare, raw, fields))
                while waiting and (source.live or len(waiting) > LOOKAHEAD):
                    yield waiting.popleft().result()
        except SourceError as error:
            broken = error
        while waiting:
            yield waiting.popleft().result()
        if broken is not None:
            raise broken

    def _judge(self, texts: Sequence[str], mode: Mode, source: Source | None = None) -> list[Known]:
        """A verdict for every text, and whether it was known before this run."""
        found = self.judging.look_up(texts, mode)
        cold = [text for text in texts if text not in found]
        with closing(self.judging.ask(cold, mode)) as verdicts:
            for left, verdict in zip(range(len(cold) - 1, -1, -1), verdicts):
                found[verdict.template] = verdict, False
                if source is not None:
                    self._report(source, left)
        return [found[text] for text in texts]

    def _count(self, detections: Detections, seconds: float) -> None:
        counts, block = self.counts, detections.block
        counts.records += len(block)
        counts.lines += int(block.last_lines[-1]) - int(block.lines[0]) + 1 if len(block) else 0
        counts.templates = len(self.miner)
        counts.seconds += seconds
        labels = [verdict.label for verdict in detections.verdicts]
        if "abnormal" in labels or "undecided" in labels:
            for code, count in detections.codes.value_counts().iter_rows():
                counts.abnormal += count if labels[code] == "abnormal" else 0
                counts.undecided += count if labels[code] == "undecided" else 0

    def _report(self, source: Source, to_judge: int = 0) -> None:
        if self.progress is not None:
            position, size = getattr(source, "position", 0), getattr(source, "size", None)
            self.progress(Progress(source.name, position, size, self.counts, to_judge))

    def save_state(self, every: float = STATE_SECONDS) -> None:
        """Save what was mined, if there is a state to keep and ``every`` seconds have passed since. Raises StoreError."""
        if self._state is not None and time.monotonic() - self._saved >= every:
            self._saved = time.monotonic()  # before: what cannot be saved is not tried with every block
            self.miner.save(self._state)


def detect(source: object, **options: Any) -> Iterator[Detection]:
    """Every record of ``source`` with its verdict, in input order. Options are those of ``Detector``.

    Raises what ``Detector`` and ``Detector.detect`` raise, at this call and not at the first record.
    """
    detector = Detector(**options)
    try:
        found = detector.detect(source)
    except BaseException:
        detector.close()
        raise
    return _then_close(detector, found)


async def adetect(source: object, **options: Any) -> AsyncIterator[Detection]:
    """``detect`` for asyncio: blocks are read and judged in a thread, the event loop never waits for them."""
    import asyncio

    with await asyncio.to_thread(Detector, **options) as detector:
        blocks = await asyncio.to_thread(detector.blocks, source)
        while (block := await asyncio.to_thread(next, blocks, None)) is not None:
            for detection in block:
                yield detection


def _with_known_key(found: Iterable[Session], key: str | None) -> Iterator[Session]:
    """The sessions; a warning after them if no record had the key, whose name may be wrong."""
    without = 0
    for session in found:
        without += session.key is None
        yield session
        if session.key is not None:
            key = None
    if key is not None and without:
        warnings.warn(f"no record has an attribute {key!r}, so the windows are not by key; see the attributes in --output jsonl", RuntimeWarning, stacklevel=2)


def _then_close(thing: _Closable, found: Iterable[T]) -> Iterator[T]:
    with closing(thing):
        yield from found


def _prepare(raw: RawBlock, fields: bool) -> tuple[Block, pl.Series, list[str], list[int]]:
    block = raw.parse()
    if fields:
        block.fields  # noqa: B018  parsed here and now
    return block, *distinct(block.bodies)


def _check(*, mode: object, threshold: object, block: object, wait_ms: object, window: object) -> None:
    if mode not in ("direct", "think"):
        raise BadOption(f"mode {mode!r} is neither 'direct' nor 'think'; choose one of them")
    if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise BadOption(f"threshold {threshold!r} is no probability; give a number from 0 to 1")
    for name, value in (("block", block), ("wait_ms", wait_ms)):
        if not isinstance(value, int) or value < 1:
            raise BadOption(f"{name} {value!r} is no whole number of at least 1; give one, or leave it out")
    if window is not None and not isinstance(window, Window):
        raise BadOption(f"window {window!r} is no Window; give one, as in Window(lines=100)")
