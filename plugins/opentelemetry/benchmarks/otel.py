"""What a log call costs an application: our processor beside a BatchLogRecordProcessor with a no-op processor in our place.

Each run is a process of its own, the two in turn, on the same cores and with the same records: ``python benchmarks/otel.py``. Printed: p50 and p99
of a log call in microseconds, for each the median of the runs; the ratio is the median of the ratios of neighbouring runs.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

KINDS = ("batch", "ra")
WARM = 2_000


def receiver():
    """An OTLP receiver that counts, in a process of its own."""
    import grpc
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceServicer, add_LogsServiceServicer_to_server

    class Counting(LogsServiceServicer):
        count = 0

        def Export(self, request, context):  # noqa: N802
            self.count += sum(len(s.log_records) for r in request.resource_logs for s in r.scope_logs)
            return ExportLogsServiceResponse()

    counting, server = Counting(), grpc.server(ThreadPoolExecutor(2))
    add_LogsServiceServicer_to_server(counting, server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.readline()
    server.stop(5).wait()
    print(counting.count, flush=True)


def application(kind, port, calls, pause, model, threads):
    """One application: ``calls`` log calls, each ``pause`` seconds after the other, timed one by one."""
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler, LogRecordProcessor
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    class Nothing(LogRecordProcessor):
        def on_emit(self, log_record):
            pass

        def shutdown(self):
            pass

        def force_flush(self, timeout_millis=30_000):
            return True

    warnings.simplefilter("ignore")
    exporter, provider = OTLPLogExporter(endpoint=f"http://127.0.0.1:{port}", insecure=True), LoggerProvider()
    if kind == "batch":
        provider.add_log_record_processor(Nothing())
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=65_536))
    else:
        from ra_sdk_opentelemetry import RaLogRecordProcessor

        provider.add_log_record_processor(RaLogRecordProcessor(exporter, model=model, store=":memory:", threads=threads))
    log = logging.getLogger("app")
    log.propagate = False
    log.addHandler(LoggingHandler(logger_provider=provider))
    log.setLevel(logging.INFO)
    usual = ["request %d took %d ms", "order %d placed by customer %d", "cache line %d has %d hits", "job %d done in step %d"]
    messages = [*usual * 5, "connection %d to host %d refused"]  # one in twenty-one is abnormal
    clock, taken = time.perf_counter, []
    for number in range(calls + WARM):
        message = messages[number % len(messages)]
        started = clock()
        log.info(message, number, number % 97)
        taken.append(clock() - started)
        if pause:
            time.sleep(pause)
    provider.shutdown()
    taken = sorted(taken[WARM:])
    print(json.dumps({"p50": taken[len(taken) // 2] * 1e6, "p99": taken[int(len(taken) * 0.99)] * 1e6}))


def once(kind, options):
    """A run: figures of the application, and whether every record arrived."""
    command = [sys.executable, __file__]
    receiving = subprocess.Popen([*command, "--receive"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = receiving.stdout.readline().strip()
    arguments = [
        "--application",
        kind,
        "--port",
        port,
        "--calls",
        options.calls,
        "--pause",
        options.pause,
        "--model",
        options.model,
        "--threads",
        options.threads,
    ]
    done = subprocess.run([*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True)
    said, _ = receiving.communicate("\n")
    return {**json.loads(done.stdout), "lost": options.calls + WARM - int(said)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--pause", type=float, default=0.0005, help="seconds between calls; 0: as fast as it goes")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--model", default="echo")
    parser.add_argument("--threads", type=int, default=1, help="of the model")
    parser.add_argument("--json", action="store_true")
    for hidden in ("--receive", "--application", "--port"):
        parser.add_argument(hidden, **({"action": "store_true"} if hidden == "--receive" else {}), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.receive:
        return receiver()
    if options.application:
        return application(options.application, options.port, options.calls, options.pause, options.model or None, options.threads)
    runs = [{kind: once(kind, options) for kind in KINDS} for _ in range(options.runs)]
    found = {f"{kind}_{part}_us": round(statistics.median(run[kind][part] for run in runs), 1) for kind in KINDS for part in ("p50", "p99")}
    found |= {f"ratio_{part}": round(statistics.median(run["ra"][part] / run["batch"][part] for run in runs), 2) for part in ("p50", "p99")}
    found |= {f"{kind}_lost": sum(run[kind]["lost"] for run in runs) for kind in KINDS}
    print(json.dumps(found) if options.json else "\n".join(f"{name:14} {value:>10}" for name, value in found.items()))
    return None


if __name__ == "__main__":
    main()
