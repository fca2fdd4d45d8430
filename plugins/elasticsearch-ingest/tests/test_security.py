"""Entitlements, users, tokens and TLS, of the server and of the service. Elasticsearch only."""

from __future__ import annotations

import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import QUICK, SERVERS, Service, built, environment, ra, settings
from machine import environment as server_environment
from machine import other_user, run
from servers import Server, running
from test_pipeline import PATIENT, index, indexed, judged, line, make, simulated

TARGETS = [target for target in SERVERS if target.startswith("elasticsearch:")]
PASSWORD = "for-tests-only"
# A user in files, whose password is a-writer: those that the API makes need modules that the distribution for
# tests does not have.
WRITER = {
    "roles.yml": b"""writer:
  cluster: [monitor]
  indices: [{names: [mine], privileges: [create_doc, create_index, auto_configure]}]
""",
    "users": b"writer:$2a$10$abcdefghijklmnopqrstuuzfvMBl.JwzLoAdrcTiwmgCiy.Z9VDzu\n",
    "users_roles": b"writer:writer\n",
}


def version(target: str) -> str:
    return target.partition(":")[2]


def without_policy(target: str, folder: Path) -> Path:
    """The plugin's zip, but for the file that asks for permission to connect."""
    made = folder / "plugin.zip"
    with zipfile.ZipFile(built(target)) as ours, zipfile.ZipFile(made, "w") as stripped:
        for entry in ours.infolist():
            if entry.filename != "entitlement-policy.yaml":
                stripped.writestr(entry, ours.read(entry))
    return made


@pytest.mark.parametrize("target", TARGETS)
def test_without_its_policy_the_server_forbids_to_connect(
    target: str, service: Service, tmp_path: Path
) -> None:
    plugin = without_policy(target, tmp_path)
    with running("elasticsearch", version(target), plugin=plugin, settings=settings(service)) as server:
        make(server, "forbidden")
        index(server, "any", "forbidden", [{"message": "disk failed"}])
        (found,) = indexed(server, "any")
        assert found["ra"] == {"label": "undecided", "reason": "forbidden"}
        assert "NotEntitledException" in server.log


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Service]:
    """A service with TLS by a certificate of its own, that asks for a token."""
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    names = ["-subj", "/CN=ra", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(
        ["openssl", "req", *kind, *names, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    tokens = tmp_path / "tokens"
    tokens.touch()
    files = ["--tokens", str(tokens), "--cert", str(certificate), "--key", str(key)]
    token(tmp_path)
    service = Service(tmp_path, *files, scheme="https")
    yield service.start()
    service.stop()


def token(folder: Path) -> str:
    """A new token of the service in this folder."""
    name = f"t{len((folder / 'tokens').read_text().splitlines())}"
    made = subprocess.run(
        ra("token", name, "--tokens", str(folder / "tokens")),
        env=environment(folder),
        check=True,
        capture_output=True,
        text=True,
    )
    return made.stdout.strip()


@pytest.mark.parametrize("target", TARGETS)
def test_tokens_tls_and_users(target: str, guarded: Service) -> None:
    good = token(guarded.folder)
    given = {
        "rationanomaly.endpoint": guarded.url,
        "rationanomaly.ssl.certificate_authorities": ["ra.pem"],
        **QUICK,
    }
    options = {
        "secrets": {"rationanomaly.token": "ra_wrong_token"},
        "files": {"ra.pem": (guarded.folder / "ca.pem").read_bytes(), **WRITER},
    }
    with running(
        "elasticsearch", version(target), plugin=built(target), settings=given, password=PASSWORD, **options
    ) as server:
        make(server, "judging", **PATIENT)
        assert simulated(server, "judging", {"message": "disk failed"})[0]["ra"] == {
            "label": "undecided",
            "reason": "unauthorized",
        }
        _replace_token(server, good)
        _as_a_user(server)
        assert "ra_wrong_token" not in server.log
        assert good not in server.log


def _replace_token(server: Server, good: str) -> None:
    """As an operator does, while the node runs."""
    home = server.home / f"elasticsearch-{server.version}"
    command = ["bin/elasticsearch-keystore", "add", "--stdin", "--force", "rationanomaly.token"]
    run(command, say=good, cwd=home, env=server_environment(), **other_user())
    nodes = server.post("/_nodes/reload_secure_settings", {})["nodes"]
    assert not [node for node in nodes.values() if "reload_exception" in node]
    end = time.monotonic() + 60
    while simulated(server, "judging", {"message": "disk failed"})[0]["ra"]["label"] == "undecided":
        assert time.monotonic() < end, "the new token is not used"


def _as_a_user(server: Server) -> None:
    """The thread that brings the verdict goes on with the permissions of the user, and no others."""
    messages = [line(number, "by a user ") for number in range(200)]
    lines = "".join(
        f'{{"create": {{}}}}\n{{"n": {n}, "message": "{message}"}}\n' for n, message in enumerate(messages)
    )
    answer = server.post("/mine/_bulk?pipeline=judging&refresh=false", lines, user="writer:a-writer")
    assert not answer["errors"], answer["items"][0]
    server.post("/mine/_refresh")
    assert [document["ra"] for document in indexed(server, "mine")] == [
        judged(message) for message in messages
    ]
    forbidden = server.post(
        "/others/_bulk?pipeline=judging", lines.replace("by a user", "elsewhere"), user="writer:a-writer"
    )
    assert {item["create"]["status"] for item in forbidden["items"]} == {403}
