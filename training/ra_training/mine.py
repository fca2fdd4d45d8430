"""``ra-train mine``: what the software that operators run can log, mined from its source code as templates.

Packages are listed in ``sources.toml``. Families that models are tested on are held out: they are never mined.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ra_sdk.config import read_toml
from ra_sdk.errors import BadOption

from ra_training.calls import calls, language_of
from ra_training.packages import Missing, Package, Registries, members
from ra_training.statements import templates, worth

__all__ = ["LEVELS", "SOURCES", "Mined", "mine", "read_sources", "statements"]

SOURCES = Path(__file__).with_name("sources.toml")
LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")

_BUNDLE = "LocalStrings.properties"  # Tomcat's messages, which its code names by keys
_LICENCE_FILE = re.compile(r"(?:[^/]+/){1,2}(?:LICEN[CS]E|COPYING|COPYRIGHT)(?:\.(?:md|txt))?", re.IGNORECASE)
_LICENCES = {  # the first that a licence's text matches
    "Apache-2.0": r"Apache License",
    "AGPL": r"GNU AFFERO GENERAL PUBLIC LICENSE",
    "LGPL": r"GNU LESSER GENERAL PUBLIC LICENSE|GNU LIBRARY GENERAL PUBLIC LICENSE",
    "GPL": r"GNU GENERAL PUBLIC LICENSE|GPL",
    "MPL-2.0": r"Mozilla Public License",
    "BUSL-1.1": r"Business Source License",
    "PostgreSQL": r"PostgreSQL (?:License|Database Management System)",
    "MIT": r"MIT License|Permission is hereby granted, free of charge",
    "BSD": r"Redistribution and use in source and binary forms",
    "ISC": r"Permission to use, copy, modify, and(?:/or)? distribute",
}
_PASSED_OVER = re.compile(  # folders and files that no operator's log comes from
    r"(?:^|/)(?:tests?|testing|testdata|test-?utils?|t|unittests?|mysql-test|torture|spec|ui|webui|web-ui|dist|static|assets|hack|wolfssl|libltdl|libbpf|examples?|samples?|demos?|docs?|vendor|third[_-]?party|node_modules"
    r"|extlib|external|benchmarks?|fuzz\w*|mocks?|fakes?|e2e|integration|selftests?)/"
    r"|(?:^|/)(?:test_[^/]*|t_[^/]*\.c)$|_test\.[a-z]+$|[.-](?:min|test|spec)\.[a-z]+$|Tests?\.(?:java|cs|scala)$"
)


@dataclass
class Mined:
    """What a run did: statements by level and by system, and the packages that could not be had."""

    levels: Counter[str] = field(default_factory=Counter)
    systems: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)


def read_sources(path: Path = SOURCES) -> list[Package]:
    """The packages of a list. Raises BadOption if the list is broken or has one of a held-out family."""
    table = read_toml(path, BadOption)
    held = frozenset(table.get("held_out", ()))
    packages = [_package(row, f"{path}, package {number}") for number, row in enumerate(table.get("packages", ()), 1)]
    for package in packages:
        families = held & {package.system, package.scope, *re.split(r"[/:@]", package.name)}
        if families:
            raise BadOption(f"{path}: {package.name!r} belongs to {min(families)!r}, which is held out for testing; remove it from `packages`")
    return packages


def _package(row: Mapping[str, Any], where: str) -> Package:
    ecosystem, _, name = str(row.get("from", "")).partition(":")
    if ecosystem not in Registries.ECOSYSTEMS or not name or not row.get("system"):
        raise BadOption(f"{where}: needs `system` and `from`, which is one of {', '.join(Registries.ECOSYSTEMS)}, a colon and a name; got {dict(row)}")
    only, without = (tuple(row.get(key, ())) for key in ("only", "without"))
    return Package(ecosystem, name, row["system"], row.get("version", ""), row.get("scope", ""), only, without)


def mine(packages: Sequence[Package], registries: Registries, out: Path, levels: Sequence[str] = LEVELS) -> Mined:
    """Write the statements of packages to ``out`` (JSONL), each text once for a system; progress goes to stderr.

    A package that cannot be had, or read, is warned of and counted. Archives stay in the cache, so that a run that was
    stopped downloads only what is left.
    """
    done, seen = Mined(), set()
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        for at, package in enumerate(packages, 1):
            new = 0
            try:
                for row in statements(package, registries.archive(package)):
                    key = (row["system"], row["text"])
                    if row["level"] in levels and key not in seen:
                        seen.add(key)
                        new += 1
                        done.levels[row["level"]] += 1
                        file.write(json.dumps(row, ensure_ascii=False) + "\n")
            except Missing as problem:
                done.missing.append(package.label)
                print(f"warning: {package.label}: {problem}", file=sys.stderr)
            done.systems[package.system] += new
            print(f"[{at}/{len(packages)}] {package.system}: {new} statements of {package.label}", file=sys.stderr, flush=True)
    part.replace(out)
    return done


def statements(package: Package, archive: Path) -> Iterator[dict[str, Any]]:
    """The statements of one archive, in its order. Raises Missing if the archive is broken."""
    files, bundle, licence = _contents(package, archive)
    found = [(name, call) for name, source in files for call in calls(source, language_of(name) or "", bundle)]
    texts = templates([call.text for _, call in found], [call.style for _, call in found]) if found else []
    for (name, call), text in zip(found, texts):
        if worth(text):
            yield {
                "system": package.system,
                "project": package.project,
                "language": language_of(name),
                "file": name,
                "line": call.line,
                "level": call.level,
                "text": text,
                "source": f"{package.ecosystem}:{archive.name}",
                "licence": licence,
            }


def _contents(package: Package, archive: Path) -> tuple[list[tuple[str, str]], dict[str, str], str]:
    """Source files by name, messages by key, and the licence where a file at the top tells it."""
    files: list[tuple[str, str]] = []
    bundle: dict[str, str] = {}
    licence = ""
    for name, data in members(archive, lambda name: _is_wanted(name, package)):
        text = data.decode("utf-8", "replace")
        if name.endswith(_BUNDLE):
            bundle.update(_properties(text))
        elif language_of(name):
            files.append((name, text))
        else:
            licence = licence or next((label for label, words in _LICENCES.items() if re.search(words, text)), "")
    return files, bundle, licence


def _is_wanted(name: str, package: Package) -> bool:
    if name.endswith(_BUNDLE) or _LICENCE_FILE.fullmatch(name):
        return True
    inside = name.partition("/")[2]
    if language_of(name) is None or _PASSED_OVER.search(name) or inside.startswith(package.without or "\0"):
        return False
    return not package.only or inside.startswith(package.only)


def _properties(text: str) -> dict[str, str]:
    """A Java .properties file; in its texts, which are MessageFormat's, a doubled quote is one."""
    lines = re.sub(r"\\\r?\n\s*", "", text).splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().replace("''", "'") for key, _, value in pairs}
