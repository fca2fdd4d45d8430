"""Formats in JSON that have rules of their own: journald, GELF, Serilog's CLEF."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ra_sdk.formats.layouts import Example
from ra_sdk.formats.levels import level_of
from ra_sdk.formats.structured import Decoded, DecodedFormat, cleaned, nothing_quick, object_of, quick, text_of

if TYPE_CHECKING:
    import polars as pl

__all__ = ["SPECIAL"]

_JOURNAL = {"_HOSTNAME": "host.name", "_PID": "process.pid", "SYSLOG_IDENTIFIER": "service.name"}
_HOLE = re.compile(r"\{\{|\}\}|\{([@$]?)([\w.]+)(,-?\d+)?(?::([^{}]*))?\}")  # https://messagetemplates.org


def _decode_journald(text: str) -> Decoded | None:
    """https://systemd.io/JOURNAL_EXPORT_FORMATS/#journal-json-format: bytes that are not text are arrays, and so are repeated fields."""
    row = object_of(text)
    if row is None or "MESSAGE" not in row:
        return None
    row = {key: _journal_text(value) for key, value in row.items()}
    priority = row.pop("PRIORITY", None)
    time = row.get("_SOURCE_REALTIME_TIMESTAMP") or row.pop("__REALTIME_TIMESTAMP", None)
    body = cleaned(text_of(row.pop("MESSAGE"))) or text
    rest = {_JOURNAL.get(key, key): value for key, value in row.items()}
    return Decoded(body, time, level_of(priority[:1] if isinstance(priority, str) else priority), rest)


def _journal_text(value: Any) -> Any:
    if not isinstance(value, list) or not value:
        return value
    if all(isinstance(byte, int) and not isinstance(byte, bool) and 0 <= byte < 256 for byte in value):
        return bytes(value).decode("utf-8", "replace")
    return "\n".join(text_of(_journal_text(item)) for item in value)


def _quick_journald(records: pl.Series) -> pl.Series:
    return quick(records, records.str.contains(r'"MESSAGE"\s*:\s*"'), ["MESSAGE"])


def _decode_gelf(text: str) -> Decoded | None:
    """https://go2docs.graylog.org/current/getting_in_log_data/gelf.html: without a level it is 1, alert."""
    row = object_of(text)
    if row is None or "short_message" not in row:
        return None
    short, full = (cleaned(text_of(row.pop(key, None) or "")) for key in ("short_message", "full_message"))
    body = short if not full or full in short else full if short in full else f"{short}\n{full}"
    level, time, host = row.pop("level", None), row.pop("timestamp", None), row.pop("host", None)
    rest = {key.removeprefix("_"): value for key, value in row.items() if key != "version"}
    found = "FATAL" if level is None else level_of(level)
    return Decoded(body or text, time, found, ({"host.name": host} if host else {}) | rest)


def _decode_clef(text: str) -> Decoded | None:
    """https://clef-json.org: the message is made of a template and the properties; without a level it is information."""
    row = object_of(text)
    if row is None or "@t" not in row:
        return None
    special = {key: row.pop(key) for key in [key for key in row if re.match("@[a-z]", key)]}
    rest = {key[1:] if key.startswith("@@") else key: value for key, value in row.items()}
    template = special.get("@mt")
    body = special.get("@m") or (_rendered(template, rest, special.get("@r")) if isinstance(template, str) else "")
    trace = special.get("@x")
    whole = "\n".join(text_of(part).replace("\r\n", "\n") for part in (body, trace) if part)
    level = special.get("@l")
    if level is not None and level_of(level) is None:
        rest["severity_text"] = level
    return Decoded(cleaned(whole) or text, special["@t"], "INFO" if level is None else level_of(level), rest)


def _rendered(template: str, row: Mapping[str, Any], ready: object) -> str:
    """The template with its holes filled. ``ready``: the texts of the holes that have a format, in order."""
    texts = iter(ready if isinstance(ready, list) else ())

    def filled(hole: re.Match[str]) -> str:
        if hole[2] is None:
            return hole[0][0]
        found = next(texts, None) if hole[4] is not None else None
        value = row.get(hole[2])
        if found is None and value is None:
            return hole[0] if hole[2] not in row else "null"
        text = text_of(found) if found is not None else _formatted(value, hole[4])
        width = int(hole[3][1:]) if hole[3] else 0
        return text.rjust(width) if width > 0 else text.ljust(-width)

    return _HOLE.sub(filled, template)


