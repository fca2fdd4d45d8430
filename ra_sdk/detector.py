"""The detector: joins the rooms. Read ``Detector.blocks`` first; everything else is a door to it.

A line's way: source -> lines and formats -> templates -> verdicts -> sessions -> sink; only for a template without
a verdict: prompt -> reasoner.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ra_sdk.blocks import Block
from ra_sdk.detections import Detection, Detections, each
from ra_sdk.errors import BadOption, Closed, SourceError
from ra_sdk.formats import format_named
from ra_sdk.formats.lines import RawBlock, raw_blocks
from ra_sdk.knowledge import Knowledge, agreed
from ra_sdk.plugins import PluginSet
from ra_sdk.reasoner.explainer import Around, Explainer
from ra_sdk.reasoner.explainer import named as explainer
from ra_sdk.records import THRESHOLDS, LogRecord, Mode, Sensitivity, Template, TemplateKey, Verdict
from ra_sdk.sessions.grouping import Window, sessions
from ra_sdk.sessions.window import Session
from ra_sdk.sinks.jsonl import keep_apart
from ra_sdk.sinks.writer import Outlets
from ra_sdk.sources.builtin import IterableSource
from ra_sdk.sources.several import Sources
from ra_sdk.templates.miner import Miner, distinct, keyed
from ra_sdk.trouble import LOG
from ra_sdk.verdicts.resolver import Counts, Judge, Known, Who, threshold_of
from ra_sdk.verdicts.store import VerdictStore

if TYPE_CHECKING:
    import polars as pl

    from ra_sdk.api import LogSource
    from ra_sdk.hookspecs import Reasoner, Sink, Source
    from ra_sdk.templates.placeholders import Mask

__all__ = ["Counts", "Detector", "Progress"]

Prepared: TypeAlias = "tuple[Block, pl.Series, list[str], list[int]]"  # a block, the codes of its bodies, the masked texts, their counts
NEIGHBOURS = 2  # records before and behind one that an explainer is told of
SPEAKING = 8  # records of a template that are asked who wrote them
LOOKAHEAD = 3  # blocks that are parsed and masked while one is judged
STATE_SECONDS = 60.0  # how often a long run saves its mining state


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is, for a progress bar.

    Attributes:
        source: Name of the source.
        position: Bytes read of the source.
        size: Bytes of the source; None if unknown.
        counts: What the run has counted so far.
        to_judge: Templates of this block that the model has yet to judge.
        verdict: The verdict that the model has just given, if that is what there is to report.
    """

    source: str
    position: int
    size: int | None
    counts: Counts
    to_judge: int = 0
    verdict: Verdict | None = None


