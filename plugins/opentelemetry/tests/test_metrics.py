"""Metrics of the sink, through the OpenTelemetry API."""

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from ra_sdk.detector import Detector

from ra_sdk_opentelemetry.metrics import SinkMeters
from ra_sdk_opentelemetry.sending import Outcome


def points(reader):
    return {m.name: list(m.data.data_points) for r in reader.get_metrics_data().resource_metrics for s in r.scope_metrics for m in s.metrics}


def test_what_a_sink_counts():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meters = SinkMeters(provider)
    with Detector(model="echo", store=":memory:") as detector:
        for _ in range(2):
            for block in detector.blocks(["disk 1 failed", "disk 2 failed", "all good", "---"]):
                meters.wrote(block)
    meters.sent(Outcome("again", "UNAVAILABLE"), 0.5)
    meters.sent(Outcome("taken", "too old", 3), 0.25)
    found = points(reader)
    assert {p.attributes["ra.label"]: p.value for p in found["ra.records"]} == {"abnormal": 4, "normal": 4}
    assert found["ra.model.templates"][0].value == 2
    assert {p.attributes["outcome"]: p.value for p in found["ra.export.requests"]} == {"again": 1, "taken": 1}
    assert {p.attributes["outcome"]: p.sum for p in found["ra.export.duration"]} == {"again": 0.5, "taken": 0.25}
    assert found["ra.export.rejected"][0].value == 3
    provider.shutdown()


def test_without_a_provider_it_costs_nothing_and_says_nothing():
    SinkMeters().sent(Outcome("taken"), 0.1)
    with Detector(model="echo", store=":memory:") as detector:
        (block,) = detector.blocks(["a"])
        assert SinkMeters().wrote(block) is None
