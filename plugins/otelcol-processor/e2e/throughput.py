"""What the processor costs: records per second through the real Collector without it, with it and no service, and with it and a warm cache.

    make collector                                    # builds the Collector
    python plugins/otelcol-processor/e2e/throughput.py --records 500000 --rounds 3

The three pipelines run in turn, round after round, so that the ratios are of one machine in one state. CPU is that of the Collector alone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

MODULE = Path(__file__).resolve().parents[1]
COLLECTOR = Path(os.environ.get("RA_COLLECTOR", MODULE.parents[1] / "examples" / "collector" / "build" / "otelcol-ra"))
OTLP, SERVICE, NOBODY = 14318, 18765, 1
CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{otlp}'}}}}}}}}
processors: {{rationanomaly: {{endpoint: 'http://127.0.0.1:{service}', wait: 2s}}}}
exporters: {{debug: {{}}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
  pipelines: {{logs: {{receivers: [otlp], processors: [{processors}], exporters: [debug]}}}}
"""
PIPELINES = {"without": ("", NOBODY), "absent": ("rationanomaly", NOBODY), "warm": ("rationanomaly", SERVICE)}


def main() -> None:
    """Measure, and print a line of JSON for each pipeline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        loadgen = Path(folder) / "loadgen"
        subprocess.run(["go", "build", "-o", loadgen, "./internal/loadgen"], cwd=MODULE, check=True)
        ra = Path(sys.executable).with_name("ra")
        service = subprocess.Popen([ra, "serve", "--port", str(SERVICE), "--model", "echo", "--store", ":memory:"], stderr=subprocess.DEVNULL)
        try:
            await_open(f"http://127.0.0.1:{SERVICE}/readyz")
            rounds = [{name: measured(Path(folder), loadgen, name, asked.records) for name in PIPELINES} for _ in range(asked.rounds)]
        finally:
            service.terminate()
            service.wait()
    for name in PIPELINES:
        print(json.dumps({"pipeline": name, **summary(rounds, name)}))


def summary(rounds: list[dict[str, dict[str, float]]], name: str) -> dict[str, float]:
    """Medians over the rounds; what is compared is compared within a round."""

    def median(of: str) -> float:
        return statistics.median(one[name][of] for one in rounds)

    return {
        "records_per_second": round(median("records_per_second")),
        "ratio": round(statistics.median(one[name]["records_per_second"] / one["without"]["records_per_second"] for one in rounds), 3),
        "cpu_us_per_record": round(median("cpu_us_per_record"), 2),
        "p99_ms": round(median("p99_ms"), 2),
        "p99_added_ms": round(statistics.median(one[name]["p99_ms"] - one["without"]["p99_ms"] for one in rounds), 2),
        "rss_mib": round(median("rss_mib"), 1),
    }


def measured(folder: Path, loadgen: Path, name: str, records: int) -> dict[str, float]:
    """One run of one pipeline."""
    processors, service = PIPELINES[name]
    config = folder / f"{name}.yaml"
    config.write_text(CONFIG.format(otlp=OTLP, service=service, processors=processors))
    collector = subprocess.Popen([COLLECTOR, "--config", config], stderr=subprocess.DEVNULL)
    try:
        await_open(f"http://127.0.0.1:{OTLP}/")
        load(loadgen, max(records // 20, 10_000))  # what is measured is not the first batch
        before = cpu_seconds(collector.pid)
        found = load(loadgen, records)
        found["cpu_us_per_record"] = (cpu_seconds(collector.pid) - before) / found["records"] * 1e6
        found["rss_mib"] = int(Path(f"/proc/{collector.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    finally:
        collector.send_signal(signal.SIGTERM)
        collector.wait()
    return found


def load(loadgen: Path, records: int) -> dict[str, float]:
    """What the load generator measured."""
    command = [loadgen, "-endpoint", f"http://127.0.0.1:{OTLP}", "-records", str(records)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time so far (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def await_open(url: str, seconds: float = 120) -> None:
    """Wait until somebody answers who is ready. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not answers(url):
        if time.monotonic() > end:
            raise TimeoutError(f"nobody answers at {url}")
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Whether somebody answers, and not that it is too early."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code != 503
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
