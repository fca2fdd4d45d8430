"""What ``ra`` shows to people: the table of templates, and the progress bar.

Log text is hostile: it passes ``visible`` before it goes to a terminal, and never through rich's markup.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, TextIO

from ra_sdk.cli.messages import LOOK
from ra_sdk.templates.fill import fill
from ra_sdk.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.text import Text

    from ra_sdk.detections import Detections
    from ra_sdk.detector import Counts, Progress
    from ra_sdk.records import TemplateKey, Verdict

__all__ = ["Meter", "Row", "TemplateTable", "console", "show", "show_counts", "show_fields", "show_list", "show_reasons", "show_row"]

PLAIN_WIDTH = 160  # columns, where the output is no terminal
LONGEST = 2_000  # characters of an example that are kept
MOST_ROWS = 50_000  # rows that are kept: of further templates, the records are only counted
MAX_LIVE_ROWS = 20  # worst templates kept for the screen during a run
SHOWN = 50  # abnormal, and undecided, templates shown without --all
SOURCES = {  # what a reason is from, as it is said under the table
    "runbook": "your runbooks",
    "statement": "known statements",
    "phrase": "known phrases",
    "quote": "the words that decide",
    "model": "the model's reasoning",
}
COLORS = {"abnormal": "bold red", "undecided": "yellow", "normal": "green"}
INDENT = " " * 10


@dataclass(slots=True)
class Row:
    """A template in a source: its verdict, ``count`` records, first and last physical line, and its first record as the example."""

    source: str
    verdict: Verdict
    count: int
    first: int
    last: int
    example: str
    rationale: str | None


class TemplateTable:
    """A sink that groups detections by source, template and the severity that the model was shown. Work is per block and template, not per line.

    ``on_abnormal`` is called with the row of every abnormal template when it is first seen.
    """

    name = "table"

    def __init__(self, on_abnormal: Callable[[Row], None] | None = None) -> None:
        self.rows: dict[tuple[str, TemplateKey], Row] = {}
        self.dropped: Counter[str] = Counter()  # records of rows that were dropped, by label
        self._on_abnormal = on_abnormal

    def write(self, detections: Detections) -> None:
        """Take a block."""
        if detections.moved:
            self._move(detections)
        for code, count, index, first, last in _grouped(detections):
            verdict = detections.verdicts[code]
            row = self.rows.get((detections.source, verdict.key))
            if row is None:
                self._add(detections, verdict, count, index, first, last)
            else:
                row.count, row.last, row.verdict = row.count + count, last, verdict
        if len(self.rows) > MOST_ROWS:
            self._drop_least()

    def close(self) -> None:
        """Nothing to let go."""

    def with_label(self, label: str) -> list[Row]:
        """Rows of a label, worst first: by score, then by count."""
        rows = [row for row in self.rows.values() if row.verdict.label == label]
        return sorted(rows, key=lambda row: (-(row.verdict.score or 0.0), -row.count))

    def _add(self, detections: Detections, verdict: Verdict, count: int, index: int, first: int, last: int) -> None:
        example = detections.block.bodies[index][:LONGEST]
        row = Row(detections.source, verdict, count, first, last, example, detections.rationale(index))
        self.rows[detections.source, verdict.key] = row
        if self._on_abnormal is not None and verdict.abnormal:
            self._on_abnormal(row)

    def _move(self, detections: Detections) -> None:
        """Merge the rows of templates that became others, with the verdicts of these."""
        verdicts = {verdict.key: verdict for verdict in detections.verdicts}
        moving = [key for key in self.rows if key[1].text in detections.moved]
        for row in [self.rows.pop(key) for key in moving]:
            template, told = detections.moved[row.verdict.template], row.verdict.abnormal
            moved = replace(row.verdict, template=template)
            row.verdict = verdicts.get(moved.key, moved)
            there = self.rows.setdefault((row.source, moved.key), row)
            if there is not row:
                there.count, there.first, there.last = there.count + row.count, min(there.first, row.first), max(there.last, row.last)
            elif row.verdict.rationale is not None:
                row.rationale = fill(row.verdict.rationale, template, row.example)
            if there is row and row.verdict.abnormal and not told and self._on_abnormal is not None:
                self._on_abnormal(row)

    def _drop_least(self) -> None:
        """Drop a quarter of the rows: normal ones before undecided before abnormal ones, and last the worst and the most frequent."""
        ranked = [key for label in COLORS for key in self._ranked(label)]
        for key in ranked[MOST_ROWS * 3 // 4 :]:
            row = self.rows.pop(key)
            self.dropped[row.verdict.label] += row.count

    def _ranked(self, label: str) -> list[tuple[str, TemplateKey]]:
        """Keys of a label, from the worst and the most frequent on, in turns."""
        keys = [key for key, row in self.rows.items() if row.verdict.label == label]
        worst = sorted(keys, key=lambda key: -(self.rows[key].verdict.score or 0.0))
        frequent = sorted(keys, key=lambda key: -self.rows[key].count)
        return list(dict.fromkeys(chain.from_iterable(zip(worst, frequent))))


class _Worst:
    """The worst abnormal verdicts of a run so far, for the screen."""

    def __init__(self) -> None:
        self._verdicts: list[Verdict] = []

    def add(self, verdict: Verdict | None) -> None:
        """Take a verdict, if it is abnormal."""
        if verdict is not None and verdict.abnormal:
            self._verdicts.append(verdict)
            self._verdicts.sort(key=lambda each: -(each.score or 0.0))
            del self._verdicts[MAX_LIVE_ROWS:]

    def lines(self, height: int, width: int) -> Iterator[Text]:
        """At most ``height`` lines of ``width`` columns: score, category and template, and below each its rationale."""
        from rich.text import Text

        for verdict in self._verdicts[: height // 2]:
            head = Text(f"{verdict.score or 0.0:>6.2f}  ", style=COLORS["abnormal"])
            yield _cut(head.append(f"{verdict.category or '':<9} {visible(verdict.template)}", style="default not bold"), width)
            yield _cut(Text(INDENT + visible(verdict.rationale or ""), style="dim"), width)


def _grouped(detections: Detections) -> Iterator[tuple[int, int, int, int, int]]:
    """Code, count, index of the first record, first and last physical line: one tuple for each verdict of a block."""
    import polars as pl

    block = detections.block
    frame = pl.DataFrame({"code": detections.codes, "line": block.lines, "last": block.last_lines}).with_row_index("index")
    columns = pl.len(), pl.col("index").first(), pl.col("line").first(), pl.col("last").last()
    groups = frame.group_by("code", maintain_order=True).agg(columns)
    yield from groups.iter_rows()


def console(file: TextIO | None = None) -> Console:
    """A console for log text: no markup, no emoji codes, no highlighting; plain and wide where it is not a terminal."""
    import os

    from rich.console import Console

    class LogConsole(Console):
        def on_broken_pipe(self) -> None:
            raise  # rich would end the program here; the command line has an exit code for it

    file = file or sys.stdout
    width = None if file.isatty() or os.environ.get("COLUMNS", "").isdigit() else PLAIN_WIDTH
    forced, without = (True, False) if LOOK.color else (None, LOOK.color is False)
    return LogConsole(file=file, width=width, markup=False, emoji=False, highlight=False, force_terminal=forced, no_color=without or None)


def show(table: TemplateTable, out: Console, everything: bool = False) -> None:
    """Print the table: abnormal templates, worst first, then undecided ones, then how many are normal."""
    limit = sys.maxsize if everything else SHOWN
    for label in ("abnormal", "undecided"):
        _section(label, table.with_label(label), table.dropped[label], out, limit)
    normal = sorted(table.with_label("normal"), key=lambda row: -row.count)
    if everything:
        _section("normal", normal, table.dropped["normal"], out, limit)
    elif normal or table.dropped["normal"]:
        _title("normal", normal, table.dropped["normal"], out, "; --all shows them" if normal else "")


def show_counts(counts: Counts, model: str, out: Console) -> None:
    """Print what it took: lines, records, templates, model calls, seconds; and the model's name."""
    sizes = ", ".join(_count(number, noun) for number, noun in ((counts.lines, "line"), (counts.records, "record"), (counts.templates, "template")))
    rate = f", {counts.lines / counts.seconds:,.0f} lines/s" if counts.seconds > 0 else ""
    out.print(f"{sizes}; {counts.seconds:.1f} s{rate}")
    out.print(f"{_count(counts.judged, 'model call')}, {_count(counts.cached, 'verdict')} from the store; model: {visible(model)}")


