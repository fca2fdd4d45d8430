"""Formats of the user's own: a TOML file by name or in the configuration directory, and what is said of one that cannot be used."""

from __future__ import annotations

import json

import pytest

from ra_sdk.cli.app import main
from ra_sdk.formats import builtin_formats
from ra_sdk.formats.framing import LONGEST_RECORD_BYTES, LONGEST_RECORD_LINES
from ra_sdk.formats.reading import Reader

OVEN = r"""
[[format]]
name = "oven"
about = "the bakery's own"
continuation = '~ '

[[format.layout]]
header = 'oven(?P<oven__number>\d+) @(?P<time>\d+)@ (?P<severity>\w+)! '
time = "epoch"
severity = { HOT = "ERROR" }

[[format.example]]
line = "oven7 @1740823200@ HOT! crust burnt"
severity = "ERROR"
body = "crust burnt"
"""
LOG = "oven7 @1740823200@ HOT! crust burnt\n~ at the left\noven7 @1740823201@ info! cooled\n"


@pytest.fixture
def ra(capfd, monkeypatch, tmp_path):
    """Runs the command with the echo model and a configuration directory of its own; returns exit code, stdout, stderr."""
    monkeypatch.setenv("RA_MODEL", "echo")
    monkeypatch.setenv("RA_CONFIG_DIR", str(tmp_path / "config"))

    def run(*args):
        code = main([str(arg) for arg in args])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.mark.parametrize("where", ["named", "configured"])
def test_a_format_of_the_user_is_used(ra, tmp_path, where):
    log, file = tmp_path / "oven.log", tmp_path / ("oven.toml" if where == "named" else "config/formats/oven.toml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(OVEN)
    log.write_text(LOG)
    named = ["--format-file", file] if where == "named" else []
    code, out, err = ra("detect", log, "--store", ":memory:", "--output", "jsonl", *named)
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["line"], row["last_line"], row["severity"], row["body"]) for row in rows] == [
        (1, 2, "ERROR", "crust burnt\n~ at the left"),
        (3, 3, "INFO", "cooled"),
    ]
    assert rows[0]["timestamp"].startswith("2025-03-01T10:00:00")
    assert rows[0]["attributes"] == {"oven.number": "7"}
    code, out, _ = ra("formats", *named)
    assert code == 0
    assert "oven" in out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "", None),
        ('severity = "ERROR"\nbody', 'severity = "WARN"\nbody', "`severity`: expected 'WARN', got 'ERROR'"),
        ('body = "crust burnt"', 'body = "crust"', "`body`: expected 'crust', got 'crust burnt'"),
        ('body = "crust burnt"', 'timestamp = "2025-03-01T11:00:00Z"', "`timestamp`: expected '2025-03-01T11:00:00Z', got '2025-03-01T10:00:00+00:00'"),
        ('body = "crust burnt"', "timestamp = 2025-03-01T11:00:00+01:00", None),
        ('body = "crust burnt"', 'timestamp = "at noon"', "`timestamp`: expected 'at noon', got '2025-03-01T10:00:00+00:00'"),
        ('body = "crust burnt"', 'attributes = { "oven.number" = 7 }', "`attributes.oven.number`: expected 7, got '7'"),
        ('line = "oven7 ', 'line = "over7 ', "`line`: expected 'format oven', got 'no format'"),
        ('line = "oven7 ', 'line = "oven7 @1740823200@ HOT! a\\noven7 ', "`line`: expected 'one record', got '2 records'"),
    ],
)
@pytest.mark.parametrize("where", ["named", "configured"])
def test_the_examples_of_the_users_formats_are_checked_on_demand(ra, tmp_path, where, old, new, said):
    file = tmp_path / ("oven.toml" if where == "named" else "config/formats/oven.toml")
    file.parent.mkdir(parents=True, exist_ok=True)
    assert old in OVEN
    file.write_text(OVEN.replace(old, new))
    code, out, err = ra("formats", "--check", *(["--format-file", file] if where == "named" else []))
    expected = (0, "formats: 1, examples: 1, all as expected\n", "") if said is None else (2, "", f"ra: {file}: format 'oven', example 1, {said}\n")
    assert (code, out, err) == expected


