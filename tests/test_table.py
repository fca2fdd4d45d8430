"""What people see: the table's groups and order, and that hostile text is shown, not obeyed."""

import io
import re
import unicodedata

import polars as pl
import pytest

from ra_sdk.blocks import Block
from ra_sdk.cli import display as tables
from ra_sdk.cli.display import Meter, TemplateTable, console, show, show_counts, show_fields, show_list
from ra_sdk.detections import Detections
from ra_sdk.detector import Counts, Progress
from ra_sdk.records import Verdict
from ra_sdk.text import visible

BAD = Verdict("disk <*> failed", "abnormal", 0.9, "hardware", '"failed" of <*>', True, "direct", "m")
WORSE = Verdict("oom", "abnormal", 0.99, "system", None, None, "direct", "m")
FINE = Verdict("ok <num>", "normal", 0.1, None, None, None, "direct", "m")
OPEN = Verdict("cold", "undecided")


def detections(pairs, source="a.log", first=1):
    """A block of (body, verdict) pairs, one line each."""
    verdicts = list(dict.fromkeys(verdict for _, verdict in pairs))
    lines = pl.Series("line", range(first, first + len(pairs)), dtype=pl.UInt64)
    bodies = pl.Series("body", [body for body, _ in pairs], dtype=pl.String)
    codes = pl.Series("code", [verdicts.index(verdict) for _, verdict in pairs], dtype=pl.UInt32)
    return Detections(Block(source, source, bodies, lines, lines, lines, pl.DataFrame), codes, verdicts, [False] * len(verdicts))


def shown(table, everything=False, width=60):
    out = console(io.StringIO())
    out.width = width
    show(table, out, everything)
    return out.file.getvalue()


@pytest.fixture
def filled():
    table = TemplateTable()
    table.write(detections([("ok 1", FINE), ("disk sda failed", BAD), ("ok 2", FINE), ("cold", OPEN)]))
    table.write(detections([("oom", WORSE), ("disk sdb failed", BAD)], first=5))
    table.write(detections([("disk sdc failed", BAD)], source="b.log"))
    return table


def test_rows_group_by_source_and_template(filled):
    rows = {(row.source, row.verdict.template): (row.count, row.first, row.last, row.example) for row in filled.rows.values()}
    assert rows == {
        ("a.log", "ok <num>"): (2, 1, 3, "ok 1"),
        ("a.log", "disk <*> failed"): (2, 2, 6, "disk sda failed"),
        ("a.log", "cold"): (1, 4, 4, "cold"),
        ("a.log", "oom"): (1, 5, 5, "oom"),
        ("b.log", "disk <*> failed"): (1, 1, 1, "disk sdc failed"),
    }


def test_worst_first_then_undecided_then_a_line_on_normal_ones(filled):
    text = shown(filled)
    places = [
        text.index(part) for part in ("Abnormal: 3 templates, 4 records", "0.99", "a.log:5", "a.log:2-6", "b.log:1", "Undecided: 1 template", "Normal: 1")
    ]
    assert places == sorted(places)
    assert "ok 1" not in text


def test_a_row_has_score_category_count_lines_example_and_filled_rationale(filled):
    lines = shown(filled).splitlines()
    place = next(i for i, line in enumerate(lines) if "a.log:2-6" in line)
    assert lines[place].split() == ["0.90", "hardware", "2", "a.log:2-6"]
    assert [line.strip() for line in lines[place + 1 : place + 3]] == ["disk sda failed", '"failed" of sda']


def test_all_shows_normal_ones_too(filled):
    assert "ok 1" in shown(filled, everything=True)


def test_what_is_not_grounded_says_so():
    table = TemplateTable()
    table.write(detections([("disk sda failed", Verdict("disk <*> failed", "abnormal", 0.9, None, "node 7", False))]))
    assert "node 7  (not grounded)" in shown(table, width=120)


def test_only_the_worst_are_shown_unless_all(monkeypatch):
    monkeypatch.setattr(tables, "SHOWN", 2)
    table = TemplateTable()
    table.write(detections([(f"bad {i}", Verdict(f"bad {i}", "abnormal", i / 10)) for i in range(9)]))
    assert "bad 8" in shown(table)
    assert "bad 6" not in shown(table)
    assert "… and 7 more" in shown(table)
    assert "bad 0" in shown(table, everything=True)


def test_rows_are_bounded_and_records_still_counted(monkeypatch):
    monkeypatch.setattr(tables, "MOST_ROWS", 10)
    table = TemplateTable()
    table.write(detections([("oom", WORSE), *((f"fine {i}", Verdict(f"fine {i}", "normal", 0.0)) for i in range(40))]))
    assert len(table.rows) <= 10
    text = shown(table, width=120)
    assert "oom" in text
    kept, dropped = re.search(r"Normal: \d+ templates, (\d+) records, and (\d+) records of further templates", text).groups()
    assert int(kept) + int(dropped) == 40