def _formatted(value: Any, form: str | None) -> str:
    """A value in a .NET format: the decimals of a custom or standard numeric one, zeros in front."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not form:
        return text_of(value)
    if custom := re.fullmatch(r"[#,]*0*(?:\.([0#]+))?", form):
        decimals = len(custom[1] or "")
        whole, _, rest = f"{value:.{decimals}f}".partition(".")
        return whole.zfill(form.partition(".")[0].count("0")) + (f".{rest}" if rest else "")
    if standard := re.fullmatch(r"([FfNnDd])(\d*)", form):
        return f"{value:0{standard[2] or 0}d}" if standard[1] in "Dd" and isinstance(value, int) else f"{value:.{standard[2] or 2}f}"
    return text_of(value)


def _decode_event(text: str) -> Decoded | None:
    """https://learn.microsoft.com/windows/win32/wes/eventschema-schema: the message where it is rendered, else what the event names."""
    from xml.etree import ElementTree

    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities could grow without limit
        return None
    try:
        root = ElementTree.fromstring(_NAMESPACE.sub("", text))  # noqa: S314  no entities, see above
    except (ElementTree.ParseError, ValueError):
        return None
    level, time = root.findtext("System/Level"), root.find("System/TimeCreated")
    provider = root.find("System/Provider")
    data = [(item.get("Name") or "", (item.text or "").strip()) for item in root.iterfind("EventData/Data")]
    data += [(item.tag, (item.text or "").strip()) for item in root.iterfind("UserData//*") if not len(item)]
    known = {
        "host.name": root.findtext("System/Computer"),
        "event.provider": None if provider is None else provider.get("Name") or provider.get("EventSourceName"),
        "event.code": root.findtext("System/EventID"),
        "log.channel": root.findtext("System/Channel"),
    }
    told = " ".join(f"{name}={value}" if name else value for name, value in data)
    body = (root.findtext("RenderingInfo/Message") or "").strip() or f"{known['event.provider'] or 'event'} {known['event.code'] or ''}: {told}"
    rest = {key: value for key, value in [*known.items(), *data] if key and value}
    return Decoded(cleaned(body), None if time is None else time.get("SystemTime"), _EVENT_LEVELS.get(level or ""), rest)


_NAMESPACE = re.compile(r"""\sxmlns(?::\w+)?=(?:'[^']*'|"[^"]*")""")
_EVENT_LEVELS = {"0": "INFO", "1": "FATAL", "2": "ERROR", "3": "WARN", "4": "INFO", "5": "DEBUG"}

SPECIAL: tuple[DecodedFormat, ...] = (
    DecodedFormat(
        "journald",
        "journalctl -o json",
        r'^\{(?s:.*)"MESSAGE"\s*:(?s:.*)\}\s*$',
        _decode_journald,
        _quick_journald,
        nested=True,
        examples=(
            Example(
                '{"__REALTIME_TIMESTAMP":"1740823200123456","PRIORITY":"3","_HOSTNAME":"mill3","SYSLOG_IDENTIFIER":"grinder","MESSAGE":[98,101,108,116]}',
                "2025-03-01T10:00:00.123456Z",
                "ERROR",
                "belt",
                {"host.name": "mill3", "service.name": "grinder"},
            ),
        ),
    ),
    DecodedFormat(
        "gelf",
        "Graylog's extended log format",
        r'^\{(?s:.*)"short_message"\s*:(?s:.*)\}\s*$',
        _decode_gelf,
        nothing_quick,
        examples=(
            Example(
                '{"version":"1.1","host":"app1","short_message":"cannot bind","full_message":"cannot bind\\njava.net.BindException: in use",'
                '"timestamp":"1740823200.5","level":3,"_thread":"main"}',
                "2025-03-01T10:00:00.500Z",
                "ERROR",
                "cannot bind\njava.net.BindException: in use",
                {"host.name": "app1", "thread": "main"},
            ),
        ),
    ),
    DecodedFormat(
        "windows-event-xml",
        "Windows events as XML: wevtutil, Get-WinEvent's ToXml, NXLog",
        r"^<Event(?:\s[^>]*)?>",
        _decode_event,
        nothing_quick,
        examples=(
            Example(
                "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider Name='Oven'/><EventID>7</EventID><Level>2</Level>"
                "<TimeCreated SystemTime='2025-03-01T10:00:00.1234567Z'/><Computer>mill3</Computer></System>"
                "<EventData><Data Name='probe'>0xc0000005</Data></EventData></Event>",
                "2025-03-01T10:00:00.123456Z",
                "ERROR",
                "Oven 7: probe=0xc0000005",
                {"host.name": "mill3", "probe": "0xc0000005"},
            ),
        ),
        until=r"</Event>\s*$",
    ),
    DecodedFormat(
        "clef",
        "Serilog's compact JSON",
        r'^\{(?s:.*)"@t"\s*:(?s:.*)\}\s*$',
        _decode_clef,
        nothing_quick,
        examples=(
            Example(
                '{"@t":"2025-03-01T10:00:00.2174246Z","@mt":"{Method} answered {Status} in {Elapsed:0.00} ms","Method":"GET","Status":500,"Elapsed":12.345}',
                "2025-03-01T10:00:00.217424Z",
                "INFO",
                "GET answered 500 in 12.35 ms",
                {"Status": 500},
            ),
        ),
    ),
)
