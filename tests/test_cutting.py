"""Records are the same wherever the bytes of a source are cut: into pieces, into reads of lines, into blocks."""

from __future__ import annotations

import json
import random
from datetime import datetime, timezone
from pathlib import Path

import pytest

from ra_sdk.formats import builtin_formats
from ra_sdk.formats.lines import LONGEST_LINE, Cutter, raw_blocks
from ra_sdk.hookspecs import Lines

GOLDEN = Path(__file__).parent / "data" / "formats"
LOGS = sorted(path for name in ("field", "more", "incidents") for path in (GOLDEN / name).glob("*.log"))
FORMATS = builtin_formats()
CUTS = 1  # random cuttings of each file


class Pieces:
    """A source that gives what it holds piece by piece; a live one is cut at every piece."""

    name = identity = "pieces"
    started = datetime(2026, 12, 31, tzinfo=timezone.utc)

    def __init__(self, pieces, *, live):
        self.pieces, self.live = pieces, live

    def __iter__(self):
        yield from map(Lines, self.pieces)

    def acknowledge(self, checkpoint):
        raise AssertionError(checkpoint)

    def close(self):
        pass


def rows(pieces, size=10_000, *, live=True):
    found = []
    for raw in raw_blocks(Pieces(pieces, live=live), FORMATS, None, size, wait=60):
        block = raw.parse()
        fields = block.fields
        found += zip(
            raw.lines.to_list(), raw.last_lines.to_list(), raw.offsets.to_list(), block.bodies.to_list(), *(column.to_list() for column in fields), strict=True
        )
    return found


def cut(data, rng):
    places = sorted(rng.sample(range(1, len(data)), min(rng.randint(1, 12), len(data) - 1)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@pytest.mark.parametrize("path", LOGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_records_do_not_depend_on_cuts(path):
    data = path.read_bytes()
    if data.count(0) > len(data) // 3:
        data = data.decode("utf-16" if data[:2] == b"\xff\xfe" else "utf-16-le").encode()
    rng = random.Random(path.stem)
    whole = rows([data], live=False)
    assert whole
    for _ in range(CUTS):
        pieces = cut(data, rng)
        assert rows(pieces, rng.randint(1, 5)) == whole, [len(piece) for piece in pieces]
    offsets = [row[2] for row in whole]
    assert len(set(offsets)) == len(offsets)


def test_a_line_of_many_records_gives_each_an_offset_of_its_own():
    records = [{"timeUnixNano": "1740823200000000000", "body": {"stringValue": f"loaf {number}"}} for number in range(5)]
    line = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode() + b"\n"
    found = rows([line, line])
    assert [row[3] for row in found] == [f"loaf {number}" for number in range(5)] * 2
    assert [row[0] for row in found] == [1] * 5 + [2] * 5
    assert len({row[2] for row in found}) == 10
    assert all(row[2] < len(line) for row in found[:5])


def test_an_endless_line_is_cut_and_not_kept():
    piece = b"x" * (1 << 20)
    source = Pieces([b"2025-03-01 10:00:00 INFO a\n", *[piece] * 40], live=True)
    cutter, most, found = Cutter(source, FORMATS, None, 10_000), 0, []
    for item in source:
        found += [raw for raw in cutter.add(item) if raw is not None]
        most = max(most, cutter.held)
    found += cutter.flush()
    assert most <= LONGEST_LINE + len(piece)
    assert sum(body.count("x") for raw in found for body in raw.parse().bodies.to_list()) == 40 << 20
    assert len(found) >= 3
