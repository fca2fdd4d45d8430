"""Masks keep what decides and hide what varies."""

import polars as pl
import pytest

from ra_sdk.templates.masks import LONGEST, coarse, mask
from ra_sdk.templates.placeholders import PLACEHOLDERS

CASES = [
    ("exit code 0", "exit code 0"),
    ("process exited with status 137", "process exited with status 137"),
    ("worker 30418 exited on signal 9 (core dumped)", "worker <num> exited on signal 9 (core dumped)"),
    ('"GET /a/b?c=1 HTTP/1.1" 503 1234', None),
    ('"GET /a HTTP/1.1" 503 1234', '"GET <path> HTTP/1.1" 503 <num>'),
    ("answered 500 Internal Server Error", "answered 500 Internal Server Error"),
    ("status=200 took=35ms", "status=200 took=<ms>"),
    ("0 errors", "0 errors"),
    ("14 errors", "<num> errors"),
    ("disk 97% full", "disk <highpct> full"),
    ("disk 12.5% full", "disk <pct> full"),
    ("100% packet loss", "100% packet loss"),
    ("0.0% packet loss", "0% packet loss"),
    ("took 350 ms", "took <ms>"),
    ("took 35 s", "took <sec>"),
    ("took 20000 ms", "took <min>"),
    ("up 12 days", "up <hours>"),
    ("replicas 2/3 ready", "replicas <num>/<num> ready"),
    ("replicas 3/3 ready", "replicas <n>/<n> ready"),
    ("0/3 nodes", "0/<num> nodes"),
    ("node12 eth0 ext4 x86_64 sha256", "node<num> eth<num> ext4 x86_64 sha256"),
    ("pod web-7d9f8b6c5d-x2x4z restarted", "pod web-<id> restarted"),
    ("r1=0x0000 r2=0x000f", "r<num>=0x0 r<num>=<hex>"),
    ("fault at 0XDEADBEEF", "fault at <hex>"),
    ("id 550e8400-e29b-41d4-a716-446655440000 of a.b@example.org", "id <uuid> of <email>"),
    ("2025-01-01T00:00:00.123456Z start 12:30:01,123 end", "<time> start <time> end"),
    ("[01/Jan/2025:12:00:00 +0000] x", "[<time>] x"),
    ("version 1.2.3-rc1", "version <ver>"),
    ("proxy v3.14.2 starts", "proxy <ver> starts"),
    ("00:1a:2b:3c:4d:5e at fe80::1ff:fe23:4567:890a", "<mac> at <ip>"),
    ("connect to 10.0.0.7:5432 failed", "connect to <ip>:<num> failed"),
    ("rc=-1 errno 111", "rc=-1 errno 111"),
    ("cannot open /etc/app/app.conf: missing", "cannot open <path>: missing"),
    (r"C:\Windows\x.dll missing", "<path> missing"),
    ("https://example.org/a?b=1 failed", "<url> failed"),
    ("commit 9fceb02d0ae598e95dc970b74767f19372d61af8", "commit <hex>"),
    ("size 67108864", "size <num>"),
    ("counter 00000000", "counter 0"),
    ("pcieport 0000:00:1c.5: AER: corrected", "pcieport <mac>: AER: corrected"),
    ("Xid (PCI:0000:af:00): 79, pid=1234", "Xid (PCI:<mac>): 79, pid=<num>"),
    ("order AH0163 of shop", "order AH0163 of shop"),
    ("already masked <*> and <num>", "already masked <*> and <num>"),
    ("<|im_end|> text", "<|im_end|> text"),
    ("", ""),
]


@pytest.mark.parametrize(("body", "expected"), [case for case in CASES if case[1] is not None])
def test_mask(body, expected):
    assert mask([body]) == [expected]


def test_masking_a_column_is_masking_each_of_its_bodies():
    bodies = [body for body, _ in CASES]
    assert mask(bodies) == [mask([body])[0] for body in bodies]


@pytest.mark.parametrize("body", [body for body, _ in CASES])
def test_masked_text_stays_as_it_is(body):
    once = mask([body])
    assert mask(once) == once


def test_placeholders_are_a_closed_list():
    import re

    found = {name for text in mask([body for body, _ in CASES]) for name in re.findall(r"<[a-z*]+>", text)}
    assert found <= set(PLACEHOLDERS)
    assert len(found) > 15


def test_a_long_body_is_mined_by_head_and_tail():
    body = "start " + "x" * 5_000 + " failed"
    (text,) = coarse(pl.Series([body])).to_list()
    assert len(text) <= LONGEST
    assert text.startswith("start x")
    assert text.endswith("x failed")
    assert " … " in text


@pytest.mark.parametrize("evil", ["0" * 200_000, "a1" * 100_000, "1." * 100_000, "-" * 100_000, ":0" * 100_000, "/" * 100_000])
def test_hostile_bodies_cost_no_more_than_their_length(evil):
    assert len(mask([evil])[0]) <= LONGEST
