"""The command line, tried as a user would: what it prints, how it fails, and the exit codes."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ra_sdk import __version__, hookimpl
from ra_sdk.cli.app import main
from ra_sdk.errors import StoreError

SHOP = Path(__file__).resolve().parent.parent / "examples" / "shop"
KEYS = [
    *["source", "line", "last_line", "timestamp", "severity", "body", "attributes", "template"],
    *["label", "score", "category", "rationale", "evidence", "reason_source", "knowledge", "checks", "links", "grounded", "mode", "cached"],
]
LOG = "".join(f"2026-03-14T22:00:{i:02d}Z INFO served request {i}\n" for i in range(1, 41)) + "2026-03-14T22:01:00Z ERROR disk sda failed\n"


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "app.log"
    path.write_text(LOG)
    return str(path)


@pytest.fixture
def ra(capfd, monkeypatch):
    """Runs the command in this process, with the echo model; returns exit code, stdout, stderr."""
    monkeypatch.setenv("RA_MODEL", "echo")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args):
        code = main([str(arg) for arg in args])
        out, err = capfd.readouterr()
        return code, out, err

    return run


def environment():
    return {**os.environ, "RA_MODEL": "echo", "COLUMNS": "200", "PYTHONPATH": os.pathsep.join(sys.path)}


def command(*args, **more):
    """The command as a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "ra_sdk", *map(str, args)], **{"env": environment(), "stdout": -1, "stderr": -1, "text": True} | more)


def test_the_table_says_what_is_wrong_and_what_it_took(ra, log):
    code, out, err = ra("detect", log, "--store", ":memory:")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "Abnormal: 1 template, 1 record"
    assert lines[2].split()[-2:] == ["1", f"{log}:41"]
    assert lines[3].strip() == "disk sda failed"
    assert "Normal: 1 template, 40 records" in out
    assert "41 lines, 41 records, 2 templates; " in out
    assert "2 model calls, 0 verdicts from the store; model: echo" in out
    assert "\x1b" not in out


def test_the_second_run_needs_no_model(ra, log, tmp_path):
    for judged, cached in ((2, 0), (0, 2)):
        code, out, _ = ra("detect", log, "--store", tmp_path / "v.db")
        assert code == 0
        assert f"{judged} model calls, {cached} verdicts from the store" in out
    _, out, _ = ra("detect", log, "--store", tmp_path / "v.db", "--output", "jsonl")
    assert all(json.loads(line)["cached"] for line in out.splitlines())


def test_jsonl_keeps_its_contract(ra, log):
    code, out, err = ra("detect", log, "--store", ":memory:", "--output", "jsonl")
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert all(list(row) == KEYS for row in rows)
    assert [row["line"] for row in rows] == list(range(1, 42))
    last = rows[-1]
    assert (last["source"], last["body"], last["severity"], last["label"]) == (log, "disk sda failed", "ERROR", "abnormal")
    assert last["timestamp"].startswith("2026-03-14T22:01:00")
    assert last["timestamp"].endswith(("Z", "+00:00"))
    assert 0.5 <= last["score"] <= 1
    assert last["cached"] is False


def test_sessions_have_their_keys_and_evidence(ra, log):
    code, out, _ = ra("detect", log, "--store", ":memory:", "--output", "sessions", "--window", "20")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert all(list(row) == ["source", "first_line", "last_line", "key", "label", "score", "evidence"] for row in rows)
    assert [(row["first_line"], row["last_line"], row["label"]) for row in rows] == [
        (1, 20, "normal"),
        (21, 40, "normal"),
        (41, 41, "abnormal"),
    ]
    assert [list(row) for row in rows[2]["evidence"]] == [KEYS]


@pytest.mark.parametrize("window", ["20", "60s", "5m", "1h", "key=host"])
def test_windows(ra, log, window):
    code, out, _ = ra("detect", log, "--store", ":memory:", "--output", "sessions", "--window", window)
    assert code == 0
    assert "abnormal" in {json.loads(line)["label"] for line in out.splitlines()}


@pytest.mark.parametrize(("key", "warned"), [("trace", False), ("nope", True)])
def test_a_key_that_no_record_has_is_named(ra, tmp_path, key, warned):
    path = tmp_path / "app.log"
    path.write_text('{"msg":"a ok","trace":"1"}\n{"msg":"b failed"}\n')
    code, out, err = ra("detect", path, "--store", ":memory:", "--output", "sessions", "--window", f"key={key}")
    assert code == 0
    assert len(out.splitlines()) == (1 if warned else 2)
    assert (f"no record has an attribute {key!r}" in err) is warned