def show_reasons(table: TemplateTable, out: Console) -> None:
    """Print where the reasons of abnormal templates are from."""
    sources = Counter(str(row.verdict.reason_source) for row in table.with_label("abnormal"))
    known = [f"{sources[kind]:,} from {SOURCES[kind]}" for kind in SOURCES if sources[kind]]
    if known:
        out.print(f"reasons: {', '.join(known)}", style="dim")


def show_fields(fields: Mapping[str, Any], out: Console) -> None:
    """Print names and values; what is None is left out."""
    from rich.text import Text

    width = max(len(name) for name in fields)
    for name, value in fields.items():
        if value is not None:
            said = ("yes" if value else "no") if isinstance(value, bool) else f"{value:.3f}" if isinstance(value, float) else str(value)
            out.print(Text(f"{name:<{width}}  ", style="dim").append(visible(said), style="not dim"), soft_wrap=True)


def show_list(columns: Sequence[str], rows: Sequence[Sequence[Any]], out: Console) -> None:
    """Print rows under the names of their columns; numbers stand to the right."""
    from rich.text import Text

    numeric = [bool(rows) and isinstance(cell, int) for cell in (rows[0] if rows else columns)]
    cells = [[f"{cell:,}" if isinstance(cell, int) else visible(str(cell)) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        padded = [cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(row, widths, numeric, strict=True)]
        out.print(Text("  ".join(padded).rstrip(), style="" if number else "dim"), soft_wrap=True)


def show_row(row: Row, out: Console) -> None:
    """Print a row: score, category, count and lines; below it the example, cut to the width, and the rationale."""
    from rich.text import Text

    verdict = row.verdict
    score = "" if verdict.score is None else f"{verdict.score:.2f}"
    lines = f"{row.first}" if row.first == row.last else f"{row.first}-{row.last}"
    head = Text(f"{score:>6}  ", style=COLORS[verdict.label])
    head.append(f"{verdict.category or '':<9} {row.count:>8}  ", style="default not bold")
    out.print(head.append(f"{visible(row.source)}:{lines}", style="cyan not bold"))
    out.print(_cut(Text(INDENT + visible(row.example)), out.width))
    if row.rationale:
        doubt = "  (not grounded)" if verdict.grounded is False else ""
        for part in Text(visible(row.rationale) + doubt, style="dim").wrap(out, max(out.width - len(INDENT), 20)):
            out.print(Text(INDENT) + part)


def _section(label: str, rows: Sequence[Row], dropped: int, out: Console, limit: int) -> None:
    if not rows and not dropped:
        return
    _title(label, rows, dropped, out)
    out.print(f"{'score':>6}  {'category':<9} {'count':>8}  lines", style="dim")
    for row in rows[:limit]:
        show_row(row, out)
    if len(rows) > limit:
        out.print(f"{INDENT}… and {len(rows) - limit:,} more; --all shows them", style="dim")
    out.print()


def _title(label: str, rows: Sequence[Row], dropped: int, out: Console, more: str = "") -> None:
    from rich.text import Text

    counts = f"{_count(len(rows), 'template')}, {_count(sum(row.count for row in rows), 'record')}"
    rest = f", and {_count(dropped, 'record')} of further templates, too many to list" if dropped else ""
    title = Text(label.capitalize(), style=COLORS[label])
    out.print(title.append(f": {counts}{rest}{more}", style="default not bold"))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _cut(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    return text


class Meter:
    """What is shown on stderr during a run, and gone when it ends: a progress bar, and above it the worst templates judged so far.

    The bar shows bytes, lines, templates judged and the time left. Call it with a Progress.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        screen = Console(file=sys.stderr, markup=False, emoji=False, highlight=False)
        worst = self._worst = _Worst()

        class Screen(Progress):
            def get_renderables(self) -> Iterator[Any]:
                yield from worst.lines(screen.size.height // 2, screen.width)
                yield from super().get_renderables()

        said = TextColumn("{task.fields[said]}", markup=False)
        name = TextColumn("{task.description}", markup=False)
        self._bar: Bar = Screen(name, BarColumn(24), said, console=screen, transient=True, redirect_stdout=False)
        self._task = self._bar.add_task("opening", total=None, said="")
        self._source, self._since = "", time.monotonic()
        self._batch, self._batch_since = 0, 0.0

    def __enter__(self) -> Meter:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show where the run is."""
        from rich.filesize import decimal

        self._worst.add(progress.verdict)
        now = time.monotonic()
        if progress.source != self._source:
            self._source, self._since = progress.source, now
        counts = progress.counts
        said = f"{decimal(progress.position)}, {_count(counts.lines, 'line')}, {_count(counts.judged, 'template')} judged"
        left = self._seconds_left(progress, now)
        said += f", {progress.to_judge:,} to judge" if progress.to_judge else ""
        said += "" if left is None else f", {left // 60:.0f}:{left % 60:02.0f} left"
        name = visible(progress.source)[-32:]
        self._bar.update(self._task, description=name, completed=progress.position, total=progress.size, said=said)

    def _seconds_left(self, progress: Progress, now: float) -> float | None:
        """Of this block's templates while the model works, else of the source's bytes; None while nobody can know."""
        if progress.to_judge:
            if progress.to_judge > self._batch:
                self._batch, self._batch_since = progress.to_judge, now
            done = self._batch - progress.to_judge
            return (now - self._batch_since) / done * progress.to_judge if done else None
        self._batch = 0
        if not progress.size or not progress.position:
            return None
        return (now - self._since) / progress.position * max(progress.size - progress.position, 0)
