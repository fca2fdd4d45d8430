"""The built-in sink: JSON lines, to a file or to standard output, written a block at a time.

The objects are those of ``Detection.to_dict``. In files each also has an ``id``, a hash of source identity, offset and body, so
that who reads a repeat knows it for one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from glob import has_magic
from itertools import combinations, product
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ra_sdk.detections import Detections
from ra_sdk.errors import BadOption, SinkError
from ra_sdk.hookspecs import Sink, hookimpl
from ra_sdk.records import Verdict, quotes
from ra_sdk.sessions.window import Session
from ra_sdk.slabs import dated
from ra_sdk.text import inert_json

if TYPE_CHECKING:
    import polars as pl

__all__ = ["JsonlSink", "json_columns", "json_lines", "keep_apart", "ra_sdk_open_sink", "record_ids"]

_UNESCAPED = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # json.dumps would make one each time
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+-]+:")  # two letters at least: C: is a drive
SYNC = getattr(os, "fdatasync", os.fsync)  # macOS has the latter only
TAIL = 64 << 20  # bytes of an existing file whose ids are known when appending


@hookimpl
def ra_sdk_open_sink(url: str, options: Mapping[str, Any]) -> Sink | None:
    """``jsonl:PATH``, and ``jsonl:-`` for standard output. A run with a checkpoint goes on with the file, others overwrite it."""
    if not url.startswith("jsonl:"):
        return None
    path = _path(url)
    if path in ("-", ""):
        sys.stdout.flush()  # what was printed before comes before
        return JsonlSink(sys.stdout.buffer, name=url)
    return JsonlSink(path, name=url, append=bool(options.get("append") or options.get("checkpoint")))


def keep_apart(places: Iterable[str], sources: Iterable[str]) -> None:
    """Raise BadOption if a place that will be written (a path, or a URL of this sink) is the file of a source or of another place."""
    places = list(places)
    for place, source in product(places, sources):
        if _same(_path(place), source.removeprefix("file:")):
            raise BadOption(f"{place!r} is the source {source!r} itself, which would be overwritten; choose another file")
        if _within(_path(place), source.removeprefix("file:")):
            raise BadOption(f"{place!r} would be read as a part of the source {source!r}; choose another folder")
    for one, other in combinations(places, 2):
        if _same(_path(one), _path(other)):
            raise BadOption(f"{one!r} and {other!r} are the same file, which cannot serve two purposes; choose another for one of them")


class JsonlSink:
    """Writes detections as JSON lines.

    ``target``: a path, whose objects get an ``id``, or a binary stream, whose objects are the bare contract. ``append`` keeps what a file
    holds: a torn last line is cut off, records whose id stands there already are not written again, and every block goes to the disk
    before ``write`` returns. Raises SinkError, and BrokenPipeError when the reader of a stream has left.
    """

    def __init__(self, target: str | Path | IO[bytes], *, name: str = "", append: bool = False) -> None:
        self.name = name or f"jsonl:{target if isinstance(target, str | Path) else '-'}"
        self._own, self._durable = isinstance(target, str | Path), append
        self._written: set[bytes] = set()
        if isinstance(target, str | Path):
            self._file = self._opened(Path(target), append)
            self._durable = self._durable and stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
        else:
            self._file = target

    def write(self, detections: Detections) -> None:
        """One object a record, in order; they are with the operating system when this returns."""
        self.write_prepared(self.prepare(detections))

    def prepare(self, detections: Detections) -> pl.DataFrame:
        """The half of ``write`` that needs no file."""
        return json_columns(detections, with_id=self._own)

    def write_prepared(self, columns: pl.DataFrame) -> None:
        """The other half."""
        import polars as pl

        if self._written:
            ids = columns["source"].str.slice(len('{"id":"'), 32).to_list()
            columns = columns.filter(pl.Series([found.encode() not in self._written for found in ids], dtype=pl.Boolean))
        if len(columns):
            self._put(json_lines(columns))

    def write_session(self, session: Session) -> None:
        """One object for a session."""
        self._put(f"{_json(session.to_dict())}\n".encode())

    def close(self) -> None:
        """Bring a file to the disk, and close it."""
        if not self._own or self._file.closed:
            return
        try:
            if stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
                os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._file.close()

    def _put(self, text: bytes) -> None:
        rest = memoryview(inert_json(text))
        try:
            while rest:  # a file is unbuffered, so that after a failure nothing is left to be written at the end; it may take less at once
                taken: int | None = self._file.write(rest)
                rest = rest[len(rest) if taken is None else taken :]  # None: of a stream of the caller's, that does not say
            self._file.flush()
            if self._durable:
                SYNC(self._file.fileno())
            gone = self._own and not os.fstat(self._file.fileno()).st_nlink
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._failed(error) from error
        if gone:  # what was written is nowhere, and must be written again
            raise SinkError(f"{self.name!r} was removed while it was written to; find out what removes it, and start again")

    def _failed(self, error: OSError) -> SinkError:
        return SinkError(f"{self.name!r} cannot be written: {error.strerror or error}; make room or choose another place")

    def _opened(self, path: Path, append: bool) -> IO[bytes]:
        try:
            if append and path.is_file():
                self._written = _cut_and_known(path)
            return path.open("ab" if append else "wb", buffering=0)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SinkError(f"{self.name!r} cannot be opened: {reason}; check the folder and its permissions") from error


def record_ids(detections: Detections) -> list[str]:
    """Deterministic ids: 128 bits (hex) of BLAKE2b over source identity, offset and body."""
    import polars as pl

    block, ids = detections.block, list[str]()
    identity = block.identity.encode("utf-8", "backslashreplace")
    seed = hashlib.blake2b(b"%d\0%b" % (len(identity), identity), digest_size=16)
    told = pl.select(pl.concat_str(block.offsets.cast(pl.String), pl.lit("\0"), block.bodies).cast(pl.Binary)).to_series()
    for record in told.to_list():
        state = seed.copy()
        state.update(record)
        ids.append(state.hexdigest())
    return ids


def json_columns(detections: Detections, *, with_id: bool = False) -> pl.DataFrame:
    """The block as pieces of JSON: a row of them, joined by commas, is what ``Detection.to_dict`` says of a record. ``with_id``: and its id, first."""
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
    ).select(pl.struct(pl.all()).struct.json_encode().str.strip_prefix("{").str.strip_suffix("}"))
    source = pl.lit(f'"source":{_json(detections.source)}')
    ids = pl.Series("id", record_ids(detections) if with_id else [], dtype=pl.String)
    attributes = fields["attributes"].fill_null("{}").str.replace_all("\n", " ", literal=True)  # between tokens, if at all
    return pl.select(
        ('{"id":"' + ids + '",' + source if with_id else "{" + source).alias("source"),
        head.to_series().alias("record"),
        ('"attributes":' + attributes).alias("attributes"),
        _tails(detections).alias("verdict"),
    )


def json_lines(columns: pl.DataFrame) -> bytes:
    """Rows of ``json_columns`` as lines. What writes CSV joins columns fastest; no JSON has a newline that it would care for."""
    lines = io.BytesIO()
    columns.write_csv(lines, include_header=False, quote_style="never")
    return lines.getvalue()


def _rfc3339(stamps: pl.Series) -> pl.Series:
    """As datetime.isoformat() writes them: with microseconds only where there are some."""
    texts: pl.Series = dated(stamps).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f").str.strip_suffix(".000000") + "+00:00"
    return texts


def _tails(detections: Detections) -> pl.Series:
    """The verdict's half of each object: made once for a verdict, and for a record only where its own values are to be filled in."""
    import polars as pl

    verdicts, codes = detections.verdicts, detections.codes
    known = detections.known or [False] * len(verdicts)
    halves = [_halves(verdict, cached) for verdict, cached in zip(verdicts, known)]
    tails = [before + _told(verdict.rationale) + after for verdict, (before, after) in zip(verdicts, halves)]
    open_ = detections.open_verdicts
    if open_ and len(rows := codes.is_in(open_).arg_true()):
        for code, rationale in zip(codes.gather(rows).to_list(), detections.rationales(rows)):
            before, after = halves[code]
            tails.append(before + _told(rationale) + after)
        codes = codes.clone().scatter(rows, range(len(verdicts), len(tails)))
    return pl.Series("tail", tails, dtype=pl.String).gather(codes)


