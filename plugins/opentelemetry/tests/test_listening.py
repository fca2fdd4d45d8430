"""OTLP/gRPC at ``ra serve``: the same judge as over HTTP."""

import json
import threading
import time
import urllib.request
from pathlib import Path

import grpc
import pytest
import ra_sdk
from ra_sdk.cli.app import main
from ra_sdk.records import TemplateKey
from ra_sdk.service.limits import Limits
from ra_sdk.service.run import Place, Serving
from ra_sdk.service.tokens import make_token

from .conftest import SHOP, batches, exporter, message_of, until
from .test_source import call


@pytest.fixture
def serving():
    """A service with OTLP/gRPC on a free port."""
    running = []

    def start(listeners=("otlp://127.0.0.1:0",), wait=True, knowledge=None, **place):
        service = Serving(Place(port=0, listeners=listeners, **place), {"model": "echo", "store": ":memory:", "knowledge": knowledge}, lambda _: None)
        thread = threading.Thread(target=service.run, daemon=True)
        thread.start()
        running.append((service, thread))
        if wait:
            until(lambda: service.door.service is not None)
        return service

    yield start
    for service, _ in running:
        service.stop()
    for _, thread in running:
        thread.join(60)
        assert not thread.is_alive()


def templates(service):
    with urllib.request.urlopen(f"{service.url}/v1/templates?limit=1000") as answer:
        return {t["verdict"]["template"]: t["count"] for t in json.loads(answer.read())["templates"]}


def test_what_comes_is_mined_judged_and_counted(serving):
    service = serving()
    client = exporter("grpc", service.listeners[0].port)
    for batch in batches(SHOP):
        client.export(batch)
    client.shutdown()
    expected = {}
    for d in ra_sdk.detect([{"message": line} for line in SHOP], model="echo", store=":memory:"):
        expected[d.template] = expected.get(d.template, 0) + 1
    time.sleep(1.1)  # the listing may be a second old
    assert templates(service) == expected


ORDERS = """
[[phrase]]
id = "orders-parcel"
match = ["parcel failed"]
scope = ["orders-api"]
says = "fault"
meaning = "An order has no parcel."
source = "the orders team"
"""


@pytest.mark.parametrize(("name", "known"), [("orders-api", ("orders-parcel",)), ("billing", ())])
def test_reasons_heed_the_service_that_a_resource_names(serving, tmp_path, name, known):
    (tmp_path / "orders.toml").write_text(ORDERS)
    service = serving(knowledge=[tmp_path / "orders.toml"])
    request = message_of(["parcel failed"])
    request.resource_logs[0].resource.attributes.add(key="service.name").value.string_value = name
    call(service.listeners[0].port, request)
    judging, key = service.door.service.detector.judging, TemplateKey("parcel failed")
    until(lambda: judging.remembered([key]))
    assert judging.remembered([key])[key][0].knowledge == known


def test_a_line_that_is_too_long_is_rejected_alone(serving):
    service = serving(limits=Limits(line=100))
    partial = call(service.listeners[0].port, message_of(["disk failed", "x" * 101])).partial_success
    assert (partial.rejected_log_records, "longer than 100" in partial.error_message) == (1, True)
    assert templates(service) == {"disk failed": 1}


def test_overload_is_said(serving):
    service = serving(limits=Limits(batch=100, queue=100))
    with service.door.service._mining:
        waiting = threading.Thread(target=call, args=(service.listeners[0].port, message_of(["a b"] * 80)))
        waiting.start()
        until(lambda: service.door.service._waiting == 80)
        with pytest.raises(grpc.RpcError) as caught:
            call(service.listeners[0].port, message_of(["c d"] * 50))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc-status-details-bin" in dict(caught.value.trailing_metadata())
    waiting.join(60)
    with pytest.raises(grpc.RpcError, match="more than the 100 of one batch"):
        call(service.listeners[0].port, message_of(["a"] * 101))


def test_tokens_are_those_of_the_service(serving, tmp_path):
    token = make_token("agent", tmp_path / "tokens")
    port = serving(tokens=tmp_path / "tokens").listeners[0].port
    with pytest.raises(grpc.RpcError) as caught:
        call(port, message_of(["a"]))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    call(port, message_of(["a"]), metadata=(("authorization", f"Bearer {token}"),))


def test_open_to_others_needs_tokens(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(ra_sdk.BadOption, match="no token is in"):
        Serving(Place(port=0, listeners=("otlp://0.0.0.0:0",)), {"model": "echo"}, lambda _: None)


def test_before_the_model_is_loaded_clients_are_told_to_come_again(serving, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr("ra_sdk.service.run._warm", lambda: gate.wait(60))
    service = serving(wait=False)
    with pytest.raises(grpc.RpcError) as caught:
        call(service.listeners[0].port, message_of(["a"]))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "grpc-status-details-bin" in dict(caught.value.trailing_metadata())
    gate.set()
    until(lambda: service.door.service is not None)


def test_without_the_package_it_is_said_what_to_install(monkeypatch, capsys):
    monkeypatch.setenv("RA_PLUGINS", "")
    assert main(["serve", "--port", "0", "--otlp-grpc", "127.0.0.1:0", "--model", "echo"]) == 2
    assert "pip install ra-sdk-opentelemetry" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "code"), [("127.0.0.1:x", 2), ("", 2), ("256.0.0.1:1", 2)])
def test_an_address_that_is_none(given, code, capsys, tmp_path):
    tokens = tmp_path / "tokens"
    make_token("a", tokens)
    found = main(["serve", "--port", "0", "--otlp-grpc", given, "--model", "echo", "--tokens", str(tokens)])
    assert found in (1, code)
    assert capsys.readouterr().err.startswith("ra: ")
    assert Path(tokens).exists()
