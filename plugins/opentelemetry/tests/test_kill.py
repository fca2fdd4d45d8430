"""A process that is killed, and clients that send again: nothing is lost."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
from opentelemetry.sdk._logs.export import LogRecordExportResult

from .conftest import SHOP, attributes, batches, exporter, until
from .test_round_trip import addresses

COUNT = 10_000


class Hop:
    """``ra detect`` between two ports, in a process of its own."""

    def __init__(self, kind, port, out):
        url = f"{addresses(kind, out.port)}?pause=0.2&queue=2"
        command = [
            sys.executable,
            "-m",
            "ra_sdk",
            "detect",
            addresses(kind, port),
            "--to",
            url,
            "--output",
            "none",
            "--model",
            "echo",
            "--store",
            ":memory:",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stderr.close()


def free_port():
    """Below those that the system gives to clients: who connects again and again to such a port while nobody listens may in the end connect to itself."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_killed_and_started_again(receiver, http_receiver, kind):
    out = receiver if kind == "grpc" else http_receiver
    port, results = free_port(), []
    out.failing = lambda call: time.sleep(0.02)  # so that there is a middle to be killed in
    hop = Hop(kind, port, out)
    bodies = [f"{SHOP[n % len(SHOP)]} {n}" for n in range(COUNT)]

    def send():
        client = exporter(kind, port, timeout=120)
        for batch in batches(bodies):
            while (found := client.export(batch)) is not LogRecordExportResult.SUCCESS:  # a client that keeps what is not taken, as a Collector does
                results.append(found)
                time.sleep(0.2)
        client.shutdown()

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    for share in (0.2, 0.5):
        until(lambda share=share: len(out.records) > share * COUNT, 60)
        hop.kill()
        hop = Hop(kind, port, out)
    sending.join(120)
    assert not sending.is_alive()
    hop.kill()
    numbers = [attributes(record)["n"] for _, _, record in out.records]
    assert set(numbers) == set(range(COUNT))
    assert len(numbers) - COUNT <= 2 * 2 * 512  # what was under way when it was killed has come twice
    assert {attributes(record)["ra.label"] for _, _, record in out.records} == {"normal", "abnormal"}


def test_a_sink_that_refuses_ends_the_command_with_a_word(receiver):
    import grpc

    def refuse(request, context):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no logs here")

    receiver.failing = lambda call: refuse
    command = [sys.executable, "-m", "ra_sdk", "detect", "-", "--to", f"otlp://127.0.0.1:{receiver.port}", "--output", "none", "--model", "echo"]
    done = subprocess.run(command, input="disk failed\n", capture_output=True, text=True, env={**os.environ, "RA_STORE": ":memory:"})
    assert done.returncode == 1
    assert re.search("refused records for good: INVALID_ARGUMENT: no logs here", done.stderr)


def test_interrupted_while_it_waits_for_a_receiver(receiver):
    import grpc

    from .conftest import message_of
    from .test_source import call

    receiver.stop()
    port, failed = free_port(), []
    hop = Hop("grpc", port, receiver)

    def refused():
        try:
            call(port, message_of(["disk failed"]))
        except grpc.RpcError as error:
            failed.append(error.details())
        return failed and ("shut down" in failed[-1] or hop.process.poll() is not None)

    def send():
        while not refused():  # at first it does not listen yet
            time.sleep(0.1)

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    said = b""
    while b"waiting for it, nothing is lost" not in said:
        line = hop.process.stderr.readline()
        assert line, said
        said += line
    hop.process.send_signal(signal.SIGINT)
    assert hop.process.wait(30) == 130
    sending.join(60)
    hop.kill()
    assert any("shut down" in words for words in failed)


WRITES = """
import warnings
from ra_sdk import Detector
warnings.showwarning = lambda message, *_: print(message, flush=True)
with Detector(model="echo", store=":memory:") as detector:
    detector.write(["disk failed"], "otlp://127.0.0.1:1")
"""


def test_a_program_that_writes_is_interrupted_too():
    with subprocess.Popen([sys.executable, "-c", WRITES], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert b"waiting for it" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in said
