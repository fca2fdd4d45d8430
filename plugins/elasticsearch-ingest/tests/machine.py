"""What the servers of the tests need of the machine: a Java, the files from Maven Central, a port, a user."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rationanomaly-servers"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
JAVA = 21  # the oldest that Elasticsearch 9 and OpenSearch 3 run on


class ServerError(Exception):
    """A server that cannot be fetched, installed or started; the message has the end of its log."""


def java_home() -> Path:
    """A Java that is new enough: RA_JAVA_HOME, JAVA_HOME, or what is installed. Raises ServerError."""
    named = [Path(os.environ[name]) for name in ("RA_JAVA_HOME", "JAVA_HOME") if os.environ.get(name)]
    found = shutil.which("java")
    installed = [Path(found).resolve().parents[1]] if found else []
    for home in [*named, *installed, *sorted(Path("/usr/lib/jvm").glob("*"), reverse=True)]:
        if _java_version(home) >= JAVA:
            return home
    raise ServerError(f"no Java {JAVA} or newer was found; install one, and set JAVA_HOME to it")


def _java_version(home: Path) -> int:
    release = home / "release"
    text = release.read_text() if release.is_file() else ""
    found = re.search(r'^JAVA_VERSION="(\d+)', text, re.MULTILINE)
    return int(found[1]) if found else 0


def fetched_zip(version: str) -> Path:
    """Elasticsearch's own distribution for integration tests."""
    file = CACHE / f"elasticsearch-{version}.zip"
    if not file.exists():
        artifact = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{version}:zip"
        with tempfile.TemporaryDirectory(dir=made_folder(CACHE)) as folder:
            _maven(f"{COPY}:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}")
            next(Path(folder).glob("*.zip")).rename(file)
    return file


def fetched_jars(version: str) -> Path:
    """OpenSearch and its modules, as jars."""
    folder = CACHE / f"opensearch-{version}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=made_folder(CACHE)) as made:
            pom = str(HERE / "opensearch" / "pom.xml")
            options = [f"-Drunner.version={version}.0", f"-DoutputDirectory={made}/lib"]
            _maven("--file", pom, f"{COPY}:copy-dependencies", *options)
            (Path(made) / "lib").rename(folder)
    return folder


def _maven(*arguments: str) -> None:
    run(["mvn", "--quiet", "--batch-mode", *arguments])


def made_folder(folder: Path) -> Path:
    """The folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run(command: Sequence[str], say: str | None = None, **options: Any) -> None:
    """Run a command to its end, with ``say`` as its input. Raises ServerError with what it said."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, input=say, text=True, check=False, **output, **options)
    if done.returncode:
        raise ServerError(f"{' '.join(command[:6])} … ended with {done.returncode}:\n{done.stdout[-4000:]}")


def free_port() -> int:
    """A port of loopback that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def other_user() -> dict[str, Any]:
    """Options that start a process as another user where this one is root, which Elasticsearch refuses."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def hand_over(folder: Path) -> None:
    """Make that user the owner of a folder."""
    user = other_user()
    for path in [folder, *folder.rglob("*")] if user else []:
        os.chown(path, user["user"], user["group"], follow_symlinks=False)


def unpack(archive: Path, folder: Path) -> None:
    """Also the permissions, which zipfile does not restore: scripts have to be executable."""
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            path = Path(packed.extract(entry, made_folder(folder)))
            if mode := entry.external_attr >> 16 & 0o777:
                path.chmod(mode | 0o700 if path.is_dir() else mode)


def environment() -> dict[str, str]:
    """What a server and its tools see of ours."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "LANG", "CLI_JAVA_OPTS", "ES_JAVA_OPTS")
        if name in os.environ
    }
    return {**kept, "ES_JAVA_HOME": str(java_home())}