def test_of_endless_abnormal_templates_the_worst_and_the_most_frequent_are_kept(monkeypatch):
    monkeypatch.setattr(tables, "MOST_ROWS", 100)
    table = TemplateTable()
    often, worst = Verdict("often", "abnormal", 0.6), Verdict("worst", "abnormal", 0.99)
    table.write(detections([("often", often)] * 50 + [("worst", worst)]))
    for block in range(20):
        table.write(detections([(f"bad {block} {i}", Verdict(f"bad {block} {i}", "abnormal", 0.9)) for i in range(50)]))
    assert len(table.rows) <= 100
    assert {"often", "worst"} <= {row.example for row in table.rows.values()}
    text = shown(table, width=120)
    templates, kept, dropped = map(int, re.search(r"Abnormal: (\d+) templates, (\d+) records, and (\d+) records of fur", text).groups())
    assert templates == len(table.rows)
    assert kept + dropped == 50 + 1 + 20 * 50


def test_the_first_of_an_abnormal_template_is_told_at_once():
    told = []
    table = TemplateTable(told.append)
    for _ in range(2):
        table.write(detections([("oom", WORSE), ("ok 1", FINE)]))
    assert [row.example for row in told] == ["oom"]


HOSTILE = [
    ("\x1b[2Jgone", r"\x1b[2Jgone"),
    ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
    ("a\x9b31m", r"a\x9b31m"),
    ("a\rb\nc\td\x00\x7f", r"a\rb\nc\td\x00\x7f"),
    ("\u202egnp.exe", r"\u202egnp.exe"),
    ("\u2066x\u2069", r"\u2066x\u2069"),
    ("\u200bx\ufeff", r"\u200bx\ufeff"),
    ("\u2028", r"\u2028"),
    ("\U000e0041", r"\U000e0041"),
    ("\ud800", r"\ud800"),
    ("naïve 茶 🍵 \\x1b", "naïve 茶 🍵 \\x1b"),
]


@pytest.mark.parametrize(("text", "expected"), HOSTILE)
def test_visible(text, expected):
    assert visible(text) == expected


def test_visible_leaves_no_control_character():
    text = visible("".join(map(chr, range(0x11000))))
    assert {char for char in text if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")} == set()


def test_markup_emoji_and_escapes_in_logs_are_inert():
    table = TemplateTable()
    body = "[bold red]x[/] :fire: \x1b[31m [link=http://evil.example]y[/link]"
    table.write(detections([(body, Verdict(body, "abnormal", 0.9, None, body, True))], source="\x1b]0;x\x07.log"))
    text = shown(table, width=200)
    assert text.count(r"[bold red]x[/] :fire: \x1b[31m [link=http://evil.example]y[/link]") == 2
    assert "\x1b" not in text
    assert "\x07" not in text


def test_examples_are_cut_to_the_width():
    table = TemplateTable()
    table.write(detections([("茶" * 3000, Verdict("t", "abnormal", 0.9))]))
    text = shown(table, width=60)
    assert "…" in text
    assert max(sum(2 if char == "茶" else 1 for char in line) for line in text.splitlines()) <= 60


def test_counts_tell_lines_templates_model_calls_and_the_model():
    out = console(io.StringIO())
    show_counts(Counts(lines=2000, records=1990, templates=12, judged=10, cached=1, seconds=4.0), "Tiny (few-shot)", out)
    text = out.file.getvalue()
    assert "2,000 lines, 1,990 records, 12 templates; 4.0 s, 500 lines/s" in text
    assert "10 model calls, 1 verdict from the store; model: Tiny (few-shot)" in text


def test_fields_and_lists_are_plain():
    out = console(io.StringIO())
    show_fields({"label": "abnormal", "score": 0.5, "category": None, "cached": False}, out)
    show_list(("count", "template"), [(1200, "[red]a\x1b"), (3, "b")], out)
    lines = [line.split() for line in out.file.getvalue().splitlines()]
    assert lines == [
        ["label", "abnormal"],
        ["score", "0.500"],
        ["cached", "no"],
        ["count", "template"],
        ["1,200", r"[red]a\x1b"],
        ["3", "b"],
    ]


def test_the_meter_knows_how_long_it_takes():
    meter = Meter()
    counts = Counts()
    assert meter._seconds_left(Progress("a", 0, None, counts), meter._since) is None
    assert meter._seconds_left(Progress("a", 25, 100, counts), meter._since + 1) == pytest.approx(3)
    assert meter._seconds_left(Progress("a", 25, 100, counts, 10), 100.0) is None
    assert meter._seconds_left(Progress("a", 25, 100, counts, 6), 102.0) == pytest.approx(3)


def test_the_worst_templates_so_far_stand_above_the_bar():
    meter = Meter()
    for score, template in ((0.6, "cache is stale"), (0.1, "started"), (0.99, "[red]disk\x1b failed" + "x" * 200)):
        verdict = Verdict(template, "abnormal" if score > 0.5 else "normal", score, "hardware", f'"{template}" is a fault')
        meter(Progress("a.log", 25, 100, Counts(), 6, verdict))
    shown = [line.plain for line in meter._worst.lines(24, 80)]
    assert [line[:20].split()[0] for line in shown[::2]] == ["0.99", "0.60"]
    assert r"[red]disk\x1b failed" in shown[0]
    assert "cache is stale" in shown[3]
    assert max(map(len, shown)) == 80
    assert len(list(meter._worst.lines(2, 80))) == 2
