"""The built-in sink: JSON lines, to a file or to standard output, written a block at a time.

The objects are those of ``Detection.to_dict``. In files each also has an ``id``, a hash of source identity, position and body, so
that who reads a repeat knows it for one.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ra_sdk.blocks import Detections
from ra_sdk.errors import SinkError
from ra_sdk.hookspecs import Sink, hookimpl
from ra_sdk.records import Session, Verdict

if TYPE_CHECKING:
    import polars as pl

__all__ = ["JsonlSink", "json_lines", "ra_sdk_open_sink", "record_ids"]

TAIL = 64 << 20  # bytes of an existing file whose ids are known when appending


@hookimpl
def ra_sdk_open_sink(url: str, options: Mapping[str, Any]) -> Sink | None:
    """``jsonl:PATH``, and ``jsonl:-`` for standard output."""
    if not url.startswith("jsonl:"):
        return None
    path = url.removeprefix("jsonl:").removeprefix("//")
    if path in ("-", ""):
        return JsonlSink(sys.stdout.buffer, name=url)
    return JsonlSink(path, name=url, append=bool(options.get("append")))


class JsonlSink:
    """Writes detections as JSON lines.

    ``target``: a path, whose objects get an ``id``, or a binary stream, whose objects are the bare contract. ``append`` keeps what a file
    holds: a torn last line is cut off, and records whose id stands there already are not written again. Raises SinkError.
    """

    def __init__(self, target: str | Path | IO[bytes], *, name: str = "", append: bool = False) -> None:
        self.name = name or f"jsonl:{target}"
        self._own = isinstance(target, str | Path)
        self._written: set[str] = set()
        if isinstance(target, str | Path):
            self._file = self._opened(Path(target), append)
        else:
            self._file = target

    def write(self, detections: Detections) -> None:
        """One object a record, in order; they are with the operating system when this returns."""
        lines = json_lines(detections)
        if self._own:
            lines = self._with_ids(lines, detections)
        if len(lines):
            self._put("\n".join(lines.to_list()) + "\n")

    def write_session(self, session: Session) -> None:
        """One object for a session."""
        self._put(json.dumps(session.to_dict(), ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Bring a file to the disk, and close it."""
        if self._own and not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def _put(self, text: str) -> None:
        try:
            self._file.write(text.encode("utf-8", "replace"))
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise SinkError(f"{self.name!r} cannot be written: {error.strerror or error}; make room or choose another place") from error

    def _with_ids(self, lines: pl.Series, detections: Detections) -> pl.Series:
        import polars as pl

        ids = pl.Series("id", record_ids(detections))
        frame = pl.DataFrame({"line": lines, "id": ids})
        if self._written:
            frame = frame.filter(~pl.col("id").is_in(list(self._written)))
        return frame.select(pl.concat_str(pl.lit('{"id":"'), "id", pl.lit('",'), pl.col("line").str.slice(1))).to_series()

    def _opened(self, path: Path, append: bool) -> IO[bytes]:
        try:
            if append and path.exists():
                self._written = _cut_and_known(path)
            return path.open("ab" if append else "wb")
        except OSError as error:
            raise SinkError(f"{self.name!r} cannot be opened: {error.strerror or error}; check the folder and its permissions") from error


def record_ids(detections: Detections) -> list[str]:
    """Deterministic ids: 128 bits (hex) of BLAKE2b over source identity, first line and body."""
    block = detections.block
    seed = hashlib.blake2b(block.identity.encode("utf-8", "replace") + b"\0", digest_size=16)
    ids = []
    for line, body in zip(block.lines.to_list(), block.bodies.to_list()):
        state = seed.copy()
        state.update(b"%d\0%b" % (line, body.encode("utf-8", "replace")))
        ids.append(state.hexdigest())
    return ids


def json_lines(detections: Detections) -> pl.Series:
    """The block as one JSON object a record (String): what ``Detection.to_dict`` says, made by columns."""
    import polars as pl

    block, fields = detections.block, detections.block.fields
    head = pl.DataFrame(
        {
            "line": block.lines,
            "last_line": block.last_lines,
            "timestamp": _rfc3339(fields["timestamp"]),
            "severity": fields["severity"],
            "body": block.bodies,
        }
    )
    pieces = pl.DataFrame(
        {
            "head": head.select(pl.struct(pl.all()).struct.json_encode()).to_series(),
            "attributes": fields["attributes"].fill_null("{}"),
            "tail": _tails(detections),
        }
    )
    source = f'{{"source":{json.dumps(detections.source, ensure_ascii=False)},'
    body = pl.col("head").str.slice(1).str.head(-1)
    return pieces.select(pl.concat_str(pl.lit(source), body, pl.lit(',"attributes":'), "attributes", pl.lit(","), "tail")).to_series()


def _rfc3339(stamps: pl.Series) -> pl.Series:
    """As datetime.isoformat() writes them: with microseconds only where there are some."""
    import polars as pl

    whole = stamps.dt.strftime("%Y-%m-%dT%H:%M:%S+00:00")
    if not (stamps.dt.microsecond() != 0).any():
        return whole
    frame = pl.DataFrame({"stamp": stamps, "whole": whole, "part": stamps.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00")})
    return frame.select(pl.when(pl.col("stamp").dt.microsecond() != 0).then("part").otherwise("whole")).to_series()


def _tails(detections: Detections) -> pl.Series:
    """The verdict's half of each object: made once for a verdict, and for a record only where placeholders are to be filled."""
    import polars as pl

    known = detections.known or [False] * len(detections.verdicts)
    tails = [_tail(verdict, verdict.rationale, cached) for verdict, cached in zip(detections.verdicts, known)]
    column = pl.Series("tail", tails, dtype=pl.String).gather(detections.codes)
    filled = {code for code, verdict in enumerate(detections.verdicts) if verdict.rationale and "<" in verdict.rationale}
    if not filled:
        return column
    texts = column.to_list()
    for index, code in enumerate(detections.code_list):
        if code in filled:
            texts[index] = _tail(detections.verdicts[code], detections.rationale(index), known[code])
    return pl.Series("tail", texts, dtype=pl.String)


def _tail(verdict: Verdict, rationale: str | None, cached: bool) -> str:
    tail = {
        "template": verdict.template,
        "label": verdict.label,
        "score": verdict.score,
        "category": verdict.category,
        "rationale": rationale,
        "grounded": verdict.grounded,
        "mode": verdict.mode,
        "cached": cached,
    }
    return json.dumps(tail, ensure_ascii=False)[1:]


def _cut_and_known(path: Path) -> set[str]:
    """Cut a torn last line off, and tell the ids of the last lines."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - TAIL))
        tail = file.read()
        whole = tail.rfind(b"\n") + 1
        file.truncate(end - len(tail) + whole)
    return set(_ids(tail[:whole]))


def _ids(tail: bytes) -> Iterator[str]:
    for line in tail.split(b"\n"):
        if line.startswith(b'{"id":"'):
            yield line[7:39].decode("ascii", "replace")
