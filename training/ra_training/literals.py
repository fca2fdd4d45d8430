"""Source code read as far as a log statement needs it: comments, string literals, and the arguments of a call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["SYNTAXES", "Argument", "Call", "Literal", "Syntax", "arguments", "without_comments"]

LONGEST_CALL = 6_000  # characters; what is longer is no log statement

_DOUBLE = r'"(?:[^"\\\n]|\\.)*"'
_SINGLE = r"'(?:[^'\\\n]|\\.)*'"
_MANY_LINES = r'"(?:[^"\\]|\\.)*"'
_BLOCK = r"/\*.*?\*/|//[^\n]*"
_CHARACTER = r"'(?:[^'\\\n]|\\[^\n']{1,9}|\\')'"


@dataclass(frozen=True)
class Syntax:
    """How a language writes comments and strings: regular expressions, and what else a message depends on."""

    comments: str
    strings: str
    interpolation: str = ""  # an expression inside of a string
    interpolates: str = '"'  # the opening of the strings that may have one
    verbatim: str = ""  # the opening of the strings that have no escapes
    adjacent: bool = False  # literals side by side are one
    joins: str = "+"

    @property
    def lexer(self) -> re.Pattern[str]:
        """Comments and strings, whichever comes first."""
        return _compiled(f"(?P<comment>{self.comments})|(?:{self.strings})")

    @property
    def tokens(self) -> re.Pattern[str]:
        """Strings, brackets and commas, runs of anything else."""
        return _compiled(rf"(?P<string>{self.strings})|(?P<mark>[()\[\]{{}},;])|\w+|[^\w\"'`()\[\]{{}},;$@]+|.")


_CACHE: dict[str, re.Pattern[str]] = {}


def _compiled(pattern: str) -> re.Pattern[str]:
    if pattern not in _CACHE:
        _CACHE[pattern] = re.compile(pattern, re.DOTALL)
    return _CACHE[pattern]


_NESTED = r"\{(?:[^{}]|\{[^{}]*\})*\}"
_C = Syntax(_BLOCK, rf'R"(?P<r>\w*)\(.*?\)(?P=r)"|{_DOUBLE}|{_SINGLE}', verbatim="R", adjacent=True, joins="<<")
_JAVA = Syntax(_BLOCK, rf'""".*?"""|[sf]?{_DOUBLE}|{_CHARACTER}', interpolation=rf"\$(?:{_NESTED}|[A-Za-z_]\w*)")
SYNTAXES: Mapping[str, Syntax] = {
    "c": _C,
    "java": _JAVA,
    "scala": _JAVA,
    "go": Syntax(_BLOCK, rf"{_DOUBLE}|`[^`]*`|{_CHARACTER}", verbatim="`"),
    "javascript": Syntax(_BLOCK, rf"{_DOUBLE}|{_SINGLE}|`(?:[^`\\]|\\.)*`", interpolation=rf"\${_NESTED}", interpolates="`"),
    "rust": Syntax(_BLOCK, rf'r(?P<r>#+)".*?"(?P=r)|r"[^"]*"|{_MANY_LINES}|{_CHARACTER}', verbatim="r"),
    "csharp": Syntax(_BLOCK, rf'[$@]*@[$@]*"(?:[^"]|"")*"|\$?{_DOUBLE}|{_CHARACTER}', verbatim="@", interpolation=_NESTED, interpolates="$"),
    "php": Syntax(
        rf"{_BLOCK}|\#(?!\[)[^\n]*", r'"(?:[^"\\]|\\.)*"|' + r"'(?:[^'\\]|\\.)*'", interpolation=rf"\{{\${_NESTED[2:]}|\$\w+(?:->\w+|\[[^\]]*\])?", joins="."
    ),
    "ruby": Syntax(r"\#[^\n]*|^=begin.*?^=end", rf"{_DOUBLE}|{_SINGLE}", interpolation=rf"\#{_NESTED}", adjacent=True),
    "erlang": Syntax(r"%[^\n]*", _MANY_LINES, adjacent=True),
}


@dataclass(frozen=True)
class Literal:
    """A string of the source: what stands between its quotes, escapes resolved. ``quote``: how it starts."""

    text: str
    quote: str


@dataclass
class Call:
    """A bracketed part of an argument, with what stands before the bracket."""

    name: str
    arguments: list[Argument] = field(default_factory=list)


Piece = str | Literal | Call  # a str is code
Argument = list[Piece]


def without_comments(source: str, syntax: Syntax) -> str:
    """The source with its comments blanked; places and lines stay what they were."""
    return syntax.lexer.sub(lambda found: found.group() if found["comment"] is None else _blank(found.group()), source)


def _blank(comment: str) -> str:
    return re.sub(r"[^\n]", " ", comment)


def arguments(source: str, start: int, syntax: Syntax) -> tuple[list[Argument], int]:
    """The arguments of a call whose bracket opens before ``start``, and where it ends; none if it does not end."""
    tokens = syntax.tokens
    calls, end = [Call("", [[]])], min(len(source), start + LONGEST_CALL)
    at = start
    while at < end:
        found = tokens.match(source, at)
        if found is None:
            break
        at = found.end()
        if found["string"] is not None:
            calls[-1].arguments[-1].append(_literal(found["string"], syntax))
        elif found["mark"] is None:
            _add_code(calls[-1].arguments[-1], found.group())
        elif found["mark"] in "([{":
            inner = Call(_last_name(calls[-1].arguments[-1]), [[]])
            calls[-1].arguments[-1].append(inner)
            calls.append(inner)
        elif found["mark"] in ")]}":
            done = calls.pop()
            if not calls:
                return [argument for argument in done.arguments if argument], at
        elif len(calls) == 1 and found["mark"] == ";":
            break
        else:
            calls[-1].arguments.append([])
    return [], at


def _add_code(argument: Argument, code: str) -> None:
    if argument and isinstance(argument[-1], str):
        argument[-1] += code
    elif code.strip():
        argument.append(code)


_NAME = re.compile(r"\.?[A-Za-z_][\w.]*(?:(?:::|->|\?\.)[\w.]+)*!?\s*$")


def _last_name(argument: Argument) -> str:
    """Takes the name of what is called off the end of an argument."""
    if not argument or not isinstance(argument[-1], str):
        return ""
    found = _NAME.search(argument[-1])
    name = found.group() if found else ""
    argument[-1] = argument[-1][: len(argument[-1]) - len(name)]
    if not argument[-1]:
        argument.pop()
    return name.strip()


_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u\{?([0-9a-fA-F]{1,6})\}?|(\r?\n[ \t]*)|(.))", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\n", "a": "", "b": "", "f": "", "v": "", "e": "", "0": ""}


_OPENING = re.compile(r"([A-Za-z$@]*#*)(\"\"\"|[\"'`])")


def _literal(text: str, syntax: Syntax) -> Literal:
    opening = _OPENING.match(text)
    if opening is None:
        return Literal(text, "")
    if text.startswith("R"):
        return Literal(text[text.index("(") + 1 : text.rindex(")")], "R")
    prefix, quote = opening.groups()
    inside = text[opening.end() : len(text) - len(quote) - prefix.count("#")]
    if syntax.verbatim and syntax.verbatim in prefix + quote:
        return Literal(inside, prefix + quote)
    return Literal(_ESCAPE.sub(_unescaped, inside), prefix + quote)


def _unescaped(found: re.Match[str]) -> str:
    octal, hexadecimal, unicode, _, other = found.groups()
    if octal or hexadecimal or unicode:
        code = int(octal, 8) if octal else int(hexadecimal or unicode, 16)
        return chr(code) if 31 < code < 0x110000 else ""
    return _PLAIN.get(other, other) if other else ""
