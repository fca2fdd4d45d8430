"""schemathesis reads the OpenAPI document and tries to find an answer that does not fit it."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from ra_sdk.service.tokens import make_token


@pytest.mark.slow
@pytest.mark.skipif(find_spec("schemathesis") is None, reason="schemathesis is not installed")
@pytest.mark.parametrize("with_token", [False, True])
def test_schemathesis_finds_nothing(serving, tmp_path, with_token):
    token = make_token("fuzz", tmp_path / "tokens") if with_token else ""
    service = serving(tokens=tmp_path / "tokens" if with_token else None)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json", "--max-examples", os.environ.get("RA_FUZZ", "25"), "--no-color"]
    command += ["--seed", os.environ.get("RA_FUZZ_SEED", "1")]
    command += ["--header", f"Authorization: Bearer {token}"] if with_token else []
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
