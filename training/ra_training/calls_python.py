"""Log calls of Python, by its own parser."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

from ra_training.messages import HOLE, Found, is_log

__all__ = ["python_calls"]

_LEVELS = {
    "trace": "TRACE",
    "debug": "DEBUG",
    "info": "INFO",
    "warn": "WARN",
    "warning": "WARN",
    "error": "ERROR",
    "exception": "ERROR",
    "critical": "FATAL",
    "fatal": "FATAL",
}
_FIELD = re.compile(r"\{[^{}]*\}")


def python_calls(source: str) -> Iterator[Found]:
    """``logger.error("… %s", x)`` and its kind; a file that does not parse has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            level = _LEVELS.get(node.func.attr.lower())
            if level and is_log(ast.unparse(node.func.value).partition("(")[0]):
                text = next((text for text in map(_message, node.args[:2]) if text), None)
                if text:
                    yield Found(node.lineno, level, text, "printf")


def _message(node: ast.expr) -> str | None:
    """The text of an expression, HOLE for what is not literal; None if nothing is."""
    text = _text(node)
    return text if text.strip(HOLE) else None


def _text(node: ast.expr) -> str:
    """Conversions of %-formats stay; those of f-strings and of str.format are HOLEs already."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else HOLE
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part).replace("%", "%%") if isinstance(part, ast.Constant) else HOLE for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _text(node.left)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _FIELD.sub(HOLE, _text(node.func.value))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:  # a translation: _("…")
        return _text(node.args[0])
    return HOLE