class Detector:
    """Finds anomalies in logs and says why.

    ``model``: "edge" or "standard", a GGUF path, a file of the Hugging Face hub, "echo" for trials without a model, or any object with
    ``judge()``; None takes ``RA_MODEL``, what ``ra model use`` keeps, or the default. ``store``: where verdicts are kept (a path, ":memory:",
    a VerdictStore; None: the user's cache). ``state``: a file that keeps what was mined across runs. ``format``: name of a log format
    (None: each line's is detected).
    ``format_files``: TOML files with formats of your own, see ``ra formats``.
    ``knowledge``: TOML files with runbooks and other entries of your own, see ``ra knowledge``; None: no reasons from the knowledge table.
    ``window``: for ``sessions``. ``mode``: "direct" reads the verdict at once, "think" after reasoning. ``explain``: write rationales for
    abnormal templates. ``threshold``: P(abnormal) from which a template is abnormal (None: the model's own for ``sensitivity``, which is "low",
    "default" or "high": the higher, the fewer faults are missed and the more false alarms come); it is applied to stored scores, so another
    one costs no model calls but the rationales of what is abnormal now. ``follow``, ``checkpoint``: see ``ra_sdk.sources.builtin``.
    ``block``: records in a block; ``wait_ms``: a block of a live source closes after so many milliseconds. ``threads``, ``context`` (tokens),
    ``gpu_layers``, ``width`` (templates at once) are the model's; None means the default. ``plugins``: more plugin objects.

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
        knowledge: Knowledge | Sequence[str | Path] | None = (),
        threshold: float | None = None,
        sensitivity: Sensitivity = "default",
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
        _check(mode=mode, threshold=threshold, sensitivity=sensitivity, block=block, wait_ms=wait_ms, window=window)
        self.window, self.mode, self.progress = window, mode, progress
        self.counts = Counts()
        self.plugins = PluginSet(plugins)
        self.formats = self.plugins.formats(format_files)
        self._format = format_named(format, self.formats).name if format else None
        self._size, self._wait = block, wait_ms / 1000
        self._reading = {"follow": follow, "checkpoint": checkpoint, "format": format}
        self._state, self._saved = state, time.monotonic()
        self.miner = Miner(self.plugins.masks())
        if state is not None:
            self.miner.load(state)
        size = {"threads": threads, "context": context, "gpu_layers": gpu_layers, "width": width}
        reasoning: dict[str, Any] = {**size, "threshold": threshold, "sensitivity": sensitivity}
        knows = knowledge if knowledge is None or isinstance(knowledge, Knowledge) else Knowledge(self.plugins.knowledge(knowledge))
        reasoning["explain"] = "abnormal" if explain and (mode == "think" or knows is None) else "never"
        with ExitStack() as opened:
            self.reasoner: Reasoner = self.plugins.open_reasoner(model, {k: v for k, v in reasoning.items() if v is not None})
            if model is None or isinstance(model, str | Path):
                opened.callback(getattr(self.reasoner, "close", _nothing))
            self.store = store if isinstance(store, VerdictStore) else opened.enter_context(VerdictStore(store))
            writer = Explainer(name, threads=threads or 2) if explain and (name := explainer()) else None
            if writer is not None:
                opened.callback(writer.close)
            self._opened = opened.pop_all()  # is closed with the detector; what was given is not
        self.threshold = threshold_of(self.reasoner, sensitivity) if threshold is None else threshold
        self.judging = Judge(self.reasoner, self.store, mode, self.counts, threshold=self.threshold, explains=explain, knowledge=knows, explainer=writer)
        self._ahead = ThreadPoolExecutor(2, "ra-parse")
        self._stopped = self._closed = False

    def detect(self, source: LogSource, *, column: str | None = None) -> Iterator[Detection]:
        """Every record of a source with its verdict, in input order. For ``source`` and ``column`` see ``ra_sdk.detect``."""
        return each(self.blocks(source, column=column))

    def scan(self, source: LogSource, *, column: str | None = None) -> pl.DataFrame:
        """Every record of a source with its verdict, as one polars frame; ``ra_sdk.frames.frame_of`` lists its columns."""
        import polars as pl

        frames = [block.to_polars() for block in self.blocks(source, column=column)]
        return pl.concat(frames, rechunk=False) if frames else Detections.of(LogRecord(""), Verdict("")).to_polars().clear()

    def blocks(self, source: LogSource, *, column: str | None = None) -> Iterator[Detections]:
        """The same in blocks, for those who work on columns. Raises SourceError and UsageError at the call.

        A checkpoint moves behind a block when the next one is asked for: the caller has then finished with it.
        """
        self._check_open()
        opened: Source = self.plugins.watched(self.plugins.open_source(source, self._reading, column))
        return _acknowledged(opened, self._blocks(opened))

    def sessions(self, source: LogSource, *, column: str | None = None) -> Iterator[Session]:
        """The source's windows with their own verdicts. Raises BadOption without a window, and with a checkpoint."""
        if self.window is None:
            raise BadOption("sessions need a window, and this detector has none; make it with one, as in Window(lines=100)")
        self._check_open()
        opened: Source = self.plugins.open_source(source, self._reading, column)
        if getattr(opened, "resumable", False):
            opened.close()
            raise BadOption("sessions cannot be used with a checkpoint: a restart would begin in the middle of unfinished windows; leave out one of the two")
        return _with_known_key(sessions(self.blocks(opened), self.window), self.window.key)

    def judge(self, line: str, *, mode: Mode | None = None) -> Verdict:
        """The verdict of one line, the same that ``detect([line])`` gives it."""
        return self.examine(line, mode=mode).verdict

    def examine(self, line: str, *, mode: Mode | None = None, explain: bool = False) -> Detection:
        """One line with its verdict. ``explain``: with a rationale though it is normal."""
        self._check_open()
        (raw,) = (raw for raw in raw_blocks(IterableSource([line]), self.formats, self._format, 1, self._wait) if raw is not None)
        return self._judged(_prepare(raw, False, self.judging.reads_severity, self.miner.masks), mode or self.mode, explain=explain)[0]

    def write(self, source: LogSource, *sinks: str | Sink) -> Counts:
        """Take a source to its end, into sinks (URLs or objects). A checkpoint moves once every sink has written.

        Sinks opened here are closed here. Raises SourceError, SinkError, BadOption.
        """
        self._check_open()
        named = source if isinstance(source, Sources) else [source]
        keep_apart([sink for sink in sinks if isinstance(sink, str)], [str(each) for each in named if isinstance(each, str | Path)])
        opened: Source = self.plugins.watched(self.plugins.open_source(source, self._reading))
        given = [sink if isinstance(sink, str) else self.plugins.watched(sink) for sink in sinks]
        resumed = {"append": self._reading["checkpoint"] is not None}

        def opening(url: str) -> Sink:
            sink: Sink = self.plugins.watched(self.plugins.open_sink(url, resumed))
            return sink

        def written(block: Detections) -> None:
            if block.checkpoint is not None:
                opened.acknowledge(block.checkpoint)
            self.save_state()

        with closing(opened), Outlets(given, opening, written, at_once=opened.live) as outlets:
            for block in self._blocks(opened, fields=True):
                outlets.write(block)
        return self.counts

    def templates(self) -> list[Template]:
        """What was mined so far, the most frequent first."""
        return self.miner.templates()

    def stop(self) -> None:
        """Have iterations end with Closed as soon as they can, in whatever threads they are."""
        self._stopped = True

    def close(self) -> None:
        """Save the state, and close what was opened here: a model or a store that was given stays open. Closing again does nothing."""
        if self._closed:
            return
        self._stopped = self._closed = True
        self._ahead.shutdown(wait=True, cancel_futures=True)
        with self._opened:
            self.save_state(0.0)

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _blocks(self, source: Source, *, fields: bool = False) -> Iterator[Detections]:
        started = time.monotonic()
        for prepared in self._prepared(source, fields=fields):
            detections = self._judged(prepared, self.mode, source)
            self._count(detections, time.monotonic() - started)
            started = time.monotonic()
            self._report(source)
            yield detections
            started = time.monotonic() if source.live else started

    def _check_open(self) -> None:
        if self._stopped:
            raise Closed("this detector was closed; make another one")

    def _judged(self, prepared: Prepared, mode: Mode, source: Source | None = None, *, explain: bool = False) -> Detections:
        """A block with its verdicts."""
        block, codes, masked, sizes = prepared
        codes, texts = self.miner.mine_masked(codes, masked, sizes)
        codes, keys = keyed(codes, texts, block.severities if self.judging.reads_severity else None)
        about = partial(_speaking, block, codes, keys), partial(_around, codes, keys)
        found = self._judge(keys, mode, source, *about, explain=explain)
        return Detections(block, codes, [verdict for verdict, _ in found], [known for _, known in found], self.miner.moved)

    def _prepared(self, source: Source, *, fields: bool) -> Iterator[Prepared]:
        """Blocks parsed (``fields`` too, if asked) and masked in threads, a few ahead of the caller; Polars releases the GIL while it works."""
        waiting: deque[Future[Prepared]] = deque()
        broken: SourceError | None = None
        try:
            for raw in raw_blocks(source, self.formats, self._format, self._size, self._wait):
                self._check_open()
                if raw is not None:
                    waiting.append(self._ahead.submit(_prepare, raw, fields, self.judging.reads_severity, self.miner.masks))
                while waiting and (source.live or len(waiting) > LOOKAHEAD):
                    yield waiting.popleft().result()
        except SourceError as error:
            broken = error
        while waiting:
            yield waiting.popleft().result()
        if broken is not None:
            raise broken

    def _judge(self, keys: Sequence[TemplateKey], mode: Mode, source: Source | None, who: Who, around: Around, *, explain: bool) -> list[Known]:
        """A verdict for every key, and whether it was known before this run."""
        self._check_open()
        found = self.judging.look_up(keys, mode, who)
        cold = [key for key in keys if key not in found]
        with closing(self.judging.ask(cold, mode, who)) as verdicts:
            for number, verdict in enumerate(verdicts, 1):
                self._check_open()
                found[verdict.key] = verdict, False
                if source is not None:
                    self._report(source, len(cold) - number, verdict)
        found |= self.judging.explain(found, mode, every=explain, who=who)
        found |= self.judging.write(found, mode, around)
        return [found[key] for key in keys]

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

    def _report(self, source: Source, to_judge: int = 0, verdict: Verdict | None = None) -> None:
        if self.progress is not None:
            position, size = getattr(source, "position", 0), getattr(source, "size", None)
            self.progress(Progress(source.name, position, size, self.counts, to_judge, verdict))

    def save_state(self, every: float = STATE_SECONDS) -> None:
        """Save what was mined, if there is a state to keep and ``every`` seconds have passed since. Raises StoreError."""
        if self._state is not None and time.monotonic() - self._saved >= every:
            self._saved = time.monotonic()  # before: what cannot be saved is not tried with every block
            self.miner.save(self._state)


