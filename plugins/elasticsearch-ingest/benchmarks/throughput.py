"""How much the processor costs: bulk indexing with it, against the same without it, in one run.

    python benchmarks/throughput.py elasticsearch:9.3.2 [--rounds 5] [--documents 20000]

Three pipelines take turns: one with nothing in it, one with the processor whose verdicts are all remembered
(cache warm), one with the processor while nothing listens at the service's address. The ratio of a round
compares documents per second within that round; the median over the rounds is shown, as JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from conftest import Service, built, settings  # noqa: E402
from servers import Server, running  # noqa: E402
from test_pipeline import PATIENT, line  # noqa: E402

REQUEST = 5_000  # documents of one bulk request


def body(messages: list[str]) -> list[str]:
    parts = ['{"create": {}}\n' + json.dumps({"message": message}) + "\n" for message in messages]
    return ["".join(parts[start : start + REQUEST]) for start in range(0, len(parts), REQUEST)]


def rate(server: Server, pipeline: str, requests: list[str], documents: int) -> float:
    """Documents per second into a new index, which is deleted again."""
    server.put("/measured", {"settings": {"number_of_replicas": 0, "refresh_interval": "-1"}})
    started = time.perf_counter()
    for request in requests:
        answer = server.post(f"/measured/_bulk?pipeline={pipeline}&filter_path=errors", request, timeout=900)
        if answer["errors"]:
            raise SystemExit("a document was not indexed")
    seconds = time.perf_counter() - started
    server.get("/measured", method="DELETE")
    return documents / seconds


def measure(server: Server, service: Service, rounds: int, documents: int) -> dict[str, Any]:
    requests = body([line(number) for number in range(documents)])
    server.put("/_ingest/pipeline/without", {"processors": []})
    server.put("/_ingest/pipeline/with", {"processors": [{"rationanomaly": {}}]})
    server.put("/_ingest/pipeline/patient", {"processors": [{"rationanomaly": PATIENT}]})
    for pipeline in ("without", "patient"):  # the server's code is compiled, the verdicts are remembered
        rate(server, pipeline, requests, documents)
    # other messages while the service is dead: those of the warm rounds are remembered for minutes
    unknown = body([line(number, "unknown ") for number in range(documents)])
    found: dict[str, list[float]] = {"without": [], "warm": [], "dead": []}
    for _ in range(rounds):
        service.start()
        rate(server, "patient", requests[:1], documents)
        found["without"].append(rate(server, "without", requests, documents))
        found["warm"].append(rate(server, "with", requests, documents))
        service.stop()
        found["dead"].append(rate(server, "with", unknown, documents))
    ratios = {
        name: [one / base for one, base in zip(found[name], found["without"])] for name in ("warm", "dead")
    }
    return {
        "documents per second, median": {
            name: round(statistics.median(rates)) for name, rates in found.items()
        },
        "ratio to without, median": {
            name: round(statistics.median(values), 3) for name, values in ratios.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("target", help="such as elasticsearch:9.3.2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--documents", type=int, default=20_000)
    given = parser.parse_args()
    kind, _, version = given.target.partition(":")
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder)).start()
        try:
            with running(kind, version, plugin=built(given.target), settings=settings(service)) as server:
                print(
                    json.dumps(
                        {given.target: measure(server, service, given.rounds, given.documents)}, indent=2
                    )
                )
        finally:
            service.stop()


if __name__ == "__main__":
    main()
