"""What records in JSON say that have no message under a usual key: events, audits and requests of clouds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from ra_sdk.formats.requests import KINDS
from ra_sdk.text import dumped

__all__ = ["azure_level", "said", "status_level", "timeless"]

_TIME = re.compile(r"(?i:time|stamp|date|created|_at|[a-z]At|ts)$|^t$")
_CLOCK = re.compile(r"\d{4}-?\d\d-?\d\d|\d{10}")
_MARKS = frozenset("eventSource protoPayload apiVersion httpRequest operationName detail-type".split())
_UNIQUE = frozenset("insertId logName trace spanId traceSampled".split())  # of Google Cloud's records
_EVENT_LEVELS = {1: "FATAL", 2: "ERROR", 3: "WARN", 4: "INFO", 5: "DEBUG"}
_REASONS = {status.value: status.phrase for status in HTTPStatus}


def said(row: Mapping[str, Any]) -> str:
    """What the record says, in words; empty where it is of no known kind."""
    if _MARKS.isdisjoint(row):
        return ""
    return next((words for tell in _KINDS if (words := tell(row))), "")


def status_level(row: Mapping[str, Any]) -> str | None:
    """The severity that the status of a request stands for."""
    request = row.get("httpRequest")
    status = _number(request.get("status")) if isinstance(request, dict) else 0
    return "ERROR" if status >= 500 else "WARN" if status >= 400 else "INFO" if status else None


def azure_level(row: Mapping[str, Any], level: object) -> str | None:
    """The severity that a number stands for in Azure's logs, which count as .NET's EventLevel does."""
    number = _number(level)
    return _EVENT_LEVELS.get(number) if "operationName" in row and "resourceId" in row else None


def timeless(row: Mapping[str, Any]) -> dict[str, Any]:
    """Without further times and the ids of the record itself, which differ in each record."""
    ids = _UNIQUE if "logName" in row or "insertId" in row else ()
    hidden = {*ids, "severity_text", "caller"}
    left = {key: value for key, value in row.items() if key not in hidden and not _is_clock(key, value)}
    return left or dict(row)


def _is_clock(key: str, value: object) -> bool:
    if isinstance(value, str):
        return value[:4].isdecimal() and _CLOCK.match(value) is not None and _names_time(key)
    return isinstance(value, int | float) and value > 1e9 and _names_time(key)


@lru_cache(4096)
def _names_time(key: str) -> bool:
    return _TIME.search(key) is not None


def _number(value: object) -> int:
    decimal = isinstance(value, str) and value.isdecimal() and len(value) < 10
    return int(value) if isinstance(value, int) or (decimal and isinstance(value, str)) else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else dumped(value, compact=True)


def _inner(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def _together(*parts: object) -> str:
    """What there is of the parts, each once."""
    return ": ".join(dict.fromkeys(_text(part) for part in parts if part not in (None, "", {})))


def _status(code: int) -> str:
    return f"{code} {_REASONS.get(code, '')}".strip() if code else ""


def _cloudtrail(row: Mapping[str, Any]) -> str:
    """AWS CloudTrail: the call, who made it, and how it failed."""
    if not {"eventSource", "eventName"} <= row.keys():
        return ""
    who, answer = _inner(row, "userIdentity"), _inner(row, "responseElements")
    name = next((who[key] for key in ("userName", "invokedBy", "arn", "principalId") if who.get(key)), "")
    caller = " ".join(_text(part) for part in (who.get("type"), name) if part)
    short = [f"{key} {value}" for key, value in answer.items() if len(answer) == 1 and isinstance(value, str)]
    call = f"{_text(row['eventName'])} on {_text(row['eventSource'])}" + (f" by {caller}" if caller else "")
    return _together(call, row.get("errorCode"), row.get("errorMessage"), *short)


def _google_audit(row: Mapping[str, Any]) -> str:
    """Google Cloud's audit logs: https://cloud.google.com/logging/docs/audit/understanding-audit-logs"""
    told = _inner(row, "protoPayload")
    method, status = told.get("methodName"), _inner(told, "status")
    if not method:
        return _text(status["message"]) if status.get("message") else ""
    where = told.get("resourceName") or told.get("serviceName")
    who = _inner(told, "authenticationInfo").get("principalEmail")
    call = _text(method) + (f" on {_text(where)}" if where else "") + (f" by {_text(who)}" if who else "")
    return _together(call, status.get("message") or (f"code {status['code']}" if status.get("code") else ""))


def _kubernetes_audit(row: Mapping[str, Any]) -> str:
    """https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/"""
    if not str(row.get("apiVersion", "")).startswith("audit.k8s.io/"):
        return ""
    status, who = _inner(row, "responseStatus"), _inner(row, "user").get("username")
    code = _number(status.get("code"))
    call = " ".join(_text(row[key]) for key in ("verb", "requestURI") if row.get(key))
    call += f" by {_text(who)}" if who else ""
    return _together(call, _status(code), status.get("message"))


def _request(row: Mapping[str, Any]) -> str:
    """A request of Google Cloud's load balancers and services, or one that AWS WAF decided about."""
    told = _inner(row, "httpRequest")
    method = told.get("requestMethod") or told.get("httpMethod")
    url = told.get("requestUrl") or told.get("uri")
    if not (isinstance(method, str) and isinstance(url, str)):
        return ""
    path = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*|[?#;].*$", "", url) or "/"
    kind = next((name for pattern, name in KINDS if re.search(pattern, path.lower())), "page")
    status = _number(told.get("status"))
    return _together(f"{method} {kind} {path}", _status(status) or row.get("action"))


def _azure(row: Mapping[str, Any]) -> str:
    """Azure's resource logs: https://learn.microsoft.com/azure/azure-monitor/platform/resource-logs-schema"""
    operation = row.get("operationName")
    if not operation:
        return ""
    told = _inner(row, "properties")
    found = (told[key] for key in ("message", "Message", "msg", "log", "statusMessage") if told.get(key))
    words = next(found, row.get("resultDescription"))
    result = [row.get(key) for key in ("resultType", "resultSignature")]
    if words and "/" in _text(operation) and not any(result):
        return _text(words)
    return _together(operation, *result, words)


def _event(row: Mapping[str, Any]) -> str:
    """Amazon EventBridge: what happened, and its details."""
    return _together(row["detail-type"], row.get("detail")) if "detail-type" in row else ""


_Tell = Callable[[Mapping[str, Any]], str]
_KINDS: tuple[_Tell, ...] = (_cloudtrail, _google_audit, _kubernetes_audit, _request, _azure, _event)
