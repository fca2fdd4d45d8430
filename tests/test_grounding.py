import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ra_sdk.reasoner.rationale import grounded, invented, whole_words
from ra_sdk.templates.fill import align, fill
from ra_sdk.templates.masks import LONGEST, mask
from ra_sdk.templates.miner import Miner
from ra_sdk.templates.placeholders import PLACEHOLDERS


def masked(body):
    return " ".join(mask([body])[0].split())


@pytest.mark.parametrize(
    ("template", "body", "values"),
    [
        ("disk <path> has <num> bad blocks", "disk /dev/sda has 14 bad blocks", ["/dev/sda", "14"]),
        ("took <ms> at <time>", "took  350 ms at Jan  2 10:00:00", ["350 ms", "Jan 2 10:00:00"]),
        ("at <time> <num> errors", "at 2024-01-01 10:00:00 3 errors", ["2024-01-01 10:00:00", "3"]),
        ("peer <ip>:<num> is gone", "peer 10.0.0.1:8080 is gone", ["10.0.0.1", "8080"]),
        ("<path><ip><path>", "/var/10.0.0.1/x", ["/var/", "10.0.0.1", "/x"]),
        ("worker <*> sent <*>", "worker a-1 sent 350 ms", ["a-1", "350 ms"]),
        ("job <*> ended", "job <*> ended", ["<*>"]),
        ("0 of <num> left, 0%", "0.00 of 7 left, 0.0 %", ["7"]),
        ("at 0x0 from <hex>", "at 0x0000 from 0xAf3", ["0xAf3"]),
        ("exit code 7 of <num>", "exit code 007 of 9", ["9"]),
        ("served blk_<num> to <ip>", "served blk_-3735 to 10.0.0.1", ["-3735", "10.0.0.1"]),
        ("all well", "all  well", []),
        ("disk <path> failed", "disk failed", None),
        ("disk <num> failed", "disk ten failed", None),
        ("<num> of <num>", "1 of 2 of", None),
        ("", "", None),
    ],
)
def test_align(template, body, values):
    found = align(template, body)
    assert (None if found is None else [value for _, value in found]) == values


def test_align_names_the_placeholders_in_order():
    assert align("<ip> to <ip> took <ms>", "10.0.0.1 to 10.0.0.2 took 5ms") == [("<ip>", "10.0.0.1"), ("<ip>", "10.0.0.2"), ("<ms>", "5ms")]


HOSTILE = [
    ("<*> " * 39 + "x", "350 ms " * 300),
    ("<*>" * 39 + "!", "a" * 1000),
    ("<num>" * 40 + "x", "1" * 1000),
    ("<path><path><path>x", "a" * 1000),
    ("<ver><ver>x", "1.1" * 300),
    ("<ip><ip><ip>x", ":" * 1000),
    ("<hex><num><id>z", "1" * 1000),
    ("<num> " * 41, "1 " * 41),
    ("0 " * 500, "0 " * 500),
    ("<num> end", "1." * 10_000_000),
]


