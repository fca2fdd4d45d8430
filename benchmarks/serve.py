"""What HTTP costs: `python benchmarks/serve.py [--records N] [--clients N] [--batch N]`.

The same records through `detect()` in this process and through `ra serve` in another, both without a model, templates known. Clients have
their requests ready, and read answers without looking into them: what is measured is the service.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def records(count: int, shop: bool) -> list[dict[str, object]]:
    """Made-up lines, or those of the example, in a fixed order, with the fields that a shipper adds."""
    if shop:
        lines = [line for path in sorted((HERE.parent / "examples" / "shop").glob("*.log")) for line in path.read_text(encoding="utf-8").splitlines()]
        chosen = random.Random(1).choices(lines, k=count)
    else:
        import tempfile

        import synthetic

        with tempfile.TemporaryDirectory() as place:
            chosen = synthetic.write(Path(place) / "s.log", count).read_text(encoding="utf-8").splitlines()
    return [{"body": line, "severity": "INFO", "attributes": {"host": "web-1", "line": number}} for number, line in enumerate(chosen)]


def in_process(rows: list[dict[str, object]]) -> float:
    """Records a second of `detect()`, the better of two."""
    from ra_sdk import Detector

    with Detector(model="echo", store=":memory:") as detector:
        best = 0.0
        for _ in range(3):
            start = time.perf_counter()
            count = sum(1 for _ in detector.detect(rows))
            best = max(best, count / (time.perf_counter() - start))
    return best


def through(url: str, batches: list[bytes], clients: int) -> tuple[float, list[float]]:
    """Batches a second, and the seconds of each."""
    place, times, todo = urlsplit(url), list[float](), iter(batches)
    lock = threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        while True:
            with lock:
                data = next(todo, None)
            if data is None:
                break
            start = time.perf_counter()
            connection.request("POST", "/v1/verdicts", data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            times.append(time.perf_counter() - start)
            assert answer.status == 200, answer.status
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(batches) / (time.perf_counter() - start), sorted(times)


def main() -> None:
    """Measure, and print one line for each kind of log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--batch", type=int, default=500)
    options = parser.parse_args()
    for shop in (False, True):
        rows = records(options.records, shop)
        batches = [json.dumps({"records": rows[at : at + options.batch]}).encode() for at in range(0, len(rows), options.batch)]
        inside = in_process(rows)
        command = [sys.executable, "-m", "ra_sdk", "serve", "--model", "echo", "--store", ":memory:", "--port", "0"]
        begun = time.perf_counter()
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            url = server.stderr.readline().split()[3].rstrip(",")
            server.stderr.readline()
            ready = time.perf_counter() - begun
            through(url, batches, options.clients)  # now every template is known
            rate, times = through(url, batches, options.clients)
            _, alone = through(url, batches[:200], 1)
            server.terminate()
        outside = rate * options.batch
        print(f"{'shop' if shop else 'synthetic'}: detect() {inside:,.0f} records/s, {options.clients} clients {outside:,.0f}, ratio {outside / inside:.2f}")
        print(f"  ready {ready:.1f} s after its start")
        print(f"  a warm batch of {options.batch}: {said(times)}; of one client alone: {said(alone)}")


def said(times: list[float]) -> str:
    """Median and 99th percentile of sorted seconds."""
    return f"median {times[len(times) // 2] * 1e3:.1f} ms, p99 {times[int(len(times) * 0.99)] * 1e3:.1f} ms"


if __name__ == "__main__":
    main()
