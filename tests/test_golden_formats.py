"""Golden files: what the public API makes of real shapes of logs, record by record.

Beside each log in ``data/formats/{field,more,incidents}`` lies ``NAME.expected.jsonl``: one object per
record, in order, with these keys.

- ``lines``: first and last physical line. Blank lines at a record's end are not counted.
- ``timestamp``: RFC 3339, ``--MM-DDThh:mm:ssZ`` where the log has no year, or null. A list: any of these.
- ``severity``: a name, null, or a list of those that are right.
- ``body``: the exact text, or ``body_contains`` and ``body_excludes`` where the exact text is a matter of
  taste.
- ``template_contains``, ``template_excludes``: words that must, or must not, be left after masking.
- ``attributes_contain``: values, as text, that must stand somewhere in the attributes.
- ``joinable``: the record may also be part of the one before it.
- ``lines_overlap``: lines of other streams stand between the first and the last line.
- ``free``: nothing is checked within these lines (column headers, banners, file markers), but no other record
  may reach into them.

A key that is absent is not checked. ``NAME.expect.json`` says which lines end in different templates
(``apart``) and which in the same (``together``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import ra_sdk

GOLDEN = Path(__file__).parent / "data" / "formats"
LOGS = sorted(path for name in ("field", "more", "incidents") for path in (GOLDEN / name).glob("*.log"))
TOLERANCE = timedelta(microseconds=2)  # rounding of nanoseconds
SPLIT_LIMIT = 0.05  # share of continuation lines that may be split off


class Row(NamedTuple):
    """What came out for one record."""

    first: int
    last: int
    record: ra_sdk.LogRecord
    template: str

    def __str__(self) -> str:
        record = self.record
        return f"[{self.first}, {self.last}] {record.severity} {record.timestamp} {record.body[:200]!r}"


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def physical_lines(path: Path) -> list[str]:
    data = path.read_bytes()
    wide = data.count(0) > len(data) // 3 and b"\n\0" in data
    encoding = "utf-16" if data[:2] == b"\xff\xfe" else "utf-16-le" if wide else "utf-8"
    return data.decode(encoding, "replace").split("\n")


def trimmed(first: int, last: int, lines: list[str]) -> int:
    """The last line without the blank ones at the record's end."""
    while last > first and not lines[last - 1].strip("\0\r\t "):
        last -= 1
    return last


