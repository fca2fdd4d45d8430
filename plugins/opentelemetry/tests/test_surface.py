"""The plugin lives on the public surface alone."""

import ast
from pathlib import Path

import pytest

import ra_sdk_opentelemetry

MODULES = sorted(Path(ra_sdk_opentelemetry.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_only_what_is_public_of_ra_sdk_is_imported(path):
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert {name for name in names if name.split(".")[0] == "ra_sdk"} <= {"ra_sdk", "ra_sdk.plugin"}
