"""What loggers write for a severity: words, and numbers of several kinds."""

from __future__ import annotations

from collections.abc import Mapping

from ra_sdk.formats.patterns import SEVERITY, severity_of

__all__ = ["level_of"]

_NUMBERED = {10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "FATAL"}  # pino, bunyan
_OTEL = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")  # four numbers each, from 1


def level_of(level: object, *, otel: bool = False) -> str | None:
    """The short name of what a logger wrote; numbers are those of pino and bunyan, of syslog, or of OpenTelemetry."""
    if isinstance(level, Mapping):  # loguru and ECS: {"name": "ERROR", …}
        return severity_of(str(level.get("name")))
    if isinstance(level, str):
        return severity_of(level) or (level_of(int(level)) if level.isdecimal() and len(level) < 4 else None)
    if not isinstance(level, int | float) or isinstance(level, bool):
        return None
    if otel or 8 <= level < 10 or 10 < level < 20:
        return _OTEL[(int(level) - 1) // 4] if 1 <= level <= 24 else None
    return _NUMBERED.get(int(level) // 10 * 10) if 10 <= level < 70 else SEVERITY.get(str(int(level))) if 0 <= level < 8 else None
