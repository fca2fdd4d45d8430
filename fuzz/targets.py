"""What must hold for any bytes at all. A target raises whatever a user should never see."""

import io
import itertools
import json
import tempfile
import warnings
from datetime import datetime
from functools import cache
from pathlib import Path

import polars as pl

from ra_sdk.detector import Detector
from ra_sdk.errors import SourceError, StoreError
from ra_sdk.service import otlp
from ra_sdk.service.wire import Refusal
from ra_sdk.sinks.jsonl import json_columns, json_lines
from ra_sdk.sources.builtin import StreamSource, streams
from ra_sdk.templates.masks import mask
from ra_sdk.templates.miner import Miner
from ra_sdk.templates.state import read_state, write_state

MOST = 1 << 20  # bytes that a target reads of what is unpacked


def formats(data):
    """Each record begins at a line of its own, and leaves as valid JSON that says what its detection says."""
    try:
        blocks = list(_detector().blocks(StreamSource(io.BytesIO(data), "fuzz", "fuzz", force=True)))
    except SourceError:  # a broken archive
        return
    first = set()
    for block in blocks:
        written = json_lines(json_columns(block)).splitlines()
        assert len(written) == len(block)
        for detection, line in zip(block, written, strict=True):
            found = json.loads(line, parse_constant=_not_json)
            assert found == detection.to_dict()
            assert 0 < found["line"] <= found["last_line"]
            assert found["line"] not in first  # parts of a record may stand between those of another
            first.add(found["line"])
            if found["timestamp"]:
                datetime.fromisoformat(found["timestamp"])


def masks(data):
    """A text is masked the same in any company; mining again gives the same templates."""
    bodies = data.decode("utf-8", "replace").split("\n")
    masked = mask(bodies)
    assert masked == list(itertools.chain.from_iterable(mask([body]) for body in bodies))
    miner = Miner()
    first, again = (_mined(miner, bodies) for _ in range(2))
    assert first == again


def otlp_protobuf(data):
    """A request is refused, or gives as many bodies as were counted."""
    try:
        count = otlp.count_records(data, 1_000)
        found = otlp.bodies(data, otlp.PROTOBUF, 1_000)
    except Refusal as error:
        assert error.status in (400, 413)
        return
    assert len(found) == count
    "".join(found).encode()


def otlp_json(data):
    """A request is refused, or gives texts."""
    try:
        "".join(otlp.bodies(data, otlp.JSON, 1_000)).encode()
    except Refusal as error:
        assert error.status in (400, 413)


def state(data):
    """A file is taken up, set aside or refused; and so is a state that was damaged."""
    damaged = bytearray(_state())
    at = int.from_bytes(data[:2], "little") % len(damaged)
    damaged[at : at + len(data[2:])] = data[2:]
    for content in (data, bytes(damaged)):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = Path(folder) / "state"
            path.write_bytes(content)
            try:
                Miner().load(path)
                read_state(path)
            except StoreError:
                assert path.read_bytes() == content


def text(data):
    """What is read of a stream comes in bounded pieces; in small chunks it is the same as in one."""
    whole, in_parts = (_read(data, size) for size in (max(len(data), 1), 7))
    if b"\0" not in whole[0] + in_parts[0]:  # UTF-16 without a mark is known by its first chunk
        assert whole[0].startswith(in_parts[0]) or in_parts[0].startswith(whole[0])


TARGETS = {function.__name__: function for function in (formats, masks, otlp_protobuf, otlp_json, state, text)}


@cache
def _detector():
    return Detector(model="echo", store=":memory:")


@cache
def _state():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        write_state(path, {"memo": [["a <num>", "a <*>"]] * 9, "counts": [["a <*>", 3]], "clusters": [[["a", "<*>"], 3]]})
        return path.read_bytes()


def _mined(miner, bodies):
    codes, texts = miner.mine(pl.Series("body", bodies, dtype=pl.String))
    return [texts[code] for code in codes]


def _read(data, size):
    """The text, and the error that ended it."""
    pieces, error = [], None
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    try:
        for piece in streams.text(chunks, "fuzz", force=True):
            assert len(piece) <= max(len(data), 2 * streams.MOST)
            pieces.append(piece)
            if sum(map(len, pieces)) > MOST:
                break
    except SourceError as broken:
        error = str(broken)
    return b"".join(pieces), error


def _not_json(constant):
    raise AssertionError(f"{constant} is not JSON")
