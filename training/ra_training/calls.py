"""The log calls of a source file, whatever its language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from ra_training import calls_methods as methods
from ra_training.calls_c import C_CALL, c_calls
from ra_training.calls_python import python_calls
from ra_training.literals import SYNTAXES, Syntax, without_comments
from ra_training.messages import Found, Judged, level_of

__all__ = ["calls", "language_of"]

_SUFFIXES = {
    "c": ".c .cc .cpp .cxx",  # headers define macros that log what their callers say
    "java": ".java .kt .groovy",
    "scala": ".scala",
    "go": ".go",
    "javascript": ".js .ts .mjs .cjs .jsx .tsx",
    "rust": ".rs",
    "csharp": ".cs",
    "php": ".php",
    "ruby": ".rb",
    "erlang": ".erl",
    "python": ".py",
}
_LANGUAGES = {suffix: language for language, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_FINDERS: Mapping[str, tuple[re.Pattern[str], Callable[[str, re.Match[str], Syntax, Mapping[str, str]], Judged]]] = {
    "c": (C_CALL, c_calls),
    "java": (methods.JAVA_CALL, methods.method_calls),
    "scala": (methods.SCALA_CALL, methods.method_calls),
    "go": (methods.GO_CALL, methods.method_calls),
    "javascript": (methods.JAVASCRIPT_CALL, methods.method_calls),
    "csharp": (methods.CSHARP_CALL, methods.method_calls),
    "php": (methods.PHP_CALL, methods.method_calls),
    "rust": (methods.RUST_CALL, methods.macro_calls),
    "ruby": (methods.RUBY_CALL, methods.ruby_calls),
    "erlang": (methods.ERLANG_CALL, methods.macro_calls),
}


def language_of(file: str) -> str | None:
    """The language of a file by its name, or None."""
    return _LANGUAGES.get(PurePosixPath(file).suffix.lower())


def calls(source: str, language: str, bundle: Mapping[str, str] | None = None) -> Iterator[Found]:
    """The log calls of a file, in order. ``bundle``: messages that the source names by keys (Java)."""
    if language == "python":
        yield from python_calls(source)
        return
    syntax, (finder, judge) = SYNTAXES[language], _FINDERS[language]
    source = without_comments(source, syntax)
    line, at = 1, 0
    for found in finder.finditer(source):
        line, at = line + source.count("\n", at, found.start()), found.start()
        for level, text, style in judge(source, found, syntax, bundle or {}):
            yield Found(line, _by_prefix(level, text), text, style)


_PREFIX = re.compile(
    r"(?:%s:? )?(?:\[(EMERG|ALERT|CRIT|FATAL|PANIC|ERROR|ERR|WARNING|WARN|NOTICE|INFO|DEBUG)\] "
    r"|(EMERG|ALERT|CRIT|FATAL|PANIC|ERROR|ERR|WARNING|WARN|NOTICE|INFO|DEBUG)\s*[:!-] )",
    re.IGNORECASE,
)


def _by_prefix(level: str, text: str) -> str:
    """A text that begins with a level is believed."""
    prefix = _PREFIX.match(text)
    return level_of((prefix[1] or prefix[2]).lower()) if prefix else level
