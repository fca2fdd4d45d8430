"""Templates: keyed by text, the same whatever the blocks, and opposite words never merge."""

import gzip
import itertools
import random
import stat

import polars as pl
import pytest

from ra_sdk.errors import StoreError
from ra_sdk.templates.miner import Miner, has_words, is_protected
from ra_sdk.templates.state import write_state

OPPOSITES = """Started/Paused up/down enabled/disabled succeeded/failed UP/DOWN online/offline connected/disconnected opened/closed active/inactive
true/false yes/no allowed/denied accepted/rejected healthy/unhealthy valid/invalid mounted/unmounted locked/unlocked loaded/unloaded attached/detached
added/removed passed/failed success/failure on/off in/out reachable/unreachable available/unavailable complete/incomplete expected/unexpected
good/bad pass/fail start/stop login/logout acquired/released allocated/freed granted/revoked increased/decreased present/missing running/stopped
primary/secondary ok/error known/unknown found/lost alive/dead synced/lagging secure/insecure compatible/incompatible with/without can/cannot""".split()


def mine(miner, bodies):
    codes, texts = miner.mine(pl.Series(bodies, dtype=pl.String))
    return [texts[code] for code in codes.to_list()]


@pytest.mark.parametrize("pair", OPPOSITES)
@pytest.mark.parametrize(
    "frame", ["service nginx on host a is now {}", "{} the replication link between the two data centres", "state changed to state={}, no action is needed"]
)
def test_opposite_words_never_merge(pair, frame):
    one, other = pair.split("/")
    texts = mine(Miner(), [frame.format(one), frame.format(other)] * 3)
    assert len(set(texts)) == 2
    assert all("<*>" not in text for text in texts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("found 0 errors in the pool", "found 14 errors in the pool"),
        ("job ended with exit code 0", "job ended with exit code 137"),
        ("replicas ready 3/3 in web", "replicas ready 2/3 in web"),
        ("the disk is 12% full", "the disk is 97% full"),
        ("GET / HTTP/1.1 200 OK", "GET / HTTP/1.1 500 OK"),
        ("link n/a 0x0 flags", "link n/a 0x4 flags"),
    ],
)
def test_values_that_decide_never_merge(one, other):
    texts = mine(Miner(), [one, other] * 3)
    assert len(set(texts)) == 2


SESSIONS = [f"session of user {name} begins from terminal {name}" for name in ("bob", "eve", "mallory")]


def test_words_that_vary_become_a_wildcard_in_all_records_of_the_block():
    miner = Miner()
    first = mine(miner, SESSIONS)
    assert first == ["session of user <*> begins from terminal <*>"] * 3
    assert miner.moved == {}
    assert mine(miner, SESSIONS) == first


def test_what_became_of_templates_of_earlier_blocks_is_told():
    miner = Miner()
    assert [mine(miner, [body])[0] for body in SESSIONS] == [SESSIONS[0], *["session of user <*> begins from terminal <*>"] * 2]
    miner = Miner()
    mine(miner, SESSIONS[:1])
    final = mine(miner, SESSIONS[1:])[0]
    assert miner.moved == {SESSIONS[0]: final}
    assert [(template.text, template.count) for template in miner.templates()] == [(final, 3)]
    assert mine(miner, SESSIONS[:1]) == [final]
    assert miner.moved == {}


def some_bodies(count):
    words = random.Random(7)
    verbs = ["started", "stopped", "reading", "writing", "failed"]
    return [
        f"unit {words.choice('abcdefgh')} {words.choice(verbs)} item {words.randrange(1000)} for client c{words.choice('xyz')} in {words.randrange(90)} ms"
        for _ in range(count)
    ]


@pytest.mark.parametrize("size", [1, 7, 100, 2_000])
def test_where_blocks_are_cut_changes_nothing_in_the_end(size):
    bodies = some_bodies(2_000)
    miner = Miner()
    for at in range(0, len(bodies), size):
        mine(miner, bodies[at : at + size])
    whole = Miner()
    assert mine(miner, bodies) == mine(whole, bodies)
    assert sorted(template.text for template in miner.templates()) == sorted(template.text for template in whole.templates())


def test_a_saved_state_gives_the_same_again(tmp_path):
    bodies = some_bodies(500)
    miner = Miner()
    first = mine(miner, bodies)
    miner.save(tmp_path / "state")
    again = Miner()
    again.load(tmp_path / "state")
    assert mine(again, bodies) == first
    assert mine(again, ["unit z started item 1 for client cq in 5 ms"]) == mine(miner, ["unit z started item 1 for client cq in 5 ms"])
    assert [t.text for t in again.templates()] == [t.text for t in miner.templates()]


def saved(path):
    miner = Miner()
    mine(miner, some_bodies(50))
    miner.save(path)
    return miner


def test_a_state_is_for_its_user_only(tmp_path):
    saved(tmp_path / "state")
    saved(tmp_path / "state")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o600
    assert not list(tmp_path.glob("*.tmp"))


def test_an_empty_file_is_an_empty_state(tmp_path):
    (tmp_path / "state").touch()
    miner = Miner()
    miner.load(tmp_path / "state")
    assert len(miner) == 0


