"""What a line may cost, as counts: a guard against slowness that no clock is needed for. The benchmark has the times."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable

import pytest

from ra_sdk import Detector, VerdictStore
from ra_sdk.reasoner.echo import EchoReasoner

SHAPES = (
    "Receiving block blk_{0} src: /10.0.{1}.7:{2} dest: /10.0.0.9:50010",
    "PacketResponder for block blk_-{0} terminating",
    "10.0.{1}.7:50010:Got exception while serving blk_{0} to /10.0.{1}.8:",
    "Verification succeeded for blk_{0} on port {2}",
)
HEAD = "081109 20{0:02}{1:02} {2} INFO dfs.DataNode$DataXceiver: "
FEW, MANY = 2_000, 20_000  # lines of one block
CALLS = 17_000  # of Python functions for MANY lines from a file, half of them to look at its head; one for every line would be more
STATEMENTS_PER_BLOCK = 2
ALLOCATIONS_PER_LINE = 0.05  # Python objects that a block keeps


class Counting(EchoReasoner):
    """Counts the templates that it is asked about."""

    asked = 0

    def judge(self, templates, mode="direct"):
        self.asked += len(templates)
        return super().judge(templates, mode)


@pytest.fixture
def log(tmp_path):
    def write(lines: int):
        path = tmp_path / f"{lines}.log"
        heads = (HEAD.format(at // 60 % 60, at % 60, at % 900) for at in range(lines))
        bodies = (SHAPES[at % 4].format(at * 7919 + 10**9, at % 256, at % 50_000 + 10_000) for at in range(lines))
        path.write_text("".join(f"{head}{body}\n" for head, body in zip(heads, bodies)), encoding="utf-8")
        return path

    return write


@pytest.fixture
def detector():
    with VerdictStore(":memory:") as store, Detector(model=Counting(), store=store) as made:
        yield made


def calls(work: Callable[[], object]) -> int:
    """Python functions that are called meanwhile, in any thread that starts meanwhile too."""
    counts: dict[int, int] = {}

    def count(_frame, event, _argument):
        if event == "call":
            counts[threading.get_ident()] = counts.get(threading.get_ident(), 0) + 1

    threading.setprofile(count)
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return sum(counts.values())


@pytest.mark.parametrize("way", ["blocks", "sink"])
def test_calls_grow_with_blocks_and_not_with_lines(detector, log, tmp_path, way):
    def run(path):
        if way == "blocks":
            assert sum(len(block) for block in detector.blocks(path)) > 0
        else:
            detector.write(path, f"jsonl:{tmp_path}/out.jsonl")

    few, many = log(FEW), log(MANY)
    for path in (few, many):
        run(path)  # now everything is known, and imported
    short, long = calls(lambda: run(few)), calls(lambda: run(many))
    # a quarter of the lines is abnormal: filling a rationale and its evidence is the one thing that is done for each
    filled = 17 * MANY / 4 if way == "sink" else 0
    assert 0 < long < CALLS + filled
    assert long - short < 200 + filled


def test_the_model_is_asked_once_for_a_template(detector, log):
    path = log(MANY)
    for _ in detector.blocks(path):
        pass
    assert detector.reasoner.asked == detector.counts.templates == 4
    for _ in detector.blocks(path):
        pass
    assert detector.reasoner.asked == 4


@pytest.mark.parametrize("size", [1_000, 5_000])
def test_statements_grow_with_blocks_and_only_while_templates_are_new(log, size):
    with VerdictStore(":memory:") as store, Detector(model="echo", store=store, block=size) as detector:
        blocks = sum(1 for _ in detector.blocks(log(MANY)))
        assert blocks == MANY // size
        assert store.statements <= STATEMENTS_PER_BLOCK * blocks
        before = store.statements
        assert sum(1 for _ in detector.blocks(log(MANY))) == blocks
        assert store.statements == before


def test_a_block_keeps_columns_and_no_objects_of_its_lines(detector, log):
    path = log(MANY)
    list(detector.blocks(path))
    gc.collect()
    before = sys.getallocatedblocks()
    kept = list(detector.blocks(path))
    gc.collect()
    allocated = sys.getallocatedblocks() - before
    assert sum(map(len, kept)) == MANY
    assert allocated < ALLOCATIONS_PER_LINE * MANY
