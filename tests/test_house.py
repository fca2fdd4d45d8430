"""The house rules that ruff and mypy do not know: layers, sizes, what an import loads, what is public."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ra_sdk

PACKAGE = Path(ra_sdk.__file__).parent
MODULES = sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("*/*.py")])

# A room may import what stands at the root below it, itself, and the rooms named here.
ROOT = ["errors", "config", "locks", "trouble", "text", "records", "slabs", "blocks", "frames", "detections", "hookspecs"]  # each may import those before it
ROOMS = {
    "templates": [],
    "formats": [],
    "sources": [],
    "sessions": [],
    "sinks": ["sessions"],
    "knowledge": ["templates"],
    "reasoner": ["knowledge", "templates"],
    "verdicts": ["knowledge", "reasoner", "templates"],
    "service": ["detector", "formats", "knowledge", "plugins", "templates", "verdicts"],
    "cli": ["detector", "formats", "knowledge", "plugins", "reasoner", "service", "sessions", "sinks", "sources", "templates", "verdicts"],
}
JOINING = {
    "plugin",
    "plugins",
    "watched",
    "aio",
    "detector",
    "api",
    "logging",
    "pytest_plugin",
}  # at the root as well: they join the rooms, apart from the two that stand above them
FILLING = {"slabs": {"templates"}, "detections": {"templates"}}  # a rationale is filled in from the record where it is read


def imports(path, *, types=True):
    """What a file of the package imports of ra_sdk: rooms, and modules of the root. ``types``: also for annotations only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set() if types else {id(node) for block in tree.body if isinstance(block, ast.If) for node in ast.walk(block)}
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in skipped:
            if node.module == "ra_sdk":
                names |= {alias.name for alias in node.names} - {"__version__"}
            elif node.module.startswith("ra_sdk."):
                names.add(node.module.split(".")[1])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_layers(path):
    name = path.stem if path.parent == PACKAGE else path.parent.name
    found = imports(path, types=name not in ROOT) - {name}
    if name in ROOT:
        assert found <= {*ROOT[: ROOT.index(name)], *FILLING.get(name, ())}
    elif name in JOINING:
        assert not found & ({"cli"} if name == "plugin" else {"cli", "service"})
    elif name in ROOMS:
        assert found <= {*ROOT, *ROOMS[name]}
    else:
        assert name in ("__init__", "__main__"), f"{name} is a new room or module: say in ROOMS what it may import"


def test_the_root_is_small():
    assert {path.stem for path in PACKAGE.glob("*.py")} == {*ROOT, *JOINING, "__init__", "__main__"}


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
        *"adetect detect hookimpl judge".split(),
    }
    assert all(getattr(ra_sdk, name).__module__.startswith("ra_sdk") for name in ra_sdk.__all__ if name != "hookimpl")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ra_sdk.nothing  # noqa: B018


def test_version_is_the_packages():
    text = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{ra_sdk.__version__}"' in text
    assert f"## {ra_sdk.__version__}" in (PACKAGE.parent / "CHANGELOG.md").read_text(encoding="utf-8")
