"""Real servers on loopback, for tests: fetched from Maven Central, installed with a plugin, started, stopped.

A context manager for pytest (``running``), and a command::

    python servers.py elasticsearch 9.3.2 --plugin target/x.zip -- curl -s http://…

With a command it runs that, with the server's address in RA_SERVER, and ends; without one it runs until
Ctrl-C. ``python servers.py java`` shows the Java that the servers would run on.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machine import (
    HERE,
    ServerError,
    environment,
    fetched_jars,
    fetched_zip,
    free_port,
    hand_over,
    java_home,
    made_folder,
    other_user,
    run,
    unpack,
)

HEAP = "512m"
START_S = float(os.environ.get("RA_SERVER_START_S", "300"))
STOP_S = 60.0
READY = "/_cluster/health?wait_for_status=yellow&timeout=1s"
# On a disk that is nearly full a server puts no shard of a new index anywhere, and requests hang.
ALWAYS = {
    "discovery.type": "single-node",
    "network.host": "127.0.0.1",
    "cluster.routing.allocation.disk.threshold_enabled": False,
}
PLUGIN = "rationanomaly"
SUPERUSER = "elastic"


@dataclass
class Reply:
    """What a server answered."""

    status: int
    body: Any


@dataclass
class Server:
    """A server that runs. ``home``: its files, with ``server.log``, everything that it said."""

    kind: str
    version: str
    url: str
    home: Path
    password: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> str:
        """All that it has said so far."""
        return (self.home / "server.log").read_text(encoding="utf-8", errors="replace")

    def ask(
        self, method: str, path: str, body: Any = None, *, timeout: float = 120, user: str | None = None
    ) -> Reply:
        """One request. A ``body`` that is a str is ndjson; ``user`` is NAME:PASSWORD, else the superuser."""
        kind = "application/x-ndjson" if isinstance(body, str) else "application/json"
        data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": kind}, method=method)
        if user or self.password:
            login = base64.b64encode((user or f"{SUPERUSER}:{self.password}").encode()).decode()
            request.add_header("Authorization", f"Basic {login}")
        try:
            with _open(request, timeout) as answer:
                return Reply(answer.status, json.load(answer))
        except urllib.error.HTTPError as error:
            said = error.read()
            return Reply(error.code, json.loads(said) if said[:1] in (b"{", b"[") else said.decode())

    def get(self, path: str, body: Any = None, *, method: str = "GET", **options: Any) -> Any:
        """The answer of a request that must succeed."""
        reply = self.ask(method, path, body, **options)
        if reply.status >= 300:
            raise ServerError(f"{method} {path} is answered {reply.status}: {str(reply.body)[:2000]}")
        return reply.body

    def put(self, path: str, body: Any = None) -> Any:
        """The same, with PUT."""
        return self.get(path, body, method="PUT")

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        """The same, with POST."""
        return self.get(path, body, method="POST", **options)


def _open(request: urllib.request.Request, timeout: float) -> Any:
    """Without a proxy: the server is on this machine."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=timeout)


# the two kinds


def _elasticsearch(
    server: Server, plugin: Path | None, settings: Mapping[str, Any], secrets: Mapping[str, str]
) -> list[str]:
    """Unpack and configure it; returns the command that starts it."""
    unpack(fetched_zip(server.version), server.home)
    home = server.home / f"elasticsearch-{server.version}"
    given = {
        **ALWAYS,
        "transport.port": free_port(),
        "xpack.security.enabled": server.password is not None,
        **settings,
    }
    _configure(home / "config" / "elasticsearch.yml", given, server.url)
    (home / "config" / "jvm.options.d" / "heap.options").write_text(f"-Xms{HEAP}\n-Xmx{HEAP}\n")
    for name, data in server.files.items():
        (home / "config" / name).write_bytes(data)
    if plugin is not None:
        shutil.copy(plugin, server.home / "plugin.zip")
    hand_over(server.home)
    options = {"cwd": home, "env": environment(), **other_user()}
    if plugin is not None:
        run(
            ["bin/elasticsearch-plugin", "install", "--batch", (server.home / "plugin.zip").as_uri()],
            **options,
        )
    held = {**({"bootstrap.password": server.password} if server.password else {}), **secrets}
    if held:
        run(["bin/elasticsearch-keystore", "create"], **options)
    for name, value in held.items():
        run(["bin/elasticsearch-keystore", "add", "--stdin", name], say=value, **options)
    return [str(home / "bin" / "elasticsearch")]


