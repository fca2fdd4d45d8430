"""The recipes, as they stand there: their blocks are run one after the other, with other ports and the model "echo"."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from .conftest import attributes, exporter, readable
from .test_kill import free_port

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")


class Shell:
    """A bash that has run a recipe's blocks, with what they left in the background still running."""

    def __init__(self, name, place, ports):
        text = (RECIPES / name).read_text(encoding="utf-8")
        for port, other in ports.items():
            text = text.replace(port, str(other))
        for found in re.finditer(r"`(\w+\.py)`:\n\n```python\n(.*?)```", text, re.DOTALL):
            (place / found[1]).write_text(found[2], encoding="utf-8")
        blocks = [block for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) if not block.startswith("pip ")]
        script = "\n".join(f"{block}\necho; echo ---block---" for block in blocks)
        env = {**os.environ, "RA_MODEL": "echo", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONWARNINGS": "ignore"}
        self.process = subprocess.Popen(
            ["bash", "-c", f"set -e\n{script}\nread line"], cwd=place, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.outputs = [self._block() for _ in blocks]

    def _block(self):
        said = ""
        while (line := self.process.stdout.readline()) != "---block---\n":
            assert line, f"a block of the recipe failed after {said!r}"
            said += line
        return said.strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.mark.slow
def test_an_application(tmp_path, receiver):
    with Shell("application.md", tmp_path, {"4317": receiver.port}):
        (first, second) = [(record.body.string_value, attributes(record)) for _, _, record in receiver.records]
    assert first[0] == "order 70993 placed"
    assert (first[1]["ra.label"], first[1]["log.record.template"]) == ("normal", "order <num> placed")
    assert second[0] == "payment of order 70993 failed: connection refused"
    assert (second[1]["ra.label"], second[1]["ra.category"]) == ("abnormal", "system")
    assert second[1]["ra.rationale"].startswith('"connection refused": ')
    assert receiver.records[0][0].resource.attributes[0].value.string_value


@pytest.mark.slow
def test_a_hop(tmp_path, receiver):
    ports = {"4318": free_port(), "4317": free_port(), "5317": receiver.port}
    with Shell("hop.md", tmp_path, ports) as shell:
        _, answer, written, _ = shell.outputs
        assert answer == "{}"
        found = [json.loads(line) for line in written.splitlines()]
        assert [(f["body"], f["label"], f["severity"], f["attributes"]["service.name"]) for f in found] == [
            ("payment of order 70993 failed: connection refused", "abnormal", "ERROR", "shop"),
            ("order 70994 placed", "normal", "INFO", "shop"),
        ]
        client = exporter("grpc", ports["4317"])
        end = time.monotonic() + 60
        while client.export([readable("disk failed")]).name != "SUCCESS":
            assert time.monotonic() < end
        client.shutdown()
        assert attributes(receiver.records[0][2])["ra.label"] == "abnormal"


@pytest.mark.slow
def test_the_service(tmp_path, receiver):
    grpc_port = free_port()
    with Shell("serve.md", tmp_path, {"8765": free_port(), "4317": grpc_port}) as shell:
        _, ready, verdicts, logs, _, metrics = shell.outputs
        assert json.loads(ready) == {"status": "ready"}
        assert [v["label"] for v in json.loads(verdicts)["verdicts"]] == ["abnormal", "normal"]
        assert logs == "{}"
        assert "ra_records_total" in metrics
        client = exporter("grpc", grpc_port)
        assert client.export([readable("disk failed")]).name == "SUCCESS"
        client.shutdown()


@pytest.mark.slow
def test_the_readmes_first_screen(tmp_path):
    with Shell("../README.md", tmp_path, {"4318": free_port()}) as shell:
        said = "".join(shell.outputs)
    assert '"label":"abnormal"' in said
    assert "{}" in said


def test_the_readmes_python(monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (RECIPES.parent / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.setenv("RA_MODEL", "echo")
    names = {}
    exec(code, names)
    names["provider"].get_logger("readme")
    names["provider"].shutdown()
    assert names["provider"]


def config():
    return yaml.safe_load((RECIPES / "collector.yaml").read_text(encoding="utf-8"))


def test_the_collectors_config_is_whole():
    found = config()
    kinds = {"receivers": {"otlp"}, "processors": {"memory_limiter", "batch"}, "exporters": {"otlp"}, "extensions": {"file_storage"}}
    assert set(found) == {*kinds, "service"}
    for kind, known in kinds.items():
        assert {name.partition("/")[0] for name in found[kind]} <= known
    assert set(found["service"]["extensions"]) <= set(found["extensions"])
    used = {kind: set() for kind in ("receivers", "processors", "exporters")}
    for name, pipeline in found["service"]["pipelines"].items():
        assert name.partition("/")[0] == "logs"
        assert set(pipeline) <= set(used)
        for kind, names in pipeline.items():
            assert set(names) <= set(found[kind])
            used[kind] |= set(names)
        assert pipeline["processors"][0] == "memory_limiter"
    assert all(used[kind] == set(found[kind]) for kind in used)


def test_the_collectors_exporter_repeats_for_ever_and_keeps_on_disk():
    ra = config()["exporters"]["otlp/ra"]
    assert set(ra) == {"endpoint", "tls", "compression", "timeout", "retry_on_failure", "sending_queue"}
    assert ra["retry_on_failure"] == {"enabled": True, "initial_interval": "1s", "max_interval": "30s", "max_elapsed_time": "0s"}
    assert ra["sending_queue"]["storage"] in config()["extensions"]
