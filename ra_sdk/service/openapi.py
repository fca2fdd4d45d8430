"""The OpenAPI document of the service, made of the types that it decodes and encodes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from ra_sdk import __version__
from ra_sdk.service.wire import Answer, Ask, Entry, Failure, Page

__all__ = ["document"]

REF = "#/components/schemas/{name}"
_TYPES = {"ask": Ask, "answer": Answer, "entry": Entry, "page": Page, "failure": Failure}
_SAID = {
    400: "The body is not what its type says.",
    401: "No bearer token that is known.",
    404: "There is none.",
    405: "The path has other methods.",
    408: "The body did not come in time.",
    413: "The body, the batch or a line is larger than the service takes.",
    415: "A type or encoding of the body that is not understood.",
    421: "Without tokens the service answers to this machine's own names only.",
    422: "A value that cannot be.",
    429: "More is waiting than may wait; Retry-After says when to come again.",
    503: "The model is being loaded, or a file cannot be used; Retry-After says when to come again.",
}
_BODY = (400, 401, 408, 413, 415, 421, 422, 429, 503)
_OTLP_JSON = {  # protobuf's JSON takes null for a default, so an empty list too
    "type": "object",
    "properties": {
        "resourceLogs": {
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "properties": {
                    "scopeLogs": {
                        "type": ["array", "null"],
                        "items": {
                            "type": "object",
                            "properties": {
                                "logRecords": {"type": ["array", "null"], "items": {"type": "object", "properties": {"body": {"type": ["object", "null"]}}}}
                            },
                        },
                    }
                },
            },
        }
    },
}


@cache
def document() -> bytes:
    """The document, as JSON."""
    schemas, components = msgspec.json.schema_components(list(_TYPES.values()), ref_template=REF)
    refs = dict(zip(_TYPES, schemas))
    paths = {
        "/v1/verdicts": {"post": _judging(refs)},
        "/v1/verdicts/{key}": {"get": _by_key(refs)},
        "/v1/templates": {"get": _listing(refs)},
        "/v1/logs": {"post": _otlp()},
        "/healthz": {"get": _open("health", "Whether the process lives.", (200,))},
        "/readyz": {"get": _open("ready", "Whether the model is loaded.", (200, 503))},
        "/metrics": {"get": _metrics(refs)},
        "/openapi.json": {"get": _open("openapi", "This document.", (200,))},
    }
    security = {"bearer": {"type": "http", "scheme": "bearer", "description": "Needed unless the service is bound to this machine only."}}
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "RationAnomaly",
            "version": __version__,
            "description": "Anomalies in logs, and why. Changes within /v1 only add: pass over what you do not know.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": security},
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def _judging(refs: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": "judge",
        "summary": "Verdicts for a batch of records.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": refs["ask"]}}},
        "responses": {"200": _json("A reference for every record, and each distinct verdict once.", refs["answer"]), **_failures(refs, _BODY)},
    }


def _by_key(refs: dict[str, Any]) -> dict[str, Any]:
    pattern = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    return {
        "operationId": "verdict",
        "summary": "One verdict, undecided as long as its template waits for the model.",
        "parameters": [{"name": "key", "in": "path", "required": True, "schema": pattern}],
        "responses": {"200": _json("The verdict.", refs["entry"]), **_failures(refs, (401, 404, 421, 503))},
    }


def _listing(refs: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": "templates",
        "summary": "What was mined so far, with verdicts.",
        "parameters": [
            _query("label", {"type": "string", "enum": ["normal", "abnormal", "undecided"]}, "Only those with this label."),
            _query("sort", {"type": "string", "enum": ["count", "score", "template"], "default": "count"}, "By what to sort."),
            _query("order", {"type": "string", "enum": ["desc", "asc"], "default": "desc"}, "Which come first."),
            _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, "How many make a page."),
            _query("offset", {"type": "integer", "minimum": 0, "maximum": 1_000_000_000, "default": 0}, "How many to pass over; a page's next."),
        ],
        "responses": {"200": _json("A page of templates.", refs["page"]), **_failures(refs, (401, 421, 422, 503))},
    }


def _otlp() -> dict[str, Any]:
    binary = {"type": "string", "contentMediaType": "application/x-protobuf"}
    said: dict[int, str] = {200: "Taken; partial_success says if some records were not.", **{status: _SAID[status] for status in _BODY}}
    # a failure is a google.rpc.Status in the request's own type; where that is not known, ours
    both = {"application/json": {"schema": {"type": "object"}}, "application/x-protobuf": {"schema": binary}}
    return {
        "operationId": "logs",
        "summary": "OTLP logs, as exporters and the OpenTelemetry Collector send them; they are mined, judged and counted.",
        "externalDocs": {"url": "https://opentelemetry.io/docs/specs/otlp/#otlphttp"},
        "requestBody": {"required": True, "content": {"application/x-protobuf": {"schema": binary}, "application/json": {"schema": _OTLP_JSON}}},
        "responses": {str(status): {"description": text, "content": both} for status, text in said.items()},
    }


def _metrics(refs: dict[str, Any]) -> dict[str, Any]:
    text = {"description": "Prometheus's text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"operationId": "metrics", "summary": "Metrics.", "responses": {"200": text, **_failures(refs, (401, 421, 503))}}


def _open(name: str, summary: str, statuses: Sequence[int]) -> dict[str, Any]:
    responses = {str(status): _json("Yes." if status == 200 else "Not yet.", {"type": "object"}) for status in statuses}
    responses["421"] = _json(_SAID[421], {"$ref": REF.format(name="Failure")})
    return {"operationId": name, "summary": summary, "security": [], "responses": responses}


def _query(name: str, schema: dict[str, Any], about: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": about, "schema": schema}


def _json(about: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _failures(refs: dict[str, Any], statuses: Sequence[int]) -> dict[str, Any]:
    return {str(status): _json(_SAID[status], refs["failure"]) for status in statuses}