def test_sinks_get_every_record_of_every_source(ra, log, tmp_path):
    code, out, _ = ra("detect", log, log, "--store", ":memory:", "--output", "none", "--to", f"jsonl:{tmp_path / 'out.jsonl'}")
    assert (code, out) == (0, "")
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 82


def test_standard_input(log):
    with Path(log).open() as file:
        out, err = command("detect", "-", "--store", ":memory:", "--output", "jsonl", stdin=file).communicate()
    assert (len(out.splitlines()), err) == (41, "")


def test_fail_on_abnormal(ra, log, tmp_path):
    fine = tmp_path / "fine.log"
    fine.write_text("served request 1\n")
    assert ra("detect", fine, "--store", ":memory:", "--output", "none", "--fail-on", "abnormal")[0] == 0
    assert ra("detect", log, "--store", ":memory:", "--output", "none", "--fail-on", "abnormal")[0] == 3
    assert ra("detect", log, "missing.log", "--store", ":memory:", "--output", "none", "--fail-on", "abnormal")[0] == 1


FAULTS = {  # command -> exit code, what the one line says
    "detect missing.log": (1, "missing.log"),
    "detect nosuch://host": (2, "nosuch"),
    "detect app.log --to nosuch://host": (2, "nosuch"),
    "detect app.log --to jsonl:missing/out.jsonl": (1, "missing/out.jsonl"),
    "detect app.log --format sislog": (2, "sislog"),
    "detect app.log --model /nope.gguf": (1, "/nope.gguf"),
    "detect app.log --store .": (1, "."),
    "detect app.log --threshold 7": (2, "7"),
    "detect app.log --threshold much": (2, "'much'"),
    "detect app.log --sensitivity medium": (2, "'low', 'default', 'high'"),
    "detect app.log --threads 0": (2, "not '0'"),
    "detect app.log --to jsonl:app.log": (2, "'jsonl:app.log' is the source"),
    "detect file:app.log --to jsonl:./app.log": (2, "'jsonl:./app.log' is the source"),
    "detect app.log --store app.log": (2, "'app.log' is the source"),
    "detect app.log --to jsonl:x --state x": (2, "'jsonl:x' and 'x' are the same file"),
    "detect app.log --to jsonl:x --to jsonl:./x": (2, "'jsonl:x' and 'jsonl:./x' are the same file"),
    "detect app.log --checkpoint y --state y": (2, "are the same file, which cannot serve two purposes"),
    "detect app.log --state app.log/x": (1, "app.log/x"),
    "detect app.log --state /proc/nowhere/x": (1, "/proc/nowhere/x"),
    "detect app.log --state .": (1, "choose another path"),
    "templates app.log --state app.log/x": (1, "app.log/x"),
    "detect app.log --window 12x": (2, "'12x'"),
    "detect app.log --output sessions": (2, "--window"),
    "detect app.log --output xml": (2, "'xml' is not one of"),
    "detect app.log --mode guess": (2, "guess"),
    "detect app.log --plugin-option x": (2, "NAME=VALUE"),
    "detect app.log --plugin-option chekpoint=x": (2, "did you mean checkpoint?"),
    "detect app.log app.log --output none --plugin-option column=message": (2, "column=message is unknown to all sources and sinks"),
    "detect app.log --plugin-option follow=yes": (2, "write --follow"),
    "detect app.log --window 100": (2, "--window 100 has no effect with --output table"),
    "detect app.log --window 60s --output jsonl": (2, "add --output sessions"),
    "detect app.log --all --output jsonl": (2, "--all has no effect with --output jsonl"),
    "detect app.log --width 4": (2, "--width has no effect with --model echo"),
    "detect app.log --gpu-layers -1 --model echo": (2, "--gpu-layers has no effect"),
    "judge x --backend cuda": (2, "'cuda' is not one of 'native', 'wheel'"),
    "judge x --threads 2": (2, "--threads has no effect"),
    "bench app.log --width 2": (2, "--width has no effect"),
    "serve --context 99": (2, "--context has no effect"),
    "detect app.log --folow": (2, "--follow"),
    "detct app.log": (2, "detect"),
    "model inof": (2, "info"),
    "detect app.log --nosuch": (2, "--nosuch"),
    "detect": (2, "SOURCE"),
    "judge": (2, "LINE"),
    "nosuch": (2, "nosuch"),
    "templates missing.log": (1, "missing.log"),
    "model info --model /nope.gguf": (1, "/nope.gguf"),
}


