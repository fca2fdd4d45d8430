"""What masking and mining promise: values that decide never merge, values that do not never split."""

import json
import random
import re
from pathlib import Path

import polars as pl
import pytest

from ra_sdk.templates.masks import mask
from ra_sdk.templates.miner import Miner

DATA = Path(__file__).parent / "data"
WRITTEN = Path(__file__).parent.parent / "training" / "ra_training" / "written.jsonl"
PAIRS = [json.loads(line) for line in (DATA / "decisive_pairs.jsonl").read_text(encoding="utf-8").splitlines()]
VARYING = [json.loads(line) for line in (DATA / "varying_texts.jsonl").read_text(encoding="utf-8").splitlines()]
FILLER = [f"{verb} {noun} {number}" for number in (3, 17) for verb in ("reading", "sent", "checked") for noun in ("part", "the index", "user bob")]


def mine(bodies):
    codes, texts = Miner().mine(pl.Series(bodies, dtype=pl.String))
    return [texts[code] for code in codes.to_list()]


def test_there_are_enough_pairs():
    assert len(PAIRS) >= 250
    assert len({pair["system"] for pair in PAIRS}) >= 40


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair['system']}: {pair['one'][:40]}")
def test_decisive_pairs_never_merge(pair):
    for first, second in ((pair["one"], pair["other"]), (pair["other"], pair["one"])):
        found = mine([first, *FILLER, second, first])
        assert found[0] != found[-2], found[0]
        assert found[0] == found[-1]


def test_decisive_pairs_never_merge_among_each_other():
    bodies = [text for pair in PAIRS for text in (pair["one"], pair["other"], *FILLER[:2])]
    for seed in range(3):
        order = random.Random(seed).sample(range(len(bodies)), len(bodies))
        found = dict(zip(order, mine([bodies[at] for at in order]), strict=True))
        merged = [bodies[at] for at in range(0, len(bodies), 4) if found[at] == found[at + 1]]
        assert merged == []


@pytest.mark.parametrize("case", VARYING, ids=lambda case: f"{case['kind']}: {case['texts'][0][:40]}")
def test_what_does_not_decide_makes_no_second_template(case):
    assert len(set(mine(case["texts"]))) == 1


# Counters: one number of a sentence is varied. A number that is a code, by the words around it, is an exception.
NUMBER = re.compile(r"(?<![\w.])[0-9]+(?![\w.]|\.[0-9])")
VALUES = [1, 2, 3, 7, 9, 12, 27, 64, 99, 101, 145, 200, 250, 302, 404, 503, 550, 777, 850, 999]
CODES = re.compile(
    r"(?i)code|status|signal|exit|errno|error|\brc\b|\berr\b|\bret|return|http|smtp|sip/|dsn|alert|severity|stratum|state|reply|respon|result"
    r"|\bsig\b|\bgot\b|answered|said|fail|->|=>|%[a-z]|ora-|tns-|my-0|notification|bea-|event|get |post |put |reject|msg|\([0-9]+: |tcp_|alarm|fault"
    r"|completed|my-|^«|delete |runlevel|terminated|» ok|not found|unavailable|ldap_|refused|[0-9]/[0-9]+ «|\b[245][0-9]{2}[ -]|received|/[0-9]{3} "
    r"|\bxid\b|permissive|enforcing"
)
FEW = 4  # classes of a duration; of a percentage there are three


def sentences(path):
    return sorted({json.loads(line)["message"] for line in path.read_text(encoding="utf-8").splitlines()})


def split_counters(messages):
    """Places whose number makes more than a few templates, with no word there that announces a code."""
    places = [(text, match.start(), match.end()) for text in messages for match in NUMBER.finditer(text)]
    masked = mask([f"{text[:start]}{value}{text[end:]}" for text, start, end in places for value in VALUES])
    for number, (text, start, end) in enumerate(places):
        if len(set(masked[number * len(VALUES) : (number + 1) * len(VALUES)])) > FEW:
            around = f"{text[max(0, start - 60) : start]}«{text[start:end]}»{text[end : end + 30]}"
            if not CODES.search(around):
                yield around


def corpus(name, shared):
    path = WRITTEN if name == "written.jsonl" else shared / "corpus" / name
    if not path.exists():
        pytest.skip(f"{path} not found")
    return sentences(path)


def test_counters_never_split_a_sample():
    assert list(split_counters(random.Random(1).sample(sentences(WRITTEN), 400))) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["written.jsonl", "general.jsonl", "templates.jsonl"])
def test_counters_never_split(name, shared):
    assert list(split_counters(corpus(name, shared))) == []


HEX, WORD, BASE36 = "0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "0123456789abcdefghijklmnopqrstuvwxyz"
KINDS = {  # alphabet, length, and the share that must become one template
    "hexadecimal, 8": (HEX, 8, 0.93),
    "hexadecimal, 12": (HEX, 12, 0.97),
    "hexadecimal, 32": (HEX, 32, 1.0),
    "base36, 25": (BASE36, 25, 0.98),
    "base62, 16": (WORD, 16, 0.95),
    "base62, 21": (WORD, 21, 0.97),
    "base62, 27": (WORD, 27, 0.98),
    "upper case, 26": ("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26, 0.99),
    "padded number": ("0123456789", 8, 0.99),
}
FRAMES = ["order {} queued now", "request {}: accepted by server", "id={} user=bob done", "session[{}] opened", "task ({}) has begun", "TID_{} sent"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frame", FRAMES)
def test_ids_make_one_template(kind, frame):
    alphabet, length, share = KINDS[kind]
    rng = random.Random(4)
    masked = mask([frame.format("".join(rng.choices(alphabet, k=length))) for _ in range(300)])
    assert max(map(masked.count, set(masked))) >= share * 300 - 1
