"""Log calls that are a method of something called a log (Java, Scala, Go, JavaScript, C#, PHP, Ruby) or a macro (Rust, Erlang)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ra_training.literals import SYNTAXES, Argument, Call, Literal, Syntax, arguments
from ra_training.messages import HOLE, Judged, first_message, is_log, level_of

__all__ = [
    "CSHARP_CALL",
    "ERLANG_CALL",
    "GO_CALL",
    "JAVASCRIPT_CALL",
    "JAVA_CALL",
    "PHP_CALL",
    "RUBY_CALL",
    "RUST_CALL",
    "SCALA_CALL",
    "macro_calls",
    "method_calls",
    "ruby_calls",
]  # fmt: skip

_METHODS = "trace|debug|info|notice|warn|warning|error|fatal|critical|severe|panic|print|emergency|alert|crit|exception|verbose|fine|finer|finest|log"
_RECEIVER = r"(?P<receiver>(?:[A-Za-z_$][\w$]*(?:\(\))?\??(?:\.|->|::))*[A-Za-z_$][\w$]*(?:\(\))?|\))\s*\??(?:\.|->|::)\s*"
_GO_METHODS = "Trace|Debug|Info|Notice|Warn|Warning|Error|Fatal|Panic|Critical|DPanic|Print|Msg|Log|Send"
_GO_ENDINGS = "f|ln|w|S|c|Context|ContextS|Ctx|SDepth|Depth|wContext|fContext"

JAVA_CALL = re.compile(rf"{_RECEIVER}(?P<name>(?:{_METHODS})[fv]?)\s*\(|@(?P<note>LogMessage)\s*\(")
SCALA_CALL = re.compile(rf"(?:{_RECEIVER}|(?<![\w.])(?<!def ))(?P<name>trace|debug|info|warn|error|fatal)\s*\(")
JAVASCRIPT_CALL = re.compile(rf"{_RECEIVER}(?P<name>{_METHODS})\s*\(")
PHP_CALL = re.compile(rf"\$?{_RECEIVER}(?P<name>{_METHODS})\s*\(|\b(?P<plain>error_log|trigger_error|user_error)\s*\(")
CSHARP_CALL = re.compile(
    rf"{_RECEIVER}(?P<name>Log(?:Trace|Debug|Information|Warning|Error|Critical)|Trace|Verbose|Debug|Info|Information|Warn|Warning|Error|Fatal)\s*\("
)
GO_CALL = re.compile(rf"{_RECEIVER}(?P<name>(?:{_GO_METHODS})(?:{_GO_ENDINGS})?)\s*\(|\b(?P<plain>HandleError(?:With\w+)?)\s*\(")
RUST_CALL = re.compile(r"\b(?P<name>(?:\w+::)*(?:slog_)?(?:error|warn|info|debug|trace|crit|fatal))!\s*[(\[{]")
RUBY_CALL = re.compile(r"(?P<receiver>(?:[A-Za-z_@][\w@]*[.:]+)*@{0,2}[A-Za-z_]\w*)\.(?P<name>trace|debug|info|warn|error|fatal)[ \t]*(?P<open>[({]|(?=[\"']))")
ERLANG_CALL = re.compile(r"\?(?P<name>[A-Z_]*(?:ERROR|WARNING|CRITICAL|ALERT|EMERGENCY|INFO|NOTICE|DEBUG)[A-Z_]*)\s*\(")

_STEM = re.compile(
    r"(?:Log(?=[A-Z])|D(?=P))?(trace|debug|information|info|notice|warning|warn|error|exception|fatal|panic|critical|crit|severe|emergency|alert"
    r"|verbose|finest|finer|fine)",
    re.IGNORECASE,
)
_CHAINED_LEVEL = re.compile(r"(?:\.at|\.|\b)(Fatal|Panic|Error|Warn|Info|Debug|Trace)\s*\(")  # log.Error().Err(err).Msg("…"), log.atError().log("…")
_GO_KIT = re.compile(r"\blevel\.\w+\([\w.]*[lL]ogger\)")  # level.Error(logger).Log("msg", "…")
_CONSTANT_LEVEL = re.compile(r"\b(SEVERE|ERROR|WARNING|WARN|INFO|FINE|FINER|FINEST|FATAL|DEBUG|TRACE)\b")
_ERRORS = frozenset("error_log trigger_error user_error HandleError HandleErrorWithContext HandleErrorWithLogger".split())  # PHP, Kubernetes
_LONGEST_CHAIN = 400
_KEY = re.compile(r"[A-Za-z_]\w*(?:[.-]\w+)+")


def method_calls(source: str, found: re.Match[str], syntax: Syntax, bundle: Mapping[str, str]) -> Judged:
    """What a method call logs. ``bundle``: texts by their keys, as in log.error(sm.getString("realm.down"))."""
    groups = found.groupdict()
    if groups.get("note"):
        yield from _annotated(source, found.end(), syntax)
        return
    name, chain = groups.get("name") or groups.get("plain") or "", ""
    if groups.get("receiver"):
        if found["receiver"] == ")":
            chain = _chain(source, found.start("receiver"))
        if not _is_log(found["receiver"], chain):
            return
    given, _ = arguments(source, found.end(), syntax)
    picked = _keyed(given, bundle) or first_message(given, syntax)
    level = _level(name, given[: picked[0] + 1], chain) if picked else ""
    if picked and level:
        yield level, picked[1], _style(syntax, name)


def macro_calls(source: str, found: re.Match[str], syntax: Syntax, _: Mapping[str, str]) -> Judged:
    """What error!("…{}", x) of Rust or ?LOG_ERROR("…~p", [X]) of Erlang logs."""
    given, _end = arguments(source, found.end(), syntax)
    picked = first_message([one for one in given if not (isinstance(one[0], str) and one[0].strip().startswith("target"))], syntax)
    if picked:
        yield level_of(found["name"].split("::")[-1]), picked[1], "tilde" if syntax is SYNTAXES["erlang"] else "brace"


def ruby_calls(source: str, found: re.Match[str], syntax: Syntax, _: Mapping[str, str]) -> Judged:
    """What logger.error("…"), logger.error "…" or logger.error { "…" } logs."""
    if not _is_log(found["receiver"], ""):
        return
    if found["open"]:
        given, _end = arguments(source, found.end(), syntax)
    else:
        line = re.split(r"(?<![,\\+])\n|\sif\s|\sunless\s", source[found.end() : found.end() + 1_000])[0]
        given, _end = arguments(line + ")", 0, syntax)
    picked = first_message(given, syntax)
    if picked:
        yield level_of(found["name"]), picked[1], "printf"


def _is_log(receiver: str, chain: str) -> bool:
    """Whether what a method is called on is a log: by its last name, or by any name of a chain of calls."""
    if _GO_KIT.search(chain):
        return True
    names = re.findall(r"[A-Za-z_]\w*", re.sub(r"\([^()]*\)", "()", chain)) if chain else [re.split(r"\.|->|::", receiver)[-1]]
    return any(map(is_log, names))


def _chain(source: str, close: int) -> str:
    """The expression whose last bracket closes at ``close``."""
    depth, at = 0, close
    while at >= max(0, close - _LONGEST_CHAIN):
        char = source[at]
        if char == ")":
            depth += 1
        elif char == "(":
            depth -= 1
        elif depth == 0 and not (char.isalnum() or char in "_.$>-:") and not (char.isspace() and re.match(r"\s*\.", source[at:close])):
            break
        at -= 1
    return source[at + 1 : close + 1]


def _level(name: str, before: Sequence[Argument], chain: str) -> str:
    stem = _STEM.match(name)
    if stem:
        return level_of(stem.group(1).lower())
    if name in _ERRORS:
        return "ERROR"
    told = _CHAINED_LEVEL.search(chain)
    if told:
        return level_of(told.group(1))
    codes = (piece for argument in before for piece in argument if isinstance(piece, str))
    constant = next((one for one in map(_CONSTANT_LEVEL.search, codes) if one), None)
    if constant:
        return level_of(constant.group(1).lower())
    return "INFO" if name.lower().startswith("print") else ""


def _style(syntax: Syntax, name: str) -> str:
    if syntax is SYNTAXES["go"]:
        return "printf" if re.search(r"f(?:Context|Ctx)?$|HandleError", name) else "plain"
    return "printf" if syntax is SYNTAXES["javascript"] else "both"


def _keyed(given: Sequence[Argument], bundle: Mapping[str, str]) -> tuple[int, str] | None:
    """A message by its key."""
    for at, argument in enumerate(given if bundle else ()):
        for piece in argument:
            if isinstance(piece, Call) and "getString" in piece.name and piece.arguments[0]:
                piece = piece.arguments[0][0]
            if isinstance(piece, Literal) and _KEY.fullmatch(piece.text) and piece.text in bundle:
                return at, bundle[piece.text]
    return None


def _annotated(source: str, start: int, syntax: Syntax) -> Judged:
    """JBoss Logging: @LogMessage(level = ERROR) @Message(id = 1, value = "…")."""
    told, end = arguments(source, start, syntax)
    note = re.compile(r"\s*@Message\s*\(").match(source, end)
    if note is None:
        return
    given, _ = arguments(source, note.end(), syntax)
    picked = first_message(given, syntax)
    if picked:
        code = "".join(piece for argument in told for piece in argument if isinstance(piece, str))
        yield level_of(code.split("=")[-1].strip().lower()) or "INFO", picked[1].removeprefix(HOLE), "both"
