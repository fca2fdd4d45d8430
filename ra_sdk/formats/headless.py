"""Records without a header: their severity, where they say how a program ended, or that a runtime warns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ra_sdk.formats.layouts import Plain

if TYPE_CHECKING:
    import polars as pl

__all__ = ["HEADLESS"]

_SCRIPT = r"(?:node:[\w/]+|(?:file://)?[\w@./:\\-]+\.[cm]?[jt]sx?):\d+\n"  # Node's report begins with the place
_FATAL = (
    r"panic: |fatal error: |fatal runtime error: |SIG[A-Z]+: ",  # Go
    r"thread '[^']*'(?: \(\d+\))? panicked at ",  # Rust
    r"terminate called |libc\+\+abi: |Segmentation fault|Bus error|Aborted \(core dumped\)",  # C and C++
    r"Unhandled [Ee]xception|# A fatal error has been detected",  # .NET, Java's virtual machine
    rf"{_SCRIPT}(?s:.*)\nNode\.js v\d",
)
_ERROR = (
    r"(?:[^\n]*\n)?Traceback \(most recent call last\):|Exception ignored in: ",  # Python; it may have been caught
    r"_{3,} \S.* _{3,}\n(?s:.*)\nE  ",  # pytest
    r"Exception in thread ",
    r"\S+\.(?:rb|erb|rake|ru):\d+:in [`'][^']*': \S",  # Ruby
    _SCRIPT + r"(?s:.*)\n\s*\^",
    r"(?:Internal Server Error|Service Unavailable): /",  # Django's own server
    r"(?:Uncaught |Unhandled )?(?:[A-Za-z_$][\w$]*[./\\:])*[\w$]*(?:Error|Exception)\b[^\n]*\n(?s:.*\n)?\s+at ",
)
_REFUSED = r"(?:Not Found|Bad Request|Unauthorized|Forbidden|Method Not Allowed|Gone|Too Many Requests)(?: \([^)\n]*\))?"
_WARN = (
    rf"{_REFUSED}: /",  # Django's own server
    r"(?:OpenJDK|Java HotSpot\(TM\)|Eclipse OpenJ9|IBM J9)[\w -]* VM warning: ",
)
_LEVELS = (("FATAL", _FATAL), ("ERROR", _ERROR), ("WARN", _WARN))
_SEVERITIES = {level: f"^(?:{'|'.join(parts)})" for level, parts in _LEVELS}


class Headless(Plain):
    """A record is its own body; it is severe where it is the report of a runtime that something failed."""

    def severities(self, records: pl.Series) -> pl.Series:
        """How severe they are."""
        import polars as pl

        level: Any = pl
        for name, pattern in _SEVERITIES.items():
            level = level.when(pl.col("record").str.contains(pattern)).then(pl.lit(name))
        return records.alias("record").to_frame().select(severity=level.otherwise(None).cast(pl.String)).to_series()


HEADLESS = Headless()
