"""The servers that the tests run against, one after the other, and the service that the plugin asks."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import free_port
from servers import Server, running

HERE = Path(__file__).resolve().parent
SERVERS = os.environ.get("RA_SERVERS", "elasticsearch:9.3.2,elasticsearch:8.19.16,opensearch:3.8.0").split(
    ","
)
START_S = 300.0
# so that tests need not wait for the service to be tried again
QUICK = {"rationanomaly.breaker.pause": "300ms", "rationanomaly.breaker.longest_pause": "1s"}


def built(target: str) -> Path:
    """The plugin's zip for a server such as ``elasticsearch:9.3.2``."""
    kind, _, version = target.partition(":")
    file = HERE.parent / kind / "target" / version / f"rationanomaly-{kind}-{version}.zip"
    if not file.exists():
        pytest.fail(f"{file} is missing; build it with: mvn package -D{kind}.version={version}")
    return file


class Service:
    """``ra serve`` with the stand-in for a model, at one address, as often as it is started."""

    def __init__(self, folder: Path, *options: str, scheme: str = "http") -> None:
        self.url = f"{scheme}://127.0.0.1:{free_port()}"
        self.folder, self._options = folder, options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Service:
        """Start it and wait until it listens; a service that runs is left as it is."""
        if self._process is None:
            command = [
                "serve",
                "--port",
                self.url.rpartition(":")[2],
                "--model",
                "echo",
                "--store",
                ":memory:",
                *self._options,
            ]
            self._process = subprocess.Popen(ra(*command), env=environment(self.folder))
            self._wait()
        return self

    def _wait(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            assert self._process is not None
            assert self._process.poll() is None, "ra serve ended"
            with contextlib.suppress(OSError):
                open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
                if self.url.startswith("https") or open_url(f"{self.url}/readyz", timeout=10).status == 200:
                    return
            time.sleep(0.1)
        pytest.fail("ra serve was not ready in time")

    def stop(self) -> None:
        """End it; its address refuses connections from then on."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None


def ra(*arguments: str) -> list[str]:
    """The command ``ra``, of the library that this Python would import."""
    return [sys.executable, "-c", "import sys; from ra_sdk.cli.app import main; sys.exit(main())", *arguments]


def environment(folder: Path) -> dict[str, str]:
    """Neither the user's settings nor the user's cache."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RA_", "XDG_"))}
    return {**kept, "XDG_CACHE_HOME": str(folder / "cache"), "XDG_CONFIG_HOME": str(folder / "config")}


@pytest.fixture(scope="module")
def own_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service of a module's server."""
    service = Service(tmp_path_factory.mktemp("service"))
    yield service
    service.stop()


@pytest.fixture
def service(own_service: Service) -> Service:
    """The service, running, whatever the test before did to it."""
    return own_service.start()


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, own_service: Service) -> Iterator[Server]:
    """A server with our plugin; its files are kept if a test failed."""
    kind, _, version = request.param.partition(":")
    failed = request.session.testsfailed
    with (
        contextlib.suppress(_Failed),
        running(kind, version, plugin=built(request.param), settings=settings(own_service)) as found,
    ):
        yield found
        if request.session.testsfailed > failed:
            raise _Failed


class _Failed(Exception):
    """A test failed while the server ran."""


def settings(service: Service) -> dict[str, str]:
    """Of a node that asks this service."""
    return {"rationanomaly.endpoint": service.url, **QUICK}