@pytest.mark.parametrize(("template", "body"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_body_is_given_up(template, body):
    assert align(template, body) is None
    assert fill('It says "<num>".', template, body) == 'It says "<num>".'


@pytest.mark.parametrize(
    ("rationale", "filled"),
    [
        ('The disk says "<num> bad blocks".', 'The disk says "14 bad blocks".'),
        ('It has "14 BAD" or "<NUM> Bad".', 'It has "14 BAD" or "14 bad".'),
        ('"on <path>, retry <num> of <num>" is a fault of <path>.', '"on /dev/sda, retry 2 of 5" is a fault of /dev/sda.'),
        ('"of <num>" is one, <num> is not told apart.', '"of 5" is one, <num> is not told apart.'),
        ('"<path> and more" is no quote.', '"/dev/sda and more" is no quote.'),
        ('"no errors" and "<ip>" stay.', '"no errors" and "<ip>" stay.'),
        ("no placeholder", "no placeholder"),
        ("", ""),
    ],
)
def test_fill(rationale, filled):
    template = "<num> bad blocks on <path>, retry <num> of <num>"
    assert fill(rationale, template, "14 bad  blocks on /dev/sda, retry 2 of 5") == filled


@pytest.mark.parametrize(
    ("template", "body", "rationale", "filled"),
    [
        ("user <*> failed", 'user "bob" failed', '"user <*> failed"', "\"user 'bob' failed\""),
        ("user <*> failed", 'user "bob" failed', '"<*>" is who', '"bob" is who'),
        ("<num> of <num>", "3 of 3", "<num> again", "3 again"),
        ("count 0 in <ms>", "count 0.00 in 5 ms", '"count 0" says so', '"count 0.00" says so'),
        ("value <num>", "value \\1 \x1b", '"value <num>"', '"value <num>"'),
        ("value <*>", "value \\1\x1b[31m", '"value <*>"', '"value \\1\x1b[31m"'),
    ],
)
def test_fill_takes_the_bodys_own_words(template, body, rationale, filled):
    assert fill(rationale, template, body) == filled


def test_fill_looks_at_what_was_mined_of_a_long_body():
    body = "begin 12 " + "x " * LONGEST + " end 34 errors"
    assert fill('"end <num> errors"', masked(body), body) == '"end 34 errors"'


@pytest.mark.parametrize(
    ("message", "rationale", "found"),
    [
        ("disk sda1 failed", '"disk sda1" failed', []),
        ("disk sda1 failed", '"disk sda2" failed', ["disk sda2"]),
        ("disk sda1 failed", "sda1 and sda2", ["sda2"]),
        ("port 8080", "port 80", ["80"]),
        ("read /etc/passwd", "the file /etc/passwd, not /etc/shadow", ["etc/shadow"]),
        ("at C:\\x\\y", "see C:\\x\\y and D:\\x\\y", ["D:\\x\\y"]),
        ("mount failed", "An ext4 or IPv6 or UTF-8 or http/2 matter", []),
        ("Connection  refused", '"connection refused."', []),
        ("<num> errors", '"<num> errors" and 14 more', ["14"]),
        ("read/write", "a read/write and/or", []),
        ("", "nothing", []),
    ],
)
def test_invented(message, rationale, found):
    assert invented(message, rationale) == found


@pytest.mark.parametrize(
    ("rationale", "yes"),
    [
        ('"Connection refused" by the peer', True),
        ("the peer refused", False),
        ('"Connection refused" on port 80', False),
        ('"Connection reset" by the peer', False),
        ('" . " by the peer', False),
        ('"connection refused" by <ip>', True),
    ],
)
def test_grounded(rationale, yes):
    assert grounded("connect to <ip> failed: Connection refused", rationale) is yes


SPECIFICS = ["350 ms", "0.00", "/var/log/x", "10.0.0.1:80", "Jan  2 10:00:00", "0x00", "deadbeef00", "99.5%", "3/3", "code 007", "a=1,b=2", '"q"']
words = st.sampled_from(SPECIFICS)
bodies = st.lists(words | st.text(max_size=8), min_size=1, max_size=12).map(" ".join)


@given(st.text(), st.text(), st.text())
def test_any_text_is_taken(rationale, template, body):
    assert isinstance(fill(rationale, template, body), str)
    assert isinstance(grounded(template, rationale), bool)


@settings(deadline=None)
@given(bodies)
def test_masked_bodies_align(body):
    template = masked(body)
    values = align(template, body)
    assert bool(values) <= any(name in template for name in PLACEHOLDERS)
    if '"' not in body and values:
        filled = fill(f'It says "{template}".', template, body).removeprefix('It says "').removesuffix('".')
        assert filled in " ".join(body.split())


def test_the_corpus_aligns(shared):
    path = shared / "corpus" / "general.jsonl"
    if not path.exists():
        pytest.skip(f"{path} not found")
    messages = [json.loads(line)["message"] for line in path.read_text(encoding="utf-8").splitlines()]
    codes, texts = Miner().mine(pl.Series(messages))
    alone = [" ".join(text.split()) for text in mask(messages)]
    for message, template in zip(messages * 2, [*alone, *(texts[code] for code in codes)], strict=True):
        assert align(template, message) is not None, (template, message)
        if '"' not in template and '"' not in message:
            assert fill(f'"{template}"', template, message).strip('"') in " ".join(message.split())


@pytest.mark.parametrize(
    ("quote", "expected"),
    [
        ("disk full", "disk full"),
        ("isk ful", "disk full"),
        ("full, on <pa", "full, on <path>"),
        ("path> of nod", "path> of node"),
        ("of node", "of node"),
        (" disk full, ", "disk full"),
        ("disk empty", ""),
        (" ", ""),
        ("", ""),
    ],
)
def test_a_quote_ends_with_a_word(quote, expected):
    assert whole_words("sda: disk full, on <path> of node-1", quote) == expected
