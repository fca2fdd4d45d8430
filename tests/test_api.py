"""The functions of the package, what they take as a source, and detections as frames."""

import io
import subprocess
import sys
from inspect import signature

import pytest

import ra_sdk
from ra_sdk import Detector, UsageError
from ra_sdk.api import DetectorOptions

OPTIONS = {"model": "echo", "store": ":memory:", "knowledge": None}
LINES = ["2025-03-01T10:00:00Z ERROR disk sda failed\n", "2025-03-01T10:00:01Z INFO all good\n"]
BODIES = ["disk sda failed", "all good"]


@pytest.fixture
def logs(tmp_path):
    for number, line in enumerate(LINES):
        (tmp_path / f"{number}.log").write_text(line)
    (tmp_path / "both.log").write_text("".join(LINES))
    return tmp_path


def bodies(source, **options):
    return [d.body for d in ra_sdk.detect(source, **OPTIONS, **options)]


def test_the_options_of_the_functions_are_those_of_the_detector():
    parameters = {name for name in signature(Detector.__init__).parameters if name != "self"}
    assert parameters == set(DetectorOptions.__annotations__)


def test_an_unknown_option_is_an_error_at_the_call():
    with pytest.raises(TypeError, match="thresh"):
        ra_sdk.detect(["x"], thresh=1)


def test_one_line_is_judged_as_in_a_stream():
    verdict = ra_sdk.judge("disk failed", **OPTIONS)
    assert verdict == next(ra_sdk.detect(["disk failed"], **OPTIONS)).verdict
    assert verdict.abnormal


@pytest.mark.parametrize(
    "given",
    [
        lambda logs: logs / "both.log",
        lambda logs: str(logs / "both.log"),
        lambda logs: [logs / "0.log", logs / "1.log"],
        lambda logs: (logs / "0.log", logs / "1.log"),
        lambda logs: str(logs / "[01].log"),
        lambda logs: (logs / "both.log").open(encoding="utf-8"),
        lambda logs: (logs / "both.log").open("rb"),
        lambda logs: io.StringIO("".join(LINES)),
        lambda logs: io.BytesIO("".join(LINES).encode()),
    ],
)
def test_what_holds_lines_is_read_as_its_path_would_be(logs, given):
    source = given(logs)
    assert bodies(source) == BODIES
    if hasattr(source, "close"):
        assert not source.closed
        source.close()


def test_a_text_file_is_read_from_where_it_is(logs):
    with (logs / "both.log").open(encoding="utf-8") as file:
        assert file.readline() == LINES[0]
        assert bodies(file) == BODIES[1:]


def test_text_that_cannot_be_decoded_is_an_error_that_says_how_to_read_it(logs):
    (logs / "latin.log").write_bytes(b"caf\xe9 closed\n")
    with (logs / "latin.log").open(encoding="utf-8") as file, pytest.raises(ra_sdk.SourceError, match="open it in binary mode"):
        bodies(file)


def test_a_folder(logs):
    (logs / "both.log").unlink()
    assert sorted(bodies(logs)) == sorted(BODIES)


@pytest.mark.parametrize("kind", ["polars", "pandas", "pyarrow"])
def test_a_column_of_a_frame(kind):
    module = pytest.importorskip(kind)
    table = {"when": [1, 2], "message": BODIES}
    frame = module.table(table) if kind == "pyarrow" else module.DataFrame(table)
    assert bodies(frame, column="message") == BODIES
    with Detector(**OPTIONS) as detector:
        assert detector.scan(frame, column="message")["body"].to_list() == BODIES
    if kind != "pyarrow":  # whose rows are mappings
        with pytest.raises(UsageError, match=r"say column=NAME, one of when, message"):
            bodies(frame)
    with pytest.raises(UsageError, match=r"column 'body' is not in the .*; it has when, message"):
        bodies(frame, column="body")


def test_a_column_belongs_to_a_frame(logs):
    with pytest.raises(UsageError, match="`column` is for data frames"):
        bodies(["x"], column="message")
    with pytest.raises(UsageError, match="`column` is for data frames"):
        bodies(str(logs / "both.log"), column="message")


def test_a_frame_says_what_the_objects_say(logs):
    lines = [*LINES, '2025-03-01T10:00:02Z ERROR disk sdb7 failed with code 5 {"a": 1}\n', LINES[0]]
    (logs / "both.log").write_text("".join(lines))
    with Detector(model="echo", store=":memory:") as detector:
        frame = detector.scan(logs / "both.log")
        found = list(detector.detect(logs / "both.log"))
    assert len(frame) == len(found) == 4
    for row, detection in zip(frame.iter_rows(named=True), found, strict=True):
        said = detection.to_dict()
        for name in ("source", "line", "last_line", "severity", "body", "template", "label", "score", "category", "rationale", "grounded", "mode"):
            assert row[name] == said[name], name
        assert row["timestamp"] == detection.timestamp


def test_nothing_gives_a_frame_of_the_same_columns():
    with Detector(**OPTIONS) as detector:
        full, empty = detector.scan(["disk failed"]), detector.scan([])
    assert empty.schema == full.schema
    assert len(empty) == 0


def test_a_block_as_pandas_and_arrow():
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    with Detector(**OPTIONS) as detector:
        (block,) = detector.blocks(["disk failed", "all good"])
    assert block.to_pandas()["label"].tolist() == block.to_arrow()["label"].to_pylist() == ["abnormal", "normal"]


PROGRAM = """
import ra_sdk
for detection in ra_sdk.detect("a.log", threshold=0.5):
    reveal_type(detection)
reveal_type(ra_sdk.judge("x"))
ra_sdk.detect("a.log", thresh=1)
ra_sdk.detect(17)
ra_sdk.detect("a.log", mode="slow")
"""


def test_a_type_checker_sees_the_types(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", "program.py"], cwd=tmp_path, capture_output=True, text=True
    )
    out = done.stdout
    assert 'Revealed type is "ra_sdk.detections.Detection"' in out
    assert 'Revealed type is "ra_sdk.records.Verdict"' in out
    assert 'Unexpected keyword argument "thresh"' in out
    assert [line.split(":")[1] for line in out.splitlines() if ": error:" in line] == ["6", "7", "8"]
