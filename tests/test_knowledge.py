"""Reasons are chosen from what is known: candidates, scope, twins, composing, the user's own entries."""

import json
from collections import Counter

import pytest

import ra_sdk
from ra_sdk.errors import BadKnowledge
from ra_sdk.knowledge import Entry, Knowledge, from_toml, made
from ra_sdk.knowledge.base import DATA, own
from ra_sdk.knowledge.composing import MOST_WORDS, composed
from ra_sdk.knowledge.entries import KINDS, SAYS, from_lines, make, packaged, speakers
from ra_sdk.knowledge.entries import MOST_WORDS as MOST_OF_FIELDS
from ra_sdk.knowledge.phrases import as_mined, stands_alone
from ra_sdk.knowledge.statements import Statements
from ra_sdk.knowledge.who import Speakers, named
from ra_sdk.records import CATEGORIES, Verdict
from ra_sdk.templates.masks import mask

PATHS = sorted(DATA.glob("*/*.jsonl"))
WIDEST = {"meaning": 45, "causes": 30, "check": 30}
HARMFUL = ("rm -rf", "mkfs", "--force", "setenforce 0", "kill -9", "pg_resetwal", "dd if=", "drop table", "drop database")


@pytest.fixture(scope="module")
def knowledge():
    return Knowledge(left_out=())


def entry(*match, **more):
    fields = {"id": match[0], "match": list(match), "meaning": f"it is about {match[0]}", "source": "test"} | more
    return make(fields, "phrase", "test")


def only(*entries):
    return Knowledge(own=entries, left_out=())


def ids(knowledge, text, names=()):
    return [candidate.entry.id for candidate in knowledge.candidates(" ".join(mask([text])[0].split()), names)]


def explained(knowledge, text, names=()):
    return knowledge.explain(Verdict(" ".join(mask([text])[0].split()), "abnormal", 0.9), names)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_packages_entries_are_as_they_must_be(path):
    kind = path.parent.name.removesuffix("s")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = make(json.loads(line), kind, f"{path.name}:{number}")
        assert found.source
        assert not any(word in found.check.lower() for word in HARMFUL), found.id
        if kind == "phrase":
            assert '"' not in found.meaning + found.causes + found.check, found.id
        else:
            quotes = found.meaning.split('"')[1::2]
            assert quotes, found.id
            assert all(quote.strip(" .,;:").lower() in found.match[0].lower() for quote in quotes), found.id


def test_the_packages_phrases_stand_as_templates_have_them():
    entries = [found for found in own() if found.kind == "phrase"]
    ready, hidden = as_mined(entries)
    assert hidden == []
    assert ready == entries


def test_ids_are_unique():
    counted = Counter(found.id for found in own())
    assert [name for name, count in counted.items() if count > 1] == []


CASES = [  # a line, and the entry that explains it
    ("connect to 10.0.0.7:5432 failed: Connection refused", "errno-econnrefused"),
    ("container app: exit code 137", "exit-137"),
    ("write failed: No space left on device", "errno-enospc"),
    ("FATAL: remaining connection slots are reserved for non-replication superuser connections", "pg-too-many-clients"),
]


@pytest.mark.parametrize(("line", "name"), CASES, ids=[name for _, name in CASES])
def test_a_known_phrase_explains(knowledge, line, name):
    verdict = explained(knowledge, line)
    assert verdict.knowledge == (name,)
    assert verdict.reason_source == "phrase"
    assert verdict.evidence
    assert verdict.evidence[0].lower() in line.lower()
    assert verdict.grounded


def test_a_phrase_stands_at_word_boundaries():
    known = only(entry("oom"), entry("E1"))
    assert ids(known, "the oom killer ran") == ["oom"]
    assert ids(known, "the room is full, ZOOM") == []
    assert stands_alone("a (oom) b", 3, 6)


def test_what_turns_an_entry_off():
    known = only(entry("degraded", **{"not": ["not degraded"]}))
    assert ids(known, "array md0 is degraded") == ["degraded"]
    assert ids(known, "array md0 is not degraded") == []


@pytest.mark.parametrize(
    ("line", "stands"),
    [
        ("lanes degraded: 0", False),
        ("degraded 0, up 16", False),
        ("degraded 0.5 h", True),
        ("lanes degraded=0 of 16", False),
        ("lanes degraded: 0.5", True),
        ("degraded: 0x3", True),
    ],
)
def test_what_is_counted_as_zero_did_not_happen(line, stands):
    assert ids(only(entry("degraded", says="fault")), line) == (["degraded"] if stands else [])
    assert ids(only(entry("degraded", says="depends")), line) == ["degraded"]