def test_an_example_that_another_format_takes_is_named_with_it(ra, tmp_path):
    file = tmp_path / "oven.toml"
    file.write_text(OVEN.split("[[format.example]]")[0].replace('"oven"', '"kitchen"') + OVEN)
    code, _, err = ra("formats", "--check", "--format-file", file)
    assert (code, err) == (2, f"ra: {file}: format 'oven', example 1, `line`: expected 'format oven', got 'format kitchen'\n")


def test_there_must_be_something_to_check(ra):
    code, _, err = ra("formats", "--check")
    assert (code, err) == (2, "ra: no formats of your own were found to check; name a file with --format-file\n")


LAYOUT = "[[format.layout]]\nheader = 'x '\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[format]", "is not valid TOML"),
        ("x = 1\n", "must hold [[format]] entries"),
        ("[[format]]\n" + LAYOUT, "format 1, `name`: must be a text that is not empty"),
        ('[[format]]\nname = "Oven!"\n' + LAYOUT, "`name`: must be of lower-case letters"),
        ('[[format]]\nname = "oven"\n', "format 'oven', `layout`: is missing"),
        ('[[format]]\nname = "oven"\nheaders = 1\n' + LAYOUT, "`headers`: is not a field; the fields are about"),
        ('[[format]]\nname = "oven"\n[[format.layout]]\nheader = "("\n', "format 'oven', layout 1, `header`: does not compile"),
        ('[[format]]\nname = "oven"\n[[format.layout]]\nheader = "^x"\n', "must not begin with ^"),
        ('[[format]]\nname = "oven"\n[[format.layout]]\nheader = "{NOPE} "\n', "{NOPE} is not a fragment"),
        ('[[format]]\nname = "oven"\n' + LAYOUT + 'time = "noon"\n', "`time`: `time` must be one of iso"),
        ('[[format]]\nname = "oven"\n' + LAYOUT + 'severity = { HOT = "SCORCHED" }\n', "'SCORCHED' is not a severity"),
        ('[[format]]\nname = "oven"\n' + LAYOUT + 'body = "{hands}"\n', "`body`: {hands} is not a group of the header"),
        ('[[format]]\nname = "oven"\nuntil = "("\n' + LAYOUT, "`until`: does not compile"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_place_and_reason(ra, tmp_path, text, said):
    log, file = tmp_path / "oven.log", tmp_path / "oven.toml"
    file.write_text(text)
    log.write_text(LOG)
    code, out, err = ra("detect", log, "--store", ":memory:", "--format-file", file)
    assert code == 2
    assert out == ""
    assert f"{file}: " in err
    assert said in " ".join(err.split())


def test_a_file_that_is_not_there_is_refused(ra, tmp_path):
    code, _, err = ra("detect", tmp_path / "x.log", "--format-file", tmp_path / "none.toml")
    assert code == 2
    assert "none.toml: cannot be read: No such file or directory" in " ".join(err.split())


@pytest.mark.parametrize("length", [3, LONGEST_RECORD_BYTES // 100])
def test_a_record_has_a_bound_in_lines_and_in_bytes(length):
    import polars as pl

    lines = pl.Series(["2025-03-01 10:00:00 INFO x", *["\t" + "y" * length] * 3 * LONGEST_RECORD_LINES])
    records = Reader(builtin_formats()).read(lines, whole=True)
    counts = [last - first + 1 for first, last in zip(records.first.to_list(), records.last.to_list(), strict=True)]
    assert sum(counts) == len(lines)
    assert max(counts) <= LONGEST_RECORD_LINES
    assert max(records.texts.str.len_bytes().to_list()) <= LONGEST_RECORD_BYTES + length + 1 + LONGEST_RECORD_LINES
    assert len(counts) <= (4 if length == 3 else 20)
