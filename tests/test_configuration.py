"""Configuration files, the options of all commands, and what is kept on the machine."""

import json
import logging
import os

import pytest

from ra_sdk import Verdict, VerdictStore
from ra_sdk.cli.app import main
from ra_sdk.cli.general import in_front

FILE = """
model = "echo"
store = ":memory:"
[detect]
output = "jsonl"
fail_on = "abnormal"
[knowledge.list]
kind = "phrase"
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    work = tmp_path / "work" / "deep"
    work.mkdir(parents=True)
    (work / "app.log").write_text("disk sda failed\nall good\n")
    monkeypatch.chdir(work)
    monkeypatch.delenv("RA_CONFIG", raising=False)
    return work


def ra(capsys, *args):
    code = main(list(args))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("ra_sdk.toml", FILE),
        ("../ra_sdk.toml", FILE),
        (
            "../pyproject.toml",
            FILE.replace("model =", "[tool.ra_sdk]\nmodel =").replace("[detect]", "[tool.ra_sdk.detect]").replace("[know", "[tool.ra_sdk.know"),
        ),
    ],
)
def test_a_file_gives_defaults(here, capsys, place, text):
    (here / place).write_text(text)
    code, out, _ = ra(capsys, "detect", "app.log")
    assert code == 3
    assert [json.loads(line)["label"] for line in out.splitlines()] == ["abnormal", "normal"]


def test_a_file_of_the_user_comes_last(here, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("RA_CONFIG_DIR", str(tmp_path))
    (tmp_path / "config.toml").write_text(FILE)
    assert ra(capsys, "detect", "app.log")[0] == 3
    (here / "ra_sdk.toml").write_text('model = "echo"\nstore = ":memory:"')
    assert ra(capsys, "detect", "app.log")[0] == 0


def test_what_is_nearer_wins(here, capsys, monkeypatch):
    (here / "ra_sdk.toml").write_text('model = "no-such-model"\n[detect]\nmodel = "nor-this"')
    assert "nor-this" in ra(capsys, "detect", "app.log")[2]
    assert "no-such-model" in ra(capsys, "judge", "x")[2]
    monkeypatch.setenv("RA_MODEL", "no-model-either")
    assert "no-model-either" in ra(capsys, "detect", "app.log")[2]
    assert ra(capsys, "detect", "app.log", "--model", "echo", "--store", ":memory:")[0] == 0


def test_a_file_may_be_named(here, capsys, monkeypatch):
    (here / "other.toml").write_text(FILE)
    assert ra(capsys, "--config", "other.toml", "detect", "app.log")[0] == 3
    assert ra(capsys, "detect", "app.log", "--config=other.toml")[0] == 3
    monkeypatch.setenv("RA_CONFIG", "other.toml")
    assert ra(capsys, "detect", "app.log")[0] == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modell = 1", "'modell' is not an option or a command of ra; did you mean model?"),
        ("[detekt]\nmodel = 1", "'detekt' is not an option or a command of ra; did you mean detect?"),
        ("[detect]\nportt = 1", "'detect.portt' is not an option or a command of ra"),
        ("[detect]\nversion = true", "'detect.version' is not an option"),
        ("model = ", "is not valid TOML"),
        ("threshold = 'much'", "'much'"),
        ("[detect]\noutput = 'xml'", "'xml'"),
    ],
)
def test_a_mistake_in_a_file_is_named(here, capsys, text, said):
    (here / "ra_sdk.toml").write_text(text)
    code, _, err = ra(capsys, "detect", "app.log", "--model", "echo", "--store", ":memory:")
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_a_missing_file_that_was_named_is_an_error(here, capsys):
    code, _, err = ra(capsys, "--config", "none.toml", "detect", "app.log")
    assert (code, "none.toml: cannot be read" in err) == (2, True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_not_used(here, capsys, monkeypatch):
    (here / "ra_sdk.toml").write_text(FILE)
    os.chown(here / "ra_sdk.toml", 12345, 12345)
    code, _, err = ra(capsys, "detect", "app.log", "--model", "echo", "--store", ":memory:")
    assert (code, "belongs to another user" in err) == (0, True)
    assert ra(capsys, "--config", "ra_sdk.toml", "detect", "app.log")[0] == 3


def test_what_is_set_is_shown_with_its_source(here, capsys, monkeypatch):
    (here / "ra_sdk.toml").write_text(FILE)
    monkeypatch.setenv("RA_MODEL", "edge")
    _, out, _ = ra(capsys, "config", "--json")
    shown = json.loads(out)
    values = {(row["command"], row["option"]): (row["value"], row["from"]) for row in shown["options"]}
    assert shown["file"] == str(here / "ra_sdk.toml")
    assert values["detect", "model"] == ("edge", "RA_MODEL")
    assert values["detect", "fail-on"] == ("abnormal", shown["file"])
    assert values["knowledge list", "kind"] == ("phrase", shown["file"])
    assert ("detect", "window") not in values
    assert "detect   " in ra(capsys, "config", "--all")[1]


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        ("detect a.log -v", "-v detect a.log"),
        ("detect a.log --color never --log-level=debug x", "--color never --log-level=debug detect a.log x"),
        ("judge -- -v", "judge -- -v"),
        ("detect a.log --color", "detect a.log --color"),
    ],
)
def test_options_of_all_commands_may_stand_anywhere(given, ordered):
    assert in_front(given.split()) == ordered.split()


@pytest.mark.parametrize(("flags", "level"), [([], "WARNING"), (["-v"], "INFO"), (["-q"], "ERROR"), (["--log-level", "debug"], "DEBUG")])
def test_levels(here, capsys, monkeypatch, flags, level):
    seen = []
    monkeypatch.setattr("ra_sdk.cli.app._list", lambda *_: seen.append(logging.getLogger("ra_sdk").level))
    assert ra(capsys, "plugins", *flags)[0] == 0
    assert [logging.getLevelName(number) for number in seen] == [level]
    assert logging.getLogger("ra_sdk").level == logging.NOTSET


def test_levels_that_contradict_each_other(here, capsys):
    code, _, err = ra(capsys, "plugins", "-v", "-q")
    assert (code, "--verbose and --quiet contradict each other" in err) == (2, True)


@pytest.mark.parametrize(("color", "coloured"), [("always", True), ("never", False), ("auto", False)])
def test_colours(here, capsys, color, coloured):
    out = ra(capsys, "detect", "app.log", "--model", "echo", "--store", ":memory:", "--color", color)[1]
    assert ("\x1b[" in out) is coloured


def test_the_cache_is_listed_and_cleared(here, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = ra(capsys, "cache", "path")[1].strip()
    assert json.loads(ra(capsys, "cache", "list", "--json")[1]) == {"directory": root, "files": []}
    with VerdictStore() as store:
        store.put([Verdict("disk failed", "abnormal", 0.9, mode="direct")], "digest", "direct")
        store.override("all good", "abnormal")
    models = tmp_path / "cache" / "ra_sdk" / "models"
    models.mkdir(parents=True)
    (models / "small.gguf").write_bytes(b"GGUF")
    kinds = [row["kind"] for row in json.loads(ra(capsys, "cache", "list", "--json")[1])["files"]]
    assert kinds == ["verdicts", "model"]
    assert ra(capsys, "cache", "clear")[0] == 2
    assert "1 verdicts cleared; 1 corrections by operators stay" in ra(capsys, "cache", "clear", "--verdicts")[1]
    with VerdictStore() as store:
        assert (len(store), len(store.overrides())) == (0, 1)
    assert "1 models removed" in ra(capsys, "cache", "clear", "--models")[1]
    assert not list(models.iterdir())


def test_the_shell_is_told_what_could_come_next(here, capsys, monkeypatch):
    monkeypatch.setenv("_RA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "ra mod")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out.split() == ["model"]
