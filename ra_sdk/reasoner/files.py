"""A model's files: the GGUF, the adapter that belongs on it, and what tells them from others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ra_sdk.errors import ModelError
from ra_sdk.reasoner.bases import base, cache, digest, hub
from ra_sdk.reasoner.llama_cpp import requantise
from ra_sdk.reasoner.tiers import KIND, TIERS, Tier, chosen

__all__ = ["ADAPTERS", "BASE_PACKAGE", "KIND", "ModelFiles", "adapter_of", "digest", "resolve"]

BASE_PACKAGE = TIERS["edge"].packages[0][0]
ADAPTERS = Path(__file__).parent.parent / "model"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A GGUF and, on the base of a tier only, the adapter that ships with ra-sdk.

    ``kind``: the type that its weights are run in, if not their own. ``sha256``: the GGUF's digest, if it is known already.
    """

    path: Path
    adapter: Path | None = None
    kind: str | None = None
    sha256: str | None = None

    def ready(self) -> Path:
        """The GGUF to load: itself, or its requantised form in the user's cache, made when it is first asked for. Raises ModelError."""
        if self.kind is None:
            return self.path
        made = cache() / f"{self.path.stem}-{digest(self.path)[:16]}-{self.kind.lower()}.gguf"
        if not made.is_file():
            self._write(made, self.kind)
        return made

    def digest(self) -> str:
        """What tells these files from others, wherever they lie."""
        return ":".join([self.sha256 or digest(self.path), self.kind or "", digest(self.adapter) if self.adapter else ""])

    def _write(self, made: Path, kind: str) -> None:
        try:
            requantise(self.path, made, kind)
        except OSError as error:
            reason = f"the model's {kind} form cannot be written to {str(made.parent)!r}: {error.strerror}"
            raise ModelError(f"{reason}; set XDG_CACHE_HOME to a directory that can be written") from error


def resolve(model: str | Path | None, adapter: str | Path | None = None) -> ModelFiles:
    """The files of ``model``: a tier ("edge", "standard"), a GGUF's path, ``hf:owner/repository/file.gguf``; None: as ``ra_sdk.reasoner.tiers.chosen`` says.

    ``adapter``: another LoRA adapter (GGUF); "none" for the bare base. The base of a tier may be put together here, but is not fetched. Raises ModelError.
    """
    named = chosen(model).model
    tier = TIERS.get(named)
    own = None if adapter is None or str(adapter) == "none" else _there(Path(adapter))
    if tier is None:
        path = _there(_hub(named) if named.startswith("hf:") else Path(named))
        return ModelFiles(_checked(path), own)
    if adapter is None:
        own = _shipped(tier)
    return ModelFiles(_checked(base(tier)), own, tier.kind, tier.sha256)


def adapter_of(tier: Tier) -> Path | None:
    """The tier's adapter, if this installation has it."""
    path = ADAPTERS / f"{tier.name}.gguf"
    return path if path.is_file() else None


def _shipped(tier: Tier) -> Path:
    found = adapter_of(tier)
    if found is None:
        has = [name for name, other in TIERS.items() if adapter_of(other)]
        reason = f"model {tier.name!r} has no adapter in this installation, and is not trained for logs without one"
        remedy = f"take {' or '.join(has)}" if has else "install a release of ra-sdk that ships one"
        raise ModelError(f'{reason}; {remedy}, give adapter= the path of one, or adapter="none" for the bare base')
    return found


def _there(file: Path) -> Path:
    if not file.is_file():
        reason = "is a directory" if file.is_dir() else "does not exist"
        raise ModelError(f"model {str(file)!r} {reason}; give {', '.join(TIERS)} or the path of a GGUF file, or leave it out for the default model")
    return file


def _hub(name: str) -> Path:
    """The file of the Hugging Face hub that a model's name says."""
    owner, _, rest = name.removeprefix("hf:").partition("/")
    repository, _, file = rest.partition("/")
    if not (owner and repository and file.endswith(".gguf")):
        raise ModelError(f"model {name!r} names no file of the hub; write hf:owner/repository/file.gguf")
    return hub(f"{owner}/{repository}", file)


def _checked(path: Path) -> Path:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(f"model {str(path)!r} cannot be read: {error.strerror}; check its permissions") from error
    if magic != b"GGUF":
        raise ModelError(f"model {str(path)!r} is no GGUF file, it begins with {magic!r}; give a model in GGUF form")
    return path
