"""What several test files share: the place of the research data, and small files."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test touches the user's cache, nor depends on what is set outside."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    for name in ("RA_MODEL", "RA_STORE", "RA_PLUGINS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The research data, which is never part of the repository."""
    place = Path(os.environ.get("RA_SHARED", ROOT.parent / "shared"))
    if not (place / "data").is_dir():
        pytest.skip(f"research data not found at {place}; set RA_SHARED to run this test")
    return place