def _halves(verdict: Verdict, cached: bool) -> tuple[str, str]:
    """What stands before and after the rationale and its evidence."""
    before = {"template": verdict.template, "label": verdict.label, "score": verdict.score, "category": verdict.category}
    after: dict[str, Any] = {"reason_source": verdict.reason_source, "knowledge": verdict.knowledge, "checks": verdict.checks, "links": verdict.links}
    after |= {"grounded": verdict.grounded, "mode": verdict.mode, "cached": cached}
    return f'{_json(before)[1:-1]},"rationale":', f",{_json(after)[1:]}"


def _told(rationale: str | None) -> str:
    return f'{_json(rationale)},"evidence":{_json(quotes(rationale))}'


def _path(url: str) -> str:
    """The file of a path or of a URL of this sink; empty for other schemes, which do not name files."""
    path = url.removeprefix("jsonl:").removeprefix("//")
    return path if path != url or not _SCHEME.match(url) else ""


def _same(one: str, other: str) -> bool:
    """Whether both are one file, which may not exist yet. Standard output and devices do not count."""
    try:
        if Path(one).exists():
            return Path(one).is_file() and Path(one).samefile(other)
        return one not in ("", "-", ":memory:") and "://" not in one and Path(one).resolve() == Path(other).resolve()
    except (OSError, ValueError):
        return False


def _within(place: str, source: str) -> bool:
    """Whether a file is one of those of a folder or a pattern."""
    if place in ("", "-", ":memory:") or "://" in place:
        return False
    try:
        if Path(source).is_dir():
            return Path(source).resolve() in Path(place).resolve().parents
        return has_magic(source) and fnmatch(str(Path(place).absolute()), str(Path(source).absolute()))
    except (OSError, ValueError):
        return False


def _json(thing: object) -> str:
    """As JSON, in UTF-8; names of files may have bytes that are none, and are escaped then."""
    text = _UNESCAPED.encode(thing)
    return text if text.isascii() or _encodable(text) else json.dumps(thing, separators=(",", ":"))


def _encodable(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def _cut_and_known(path: Path) -> set[bytes]:
    """Cut a torn last line off, and tell the ids of the last lines."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        start, tail = end, b""
        while start and (end - start < TAIL or tail.count(b"\n") < 2):  # one whole line at least
            start = max(0, start - TAIL)
            file.seek(start)
            tail = file.read(end - start)
        whole = tail.rfind(b"\n") + 1
        file.truncate(start + whole)
    return {line[7:39] for line in tail[:whole].split(b"\n") if line.startswith(b'{"id":"')}
