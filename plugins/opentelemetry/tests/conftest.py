"""What the tests share: receivers and exporters that are not ours, and pipelines that run."""

import os
import socket
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceServicer, add_LogsServiceServicer_to_server
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from ra_sdk.detector import Detector

# Where only one core is to be seen, Polars 2.1 makes one thread, and a query of a thread has been seen to stall for ten seconds and more; with two, never.
os.environ.setdefault("POLARS_MAX_THREADS", "2")
ROOT = Path(__file__).resolve().parents[3]
SHOP = [line for path in sorted((ROOT / "examples" / "shop").glob("*.log")) for line in path.read_text(encoding="utf-8").splitlines()]
EPOCH = 1_767_225_600_000_000_000  # 2026-01-01


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test touches the user's cache, nor depends on what is set outside."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    for name in ("RA_MODEL", "RA_STORE", "RA_PLUGINS", "RA_TOKENS", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_CERTIFICATE"):
        monkeypatch.delenv(name, raising=False)


class Receiver(LogsServiceServicer):
    """An OTLP receiver made of the generated stubs: keeps every request. ``answer`` may be told to fail, or to reject."""

    def __init__(self):
        self.requests, self.headers, self.port = [], [], 0
        self.failing = lambda count: None  # a function of the number of calls: what to answer instead, or None
        self.calls = 0
        self.lock = threading.Lock()
        self.server = None

    def start(self):
        self.server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 << 20)])
        add_LogsServiceServicer_to_server(self, self.server)
        for _ in range(100):
            try:
                self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
                break
            except RuntimeError:
                time.sleep(0.1)
        self.server.start()
        return self

    def stop(self):
        if self.server is not None:
            self.server.stop(None).wait()
            self.server = None

    def Export(self, request, context):  # noqa: N802  the stubs' name
        with self.lock:
            self.calls += 1
            failing = self.failing(self.calls)
        if callable(failing):
            return failing(request, context)
        with self.lock:
            self.requests.append(request)
            self.headers.append(dict(context.invocation_metadata()))
        return failing or ExportLogsServiceResponse()

    @property
    def records(self):
        """Resource, scope and record of everything that came, in order."""
        with self.lock:
            return [(r, s, record) for request in self.requests for r in request.resource_logs for s in r.scope_logs for record in s.log_records]


class HttpReceiver:
    """The same over HTTP, of the standard library."""

    def __init__(self):
        self.requests, self.headers, self.calls, self.port = [], [], 0, 0
        self.failing = lambda count: None  # status, headers, body
        self.lock, self.open = threading.Lock(), set()

    def start(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                outer.open.add(self.connection)

            def finish(self):
                outer.open.discard(self.connection)
                super().finish()

            def do_POST(self):
                import gzip

                data = self.rfile.read(int(self.headers["Content-Length"]))
                data = gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data
                with outer.lock:
                    outer.calls += 1
                    failing = outer.failing(outer.calls)
                    if failing is None or failing[0] == 200:
                        outer.requests.append(ExportLogsServiceRequest.FromString(data))
                        outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, headers, body = failing or (200, {}, b"")
                self.send_response(status)
                for name, value in {"Content-Type": "application/x-protobuf", "Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        for connection in list(self.open):  # those that are kept open would be served on
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server.server_close()

    records = Receiver.records


@pytest.fixture
def receiver():
    found = Receiver().start()
    yield found
    found.stop()


@pytest.fixture
def http_receiver():
    found = HttpReceiver().start()
    yield found
    found.stop()


class Pipeline:
    """A source and sinks with a detector in between, in a thread."""

    def __init__(self, source, *sinks, **detecting):
        self.detector = Detector(**{"model": "echo", "store": ":memory:", **detecting})
        self.source = self.detector.plugins.open_source(source, {"follow": False, "checkpoint": None, "format": None})
        self.sinks = [self.detector.plugins.open_sink(sink, {}) if isinstance(sink, str) else sink for sink in sinks]
        self.error = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.source.port

    def _run(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.detector.write(self.source, *self.sinks)
            except Exception as error:  # noqa: BLE001
                self.error = error

    def finish(self, seconds=90):
        self.source.stop()
        self.thread.join(seconds)
        assert not self.thread.is_alive()

    def close(self):
        self.source.close()
        for sink in self.sinks:
            sink.close()
        self.thread.join(90)
        assert not self.thread.is_alive()
        self.detector.close()


@pytest.fixture
def pipeline():
    """Starts pipelines: ``pipeline(source, *sinks, **detecting)``."""
    running = []

    def start(*arguments, **detecting):
        running.append(Pipeline(*arguments, **detecting))
        return running[-1]

    interval = sys.getswitchinterval()
    yield start
    for one in running:
        one.close()
    sys.setswitchinterval(interval)


class Kept:
    """A sink that keeps what comes; ``gate`` holds it up."""

    name = "kept:"

    def __init__(self):
        self.blocks, self.gate = [], threading.Event()
        self.gate.set()

    def write(self, detections):
        self.gate.wait(90)
        self.blocks.append(detections)

    def close(self):
        self.gate.set()

    @property
    def found(self):
        return [d for block in self.blocks for d in block]


@pytest.fixture
def kept():
    return Kept()


def readable(body, number=0, *, scope="shop", resource=None, **more):
    """A record as the SDK hands it to exporters."""
    record = LogRecord(
        timestamp=EPOCH + number,
        observed_timestamp=EPOCH + number,
        severity_number=SeverityNumber.INFO,
        severity_text="INFO",
        body=body,
        **{"attributes": {"n": number}, **more},
    )
    return ReadableLogRecord(record, resource or Resource({"service.name": "shop"}), InstrumentationScope(scope, "1.0"))


def exporter(kind, port, *, packed=True, timeout=60, headers=None):
    """The official exporter."""
    if kind == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

        compression = grpc.Compression.Gzip if packed else grpc.Compression.NoCompression
        return OTLPLogExporter(endpoint=f"http://127.0.0.1:{port}", insecure=True, compression=compression, timeout=timeout, headers=headers)
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    compression = Compression.Gzip if packed else Compression.NoCompression
    return OTLPLogExporter(endpoint=f"http://127.0.0.1:{port}/v1/logs", compression=compression, timeout=timeout, headers=headers)


def attributes(record):
    """Attributes of a protobuf record, as Python has them."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "", None) for pair in record.attributes}


def until(condition, seconds=60):
    """Wait for it."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.01)


def batches(bodies, size=512):
    """Records in batches."""
    return [[readable(body, at + place) for place, body in enumerate(bodies[at : at + size])] for at in range(0, len(bodies), size)]


def message_of(bodies, **more):
    """An ExportLogsServiceRequest."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for body in bodies:
        scope.log_records.add(**more).body.string_value = body
    return request


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate of localhost that it signed itself, and its key."""
    import shutil
    import subprocess

    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate with")
    place = tmp_path_factory.mktemp("tls")
    cert, key = place / "cert.pem", place / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1".split()
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key