def _with_known_key(found: Iterable[Session], key: str | None) -> Iterator[Session]:
    """The sessions; a warning after them if no record had the key, whose name may be wrong."""
    without = 0
    for session in found:
        without += session.key is None
        yield session
        if session.key is not None:
            key = None
    if key is not None and without:
        LOG.warning("no record has an attribute %r, so records are not grouped by it; --output jsonl shows which attributes they have", key)


def _nothing() -> None:
    """How a reasoner is closed that has no ``close``."""


def _acknowledged(source: Source, blocks: Iterable[Detections]) -> Iterator[Detections]:
    with closing(source):
        for block in blocks:
            yield block
            if block.checkpoint is not None:
                source.acknowledge(block.checkpoint)


def _prepare(raw: RawBlock, fields: bool, severities: bool, masks: Sequence[Mask]) -> Prepared:
    block = raw.parse(severities=severities)
    _ = fields and block.fields  # parsed here and now
    return block, *distinct(block.bodies, masks)


def _speaking(block: Block, codes: pl.Series, keys: Sequence[TemplateKey], key: TemplateKey) -> Collection[str]:
    """What the first records of a template call the program that wrote them."""
    places = (codes == keys.index(key)).arg_true().head(SPEAKING).to_list()
    return agreed(block, places)


