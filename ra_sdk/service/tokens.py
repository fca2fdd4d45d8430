"""Bearer tokens, kept hashed in a file that is read anew when it changes.

A line is ``NAME SHA256 CREATED``. A token has 256 random bits, so that one plain SHA-256 is enough: nobody can try them out, as they
could try passwords, and a slow hash would cost every request.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from ra_sdk.config import directory
from ra_sdk.errors import BadOption, StoreError
from ra_sdk.locks import locked

__all__ = ["Tokens", "default_path", "make_token", "revoke_token"]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LINE = re.compile(rf"(?P<name>{_NAME.pattern}) (?P<hash>[0-9a-f]{{64}})(?: .*)?")
HEADER = "# Tokens of ra serve: name, SHA-256, time. A line that is removed is a token that no longer works.\n"


class Tokens:
    """The tokens of a file, as it is now. A file that is missing has none. Lines that are none are passed over. Raises StoreError at construction."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._hashes: dict[str, bytes] = {}
        self._follow()

    def name(self, token: str) -> str | None:
        """Whose token it is; None: nobody's. Takes as long for a wrong one as for a right one."""
        self._follow()
        given, found = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest().encode(), None
        for name, known in self._hashes.items():
            if hmac.compare_digest(known, given):
                found = name
        return found

    def __len__(self) -> int:
        self._follow()
        return len(self._hashes)

    def _follow(self) -> None:
        """Read the file if it is not the one that was read. What cannot be read has no tokens: a door that fails stays shut."""
        try:
            status = self.path.stat()
            seen = status.st_mtime_ns, status.st_size, status.st_ino
            if seen != self._seen:
                self._hashes = {name: digest.encode() for name, (digest, _) in _read(self.path).items()}
                self._seen = seen
        except FileNotFoundError:
            self._seen, self._hashes = None, {}
        except OSError as error:
            self._seen, self._hashes = None, {}
            raise _unusable(self.path, error) from error


def default_path() -> Path:
    """``RA_TOKENS``, or a file in the user's configuration directory."""
    return Path(os.environ.get("RA_TOKENS") or directory() / "tokens").expanduser()


def make_token(name: str, path: Path) -> str:
    """Make a token and keep its hash; a name may be used again once it is revoked. Raises BadOption, StoreError."""
    if not _NAME.fullmatch(name):
        raise BadOption(f"token name {name!r} may hold only letters, digits, '_', '.' and '-'; choose another, as in es-cluster-1")
    token = f"ra_{secrets.token_urlsafe(32)}"
    with _change(path) as known:
        if name in known:
            raise BadOption(f"token {name!r} exists already in {str(path)!r}; revoke it with --revoke, or choose another name")
        known[name] = hashlib.sha256(token.encode()).hexdigest(), datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return token


def revoke_token(name: str, path: Path) -> None:
    """Take a token back. Raises BadOption, StoreError."""
    with _change(path) as known:
        if known.pop(name, None) is None:
            raise BadOption(f"token {name!r} is not in {str(path)!r}; it has {', '.join(known) or 'none'}")


@contextmanager
def _change(path: Path) -> Iterator[dict[str, tuple[str, str]]]:
    """The names of a file, each with hash and time; what is changed in them is written, in one step. A new file is for the user's eyes only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(path):  # else a token that is taken back could come again with one that is made at the same time
            try:
                known = _read(path)
            except FileNotFoundError:
                known = {}
            yield known
            _replace(path, HEADER + "".join(f"{name} {digest} {created}\n" for name, (digest, created) in known.items()))
    except OSError as error:
        raise _unusable(path, error) from error


def _replace(path: Path, text: str) -> None:
    """Put another file in the place of this one, with its owner and mode: a service that runs as another user goes on reading it."""
    handle, fresh = tempfile.mkstemp(dir=path.parent)  # which makes it with mode 600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        with suppress(OSError, AttributeError):  # a new file; not ours to give; a system that has no such thing
            before = path.stat()
            os.chown(fresh, before.st_uid, before.st_gid)
            Path(fresh).chmod(stat.S_IMODE(before.st_mode))
        Path(fresh).replace(path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise


def _read(path: Path) -> dict[str, tuple[str, str]]:
    matches = map(_LINE.fullmatch, path.read_text(encoding="utf-8", errors="replace").splitlines())
    return {match["name"]: (match["hash"], match[0].split(" ", 2)[2] if match[0].count(" ") > 1 else "-") for match in matches if match}


def _unusable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"token file {str(path)!r} cannot be used: {error.strerror or os.strerror(error.errno or errno.EIO)}; check its permissions")
