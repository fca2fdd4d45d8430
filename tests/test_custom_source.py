"""The example plugin, installed as a stranger's would be."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A fresh environment that sees this one's packages, with the plugin installed in it."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", ROOT / "examples" / "custom_source"]
    subprocess.run(install, check=True, capture_output=True)
    paths = "\n".join(path for path in sys.path if path)
    (sites,) = (place / "lib").glob("python*/site-packages")
    (sites / "outer.pth").write_text(f"{paths}\n{ROOT}\n")
    return python


def ra(python, *arguments):
    return subprocess.run([python, "-m", "ra_sdk", *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.slow
def test_an_installed_plugin_opens_its_urls(python, tmp_path):
    path = tmp_path / "tickets.csv"
    path.write_text("id,message\n1,disk failed\n2,all good\n")
    done = ra(python, "detect", f"csv:{path}#message", "--output", "jsonl", "--model", "echo", "--store", ":memory:")
    assert done.returncode == 0
    assert [line.count('"label":"abnormal"') + line.count('"label": "abnormal"') for line in done.stdout.splitlines()] == [1, 0]
    assert '"id":"1"' in done.stdout.replace('": "', '":"')


@pytest.mark.slow
def test_it_is_listed_and_its_errors_are_clear(python, tmp_path):
    assert "ra-source-csv" in ra(python, "plugins").stdout
    done = ra(python, "detect", f"csv:{tmp_path / 'no.csv'}#message", "--model", "echo", "--store", ":memory:")
    assert (done.returncode, "cannot be read" in done.stderr) == (1, True)
