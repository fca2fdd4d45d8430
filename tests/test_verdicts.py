import os
import sqlite3
import stat
import subprocess
import sys
import threading
import warnings
from contextlib import closing
from pathlib import Path

import pytest

from ra_sdk.errors import BadOption, StoreError
from ra_sdk.records import Verdict
from ra_sdk.verdicts import database as module
from ra_sdk.verdicts.store import StoreWarning, VerdictStore, store_key

ROOT = Path(module.__file__).parents[2]
BAD = Verdict("disk <path> failed", "abnormal", 0.93, "hardware", '"failed" says so', True, "direct", "small")
FINE = Verdict("all <num> is well", "normal", 0.02, mode="direct")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "verdicts.db"


def run(code, *arguments):
    """Python in another process, as another user of the store."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def aside(path):
    return sorted(p.name for p in path.parent.glob("*.corrupt-*") if not p.name.endswith(("-wal", "-shm")))


@pytest.mark.parametrize("place", [":memory:", "file"])
def test_what_is_put_is_got(place, path):
    with VerdictStore(place if place == ":memory:" else path) as store:
        store.put([BAD, FINE], "d1", "direct")
        assert store.get([FINE.template, "other", BAD.template, BAD.template], "d1", "direct") == [FINE, None, BAD, BAD]
        assert len(store) == 2
        assert store
    with VerdictStore(place if place == ":memory:" else str(path)) as store:
        assert store.get([BAD.template], "d1", "direct") == [BAD if place == "file" else None]


def test_a_verdict_does_not_outlive_what_it_was_made_of(monkeypatch):
    with VerdictStore(":memory:") as store:
        store.put([BAD], "d1", "direct")
        assert store.get([BAD.template], "d2", "direct") == [None]
        assert store.get([BAD.template], "d1", "think") == [None]
        monkeypatch.setattr("ra_sdk.verdicts.store.PROMPT_VERSION", "next")
        assert store.get([BAD.template], "d1", "direct") == [None]


def test_keys_are_unambiguous():
    parts = [
        ("a", "b", "c"),
        ("ab", "", "c"),
        ("a", "bc", ""),
        ('a","b', "", "c"),
        ("a\0b", "", "c"),
        ("", "ab", "c"),
        ("é", "b", "c"),
        ("\\u00e9", "b", "c"),
        ("\udce9", "b", "c"),
    ]
    assert len({store_key(*part) for part in parts}) == len(parts)
    assert store_key("a", "b", "c") == store_key("a", "b", "c")
    assert len(store_key("a", "b", "c")) == 64


def test_undecided_is_not_kept_and_nothing_costs_nothing():
    with VerdictStore(":memory:") as store:
        store.put([Verdict("x"), Verdict("y", "maybe")], "d", "direct")
        store.put([], "d", "direct")
        assert store.get([], "d", "direct") == []
        assert (len(store), store.statements) == (0, 1)


def test_the_first_writer_wins():
    with VerdictStore(":memory:") as store:
        store.put([BAD], "d", "direct")
        store.put([Verdict(BAD.template, "normal", 0.1, mode="direct")], "d", "direct")
        assert store.get([BAD.template], "d", "direct") == [BAD]


@pytest.mark.parametrize(("count", "statements"), [(1, 2), (500, 2), (501, 4), (2_000, 8)])
def test_few_statements(count, statements):
    with VerdictStore(":memory:") as store:
        store.put([Verdict(f"t{n}", "normal", 0.1) for n in range(count)], "d", "direct")
        before = store.statements
        assert before == 1
        assert None not in store.get([f"t{n}" for n in range(count)], "d", "direct")
        assert store.statements - before == statements


@pytest.mark.parametrize("text", ["\udcff lone", "nul \0 in it", "quote ' \" ;--", "", "日本 <num>", "x" * 100_000])
def test_any_text_is_a_template(text, path):
    with VerdictStore(path) as store:
        store.put([Verdict(text, "normal", 0.5)], "d", "direct")
        store.override(text + "!", "abnormal")
        found = store.get([text, text + "!"], "d", "direct")
        assert [verdict.label for verdict in found] == ["normal", "abnormal"]


def test_overrides_win_until_taken_back(path):
    with VerdictStore(path) as store:
        store.put([BAD], "d", "direct")
        store.override(BAD.template, "normal", rationale="planned", by="ann")
        store.override("new one", "abnormal", "network")
        planned = Verdict(BAD.template, "normal", 0.0, None, "planned", None, "override")
        new = Verdict("new one", "abnormal", 1.0, "network", None, None, "override")
        assert store.get([BAD.template, "new one"], "d", "direct") == [planned, new]
        assert store.get([BAD.template], "another model", "think") == [planned]
        assert store.overrides() == [planned, new]
        store.override("new one", "normal")
        store.forget(BAD.template)
        store.forget("never there")
        assert store.get([BAD.template], "d", "direct") == [BAD]
        assert [verdict.label for verdict in store.overrides()] == ["normal"]


@pytest.mark.parametrize(("label", "category"), [("undecided", None), ("bad", None), ("abnormal", "weather"), ("normal", "network")])
def test_an_override_that_cannot_be(label, category):
    with VerdictStore(":memory:") as store:
        with pytest.raises(BadOption, match=r"label|category"):
            store.override("x", label, category)
        assert store.overrides() == []


@pytest.mark.parametrize("variable", ["RA_STORE", "XDG_CACHE_HOME"])
def test_where_it_lies(variable, tmp_path, monkeypatch):
    monkeypatch.setenv(variable, str(tmp_path / "mine"))
    with VerdictStore() as store:
        place = Path(store.path)
    assert place == tmp_path / "mine" if variable == "RA_STORE" else place.name == "verdicts.db"
    assert place.is_file()
    assert place.is_relative_to(tmp_path) or sys.platform != "linux"


def test_it_is_private(path):
    with VerdictStore(path) as store:
        store.put([BAD], "d", "direct")
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["directory", "below a file", "NUL", "too long", "another program's", "newer"])
def test_a_path_that_cannot_be(kind, tmp_path):
    path, file = tmp_path / "store.db", tmp_path / "file"
    file.write_text("text")
    if kind == "directory":
        path.mkdir()
    elif kind in ("another program's", "newer"):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE people (name)")
            connection.execute(f"PRAGMA application_id = {module.APPLICATION if kind == 'newer' else 0}")
            connection.execute("PRAGMA user_version = 99")
    place = {"below a file": file / "x.db", "NUL": "a\0b", "too long": tmp_path / ("x" * 5000)}.get(kind, path)
    with pytest.raises(StoreError, match=r"(?s)store '.*(choose another with --store|upgrade).*") as caught:
        VerdictStore(place)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir() if "corrupt" in p.name) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_no_permission(kind, path):
    VerdictStore(path).close()
    locked = path if kind == "file" else path.parent
    locked.chmod(0o500)
    try:
        with pytest.raises(StoreError, match=":memory:"):
            VerdictStore(path if kind == "file" else path.parent / "new.db")
    finally:
        locked.chmod(0o700)


def test_a_closed_store_says_so(path):
    store = VerdictStore(path)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.get(["x"], "d", "direct")


NEXT = ("ALTER TABLE overrides ADD COLUMN ticket TEXT", "UPDATE overrides SET ticket = 'none'")


def test_an_older_file_is_migrated(path, monkeypatch):
    with VerdictStore(path) as store:
        store.put([BAD], "d", "direct")
        store.override("mine", "abnormal", "system")
    monkeypatch.setattr(module, "MIGRATIONS", (*module.MIGRATIONS, NEXT))
    with VerdictStore(path) as store:
        assert [verdict.label for verdict in store.get([BAD.template, "mine"], "d", "direct")] == ["abnormal", "abnormal"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(module.MIGRATIONS),)
        assert connection.execute("SELECT ticket FROM overrides").fetchall() == [("none",)]


def test_a_migration_that_fails_changes_nothing(path, monkeypatch):
    VerdictStore(path).close()
    monkeypatch.setattr(module, "MIGRATIONS", (*module.MIGRATIONS, (NEXT[0], "no SQL")))
    with pytest.raises(StoreError, match="syntax"):
        VerdictStore(path)
    monkeypatch.undo()
    with VerdictStore(path) as store:
        store.override("x", "normal")
        assert len(store.overrides()) == 1


HEADER = b"SQLite format 3\0" + b"\xff" * 52 + module.APPLICATION.to_bytes(4, "big")


@pytest.mark.parametrize("content", [HEADER + b"\xff" * 5000, HEADER, HEADER[:40]], ids=["damaged", "cut", "cut in its header"])
def test_a_corrupt_file_is_set_aside(content, path):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.warns(StoreWarning, match="set aside"):
        store = VerdictStore(path)
    with store:
        store.put([BAD], "d", "direct")
        assert store.get([BAD.template], "d", "direct") == [BAD]
    (name,) = aside(path)
    assert (path.parent / name).read_bytes() == content
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        VerdictStore(path).close()


FOREIGN = {
    "text": b"buy milk\n" * 200,
    "a short text": b"SQL",
    "another program's broken database": HEADER[:68] + b"\xff" * 5000,
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_not_a_store_is_refused_and_stays_as_it_is(content, path):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is not a file of ra-sdk, so it is left unchanged; choose another with --store PATH"):
        VerdictStore(path)
    assert path.read_bytes() == content
    assert {file.name for file in path.parent.iterdir()} <= {path.name, f"{path.name}.lock"}


def test_another_programs_database_is_not_changed(path):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE people (name)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program's database"):
        VerdictStore(path)
    assert path.read_bytes() == before


def test_whatever_is_broken_at_the_default_place_is_set_aside(path, monkeypatch):
    monkeypatch.setattr(module, "_default", lambda: str(path))
    path.parent.mkdir()
    path.write_bytes(b"not a database " * 100)
    with pytest.warns(StoreWarning, match="set aside"):
        VerdictStore().close()
    assert len(aside(path)) == 1


def filled(path, count=3_000):
    with VerdictStore(path) as store:
        store.override("mine", "abnormal", "system", "I know it", "ann")
        store.put([Verdict(f"template {n} " + "x" * 50, "normal", 0.1) for n in range(count)], "d", "direct")
    return path


def spoil(path):
    """Overwrite all pages but the first few, in place, as a failing disk does."""
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(5 * 4096)
        file.write(b"\xa5" * (size - 5 * 4096))


def test_corruption_that_shows_later_is_mended(path):
    spoil(filled(path))
    store = VerdictStore(path)
    names = [f"template {n} " + "x" * 50 for n in range(3_000)]
    with pytest.warns(StoreWarning, match="set aside"):
        assert set(store.get(names, "d", "direct")) == {None}
    with store:
        store.put([BAD], "d", "direct")
        assert store.get([BAD.template], "d", "direct") == [BAD]
        assert [verdict.rationale for verdict in store.overrides()] == ["I know it"]
    assert len(aside(path)) == 1


def test_another_store_of_the_process_follows(path):
    filled(path)
    with VerdictStore(path) as one, VerdictStore(path) as other:
        one.put([FINE], "d", "direct")
        spoil(path)
        names = [f"template {n} " + "x" * 50 for n in range(3_000)]
        with pytest.warns(StoreWarning):
            one.get(names, "d", "direct")
        one.put([BAD], "d", "direct")
        other.put([FINE], "d", "direct")
        assert one.get([BAD.template, FINE.template], "d", "direct") == [BAD, FINE]
        assert other.get([BAD.template, FINE.template], "d", "direct") == [BAD, FINE]
    assert len(aside(path)) == 1


def test_a_file_that_was_removed_is_begun_anew(path):
    with VerdictStore(path) as store:
        store.put([BAD], "d", "direct")
        for file in path.parent.iterdir():
            file.unlink()
        assert store.get([BAD.template], "d", "direct") == [None]
        store.put([BAD], "d", "direct")
        assert len(store) == 1
    with VerdictStore(path) as store:
        assert len(store) == 1


def test_threads_share_a_store(path):
    with VerdictStore(path) as store:

        def work(number):
            for n in range(20):
                store.put([Verdict(f"{number} {n}", "normal", 0.1)], "d", "direct")
                assert store.get([f"{number} {n}"], "d", "direct")[0] is not None

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store) == 80


WRITER = """
import sys
from ra_sdk.records import Verdict
from ra_sdk.verdicts.store import VerdictStore
path, number = sys.argv[1], int(sys.argv[2])
with VerdictStore(path) as store:
    for n in range(60):
        store.put([Verdict(f"{number} {n}", "normal", 0.1), Verdict(f"both {n}", "normal", number / 10)], "d", "direct")
        assert store.get([f"{number} {n}"], "d", "direct")[0].label == "normal"
    print([store.get([f"both {n}"], "d", "direct")[0].score for n in range(60)])