def test_a_longer_phrase_speaks_for_a_shorter_one_within_it():
    known = only(entry("connection refused"), entry("connection refused by policy"))
    assert ids(known, "connection refused by policy of the gateway") == ["connection refused by policy"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("redis",), ["MISCONF"]), (("nginx",), []), ((), [])],
)
def test_scope(names, expected):
    assert ids(only(entry("MISCONF", scope=["redis"])), "MISCONF stop", names) == expected


def test_a_telling_phrase_needs_no_speaker():
    known = only(entry("remaining slots are reserved for superusers", scope=["postgresql"]))
    assert ids(known, "remaining slots are reserved for superusers") == ["remaining slots are reserved for superusers"]


TWINS = [
    ("pool rpool is degraded", "pool rpool is not degraded"),
    ("1 of 3 replicas are ready", "3 of 3 replicas are ready"),
    ("process ended with exit code 0", "process ended with exit code 137"),
    ("login was refused for admin account", "login was not refused for admin account"),
    ("link eth0 is up at full duplex", "link eth0 is down at full duplex"),
    ("found 0 errors in table orders", "found 14 errors in table orders"),
]


@pytest.mark.parametrize("pair", TWINS, ids=lambda pair: pair[0])
def test_a_statement_never_answers_for_its_twin(pair):
    one, other = (" ".join(text.split()) for text in mask(list(pair)))
    known = [Entry("one", "statement", (one,), "one"), Entry("other", "statement", (other,), "other")]
    statements = Statements(known)
    assert [told.entry.id for told in statements.told(one, ())] == ["one"]
    assert [told.entry.id for told in statements.told(other, ())] == ["other"]


def test_a_statement_is_known_with_other_values_and_a_few_words_more():
    text = mask(["checkpoint of table orders could not be written to /srv/a: disk quota exceeded"])[0]
    statements = Statements([Entry("s", "statement", (text,), "told")])
    other = mask(["[worker] checkpoint of table orders could not be written to /var/b: disk quota exceeded"])[0]
    assert [told.entry.id for told in statements.told(other, ())] == ["s"]


def test_composed_reasons_are_short():
    long = make({"match": "x", "meaning": "a " * 30, "causes": "b " * 25, "check": "c " * 25, "source": "s"}, "phrase", "test")
    said = composed("one two three", long)
    assert len(said.split()) <= MOST_WORDS
    assert "Check:" in said
    assert "Usually:" not in said


@pytest.mark.parametrize(("source", "told"), [("nginx manual", True), ("general usage", False), ("general usage; last resort", False)])
def test_general_wording_has_no_usual_causes(source, told):
    short = make({"match": "x", "meaning": "It did not start", "causes": "a wrong setting", "check": "the log", "source": source}, "phrase", "test")
    assert ("Usually: a wrong setting." in composed("x", short)) is told


def test_every_reason_of_the_package_is_short():
    for found in own():
        if found.kind == "phrase":
            assert len(composed("one two three four five six seven", found).split()) <= MOST_WORDS, found.id


NAMES = [
    ({"SYSLOG_IDENTIFIER": "sshd"}, {"sshd"}),
    ({"unit": "nginx.service"}, {"nginx"}),
    ({"program": "postfix/smtpd"}, {"postfix/smtpd", "postfix", "smtpd"}),
    ({"logger": "org.apache.kafka.clients.NetworkClient"}, {"org.apache.kafka", "org.apache.kafka.clients"}),
    ({"n": 4}, set()),
]


@pytest.mark.parametrize(("attributes", "expected"), NAMES)
def test_names_of_programs(attributes, expected):
    assert named(attributes) >= expected
    assert "apache" not in named(attributes)


def test_speakers_are_as_they_must_be():
    found = list(speakers(DATA / "speakers.jsonl"))
    names = Counter(name for speaker in found for name in {speaker.id, *speaker.names})
    assert len(found) >= 200
    assert [name for name, count in names.items() if count > 1] == []
    assert all(len(speaker.clause.split()) <= 14 for speaker in found)
    known = names.keys() | {name for speaker in found for name in speaker.also}
    assert {name for entry in own() for name in entry.scope} <= known


def test_who_speaks_is_known_by_words_and_the_part_speaks_for_the_whole():
    found = Speakers(speakers(DATA / "speakers.jsonl"))
    assert [speaker.id for speaker in found.of("EXT4-fs error (device sda1): reading directory", ("kernel",))] == ["ext4"]
    assert "kernel" in found.scope("EXT4-fs error (device sda1)", ())


