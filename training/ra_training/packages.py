"""Source packages: fetched into a cache from the registries that this machine's own tools are set up for, and read."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

__all__ = ["CRATES", "MAVEN_CENTRAL", "Missing", "Package", "Registries", "members"]

MAVEN_CENTRAL = "https://repo1.maven.org/maven2"
CRATES = "https://static.crates.io/crates"
LARGEST = 3 << 20  # bytes of a source file; larger ones are generated
TRIES = 8  # versions: a registry may hold back the newest, and not every version has its sources
TIMEOUT = 120  # seconds without a byte


class Missing(Exception):
    """A package that cannot be had, and why."""


@dataclass(frozen=True)
class Package:
    """A package of a registry, and what its messages belong to."""

    ecosystem: str
    name: str
    system: str
    version: str = ""  # empty: the newest
    scope: str = ""
    only: tuple[str, ...] = ()  # folders within the package
    without: tuple[str, ...] = ()

    @property
    def project(self) -> str:
        """Who speaks: a part of the system, if the list names one."""
        return self.scope or self.system

    @property
    def label(self) -> str:
        """As it stands in the list."""
        return f"{self.ecosystem}:{self.name}"


@dataclass
class Registries:
    """Fetches archives into ``cache``; one that is there is not fetched again. Debian, Go, PyPI and npm as set up here."""

    ECOSYSTEMS: ClassVar[tuple[str, ...]] = ("debian", "maven", "go", "pypi", "npm", "crates")

    cache: Path
    maven: str = MAVEN_CENTRAL
    crates: str = CRATES

    def archive(self, package: Package) -> Path:
        """The package's archive. Raises Missing."""
        place = self.cache / package.ecosystem / re.sub(r"[^\w.+-]", "_", f"{package.name}@{package.version or 'newest'}")
        if not _archive(place):
            place.mkdir(parents=True, exist_ok=True)
            fetch: Callable[[Package, Path], None] = getattr(self, f"_{package.ecosystem}")
            fetch(package, place)
        found = _archive(place)
        if found is None:
            raise Missing("no version of it has an archive of sources")
        return found

    def _debian(self, package: Package, place: Path) -> None:
        if package.name not in self._debian_sources:
            raise Missing("the suites that apt is set up for have no such source package")
        for directory, names in self._debian_sources[package.name]:
            name = min((name for name in names if re.search(r"\.tar\.\w+$", name)), key=lambda name: ".orig.tar." not in name)
            if _is_there(f"{directory}/{name}", place / name):
                return

    @cached_property
    def _debian_sources(self) -> dict[str, list[tuple[str, list[str]]]]:
        """Source packages of apt's mirrors: of each, the URLs of its directories and the names of the files there."""
        told = _run("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
        sources: dict[str, list[tuple[str, list[str]]]] = {}
        for site, release, component in (line.split() for line in sorted(set(told.splitlines()))):
            index = self.cache / f"Sources-{release}-{component}.xz"
            if not index.exists():
                _download(f"{site.rstrip('/')}/dists/{release}/{component}/source/Sources.xz", index)
            with lzma.open(index, "rt", encoding="utf-8") as file:
                for name, where in _source_packages(file.read(), site.rstrip("/")):
                    sources.setdefault(name, []).append(where)
        return sources

    def _maven(self, package: Package, place: Path) -> None:
        group, _, artifact = package.name.partition(":")
        home = f"{self.maven.rstrip('/')}/{group.replace('.', '/')}/{artifact}"
        known = re.findall(r"<version>(.+?)</version>", "" if package.version else _read(f"{home}/maven-metadata.xml"))
        for version in [package.version] if package.version else _newest(known):
            name = f"{artifact}-{version}-sources.jar"
            if _is_there(f"{home}/{version}/{name}", place / name):
                return

    def _go(self, package: Package, place: Path) -> None:
        proxy = next((url.rstrip("/") for url in re.split(r"[,|]", self._goproxy) if url.startswith("http")), None)
        if proxy is None:
            raise Missing("GOPROXY names no proxy")
        module = re.sub("[A-Z]", lambda letter: "!" + letter.group().lower(), package.name)  # as the proxy protocol writes capitals
        known = "" if package.version else _read(f"{proxy}/{module}/@v/list")
        for version in [package.version] if package.version else _newest(known.split()):
            if _is_there(f"{proxy}/{module}/@v/{version}.zip", place / f"{package.name.replace('/', '_')}-{version}.zip"):
                return

    @cached_property
    def _goproxy(self) -> str:
        return os.environ.get("GOPROXY") or _run("go", "env", "GOPROXY").strip()

    def _pypi(self, package: Package, place: Path) -> None:
        what = f"{package.name}=={package.version}" if package.version else package.name
        _run("pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(place.absolute()), what)

    def _npm(self, package: Package, place: Path) -> None:
        what = f"{package.name}@{package.version}" if package.version else package.name
        _run("npm", "pack", "--silent", "--pack-destination", str(place.absolute()), what)

    def _crates(self, package: Package, place: Path) -> None:
        if not package.version:
            raise Missing("a crate needs a `version` in the list")
        name = f"{package.name}-{package.version}.crate"
        _download(f"{self.crates.rstrip('/')}/{package.name}/{name}", place / name)


def members(archive: Path, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The wanted files of an archive, by name; nothing is unpacked to disk. Raises Missing if it is broken."""
    try:
        yield from _zip_members(archive, is_wanted) if zipfile.is_zipfile(archive) else _tar_members(archive, is_wanted)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, lzma.LZMAError, zlib.error) as error:
        raise Missing(f"{archive.name} is not a whole archive ({error}); delete it from the cache to fetch it again") from error


def _zip_members(archive: Path, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            if entry.file_size <= LARGEST and is_wanted(entry.filename):
                yield entry.filename, packed.read(entry)


def _tar_members(archive: Path, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive, "r|*") as packed:
        for member in packed:
            if member.isfile() and member.size <= LARGEST and is_wanted(member.name):
                file = packed.extractfile(member)
                if file is not None:
                    yield member.name, file.read()


def _archive(place: Path) -> Path | None:
    found = sorted(path for path in place.glob("*") if path.suffix != ".part")
    return found[0] if found else None


def _source_packages(index: str, site: str) -> Iterator[tuple[str, tuple[str, list[str]]]]:
    """The entries of a Sources file (deb822)."""
    for paragraph in index.split("\n\n"):
        name, directory = (re.search(rf"^{key}: (.+)$", paragraph, re.MULTILINE) for key in ("Package", "Directory"))
        if name and directory:
            yield name[1], (f"{site}/{directory[1]}", re.findall(r"^ [0-9a-f]{64} \d+ (\S+)$", paragraph, re.MULTILINE))


_NOT_A_RELEASE = re.compile(r"(?i)alpha|beta|rc|[.-]m\d|cr\d|snapshot|preview|pre\d|-0\.|-dev")


def _newest(versions: list[str]) -> list[str]:
    """The newest releases, the newest first."""
    releases = [version for version in versions if not _NOT_A_RELEASE.search(version)] or versions
    return sorted(releases, key=lambda version: [int(part) for part in re.findall(r"\d+", version)[:4]], reverse=True)[:TRIES]


def _run(*command: str) -> str:
    """The output of a tool, away from the settings of the project that this runs in. Raises Missing."""
    if shutil.which(command[0]) is None:
        raise Missing(f"{command[0]} is not installed")
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=elsewhere)
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"{command[0]} failed"]
        raise Missing(told[-1][:200])
    return done.stdout


def _read(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as reply:
            return str(reply.read(), "utf-8")
    except OSError as error:
        raise Missing(f"{url}: {error}") from error


def _is_there(url: str, to: Path) -> bool:
    """Downloads what is there; False if the registry says that it is not (404, 403, 410). Raises Missing for other faults."""
    try:
        _download(url, to)
    except Missing as problem:
        if isinstance(problem.__cause__, urllib.error.HTTPError) and problem.__cause__.code in (403, 404, 410):
            return False
        raise
    return True


def _download(url: str, to: Path) -> None:
    part = to.with_name(to.name + ".part")
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as reply, part.open("wb") as out:
            shutil.copyfileobj(reply, out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Missing(f"{url}: {error}") from error
    part.replace(to)
