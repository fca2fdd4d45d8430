"""The systemd journal's export format: the same records as ``journalctl -o json`` gives, however the bytes come."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

import ra_sdk
from ra_sdk.errors import SourceError
from ra_sdk.sources import streams

REMOTE = "/lib/systemd/systemd-journal-remote"
ENTRIES = [
    {"MESSAGE": b"session opened", "PRIORITY": b"6", "_PID": b"77", "SYSLOG_IDENTIFIER": b"sshd"},
    {"MESSAGE": b"oven burns\n  at Oven.bake\n\n__CURSOR=no\n", "PRIORITY": b"3"},
    {"MESSAGE": b"0123456789", "PRIORITY": b"4", "NOTE": b"ten bytes\n"},  # whose size has a newline in it
    {"MESSAGE": b"\xff\xfe raw \0\x01", "PRIORITY": b"2", "BLOB": bytes(range(256)) * 20},
    {"MESSAGE": "caf\u00e9 \x1b[31mred\x1b[0m".encode(), "PRIORITY": b"5"},
    {"MESSAGE": b"a=b=c, \ttabbed", "PRIORITY": b"7", "EMPTY": b""},
]


def field(name: str, value: bytes) -> bytes:
    plain = value.isascii() and all(byte >= 32 or byte == 9 for byte in value)
    size = struct.pack("<Q", len(value))
    return name.encode() + (b"=" if plain else b"\n" + size) + value + b"\n"


def entry(number: int, fields: dict[str, bytes]) -> bytes:
    head = {
        "__CURSOR": b"s=1;i=%d" % number,
        "__REALTIME_TIMESTAMP": b"%d" % (1_760_000_000_000_000 + number * 1_000_000),
        "__MONOTONIC_TIMESTAMP": b"%d" % number,
        "_BOOT_ID": b"0" * 31 + b"1",
        "_MACHINE_ID": b"0" * 31 + b"2",
        "_HOSTNAME": b"mill3",
    }
    return b"".join(field(*each) for each in (head | fields).items()) + b"\n"


EXPORT = b"".join(entry(*each) for each in enumerate(ENTRIES, 1))


def records(path: Path, **options) -> list[tuple]:
    with ra_sdk.Detector(model="echo", store=":memory:", **options) as detector:
        found = [d.record for d in detector.detect(str(path))]
    return [(each.body, each.severity, each.timestamp, dict(each.attributes)) for each in found]


def lines(chunks: list[bytes]) -> list[dict]:
    return [json.loads(line) for line in b"".join(streams.text(chunks, "x")).splitlines()]


def test_the_documented_format(tmp_path):
    path = tmp_path / "export"
    path.write_bytes(EXPORT)
    found = records(path)
    assert [body for body, *_ in found] == [
        "session opened",
        "oven burns\n  at Oven.bake\n\n__CURSOR=no\n",
        "0123456789",
        "\ufffd\ufffd raw \0\x01",
        "caf\u00e9 red",
        "a=b=c, \ttabbed",
    ]
    assert [severity for _, severity, *_ in found] == ["INFO", "ERROR", "WARN", "FATAL", "INFO", "DEBUG"]
    assert [time.timestamp() for _, _, time, _ in found] == [1_760_000_000 + number for number in range(1, 7)]
    assert found[0][3]["service.name"] == "sshd"
    assert found[0][3]["host.name"] == "mill3"
    assert found[2][3]["NOTE"] == "ten bytes\n"
    path.write_bytes(gzip.compress(EXPORT))
    assert records(path) == found


def test_the_records_are_those_of_json(tmp_path):
    if not (Path(REMOTE).exists() and shutil.which("journalctl")):
        pytest.skip("needs journalctl and systemd-journal-remote (Debian's package of that name) for real journal files")
    journal = tmp_path / "x.journal"
    repeated = EXPORT[:-1] + field("TAG", b"first") + field("TAG", b"sec\nond") + b"\n"
    subprocess.run([REMOTE, f"--output={journal}", "-"], input=repeated, check=True, capture_output=True)
    for form in ("export", "json"):
        shown = subprocess.run(
            ["journalctl", f"--file={journal}", f"--output={form}", "--all"],
            check=True,
            capture_output=True,
        )
        (tmp_path / form).write_bytes(shown.stdout)
    found = records(tmp_path / "export")
    assert len(found) == len(ENTRIES)
    assert found == records(tmp_path / "json")
    assert sorted(found[-1][3]["TAG"].split("\n")) == ["first", "ond", "sec"]


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 100])
def test_entries_do_not_depend_on_how_the_bytes_come(size):
    places = range(0, len(EXPORT) + size, size)
    assert lines([EXPORT[a:b] for a, b in pairwise(places)]) == lines([EXPORT])
    assert len(lines([EXPORT])) == len(ENTRIES)


def test_an_entry_is_given_as_soon_as_it_is_complete():
    shown = streams.text(iter([EXPORT, b"__CURSOR=s=1;i=7\nMESSAGE=last\n", b"\n"]), "x")
    assert next(shown).count(b"\n") == len(ENTRIES)
    assert json.loads(next(shown))["MESSAGE"] == "last"


@pytest.mark.parametrize(
    ("rest", "last"),
    [
        (b"MESSAGE=cut of", {"MESSAGE": "cut of"}),
        (b"MESSAGE=whole\n", {"MESSAGE": "whole"}),
        (b"MESSAGE=whole\n\n\n\n", {"MESSAGE": "whole"}),
        (b"MESSAGE\n\x0a\0\0\0\0\0\0\0cut\nof", {"MESSAGE": "cut\nof"}),
        (b"PRIORITY=6\nMESSAGE\n\x0a\0\0", {"PRIORITY": "6", "MESSAGE": ""}),
        (b"MESSAGE=a\nMESSAGE=b\nMESSAGE=c\n", {"MESSAGE": ["a", "b", "c"]}),
    ],
)
def test_the_last_entry_may_be_cut_off(rest, last):
    found = lines([EXPORT + b"__CURSOR=s=1;i=9\n" + rest])
    assert len(found) == len(ENTRIES) + 1
    assert found[-1] == {"__CURSOR": "s=1;i=9", **last}


def test_what_is_no_field_is_a_record_of_its_own(tmp_path):
    path = tmp_path / "export"
    path.write_bytes(EXPORT + b"-- No more: ssh=2 --\n" + EXPORT)
    bodies = [body for body, *_ in records(path)]
    assert len(bodies) == 2 * len(ENTRIES) + 1
    assert bodies[len(ENTRIES)] == "-- No more: ssh=2 --"


def test_sizes_and_entries_without_end_are_bounded():
    damaged = EXPORT + b"__CURSOR=x\nBLOB\n" + b"\xff" * 8
    chunks = [damaged, *[b"x" * (1 << 20)] * 20]
    shown = streams.text(chunks, "x")
    assert next(shown).count(b"\n") == len(ENTRIES)
    with pytest.raises(SourceError, match="'x' breaks off in a journal entry: a field has more than"):
        list(shown)
    endless = [b"__CURSOR=x\n", *[b"FIELD=" + b"x" * (1 << 20) + b"\n"] * 20]
    assert [len(row["FIELD"]) for row in lines(endless)] == [16, 4]


def test_as_it_is_only_when_asked(tmp_path):
    path = tmp_path / "export"
    path.write_bytes(EXPORT)
    assert records(path, format="plain")[0][0] == "__CURSOR=s=1;i=1"
    assert records(path, format="journald") == records(path)
    with pytest.raises(SourceError, match="a journal export, and cannot be followed"):
        ra_sdk.Detector(model="echo", store=":memory:", follow=True).detect(str(path))
