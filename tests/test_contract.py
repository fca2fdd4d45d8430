"""The wire format is the files of plugins/contract: they are played against the running service.

``RA_REFRESH_CONTRACT=1 pytest tests/test_contract.py`` writes what the service answers into them, to be looked at and committed.
"""

import base64
import hashlib
import http.client
import json
import os
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ra_sdk.service.limits import Limits

CONTRACT = Path(__file__).resolve().parent.parent / "plugins" / "contract"
FILES = sorted((CONTRACT / "v1").glob("*.json"))
REFRESH = os.environ.get("RA_REFRESH_CONTRACT") == "1"
REVISION = re.compile(r"^[0-9a-f]{16}$")
KEPT = ("content-type", "retry-after", "www-authenticate", "allow")  # headers that are part of the format


def body_of(part):
    if "base64" in part:
        return base64.b64decode(part["base64"])
    if "text" in part:
        return part["text"].encode()
    return json.dumps(part["body"]).encode() if "body" in part else None


def exchange(url, request, key, kept=KEPT):
    """What the service answers to a request of a file, as the file would have it."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    try:
        connection.request(request["method"], request["path"].replace("{key}", key), body_of(request), request.get("headers", {}))
        answer = connection.getresponse()
        data = answer.read()
        headers = {name: answer.headers[name] for name in kept if name in answer.headers}
    finally:
        connection.close()
    found = {"status": answer.status, "headers": headers}
    if headers.get("content-type") == "application/json":
        return {**found, "body": json.loads(data)}
    return {**found, "base64": base64.b64encode(data).decode()} if data else found


def comparable(response):
    """A response without what the format leaves open: what a key is made of, what a message says."""
    if response["status"] >= 400 and "base64" in response:
        return {**response, "base64": base64.b64decode(response["base64"])[:2]}  # the code of a google.rpc.Status
    response = {**response, "headers": {name: REVISION.sub("…", value) for name, value in response["headers"].items()}}
    return {**response, "body": opened(response["body"])} if "body" in response else response


def opened(value):
    if isinstance(value, list):
        return [opened(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: "…" if name in ("key", "message") and isinstance(item, str) and item else opened(item) for name, item in value.items()}


def keys_of(value):
    if isinstance(value, list):
        return [key for item in value for key in keys_of(item)]
    if not isinstance(value, dict):
        return []
    return [key for name, item in value.items() for key in ([item] if name == "key" else keys_of(item))]


def started(serving, tmp_path, setting):
    """A service as a file wants it."""
    tokens = None
    if setting.get("tokens"):
        tokens = tmp_path / "tokens"
        tokens.write_text("".join(f"t{n} {hashlib.sha256(token.encode()).hexdigest()} -\n" for n, token in enumerate(setting["tokens"])))
    service = serving(limits=Limits(**setting.get("limits", {})), tokens=tokens)
    if setting.get("state") == "loading":
        service.door.service, service.hidden = None, service.door.service
    if setting.get("state") == "busy":
        service.door.service._waiting = service.place.limits.queue
    return service


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_contract(path, serving, tmp_path):
    case = json.loads(path.read_text(encoding="utf-8"))
    service = started(serving, tmp_path, case.get("service", {}))
    key = ""
    for step in case["exchanges"]:
        found = exchange(service.url, step["request"], key, {*KEPT, *step["response"]["headers"]})
        while service.door.service and service.door.service.cold:  # what was left to the background is done before the next
            time.sleep(0.01)
        key = next(iter(keys_of(found.get("body"))), key)
        if REFRESH:
            step["response"] = found
        assert comparable(found) == comparable(step["response"]), step["request"]
    service.door.service = service.door.service or service.hidden
    if REFRESH:
        path.write_text(json.dumps(case, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def test_the_document_is_the_committed_one_and_names_every_path(serving):
    service = serving()
    served = exchange(service.url, {"method": "GET", "path": "/openapi.json"}, "")["body"]
    if REFRESH:
        from ra_sdk.service.openapi import document

        (CONTRACT / "openapi.json").write_bytes(document())
    assert served == json.loads((CONTRACT / "openapi.json").read_text(encoding="utf-8")), "see this file's docstring"
    routes = {(route.path, method.lower()) for route in service.door.app.routes for method in route.methods - {"HEAD"}}
    assert routes == {(path, method) for path, operations in served["paths"].items() for method in operations}


def test_every_path_and_every_status_has_a_case():
    said, cases = json.loads((CONTRACT / "openapi.json").read_text()), [json.loads(path.read_text()) for path in FILES]
    statuses = {str(step["response"]["status"]) for case in cases for step in case["exchanges"]}
    assert {status for operations in said["paths"].values() for operation in operations.values() for status in operation["responses"]} - statuses == {"408"}
    asked = " ".join(step["request"]["path"] for case in cases for step in case["exchanges"])
    assert all(path.replace("{key}", "") in asked for path in said["paths"] if path.startswith("/v1"))
