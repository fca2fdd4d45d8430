"""Through the whole of it, with the official exporter: every record once, as it was, with the verdict that ra-sdk gives."""

import itertools
import os
import threading
import time

import pytest
import ra_sdk
from opentelemetry.sdk._logs.export import LogRecordExportResult

from .conftest import SHOP, attributes, batches, exporter, until

COUNT = 20_000
OUTAGE_S = float(os.environ.get("RA_OUTAGE_SECONDS", "3"))  # a minute, where somebody has the time
MANY = list(itertools.islice(itertools.cycle(SHOP), COUNT))


def expected(bodies):
    return [
        (d.verdict.label, d.verdict.score, d.verdict.category, d.rationale, d.verdict.template)
        for d in ra_sdk.detect([{"message": b} for b in bodies], model="echo", store=":memory:")
    ]


def verdicts(records):
    names = ("ra.label", "ra.score", "ra.category", "ra.rationale", "log.record.template")
    return [tuple(attributes(record).get(name) for name in names) for _, _, record in records]


def addresses(kind, port):
    return f"otlp://127.0.0.1:{port}" if kind == "grpc" else f"otlp+http://127.0.0.1:{port}"


@pytest.mark.slow
@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_twenty_thousand_records_come_back_once_with_their_verdicts(pipeline, receiver, http_receiver, kind, packed):
    out = receiver if kind == "grpc" else http_receiver
    hop = pipeline(addresses(kind, 0), f"{addresses(kind, out.port)}?compression={'gzip' if packed else 'none'}")
    client = exporter(kind, hop.port, packed=packed)
    for batch in batches(MANY):
        assert client.export(batch) is LogRecordExportResult.SUCCESS
    client.shutdown()
    records = sorted(out.records, key=lambda found: found[2].time_unix_nano)
    assert [record.body.string_value for _, _, record in records] == MANY
    assert [attributes(record)["n"] for _, _, record in records] == list(range(COUNT))
    assert verdicts(records) == expected(MANY)
    assert {tuple((p.key, p.value.string_value) for p in resource.resource.attributes) for resource, _, _ in records} == {(("service.name", "shop"),)}
    assert {(scope.scope.name, scope.scope.version) for _, scope, _ in records} == {("shop", "1.0")}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_the_receiver_is_away_for_a_while(pipeline, receiver, http_receiver, kind):
    out = receiver if kind == "grpc" else http_receiver
    hop = pipeline(addresses(kind, 0), f"{addresses(kind, out.port)}?pause=0.2")
    client = exporter(kind, hop.port, timeout=OUTAGE_S + 60)
    done = []

    def send():
        for batch in batches(MANY[:10_000]):
            done.append(client.export(batch))

    sending = threading.Thread(target=send)
    sending.start()
    until(lambda: len(out.records) > 1_000)
    out.stop()
    there = len(out.records)
    time.sleep(OUTAGE_S)
    assert len(out.records) == there
    assert sending.is_alive()
    out.start()
    sending.join(60)
    client.shutdown()
    assert set(done) == {LogRecordExportResult.SUCCESS}
    found = {attributes(record)["n"] for _, _, record in out.records}
    assert found == set(range(10_000))
    assert len(out.records) - 10_000 <= 4 * 512  # what was under way when it went may have come twice, and nothing else
    assert hop.sinks[0].report.again > 0
