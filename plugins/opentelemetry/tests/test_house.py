"""The house rules of the repository, kept here too."""

import ast
import subprocess
import sys
from importlib.metadata import entry_points, metadata
from pathlib import Path

import pytest

import ra_sdk_opentelemetry

PACKAGE = Path(ra_sdk_opentelemetry.__file__).parent
MODULES = sorted(PACKAGE.glob("*.py"))


def functions(path):
    return [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_sizes(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert not [f.name for f in functions(path) if f.end_lineno - f.lineno >= 40]


def test_functions_are_short_in_the_middle():
    lengths = sorted(f.end_lineno - f.lineno + 1 for path in MODULES for f in functions(path))
    assert lengths[len(lengths) // 2] <= 12


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("test_*.py")), ids=lambda path: path.stem)
def test_no_test_without_a_check(path):
    for test in functions(path):
        called = {ast.unparse(node.func) for node in ast.walk(test) if isinstance(node, ast.Call)}
        checks = any(isinstance(node, ast.Assert) for node in ast.walk(test)) or any("raises" in c or "warns" in c for c in called)
        assert checks or not test.name.startswith("test_"), test.name


def test_what_an_import_loads():
    heavy = "grpc uvicorn starlette polars drain3 opentelemetry.sdk llama_cpp".split()
    code = f"import ra_sdk_opentelemetry, ra_sdk_opentelemetry.hooks, sys; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_distribution():
    found = metadata("ra-sdk-opentelemetry")
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Version"] == ra_sdk_opentelemetry.__version__
    assert [entry.value for entry in entry_points(group="ra_sdk", name="otlp")] == ["ra_sdk_opentelemetry.hooks"]
    assert (PACKAGE / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ra_sdk_opentelemetry.nothing  # noqa: B018
    assert all(getattr(ra_sdk_opentelemetry, name) for name in ra_sdk_opentelemetry.__all__)
