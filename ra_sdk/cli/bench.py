"""What this machine does with a log: the figures behind ``ra bench``.

A part of the file is mined twice: as new, and as known. Then the model judges a sample of its templates, so that the length of a whole
first pass can be told before anybody waits for it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ra_sdk.detector import Detector
from ra_sdk.errors import SourceError

if TYPE_CHECKING:
    from ra_sdk.hookspecs import Reasoner

__all__ = ["Bench", "bench"]


@dataclass(frozen=True, slots=True)
class Bench:
    """Lines and templates of the part that was read, rates, and seconds that the whole file would take at its first pass and at a later one.

    The seconds of a first pass count every template of the part as new, and none beyond it: the longer the part, the truer.
    """

    lines: int
    templates: int
    share_read: float
    mining_lines_per_s: float
    known_lines_per_s: float
    templates_per_s: float | None
    tokens_per_s: float | None
    model_calls: int
    first_pass_s: float
    second_pass_s: float

    def to_dict(self) -> dict[str, Any]:
        """All fields, rounded."""
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}


def bench(
    source: str | Path,
    open_reasoner: Callable[[], Reasoner],
    *,
    lines: int = 200_000,
    sample: int = 64,
    log_format: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Bench:
    """Measure on the first ``lines`` lines of a file. Raises SourceError if there is none, and what the reasoner raises when it is opened.

    ``open_reasoner``: called after mining, so that the model does not share the cores. ``sample``: templates that the model judges.
    """
    path = Path(source)
    with tempfile.TemporaryDirectory() as place:
        part, share = _part(path, Path(place) / path.name, lines, force=log_format == "plain")
        with Detector(model="echo", store=":memory:", format=log_format) as detector:
            say("mining, as new")
            new = _seconds(detector, part)
            read = detector.counts.lines
            say("mining, as known")
            known = _seconds(detector, part)
            texts = [template.text for template in detector.templates()]
    if not read:
        raise SourceError(f"{str(path)!r} holds no line to measure with; name a log file")
    say(f"judging {min(sample, len(texts))} of {len(texts)} templates")
    each, tokens = _judging(open_reasoner, texts[:: max(len(texts) // sample, 1)][:sample])
    return Bench(
        lines=read,
        templates=len(texts),
        share_read=share,
        mining_lines_per_s=read / new,
        known_lines_per_s=read / known,
        templates_per_s=1 / each if each else None,
        tokens_per_s=tokens,
        model_calls=len(texts),
        first_pass_s=new / share + each * len(texts),
        second_pass_s=known / share,
    )


def _part(path: Path, target: Path, lines: int, *, force: bool) -> tuple[Path, float]:
    """The first lines of a plain file, in a file of their own, and which share they are; what is compressed is taken whole."""
    from ra_sdk.sources.streams import HEAD, compression, refuse_binary

    try:
        with path.open("rb") as file:
            if compression(head := file.read(HEAD)):
                return path, 1.0
            if not force:
                refuse_binary(head, str(path))  # here, where the file has its own name
            file.seek(0)
            data = b"".join(islice(file, lines))
        target.write_bytes(data)
        return target, len(data) / max(path.stat().st_size, len(data), 1)
    except OSError as error:
        raise SourceError(f"{str(path)!r} cannot be read: {error.strerror}; name a log file") from error


def _seconds(detector: Detector, path: Path) -> float:
    start = time.perf_counter()
    for _ in detector.blocks(path):
        pass
    return max(time.perf_counter() - start, 1e-9)


def _judging(open_reasoner: Callable[[], Reasoner], texts: list[str]) -> tuple[float, float | None]:
    """Seconds for each template, and the model's tokens a second (None: it counts none)."""
    reasoner = open_reasoner()
    try:
        list(reasoner.judge(texts[:1]))
        before, start = getattr(reasoner, "decoded", 0), time.perf_counter()
        list(reasoner.judge(texts))
        seconds = time.perf_counter() - start
        decoded = getattr(reasoner, "decoded", 0) - before
    finally:
        getattr(reasoner, "close", lambda: None)()
    return seconds / max(len(texts), 1), decoded / seconds if decoded else None
