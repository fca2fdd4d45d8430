"""The house rules that ruff and mypy do not know: layers, sizes, what an import loads, what is public."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ra_sdk

PACKAGE = Path(ra_sdk.__file__).parent
MODULES = sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("*/*.py")])
TOP = {"__init__", "cli", "cli_detect", "cli_knowledge", "cli_say", "cli_serve", "cli_stats", "serving", "server", "service", "table", "bench"}
DOORS = {
    "cli": {"cli_detect", "cli_knowledge", "cli_say", "cli_serve", "cli_stats"},
    "cli_knowledge": {"cli_say"},
    "cli_detect": {"cli_say"},
    "cli_serve": {"cli_say", "serving"},
    "cli_stats": {"cli_say"},
    "serving": {"server", "service"},
    "server": {"service"},
}  # which of them opens which
BELOW = {  # what each room may import of the others; the detector joins, the doors stand above it
    "config": set(),
    "formats": {"config", "errors", "hookspecs", "jsontext", "records"},
    "errors": set(),
    "inert": set(),
    "jsontext": set(),
    "locks": set(),
    "trouble": set(),
    "llama": {"errors", "llama_library"},
    "llama_abi": set(),
    "llama_library": {"errors", "llama_abi"},
    "records": {"slabs"},  # the type, and to make one by hand
    "prompt": {"records"},
    "placeholders": set(),
    "codes": {"placeholders"},
    "generated": set(),
    "own_masks": {"config", "errors", "placeholders"},
    "masks": {"codes", "generated", "placeholders"},
    "window": {"errors"},
    "knowledge": {"blocks", "config", "errors", "evidence", "masks", "records", "slabs"},
    "grounding": {"masks", "placeholders"},
    "slabs": {"blocks", "grounding", "jsontext", "records"},  # the first for types only
    "blocks": {"grounding", "records", "slabs"},
}
BASE = {"errors", "records", "blocks", "slabs", "hookspecs"}
EXTRA = {
    "lines": {"formats", "jsontext", "trouble"},
    "templates": {"codes", "masks", "placeholders", "state", "tree"},
    "state": {"locks"},
    "tree": {"placeholders"},
    "echo": {"prompt", "grounding"},
    "explainer": {"batching", "grounding", "knowledge", "llama", "model"},
    "reasoner": {"prompt", "grounding", "model", "echo", "llama", "batching", "evidence"},
    "batching": {"llama"},
    "evidence": set(),
    "model": {"llama"},
    "verdicts": {"locks", "prompt"},
    "judging": {"explainer", "knowledge", "prompt", "templates", "trouble", "verdicts"},
    "aio": set(),
    "limits": {"errors"},
    "options": {"errors", "window"},
    "tokens": {"config", "errors", "locks"},
    "metrics": set(),
    "wire": {"batches", "formats", "grounding", "knowledge", "limits", "records"},  # the first for a type only
    "otlp": {"jsontext", "formats", "knowledge", "wire"},
    "batches": {"judging"},  # for a type only
    "guard": {"limits", "wire"},
    "openapi": {"wire"},
    "hookspecs": {"prompt"},
    "sessions": {"window"},
    "sources": {"files", "journald", "several", "streams"},
    "several": {"files", "rotation", "trouble"},
    "journald": {"checkpoints", "files"},
    "journal_export": {"jsontext"},
    "streams": {"journal_export"},
    "files": {"checkpoints", "generations", "logfile", "rotation", "trouble"},
    "generations": {"checkpoints", "logfile", "rotation", "trouble"},
    "logfile": {"streams"},
    "sinks": {"inert"},
    "watched": set(),
    "plugins": {"knowledge", "own_masks", "placeholders", "several", "sources", "sinks", "reasoner", "formats", "files", "streams", "watched"},
}


def imports(path, *, everything=True):
    """Modules of ra_sdk that a file imports; without those inside functions and for types if not ``everything``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everything else tree.body
    return {node.module.split(".")[1] for node in nodes if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ra_sdk.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_layers(path):
    name = path.stem if path.parent == PACKAGE else path.parent.name
    if name in TOP:
        assert not imports(path) & (TOP - {"table", "bench", "__init__"} - DOORS.get(name, set()) - {name})
        return
    if name == "detector":
        assert not imports(path) & TOP
        return
    allowed = BELOW.get(name, BASE | EXTRA.get(name, set())) | ({name} if path.parent != PACKAGE else set())
    assert imports(path) <= allowed, f"{name} may import {sorted(allowed)}"


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_sizes(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    long = [f"{f.name}: {f.end_lineno - f.lineno + 1}" for f in functions(ast.parse(text)) if f.end_lineno - f.lineno >= 40 and f.name != "__init__"]
    assert not long


def test_functions_are_short_in_the_middle():
    lengths = sorted(f.end_lineno - f.lineno + 1 for path in MODULES for f in functions(ast.parse(path.read_text(encoding="utf-8"))))
    assert lengths[len(lengths) // 2] <= 12


@pytest.mark.parametrize("path", sorted((PACKAGE.parent / "tests").glob("test_*.py")), ids=lambda path: path.stem)
def test_no_test_without_a_check(path):
    checks = (ast.Assert, ast.Raise)
    for test in functions(ast.parse(path.read_text(encoding="utf-8"))):
        if not test.name.startswith("test_"):
            continue
        called = {ast.unparse(node.func) for node in ast.walk(test) if isinstance(node, ast.Call)}
        assert any(isinstance(node, checks) for node in ast.walk(test)) or any("raises" in c or "warns" in c or "check" in c for c in called), test.name


def test_a_bare_import_loads_nothing_heavy():
    heavy = "drain3 llama_cpp polars torch typer rich pluggy sqlite3 numpy pyarrow msgspec starlette uvicorn".split()
    code = f"import ra_sdk, sys; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_public_names():
    assert set(ra_sdk.__all__) == {
        *"BadFormat BadOption BadRecord Counts Detection Detections Detector EchoReasoner Items Lines LlamaReasoner LogRecord ModelError Progress".split(),
        *"RaError Session SinkError SourceError Sources StoreError Template UnknownFormat UnknownScheme UsageError Verdict VerdictStore Window".split(),
        *"WorldError".split(),
        *"adetect detect hookimpl".split(),
    }
    assert all(getattr(ra_sdk, name).__module__.startswith("ra_sdk") for name in ra_sdk.__all__ if name != "hookimpl")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ra_sdk.nothing  # noqa: B018


def test_version_is_the_packages():
    text = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{ra_sdk.__version__}"' in text
    assert f"## {ra_sdk.__version__}" in (PACKAGE.parent / "CHANGELOG.md").read_text(encoding="utf-8")
