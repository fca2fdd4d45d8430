"""RationAnomaly SDK: finds anomalies in logs and says why, on the machine where the logs are.

>>> import ra_sdk
>>> for detection in ra_sdk.detect("app.log"):  # doctest: +SKIP
...     if detection.abnormal:
...         print(detection.record.body, detection.rationale)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ra_sdk.api import adetect as adetect
    from ra_sdk.api import detect as detect
    from ra_sdk.api import judge as judge
    from ra_sdk.detections import Detection as Detection
    from ra_sdk.detections import Detections as Detections
    from ra_sdk.detector import Detector as Detector
    from ra_sdk.detector import Progress as Progress
    from ra_sdk.errors import BadFormat as BadFormat
    from ra_sdk.errors import BadOption as BadOption
    from ra_sdk.errors import BadRecord as BadRecord
    from ra_sdk.errors import ModelError as ModelError
    from ra_sdk.errors import RaError as RaError
    from ra_sdk.errors import SinkError as SinkError
    from ra_sdk.errors import SourceError as SourceError
    from ra_sdk.errors import StoreError as StoreError
    from ra_sdk.errors import UnknownFormat as UnknownFormat
    from ra_sdk.errors import UnknownScheme as UnknownScheme
    from ra_sdk.errors import UsageError as UsageError
    from ra_sdk.errors import WorldError as WorldError
    from ra_sdk.hookspecs import Items as Items
    from ra_sdk.hookspecs import Lines as Lines
    from ra_sdk.hookspecs import hookimpl as hookimpl
    from ra_sdk.reasoner.echo import EchoReasoner as EchoReasoner
    from ra_sdk.reasoner.llama import LlamaReasoner as LlamaReasoner
    from ra_sdk.records import LogRecord as LogRecord
    from ra_sdk.records import Template as Template
    from ra_sdk.records import Verdict as Verdict
    from ra_sdk.sessions.window import Session as Session
    from ra_sdk.sessions.window import Window as Window
    from ra_sdk.sources.several import Sources as Sources
    from ra_sdk.verdicts.resolver import Counts as Counts
    from ra_sdk.verdicts.store import VerdictStore as VerdictStore

__version__ = "0.1.0"

# Name -> module. Resolved on first use, so that a bare import stays light.
_HOMES = {
    **dict.fromkeys(["Detection", "Detections"], "detections"),
    **dict.fromkeys(["adetect", "detect", "judge"], "api"),
    **dict.fromkeys(["Detector", "Progress"], "detector"),
    **dict.fromkeys(["BadFormat", "BadOption", "BadRecord", "ModelError", "RaError", "SinkError", "SourceError", "StoreError"], "errors"),
    **dict.fromkeys(["UnknownFormat", "UnknownScheme", "UsageError", "WorldError"], "errors"),
    **dict.fromkeys(["Items", "Lines", "hookimpl"], "hookspecs"),
    "Sources": "sources.several",
    "EchoReasoner": "reasoner.echo",
    "Counts": "verdicts.resolver",
    "LlamaReasoner": "reasoner.llama",
    **dict.fromkeys(["LogRecord", "Template", "Verdict"], "records"),
    **dict.fromkeys(["Session", "Window"], "sessions.window"),
    "VerdictStore": "verdicts.store",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ra_sdk' has no attribute {name!r}")
    value = getattr(import_module(f"ra_sdk.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
