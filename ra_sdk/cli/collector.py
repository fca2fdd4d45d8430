"""The configuration with which an OpenTelemetry Collector asks this service for verdicts."""

from __future__ import annotations

import socket

__all__ = ["collector_config"]

ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104  compared with, not bound
_SIGN_IN = """\
extensions:
  bearertokenauth:
    token: ${env:RA_TOKEN}  # made by: ra token collector

"""
_PROCESSOR = """\
processors:
  rationanomaly:
    endpoint: ENDPOINT
"""
_AUTH = """\
    auth: {authenticator: bearertokenauth}
"""
_PIPELINE = """
service:EXTENSIONS
  pipelines:
    logs:
      receivers: [otlp]  # yours
      processors: [memory_limiter, rationanomaly]
      exporters: [debug]  # yours
"""


def collector_config(host: str, port: int, *, tls: bool, token: bool) -> str:
    """Return the YAML for a Collector that is built with the processor of ``plugins/otelcol-processor``.

    Args:
        host: Address on which the service listens. For all addresses, the name of this machine is used.
        port: Port of the service.
        tls: Whether the service speaks HTTPS.
        token: Whether the service asks for a token.
    """
    name = socket.gethostname() if host in ANY_ADDRESS else f"[{host}]" if ":" in host else host
    endpoint = f"http{'s' if tls else ''}://{name}:{port}"
    extensions = "\n  extensions: [bearertokenauth]" if token else ""
    return "".join(
        [
            _SIGN_IN if token else "",
            _PROCESSOR.replace("ENDPOINT", endpoint),
            _AUTH if token else "",
            _PIPELINE.replace("EXTENSIONS", extensions),
        ]
    )