@pytest.mark.parametrize("line", FAULTS)
def test_a_fault_is_one_clear_line(ra, log, line, monkeypatch):
    monkeypatch.chdir(Path(log).parent)
    code, expected = FAULTS[line]
    store = ["--store", ":memory:"] if line.startswith("detect ") and "--store" not in line else []
    found, out, err = ra(*line.split(), *store)
    assert found == code
    assert out.count("Abnormal") == 0
    assert err.startswith("ra: ")
    assert err.count("\n") == 1
    assert expected in err
    assert "Value error" not in err
    assert Path(log).read_text() == LOG


def test_what_was_found_is_shown_though_the_end_fails(ra, log, tmp_path, monkeypatch):
    def full(miner, path):
        raise StoreError(f"state {path} cannot be written: No space left on device; choose another path")

    monkeypatch.setattr("ra_sdk.templates.miner.Miner.save", full)
    code, out, err = ra("detect", log, "--store", ":memory:", "--state", tmp_path / "state", "--fail-on", "abnormal")
    assert code == 1
    assert out.startswith("Abnormal: 1 template, 1 record\n")
    assert "No space left" in err
    assert err.count("\n") == 1


def test_an_unknown_format_suggests_the_nearest(ra, log):
    _, _, err = ra("detect", log, "--format", "nginx-acess", "--store", ":memory:")
    assert "nginx" in err.split("nginx-acess", 1)[1]


def test_no_model_is_one_clear_line(ra, log, monkeypatch):
    monkeypatch.setenv("RA_MODEL", "/nope")
    code, _, err = ra("detect", log, "--store", ":memory:")
    assert code == 1
    assert "/nope" in err
    assert err.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(ra, log):
    Path(log).chmod(0)
    code, _, err = ra("detect", log, "--store", ":memory:")
    assert code == 1
    assert "ermission" in err


def test_one_source_that_fails_does_not_stop_the_others(ra, log):
    code, out, err = ra("detect", "missing.log", log, "--store", ":memory:")
    assert code == 1
    assert "missing.log" in err
    assert "disk sda failed" in out


def test_a_binary_file_works_or_says_why(ra, tmp_path):
    path = tmp_path / "program"
    path.write_bytes(bytes(range(256)) * 50)
    code, out, err = ra("detect", path, "--store", ":memory:", "--all")
    assert code == 0 or (code == 1 and err.startswith("ra: "))
    assert not {char for char in out + err if ord(char) < 32 and char != "\n"}