def expected_of(path: Path, starts: set[int]) -> list[dict[str, Any]]:
    """The expectations; records that may be joined are, where nothing starts at their line."""
    rows: list[dict[str, Any]] = []
    for text in path.with_suffix(".expected.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(text)
        if row.get("joinable") and row["lines"][0] not in starts:
            before = rows[-1]
            before["lines"] = [before["lines"][0], row["lines"][1]]
            before.setdefault("body_contains", [before.pop("body", "")])
            before["body_contains"] += row.get("body_contains", [row.get("body", "")])
        else:
            rows.append(row)
    return rows


@pytest.fixture(scope="module")
def read() -> Callable[[Path], list[Row]]:
    """Rows of a log, in the order of their first lines. A file is read once for all tests."""

    @cache
    def read_log(path: Path) -> list[Row]:
        lines = physical_lines(path)
        with ra_sdk.Detector(model="echo", store=":memory:") as detector:
            found = list(detector.detect(str(path)))
            rows = [Row(d.line, trimmed(d.line, d.last_line, lines), d.record, d.template) for d in found]
        return sorted(rows, key=lambda row: (row.first, row.last))

    return read_log


def same_time(expected: str | None, got: datetime | None) -> bool:
    if expected is None or got is None:
        return expected is None and got is None
    if expected.startswith("--"):  # no year in the log: 2000 has every day
        expected, got = f"2000-{expected[2:]}", got.astimezone(timezone.utc).replace(year=2000)
    whole, _, fraction = expected.removesuffix("Z").partition(".")
    moment = datetime.strptime(f"{whole}.{fraction or 0}+0000", "%Y-%m-%dT%H:%M:%S.%f%z")
    return abs(moment - got) <= TOLERANCE


def choices(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def contained(key: str, text: str, expected: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The strings of ``KEY_contains`` that ``text`` lacks and those of ``KEY_excludes`` that it has."""
    missing = [part for part in expected.get(f"{key}_contains", []) if part not in text]
    present = [part for part in expected.get(f"{key}_excludes", []) if part in text]
    if missing:
        yield f"{key}, missing", text, missing
    if present:
        yield f"{key}, unwanted", text, present


def faults(expected: dict[str, Any], got: Row, lines: list[str]) -> Iterator[tuple[str, Any, Any]]:
    """Field, what came, what is right: for each field that is wrong."""
    record, (first, last) = got.record, expected["lines"]
    if got.last != trimmed(first, last, lines):
        yield "last line", got.last, last
    times = choices(expected.get("timestamp"))
    if "timestamp" in expected and not any(same_time(time, record.timestamp) for time in times):
        yield "timestamp", record.timestamp and record.timestamp.isoformat(), expected["timestamp"]
    if "severity" in expected and record.severity not in choices(expected["severity"]):
        yield "severity", record.severity, expected["severity"]
    if "body" in expected and record.body.rstrip() != expected["body"]:
        yield "body", record.body, expected["body"]
    yield from contained("body", record.body, expected)
    yield from contained("template", got.template, expected)
    attributes = json.dumps(dict(record.attributes), ensure_ascii=False, default=str)
    missing = [value for value in expected.get("attributes_contain", []) if value not in attributes]
    if missing:
        yield "attributes", attributes, missing


def compare(path: Path, rows: list[Row]) -> list[str]:
    """One line for each difference."""
    lines = physical_lines(path)
    blank = "\0\r\t "  # a blank line may be a record or not
    rows = [row for row in rows if row.record.body.strip() or lines[row.first - 1].strip(blank)]
    expected = expected_of(path, {row.first for row in rows})
    free = [row["lines"] for row in expected if row.get("free")]
    rows = [row for row in rows if not any(a <= row.first and row.last <= b for a, b in free)]
    by_line = {row.first: row for row in rows}
    out = []
    for number, want in enumerate((row for row in expected if not row.get("free")), 1):
        got, where = by_line.pop(want["lines"][0], None), f"record {number}, lines {want['lines']}"
        if got is None:
            holder = next((row for row in rows if row.first < want["lines"][0] <= row.last), None)
            out.append(f"{where}: no record begins here; the line is in {holder}")
            continue
        for field, have, right in faults(want, got, lines):
            out.append(f"{where}: {field}\n      got      {have!r}\n      expected {right!r}")
    return out + [f"no record is expected at {row}" for row in by_line.values()]


@pytest.mark.parametrize("path", LOGS, ids=name_of)
def test_records(path: Path, read: Callable[[Path], list[Row]]) -> None:
    found = compare(path, read(path))
    assert not found, f"\n{name_of(path)}: {len(found)} differences\n  " + "\n  ".join(found)


EXPECTS = [path for path in LOGS if path.with_suffix(".expect.json").exists()]


@pytest.mark.parametrize("path", EXPECTS, ids=name_of)
def test_templates(path: Path, read: Callable[[Path], list[Row]]) -> None:
    template = {row.first: row.template for row in read(path)}
    expect = json.loads(path.with_suffix(".expect.json").read_text(encoding="utf-8"))
    merged = [pair for pair in expect.get("apart", []) if template.get(pair[0]) == template.get(pair[1])]
    split = [group for group in expect.get("together", []) if len({template.get(line) for line in group}) > 1]
    shown = {line: template.get(line) for group in merged + split for line in group}
    wrong = {"merged": merged, "split": split}
    assert not any(wrong.values()), f"\n{name_of(path)}: {wrong}, templates {shown}"


def framing(path: Path, rows: list[Row]) -> tuple[int, list[int], list[int]]:
    """How many continuation lines there are, which were split off, and which first lines were swallowed."""
    lines, starts = physical_lines(path), {row.first for row in rows}
    holder = {line: row.first for row in reversed(rows) for line in range(row.first, row.last + 1)}
    total, split, swallowed = 0, [], []
    for want in expected_of(path, starts):
        first, last = want["lines"]
        if want.get("free"):
            continue
        if first not in starts:
            swallowed.append(first)
        if not want.get("lines_overlap"):
            inner = [line for line in range(first + 1, last + 1) if lines[line - 1].strip("\0\r\t ")]
            total += len(inner)
            split += [line for line in inner if holder.get(line) != holder.get(first)]
    return total, split, swallowed


def test_continuation_lines_stay_and_no_record_is_swallowed(read: Callable[[Path], list[Row]]) -> None:
    results = {path: framing(path, read(path)) for path in LOGS}
    total = sum(count for count, _, _ in results.values())
    split = {name_of(path): lines for path, (_, lines, _) in results.items() if lines}
    swallowed = {name_of(path): lines for path, (_, _, lines) in results.items() if lines}
    apart = sum(map(len, split.values()))
    assert total >= 300
    assert not swallowed, f"records swallowed, by their first line: {swallowed}"
    assert apart <= SPLIT_LIMIT * total, f"{apart} of {total} continuation lines split off: {split}"


def test_incidents_lose_at_most_one_continuation_line_in_twenty(read: Callable[[Path], list[Row]]) -> None:
    results = {path: framing(path, read(path)) for path in LOGS if path.parent.name == "incidents"}
    total, split = sum(r[0] for r in results.values()), {name_of(p): r[1] for p, r in results.items() if r[1]}
    apart = sum(map(len, split.values()))
    assert total >= 150
    assert apart <= SPLIT_LIMIT * total, f"{apart} of {total} continuation lines split off: {split}"


@pytest.mark.parametrize("path", LOGS, ids=name_of)
def test_expectations_cover_their_file(path: Path) -> None:
    """The expectations are complete, every line that is not blank has one, and in order."""
    lines = physical_lines(path)
    texts = path.with_suffix(".expected.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(text) for text in texts]
    covered = {line for row in rows for line in range(row["lines"][0], row["lines"][1] + 1)}
    bare = [number for number, text in enumerate(lines, 1) if text.strip("\0\r\t ") and number not in covered]
    firsts = [row["lines"][0] for row in rows]
    assert not bare
    assert firsts == sorted(set(firsts))
    assert max(covered) <= len(lines)


@pytest.mark.parametrize("path", EXPECTS, ids=name_of)
def test_compared_templates_are_those_of_records(path: Path) -> None:
    expect = json.loads(path.with_suffix(".expect.json").read_text(encoding="utf-8"))
    texts = path.with_suffix(".expected.jsonl").read_text(encoding="utf-8").splitlines()
    firsts = {json.loads(text)["lines"][0] for text in texts}
    assert {line for groups in expect.values() for group in groups for line in group} <= firsts