def _opensearch(
    server: Server, plugin: Path | None, settings: Mapping[str, Any], secrets: Mapping[str, str]
) -> list[str]:
    """The same for OpenSearch. There is no installer; for a plugin like ours, installing is unpacking."""
    if server.password or secrets or server.files:
        raise ServerError("OpenSearch is started without security and keystore here: the jars have neither")
    jars = fetched_jars(server.version)
    if plugin is not None:
        unpack(plugin, server.home / "plugins" / PLUGIN)
    given = {
        **ALWAYS,
        "transport.port": free_port(),
        "node.roles": "cluster_manager,data,ingest",  # the runner's own choice has no ingest
        **settings,
    }
    _configure(server.home / "settings", given, server.url)
    made_folder(server.home / "config")
    shutil.copy(HERE / "opensearch" / "Node.java", server.home)
    shutil.copytree(jars, server.home / "lib")
    hand_over(server.home)
    java = str(java_home() / "bin" / "java")
    return [
        java,
        f"-Xms{HEAP}",
        f"-Xmx{HEAP}",
        "-cp",
        f"{server.home}/lib/*",
        str(server.home / "Node.java"),
        str(server.home),
    ]


def _configure(file: Path, settings: Mapping[str, Any], url: str) -> None:
    port = url.rpartition(":")[2]
    lines = [f"{name}: {_setting(value)}" for name, value in {**settings, "http.port": port}.items()]
    made_folder(file.parent)
    file.write_text("\n".join(lines) + "\n")


def _setting(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (bool, list)) else str(value)


KINDS = {"elasticsearch": _elasticsearch, "opensearch": _opensearch}


# starting and stopping


@contextlib.contextmanager
def running(
    kind: str,
    version: str,
    *,
    plugin: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    password: str | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Iterator[Server]:
    """A server, ready, with our plugin if ``plugin`` is its zip. Its folder is kept if the body fails.

    ``settings`` are those of the node, ``secrets`` those of the keystore, ``files`` lie in its configuration.
    ``password`` turns security on and is the superuser's. Raises ServerError.
    """
    home = Path(tempfile.mkdtemp(prefix=f"{kind}-{version}-")).resolve()
    home.chmod(0o755)
    made_folder(home / "tmp")
    server = Server(kind, version, f"http://127.0.0.1:{free_port()}", home, password, files or {})
    try:
        command = KINDS[kind](server, plugin, settings or {}, secrets or {})
        with _process(server, command):
            yield server
    except BaseException:
        print(f"kept: {home}", file=sys.stderr)
        raise
    shutil.rmtree(home)


@contextlib.contextmanager
def _process(server: Server, command: Sequence[str]) -> Iterator[None]:
    with (server.home / "server.log").open("wb") as log:
        server.process = subprocess.Popen(
            command,
            cwd=server.home,
            env={**environment(), "ES_TMPDIR": str(server.home / "tmp")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **other_user(),
        )
    try:
        _wait(server)
        yield
    finally:
        stop(server)


def _wait(server: Server) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if server.process is not None and server.process.poll() is not None:
            ended = f"{server.kind} {server.version} ended with {server.process.returncode}"
            raise ServerError(f"{ended}:\n{server.log[-6000:]}")
        with contextlib.suppress(OSError):
            if server.ask("GET", READY, timeout=10).status == 200:
                return
        time.sleep(0.25)
    late = f"{server.kind} {server.version} was not ready after {START_S:.0f} s"
    raise ServerError(f"{late}:\n{server.log[-6000:]}")


def stop(server: Server) -> float:
    """End it as an operator would; returns how many seconds that took."""
    process, started = server.process, time.monotonic()
    if process is None or process.poll() is not None:
        return 0.0
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return time.monotonic() - started


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=[*sorted(KINDS), "java"])
    parser.add_argument("version", nargs="?")
    parser.add_argument("--plugin", type=Path, help="zip to install")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--secret", action="append", default=[], metavar="NAME=VALUE", help="for the keystore"
    )
    parser.add_argument("command", nargs="*", help="behind --: what to run with it")
    given = parser.parse_args(arguments)
    if given.kind == "java":
        try:
            print(java_home())
        except ServerError as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    if given.version is None:
        parser.error(f"which version of {given.kind}?")
    settings, secrets = (
        dict(item.split("=", 1) for item in items) for items in (given.setting, given.secret)
    )
    with running(
        given.kind, given.version, plugin=given.plugin, settings=settings, secrets=secrets
    ) as server:
        print(
            f"{server.kind} {server.version} is at {server.url}, its files in {server.home}", file=sys.stderr
        )
        if given.command:
            return subprocess.run(
                given.command, env={**os.environ, "RA_SERVER": server.url}, check=False
            ).returncode
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
