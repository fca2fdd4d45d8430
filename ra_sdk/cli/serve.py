"""``ra serve`` and ``ra token``: the commands of the service. ``serving`` runs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ra_sdk.cli import options
from ra_sdk.cli.collector import collector_config
from ra_sdk.cli.messages import say
from ra_sdk.errors import BadOption
from ra_sdk.service.limits import MEBIBYTE, Limits

__all__ = ["add"]

SERVE = """Judge over HTTP: one model for many clients.

Answers batches of records at POST /v1/verdicts, and takes OTLP logs at POST /v1/logs; GET /openapi.json describes them all. New templates
are undecided at first, unless the client waits (wait_ms), and are judged in the background.

\b
  ra serve                                      for this machine, on http://127.0.0.1:8765
  ra token elasticsearch                        a token, shown once
  ra serve --host 0.0.0.0 --cert c.pem --key k.pem

\b
  curl -s http://127.0.0.1:8765/v1/verdicts -H 'Content-Type: application/json' \\
    -d '{"records": [{"body": "disk sda: I/O error"}], "wait_ms": 5000}'

On any address that other machines can reach, it needs tokens; clients send Authorization: Bearer TOKEN. The file of tokens is read
again when it changes. Too much at once is answered 429, with Retry-After. SIGTERM ends it when what was accepted is done.
"""
MAKE = """Make a token for a client of ra serve. It is shown once; only its hash is kept.

\b
  ra token elasticsearch
  ra token elasticsearch --revoke
"""
_D = Limits()
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 or :: is everywhere.")]
Port = Annotated[int, typer.Option(metavar="N", min=0, max=65_535, help="Port; 0 takes any free one.")]
TokenFile = Annotated[
    Path | None, typer.Option("--tokens", envvar="RA_TOKENS", metavar="PATH", show_default=False, help="File of tokens; else in your configuration directory.")
]
Cert = Annotated[Path | None, typer.Option(metavar="PEM", show_default=False, help="Certificate chain, to serve HTTPS.")]
Key = Annotated[Path | None, typer.Option(metavar="PEM", show_default=False, help="The certificate's private key, if it is in another file.")]
OtlpGrpc = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", show_default=False, help="Also accept OTLP/gRPC logs there, such as 127.0.0.1:4317; needs ra-sdk-opentelemetry."),
]
MaxBody = Annotated[int, typer.Option(metavar="MIB", min=1, max=512, help="Largest request, as sent and unpacked.")]
MaxBatch = Annotated[int, typer.Option(metavar="N", min=1, help="Most records of one request.")]
MaxLine = Annotated[int, typer.Option(metavar="N", min=1, help="Most characters of one record.")]
MaxQueue = Annotated[int, typer.Option(metavar="N", min=1, help="Most records waiting to be mined; more are answered 429.")]
MaxCold = Annotated[int, typer.Option(metavar="N", min=1, help="Most templates waiting for the model; more stay undecided until they come again.")]
MaxConnections = Annotated[int, typer.Option(metavar="N", min=1, help="Most open connections; then the one idle longest is closed.")]
Grace = Annotated[float, typer.Option(metavar="SECONDS", min=1, help="How long a shutdown may take to finish what was accepted.")]
PrintCollector = Annotated[bool, typer.Option("--print-collector-config", help="Print how an OpenTelemetry Collector uses this service, and exit.")]
Revoke = Annotated[bool, typer.Option("--revoke", show_default=False, help="Revoke the token; a running service refuses it at once.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("serve", help=SERVE)(serve)
    app.command("token", help=MAKE)(token)


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8765,
    tokens: TokenFile = None,
    cert: Cert = None,
    key: Key = None,
    otlp_grpc: OtlpGrpc = None,
    model: options.Model = None,
    mode: options.Mode = options.ModeName.DIRECT,
    explain: options.Explain = True,
    sensitivity: options.Sensitive = options.SensitivityName.DEFAULT,
    threshold: options.Threshold = None,
    store: options.Store = None,
    state: options.State = None,
    max_body: MaxBody = _D.body // MEBIBYTE,
    max_batch: MaxBatch = _D.batch,
    max_line: MaxLine = _D.line,
    max_queue: MaxQueue = _D.queue,
    max_cold: MaxCold = _D.cold,
    max_connections: MaxConnections = _D.connections,
    grace: Grace = _D.grace_s,
    threads: options.Threads = None,
    context: options.Context = None,
    gpu_layers: options.GpuLayers = None,
    _backend: options.Backend = None,
    width: options.Width = None,
    print_collector_config: PrintCollector = False,
) -> int:
    """Judge over HTTP."""
    from ra_sdk.service.run import Place, Serving

    if print_collector_config:
        return _print_collector_config(host, port, tokens, cert)
    limits = _limits(max_body * MEBIBYTE, max_queue, batch=max_batch, line=max_line, cold=max_cold, connections=max_connections, grace_s=grace)
    judging = {"mode": mode.value, "explain": explain, "threshold": threshold, "sensitivity": sensitivity.value}
    sizes = options.sizes(model, threads=threads, context=context, gpu_layers=gpu_layers, width=width)
    listeners = () if otlp_grpc is None else (f"otlp://{otlp_grpc}",)
    Serving(Place(host, port, tokens, cert, key, limits, listeners), {**judging, **sizes, "model": model, "store": store, "state": state}, say).run()
    return 0


def _print_collector_config(host: str, port: int, tokens: Path | None, cert: Path | None) -> int:
    from ra_sdk.service.connections import is_loopback

    if port == 0:
        raise BadOption("`--port` must be a fixed one for `--print-collector-config`, got 0, which takes any that is free")
    print(collector_config(host, port, tls=cert is not None, token=tokens is not None or not is_loopback(host)), end="")
    return 0


def _limits(body: int, queue: int, batch: int, **others: Any) -> Limits:
    """What was given, and room for it where it is larger than what there usually is."""
    return Limits(body=body, bodies=max(8 * body, _D.bodies), queue=max(queue, batch), batch=batch, **others)


def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the client: letters, digits, '_', '.' and '-'.", show_default=False)],
    tokens: TokenFile = None,
    revoke: Revoke = False,
) -> int:
    """Make or revoke a token."""
    from ra_sdk.service.tokens import default_path, make_token, revoke_token

    path = tokens or default_path()
    if revoke:
        revoke_token(name, path)
        if sys.stderr.isatty():
            say(f"{name} is revoked in {path}")
    else:
        print(make_token(name, path))
        if sys.stderr.isatty():
            say(f"its hash is kept in {path}; the token is shown only this once")
    return 0