RUNBOOK = """
[[runbook]]
match = ["payment gateway timeout", "pgw-timeout"]
meaning = "The card processor did not answer."
check = "Dashboard 'Payments'."
link = "https://wiki.example.com/payments"
owner = "team-payments"
"""


def test_a_users_runbook_comes_first(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(RUNBOOK)
    with ra_sdk.Detector(model="echo", store=":memory:", knowledge=[path]) as detector:
        (found,) = detector.detect(["order 4711: payment gateway timeout: Connection refused, failed"])
    assert found.rationale == "\"payment gateway timeout\": The card processor did not answer. Check: Dashboard 'Payments'."
    verdict = found.verdict
    assert (verdict.reason_source, verdict.links, verdict.checks) == (
        "runbook",
        ("https://wiki.example.com/payments",),
        ("Dashboard 'Payments'.",),
    )
    assert found.evidence == ["payment gateway timeout"]


FAULTS = [
    ("x = [", "is not valid TOML"),
    ("[[run]]\nmatch = 'a'", r"tables must be \[\[runbook\]\]"),
    ("[[runbook]]\nmeaning = 'a'", "runbook 1: `match` is missing"),
    ("[[runbook]]\nmatch = 'a'\nmeaning = 'a'\nlinks = 'b'", "runbook 1: `links` is not a field of a runbook"),
    ("[[runbook]]\nmatch = 4\nmeaning = 'a'", "runbook 1: `match` must be a list of texts, got 4"),
    ("[[runbook]]\nmatch = 'a'\nmeaning = 'a'\nsays = 'bad'", "runbook 1: `says` must be one of fault, .*, got 'bad'"),
    ("[[runbook]]\nmatch = 'a'\nmeaning = 'a'\ncategory = 'disk'", "runbook 1: `category` must be one of hardware"),
    ("[[runbook]]\nmatch = 'a'\nmeaning = 'at <path>'", "runbook 1: `meaning` must not hold the placeholder <path>"),
    (f"[[runbook]]\nmatch = 'a'\nmeaning = '{'a ' * 60}'", "runbook 1: `meaning` must have at most 45 words, got 60"),
    ("runbook = 4", r"runbook must be written as \[\[runbook\]\]"),
]


@pytest.mark.parametrize(("text", "match"), FAULTS, ids=[match[:30] for _, match in FAULTS])
def test_a_fault_of_a_file_is_named(text, match, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(BadKnowledge, match=f"own.toml.*{match}"):
        list(from_toml(path))
    with pytest.raises(BadKnowledge, match=r"own\.toml"):
        ra_sdk.Detector(model="echo", store=":memory:", knowledge=[path])


def test_entries_say_what_they_may_say():
    assert set(SAYS) >= {found.says for found in own()}
    assert {found.category for found in own()} - {None} <= set(CATEGORIES)
    assert MOST_OF_FIELDS == WIDEST
    assert made({"kind": "phrase", "match": "a", "meaning": "b", "source": "c"}, "x").kind in KINDS


def test_no_knowledge_leaves_the_models_words():
    with ra_sdk.Detector(model="echo", store=":memory:", knowledge=None) as detector:
        (found,) = detector.detect(["disk failed: No space left on device"])
    assert found.verdict.reason_source == "quote"
    assert found.verdict.knowledge == ()


def test_what_is_left_out_explains_nothing(knowledge):
    other = Knowledge(left_out=["errno-econnrefused"])
    assert "errno-econnrefused" in ids(knowledge, "Connection refused")
    assert "errno-econnrefused" not in ids(other, "Connection refused")


@pytest.mark.parametrize("kind", ["phrase", "statement"])
def test_the_packages_entries_are_as_a_file_of_them_would_be_read(kind):
    """They are made without checks when the product starts; here they are checked."""
    for path in sorted((DATA / f"{kind}s").glob("*.jsonl")):
        assert list(packaged(path, kind)) == list(from_lines(path, kind)), path


@pytest.mark.parametrize(
    ("line", "who"),
    [
        ("pvestatd[12]: storage is not online", ["pvestatd"]),
        ("ERROR cinder.volume.manager Failed to initialize driver.", ["cinder"]),
        ("controller: connection failed", []),  # an ordinary word
        ("error-" * 10_000, []),
    ],
)
def test_who_speaks_by_the_beginning_of_a_message(line, who):
    known = Speakers(speakers(DATA / "speakers.jsonl"))
    assert [name for name in who if name in known.scope(line, ())] == who
    assert bool(known.scope(line, ())) is bool(who)
