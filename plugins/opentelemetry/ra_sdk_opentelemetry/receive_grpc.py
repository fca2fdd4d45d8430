"""OTLP/gRPC in: a server whose calls are answered when their batch has arrived.

Threads and not asyncio: a call that waits costs a thread and nothing else, and the service and the pipeline have event loops of their own.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from ra_sdk.plugin import Refusal, SourceError

from ra_sdk_opentelemetry.address import Address
from ra_sdk_opentelemetry.receiving import Rules, Take, rejection
from ra_sdk_opentelemetry.status import abort
from ra_sdk_opentelemetry.unpack import counted, unpacked

__all__ = ["SERVICE", "GrpcReceiver"]

SERVICE = "opentelemetry.proto.collector.logs.v1.LogsService"
CALLS = 64  # that wait for their batch at once
SPARE = 8  # threads besides, to tell others that they must wait
UNPACKING = 2  # messages that are unpacked and looked at, at once


class GrpcReceiver:
    """Listens from the start, so that a port that is taken is known at once. Raises SourceError for one that cannot be had."""

    def __init__(self, address: Address, rules: Rules, take: Take) -> None:
        self._rules, self._take = rules, take
        self._calls = threading.BoundedSemaphore(CALLS)
        self._unpacking = threading.BoundedSemaphore(UNPACKING)
        self._server = grpc.server(
            ThreadPoolExecutor(CALLS + SPARE, "ra-otlp"),
            options=[
                ("grpc.max_receive_message_length", rules.limits.body),
                ("grpc.per_message_decompression", 0),  # see unpack
                ("grpc.so_reuseport", 0),  # two receivers on one port would share the clients, and nobody would know
                ("grpc.max_concurrent_streams", CALLS),
            ],
        )
        method = grpc.unary_unary_rpc_method_handler(self._export)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": method}),))
        pem = rules.pem()
        try:
            if pem is None:
                self.port = self._server.add_insecure_port(address.target)
            else:
                self.port = self._server.add_secure_port(address.target, grpc.ssl_server_credentials([pem]))
        except RuntimeError as error:
            self._server.stop(None)
            raise SourceError(f"{address.url!r} cannot be listened on: {address.target} is taken, or not ours; choose another") from error

    def start(self) -> None:
        """Begin to receive."""
        self._server.start()

    def stop(self, grace_s: float) -> None:
        """Refuse new calls, answer those that wait, within so many seconds."""
        self._server.stop(grace_s).wait()

    def _export(self, message: bytes, context: Any) -> bytes:
        """One call, in a thread of its own."""
        try:
            return self._answered(message, context)
        except Refusal as error:
            abort(context, error)
            raise

    def _answered(self, message: bytes, context: Any) -> bytes:
        self._rules.admit(str(dict(context.invocation_metadata()).get("authorization", "")))
        if not self._calls.acquire(blocking=False):
            raise Refusal(429, "busy", f"{CALLS} calls wait already; send it again later", {"Retry-After": "1"})
        try:
            with self._unpacking:
                data = unpacked(message, self._rules.limits.body)
                del message
                count = counted(data, self._rules.limits)
            ticket = self._take(data, count)
            settled = threading.Event()
            ticket.tell(settled.set)
            if context.add_callback(settled.set):  # the client gave up, or its connection ended
                settled.wait()
            told = context.is_active()
            ticket.leave(told=told)
            return ticket.answer() if told else b""
        except Refusal:
            raise
        except Exception as error:
            raise rejection(error) from error
        finally:
            self._calls.release()