def _around(codes: pl.Series, keys: Sequence[TemplateKey], key: TemplateKey) -> tuple[list[str], list[str]]:
    """The templates of the records next to the first one of a template, on either side."""
    place = codes.index_of(keys.index(key)) or 0
    sides = codes.slice(max(place - NEIGHBOURS, 0), min(place, NEIGHBOURS)), codes.slice(place + 1, NEIGHBOURS)
    before, after = ([keys[code].text for code in side.to_list() if keys[code] != key] for side in sides)
    return before, after


def _check(*, mode: object, threshold: object, sensitivity: object, block: object, wait_ms: object, window: object) -> None:
    if mode not in ("direct", "think"):
        raise BadOption(f"mode must be 'direct' or 'think', got {mode!r}")
    if sensitivity not in THRESHOLDS:
        raise BadOption(f"sensitivity must be {', '.join(map(repr, THRESHOLDS))}, got {sensitivity!r}")
    if threshold is not None and (not isinstance(threshold, int | float) or not 0 <= threshold <= 1):
        raise BadOption(f"threshold must be between 0 and 1, got {threshold!r}")
    for name, value in {"block": block, "wait_ms": wait_ms}.items():
        if not isinstance(value, int) or value < 1:
            raise BadOption(f"{name} must be a whole number of at least 1, got {value!r}")
    if window is not None and not isinstance(window, Window):
        raise BadOption(f"window must be a Window, such as Window(lines=100), got {window!r}")
