"""What plugins build on. Names here keep their meaning while ``API`` stays the same; the rest of ra_sdk may change.

A plugin is a module or an object with some of the hooks of ``ra_sdk.hookspecs``, each marked with ``hookimpl``, and
named in the entry-point group ``ra_sdk``. It may state the ``API`` that it was written for::

    from ra_sdk.plugin import Items, SourceError, hookimpl

    RA_SDK_API = 1

    @hookimpl
    def ra_sdk_open_source(url, options): ...

A plugin that states another API is left out, with a warning that says so. Names are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # as type checkers and editors see it
    from ra_sdk.blocks import Block as Block
    from ra_sdk.detections import Detection as Detection
    from ra_sdk.detections import Detections as Detections
    from ra_sdk.detector import Detector as Detector
    from ra_sdk.errors import BadOption as BadOption
    from ra_sdk.errors import Closed as Closed
    from ra_sdk.errors import ModelError as ModelError
    from ra_sdk.errors import RaError as RaError
    from ra_sdk.errors import SinkError as SinkError
    from ra_sdk.errors import SourceError as SourceError
    from ra_sdk.errors import UsageError as UsageError
    from ra_sdk.errors import WorldError as WorldError
    from ra_sdk.formats.structured import HINTS as HINTS
    from ra_sdk.formats.structured import body_of as body_of
    from ra_sdk.formats.structured import completed as completed
    from ra_sdk.hookspecs import Explaining as Explaining
    from ra_sdk.hookspecs import Format as Format
    from ra_sdk.hookspecs import Items as Items
    from ra_sdk.hookspecs import Lines as Lines
    from ra_sdk.hookspecs import Listener as Listener
    from ra_sdk.hookspecs import Part as Part
    from ra_sdk.hookspecs import Preparing as Preparing
    from ra_sdk.hookspecs import Reasoner as Reasoner
    from ra_sdk.hookspecs import Sink as Sink
    from ra_sdk.hookspecs import Source as Source
    from ra_sdk.hookspecs import hookimpl as hookimpl
    from ra_sdk.knowledge.who import named as named
    from ra_sdk.plugins import PluginSet as PluginSet
    from ra_sdk.records import SEVERITIES as SEVERITIES
    from ra_sdk.records import LogRecord as LogRecord
    from ra_sdk.records import Mode as Mode
    from ra_sdk.records import TemplateKey as TemplateKey
    from ra_sdk.records import Verdict as Verdict
    from ra_sdk.service import otlp as otlp
    from ra_sdk.service.connections import Bodies as Bodies
    from ra_sdk.service.connections import Watch as Watch
    from ra_sdk.service.connections import guarded as guarded
    from ra_sdk.service.connections import is_loopback as is_loopback
    from ra_sdk.service.connections import refuse_other_host as refuse_other_host
    from ra_sdk.service.core import Overloaded as Overloaded
    from ra_sdk.service.core import Service as Service
    from ra_sdk.service.limits import MEBIBYTE as MEBIBYTE
    from ra_sdk.service.limits import Limits as Limits
    from ra_sdk.service.tokens import Tokens as Tokens
    from ra_sdk.service.wire import Refusal as Refusal
    from ra_sdk.service.wire import decode as decode
    from ra_sdk.sinks.jsonl import record_ids as record_ids
    from ra_sdk.templates.fill import fill as fill
    from ra_sdk.templates.masks import mask as mask
    from ra_sdk.text import dumped as dumped
    from ra_sdk.text import visible as visible
    from ra_sdk.trouble import RateLimited as RateLimited
    from ra_sdk.verdicts.resolver import asked as asked
    from ra_sdk.verdicts.resolver import reads_severity as reads_severity

API = 1

_HOMES = {  # name -> module
    "hookimpl": "hookspecs",
    # sources
    **dict.fromkeys(["Items", "Lines", "Part", "Source"], "hookspecs"),
    **dict.fromkeys(["LogRecord", "SEVERITIES"], "records"),
    **dict.fromkeys(["HINTS", "body_of", "completed"], "formats.structured"),
    "named": "knowledge.who",
    # sinks
    **dict.fromkeys(["Preparing", "Sink"], "hookspecs"),
    "Block": "blocks",
    **dict.fromkeys(["Detection", "Detections"], "detections"),
    "record_ids": "sinks.jsonl",
    # reasoners and formats
    **dict.fromkeys(["Explaining", "Format", "Reasoner"], "hookspecs"),
    **dict.fromkeys(["Mode", "TemplateKey", "Verdict"], "records"),
    **dict.fromkeys(["asked", "reads_severity"], "verdicts.resolver"),
    "mask": "templates.masks",
    "fill": "templates.fill",
    # listeners, and what receives over a network
    "Listener": "hookspecs",
    **dict.fromkeys(["Overloaded", "Service"], "service.core"),
    **dict.fromkeys(["MEBIBYTE", "Limits"], "service.limits"),
    **dict.fromkeys(["Refusal", "decode"], "service.wire"),
    **dict.fromkeys(["Bodies", "Watch", "guarded", "is_loopback", "refuse_other_host"], "service.connections"),
    "Tokens": "service.tokens",
    "otlp": "service",
    # errors and troubles
    **dict.fromkeys(["BadOption", "Closed", "ModelError", "RaError", "SinkError", "SourceError"], "errors"),
    **dict.fromkeys(["UsageError", "WorldError"], "errors"),
    "RateLimited": "trouble",
    **dict.fromkeys(["dumped", "visible"], "text"),
    # the whole product, for a plugin that runs it
    "Detector": "detector",
    "PluginSet": "plugins",
}
_MODULES = {"otlp"}

__all__ = ["API", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ra_sdk.plugin' has no attribute {name!r}")
    home = f"ra_sdk.{_HOMES[name]}"
    value = import_module(f"{home}.{name}") if name in _MODULES else getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