NOT_OURS = {
    "text": b"buy milk\n",
    "half a header": b"\x1f\x8b\x08\x00",
    "another gzip": gzip.compress(b"a log\n"),
    "JSON": gzip.compress(b'{"version": 1}'),
    "deep JSON": gzip.compress(b"[" * 100_000),
    "a newer state": gzip.compress(b'{"version": 99}'),
}


@pytest.mark.parametrize("content", NOT_OURS.values(), ids=NOT_OURS)
def test_a_file_that_is_not_a_state_is_refused_and_stays_as_it_is(tmp_path, content):
    with pytest.raises(StoreError, match="Is a directory; choose another path"):
        Miner().load(tmp_path)
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="remove the file to start afresh"):
        Miner().load(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["flipped", "cut", "of another shape"])
def test_a_broken_state_is_set_aside(tmp_path, damage):
    path = tmp_path / "state"
    saved(path)
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[60:80] = bytes(byte ^ 0xFF for byte in data[60:80])
    elif damage == "cut":
        del data[len(data) // 2 :]
    else:
        write_state(path, {"memo": [["a", 1]], "counts": [["a", 1]], "clusters": []})
        data = path.read_bytes()
    path.write_bytes(data)
    miner = Miner()
    with pytest.warns(RuntimeWarning, match=r"cannot be used \(.+\); it has been set aside as .*, and mining starts afresh"):
        miner.load(path)
    assert len(miner) == 0
    (aside,) = tmp_path.glob("state.corrupt-*")
    assert aside.read_bytes() == data
    miner.save(path)
    Miner().load(path)


def test_memory_is_bounded():
    miner = Miner(max_templates=50, max_texts=100)
    mine(miner, [f"{'abcdefghij'[i % 10]}{chr(97 + i % 26)} thing {'w' * (i % 97)}{'v' * (i % 89)} stopped" for i in range(3_000)])
    assert len(miner._memo) <= 100
    assert len(miner.templates()) <= 3_000 + 1
    assert len(miner._tree.clusters) <= 50


def made_up(count, seed):
    """Messages of a few words each, so that some are alike and some are not; more first words than a node of the tree has room for."""
    rng = random.Random(seed)
    first, rest = [f"{a}{b}q" for a in "bcdfghjklmnp" for b in "aeiouwxyzv"], ["zeta", "kappa", "iota", "<*>", "failed"]
    return [" ".join([rng.choice(first), *rng.choices(rest, [12, 2, 2, 1, 1], k=rng.randrange(8))]) for _ in range(count)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_looking_at_what_may_be_alike_finds_what_looking_at_all_finds(seed, monkeypatch):
    bodies = made_up(3_000, seed)
    found = mine(Miner(), bodies)
    monkeypatch.setattr("ra_sdk.templates.drain.FEW", 0)
    assert mine(Miner(), bodies) == found
    monkeypatch.setattr("ra_sdk.templates.drain.FEW", 10**9)
    assert mine(Miner(), bodies) == found
    assert len(set(bodies)) - len(set(found)) > 50


def test_a_message_is_not_compared_with_all_others(monkeypatch):
    miner, looked = Miner(), 0
    distance = type(miner._tree).get_seq_distance

    def counted(*args):
        nonlocal looked
        looked += 1
        return distance(*args)

    monkeypatch.setattr(type(miner._tree), "get_seq_distance", counted)
    letters = "bcdfghjklmnp"
    names = ["".join(name) for name in itertools.product(letters, repeat=3)]
    bodies = [f"{name} {name[::-1]} unit {name[1:]}{name} reports state" for name in names]
    assert len(set(mine(miner, bodies))) == len(names)
    assert looked < 20 * len(names)


def test_what_was_forgotten_leaves_nothing_behind():
    miner = Miner(max_templates=50, max_texts=50)
    bodies = [f"{'bcdfghjklm'[n % 10]}{'bcdfghjklm'[n // 10 % 10]}{'bcdfghjklm'[n // 100 % 10]}x unit of {n * 'q'} rack" for n in range(1, 1_000)]
    for at in range(0, len(bodies), 100):
        mine(miner, bodies[at : at + 100])
    mine(miner, bodies * 2)
    assert miner._tree._kept <= 2 * 50 + 1_001
    assert sum(len(leaf._ids) for leaf in miner._tree._leaves.values()) == miner._tree._kept


def test_counts():
    miner = Miner()
    mine(miner, ["a stopped"] * 3 + ["b started"])
    assert [(t.text, t.count) for t in miner.templates()] == [("a stopped", 3), ("b started", 1)]


@pytest.mark.parametrize(
    ("token", "protected"),
    [
        ("failed", True),
        ("state=UP,", True),
        ("LinkDown", True),
        ("0", True),
        ("code=137", True),
        ("<highpct>", True),
        ("<num>", False),
        ("eth0", False),
        ("bob", False),
        ("<ip>:<num>", False),
    ],
)
def test_is_protected(token, protected):
    assert is_protected(token) is protected


@pytest.mark.parametrize(("text", "words"), [("", False), ("--- 0 <num> ---", False), ("<*>", True), ("x", True), ("日本", True)])
def test_has_words(text, words):
    assert has_words(text) is words