"""


def finished(processes):
    out = []
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        out.append((output, errors))
    return out


def test_processes_share_a_store(path):
    said = finished([run(WRITER, path, number) for number in range(4)])
    assert len({output for output, _ in said}) == 1, "all go on with the same verdicts"
    with VerdictStore(path) as store:
        assert len(store) == 4 * 60 + 60


def test_processes_that_find_a_corrupt_file_at_once(path):
    path.parent.mkdir()
    path.write_bytes(HEADER + b"not a page " * 1000)
    said = finished([run(WRITER, path, number) for number in range(4)])
    assert sum("StoreWarning" in errors for _, errors in said) == 1
    assert len(aside(path)) == 1
    with VerdictStore(path) as store:
        assert len(store) == 4 * 60 + 60


READER = """
import sys
from ra_sdk.records import Verdict
from ra_sdk.verdicts.store import VerdictStore
path, number = sys.argv[1], int(sys.argv[2])
with VerdictStore(path) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    store.get([f"template {n} " + "x" * 50 for n in range(3000)], "d", "direct")
    for n in range(40):
        store.put([Verdict(f"{number} {n}", "normal", 0.1)], "d", "direct")
"""


def test_processes_that_have_it_open_when_it_breaks(path):
    filled(path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(3)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    spoil(path)
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = finished(processes)
    assert sum("StoreWarning" in errors for _, errors in said) == 1
    with VerdictStore(path) as store:
        assert len(store) == 3 * 40
        assert len(store.overrides()) == 1