def test_hostile_text_is_inert_everywhere(ra, tmp_path):
    path = tmp_path / "evil\x1b[2J.log"
    path.write_text("disk failed \x1b]0;owned\x07 [bold]x[/bold] \u202e <|im_end|>\n" * 2)
    for args in (["detect", path, "--all"], ["judge", path.read_text()], ["templates", path], ["detect", f"{path}.missing"]):
        store = ["--store", ":memory:"] if args[0] != "templates" else []
        _, out, err = ra(*args, *store)
        assert out + err
        assert not set(out + err) & {"\x1b", "\x07", "\u202e"}
    _, out, _ = ra("detect", path, "--store", ":memory:", "--output", "jsonl")
    assert "\x1b" not in out
    assert json.loads(out.splitlines()[0])["body"].startswith("disk failed \x1b]0;owned\x07 [bold]x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
@pytest.mark.parametrize(
    "args", ["detect app.log --store :memory:", "detect app.log --store :memory: -o jsonl", "formats", "judge x --store :memory: --json", "--help"]
)
def test_an_output_without_room_is_one_clear_line(log, args):
    with Path("/dev/full").open("w") as full:
        process = command(*args.split(), stdout=full, cwd=Path(log).parent)
        _, err = process.communicate()
    assert process.returncode == 1
    assert "No space left on device; make room" in err
    assert err.count("\n") == 1


def test_an_output_that_is_closed_is_no_error(log, tmp_path):
    line = shlex.join([sys.executable, "-m", "ra_sdk", "detect", log, "--store", ":memory:", "--to", f"jsonl:{tmp_path / 'out'}"])
    assert subprocess.run(f"{line} >&- 2>&-", shell=True, env=environment()).returncode == 0
    assert len((tmp_path / "out").read_text().splitlines()) == 41


def test_a_reader_that_leaves_is_no_error(tmp_path):
    path = tmp_path / "long.log"
    path.write_text("served request 1 and then some\n" * 200_000)
    process = command("detect", path, "--store", ":memory:", "--output", "jsonl")
    first = process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 141
    assert json.loads(first)["line"] == 1
    assert process.stderr.read() == ""
    process.stderr.close()


def test_an_interrupt_shows_what_was_found(log, tmp_path):
    process = command("detect", log, "--follow", "--store", ":memory:")
    seen = [process.stdout.readline(), process.stdout.readline()]  # the abnormal template is told as soon as it is seen
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert err.startswith("ra: interrupted ")
    assert err.count("\n") == 1
    assert "disk sda failed" in seen[1]
    assert "Abnormal: 1 template, 1 record" in out
    assert "41 lines" in out


def test_follow_with_sessions_and_sinks(log, tmp_path):
    process = command("detect", log, "--follow", "--store", ":memory:", "--output", "jsonl")
    rows = [json.loads(process.stdout.readline()) for _ in range(41)]
    with Path(log).open("a") as file:
        file.write("2026-03-14T22:02:00Z ERROR disk sdb failed\n")
    more = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert (rows[-1]["line"], more["line"], more["body"]) == (41, 42, "disk sdb failed")


def test_judge_shows_the_whole_reasoning(ra):
    code, out, _ = ra("judge", "disk sda failed after 31 errors", "--store", ":memory:")
    fields = dict(line.split(None, 1) for line in out.splitlines())
    assert code == 0
    assert fields["template"] == "disk sda failed after <num> errors"
    assert fields["label"] == "abnormal"
    assert {"score", "rationale", "grounded", "mode", "model", "cached"} <= set(fields)


def test_judge_as_json_and_from_the_store(ra, tmp_path):
    for cached in (False, True):
        _, out, _ = ra("judge", "disk sda failed", "--json", "--store", tmp_path / "v.db")
        found = json.loads(out)
        assert (found["label"], found["cached"], found["mode"]) == ("abnormal", cached, "direct")
    assert json.loads(ra("judge", "disk sda failed", "--json", "--think", "--store", tmp_path / "v.db")[1])["mode"] == "think"


def test_templates_counts_without_a_model(ra, log, monkeypatch):
    monkeypatch.setenv("RA_MODEL", "/nope")
    code, out, _ = ra("templates", log)
    assert code == 0
    assert [line.split(None, 1) for line in out.splitlines()] == [
        ["count", "template"],
        ["40", "served request <num>"],
        ["1", "disk sda failed"],
    ]
    rows = [json.loads(line) for line in ra("templates", log, "--json")[1].splitlines()]
    assert rows == [{"count": 40, "template": "served request <num>"}, {"count": 1, "template": "disk sda failed"}]


def test_lists_and_info(ra):
    assert "syslog" in ra("formats")[1]
    assert "ra-sdk" in ra("plugins")[1]
    code, out, _ = ra("model", "info")
    assert code == 0
    assert "echo" in out.lower()
    assert ra("--version")[1] == f"ra {__version__}\n"


@pytest.mark.parametrize("args", [["--version"], ["--version", "detect"], ["--version", "nosuch", "--what"]])
def test_the_version_comes_before_all_else(ra, args):
    assert ra(*args) == (0, f"ra {__version__}\n", "")


def test_plugins_options_reach_their_plugin(ra, log, tmp_path, monkeypatch):
    asked = []

    class Plugin:
        @hookimpl
        def ra_sdk_open_source(self, url, options):
            asked.append(options.get("column"))

    from ra_sdk import detector

    make = detector.PluginSet
    monkeypatch.setattr(detector, "PluginSet", lambda plugins: make([*plugins, Plugin()]))
    assert ra("detect", log, "--store", ":memory:", "-o", "none", "--plugin-option", "column=message") == (0, "", "")
    assert asked == ["message"]
    code, _, err = ra("detect", log, "--store", ":memory:", "-o", "none", "--plugin-option", "colum=message")
    assert (code, "did you mean column?" in err) == (2, True)


def test_troubles_are_told_and_the_exit_code_says_so(ra, log, monkeypatch):
    def full(*_):
        raise StoreError("store 'v.db' cannot be used: database or disk is full; choose another with --store PATH")

    monkeypatch.setattr("ra_sdk.verdicts.store.VerdictStore.put", full)
    code, out, err = ra("detect", log, "--store", ":memory:")
    assert code == 1
    assert out.startswith("Abnormal: 1 template, 1 record\n")
    assert (
        err
        == "ra: warning: 2 verdicts are not kept for the next run: store 'v.db' cannot be used: database or disk is full; choose another with --store PATH\n"
    )


@pytest.mark.parametrize("args", [[], ["--help"], ["detect", "--help"], ["judge", "-h"], ["templates", "-h"], ["model"], ["model", "info", "-h"]])
def test_help_is_help(ra, args):
    code, out, err = ra(*args)
    assert (code, err) == (0, "")
    assert "Usage: ra" in out


def test_help_names_every_exit_code(ra):
    out = ra("--help")[1]
    assert all(f"{code} " in out for code in (0, 1, 2, 3, 130, 141))


def test_help_loads_nothing_heavy():
    heavy = {"polars", "drain3", "llama_cpp", "rich", "pluggy"}
    code = f"import sys; from ra_sdk.cli.app import main; main(['--help']); print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_the_example_logs_are_read_whole(ra):
    paths = sorted(SHOP.glob("*.log"))
    code, out, err = ra("detect", *paths, "--store", ":memory:", "--output", "jsonl")
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert sum(row["last_line"] - row["line"] + 1 for row in rows) == sum(len(path.read_text().splitlines()) for path in paths)
    assert all(row["timestamp"] for row in rows)
    trace = next(row for row in rows if "CertificateExpired" in row["body"])
    assert trace["last_line"] - trace["line"] == 8


def test_bench_measures_a_part_and_tells_how_long_the_whole_will_take(ra, log):
    code, out, err = ra("bench", log, "--json", "--lines", "10", "--sample", "3")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["lines"] == 10
    assert found["model_calls"] == found["templates"] == 1
    assert found["share_read"] == pytest.approx(len("".join(LOG.splitlines(True)[:10])) / len(LOG), abs=0.001)
    assert found["first_pass_s"] > 0
    assert found["second_pass_s"] > 0
    assert found["tokens_per_s"] is None


@pytest.mark.parametrize(("content", "message"), [(None, "No such file"), ("", "holds no line to measure with"), ("\0" * 99, "looks binary")])
def test_bench_needs_a_log(ra, tmp_path, content, message):
    path = tmp_path / "x.log"
    if content is not None:
        path.write_text(content)
    code, _, err = ra("bench", path)
    assert code == 1
    assert message in err
    assert repr(str(path)) in err


@pytest.mark.parametrize(
    ("arguments", "endpoint", "token"),
    [
        ([], "http://127.0.0.1:8765", False),
        (["--port", "9000"], "http://127.0.0.1:9000", False),
        (["--host", "::1"], "http://[::1]:8765", False),
        (["--tokens", "t.json"], "http://127.0.0.1:8765", True),
        (["--host", "logs.example.com", "--cert", "c.pem"], "https://logs.example.com:8765", True),
        (["--host", "0.0.0.0"], f"http://{socket.gethostname()}:8765", True),
    ],
)
def test_the_configuration_of_a_collector_fits_the_service(ra, arguments, endpoint, token):
    code, out, err = ra("serve", *arguments, "--print-collector-config")
    assert (code, err) == (0, "")
    assert f"endpoint: {endpoint}\n" in out
    assert out.count("bearertokenauth") == (3 if token else 0)


def test_the_configuration_of_a_collector_needs_a_fixed_port(ra):
    code, out, err = ra("serve", "--port", "0", "--print-collector-config")
    assert (code, out) == (2, "")
    assert "`--port` must be a fixed one" in err


def test_without_a_model_keywords_take_its_place(ra, log, monkeypatch):
    monkeypatch.delenv("RA_MODEL", raising=False)
    monkeypatch.delenv("RA_BACKEND", raising=False)
    monkeypatch.setattr("ra_sdk.reasoner.llama_library.find_spec", lambda _: None)
    monkeypatch.setattr("ra_sdk.reasoner.bases.files", lambda _: [])
    code, out, err = ra("detect", log, "--store", ":memory:", "--threads", "1")
    assert code == 0
    assert "model: keywords (no model)" in out
    assert "Until then, keywords take the place of the model" in err
    assert "pip install" in err
    assert ra("detect", log, "--store", ":memory:", "--model", "edge")[0] == 1, "what was asked for is not replaced"
    assert ra("detect", log, "--store", ":memory:", "--model", "keywords")[::2] == (0, "")
