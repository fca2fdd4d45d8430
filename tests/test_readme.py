"""The README is executed: its commands, its Python, its links; and its output is what the command prints."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
LINES = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
RA = [line for line in LINES if line.startswith("ra ")]


@pytest.fixture
def place(tmp_path):
    """A copy of the examples, and `ra` on the path, judging with the echo model."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    command = tmp_path / "bin" / "ra"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ra_sdk.cli "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(command.parent), os.environ["PATH"]])
    return tmp_path, {
        **os.environ,
        "PATH": path,
        "RA_MODEL": "echo",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONWARNINGS": "error",
        "RA_TOKENS": str(tmp_path / "tokens"),
    }


def test_there_is_something_to_run():
    assert len(RA) > 10
    assert len(SNIPPETS) >= 2


@pytest.mark.parametrize("line", RA)
def test_commands(place, line):
    folder, environment = place
    if "--follow" in line or line.startswith("ra serve"):  # it has no end
        line = f"{line.split('#')[0]} --help"
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("code", SNIPPETS, ids=range(len(SNIPPETS)))
def test_python(place, code):
    folder, environment = place
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_service_answers_as_shown(place, serving):
    folder, environment = place
    lines = [line.replace("http://127.0.0.1:8765", serving().url) for line in LINES if line.startswith("curl ")]
    assert len(lines) >= 5
    for line in lines:
        done = subprocess.run(["bash", "-c", line.replace("curl", "curl --fail", 1)], cwd=folder, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), line
        assert done.stdout


def test_the_first_commands_are_what_the_project_has():
    install = next(line for line in LINES if "pip install" in line)
    assert "'.[model]'" in install
    assert "model = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r"^test:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_links_resolve():
    anchors = {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in anchors
        elif "://" not in target:
            assert (ROOT / target).exists(), target


def test_nothing_of_a_machine_in_it():
    assert not re.search(r"/(?:home|work|root|tmp)/", TEXT)


def _refresh():
    spec = spec_from_file_location("refresh_readme", ROOT / "tests" / "refresh_readme.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="the model extra is not installed")
def test_the_output_is_real():
    refresh = _refresh()
    said, real = refresh.printed(TEXT), refresh.first_output()
    counts = r"[\d,]+ lines, [\d,]+ records, [\d,]+ templates"
    assert re.search(counts, said)[0] == re.search(counts, real)[0]
    assert said.splitlines()[-1] == real.splitlines()[-1]  # the model's name
