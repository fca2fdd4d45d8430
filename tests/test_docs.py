"""README and docs are executed: their commands, their Python, their links; and what is generated in them is current."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from ra_sdk import Detection, Detector
from ra_sdk.cli.app import main
from ra_sdk.formats import builtin_formats
from ra_sdk.formats.patterns import FRAGMENTS
from ra_sdk.reasoner.tiers import DEFAULT, TIERS
from ra_sdk.templates.placeholders import PLACEHOLDERS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GENERATED = ("cli.md", "formats-list.md", "api.md")
WRITTEN = [path for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in GENERATED]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *WRITTEN]
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
LINES = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
RA = [line for line in LINES if line.startswith("ra ")]
MODELS = [line for line in RA if re.match("ra model (get|use) ", line)]
FILES = dict(re.findall(r"```toml\n# (\S+)\n(.*?)```", TEXT, re.DOTALL))
TILL = "till 7 | 14/Mar/2026 09:41:07 | ALARM | drawer is jammed"


@pytest.fixture
def place(tmp_path):
    """A copy of the examples, and `ra` on the path, judging with the echo model."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "tills.log").write_text(f"{TILL}\nreceipt 4711\n", encoding="utf-8")
    command = tmp_path / "bin" / "ra"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ra_sdk "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(command.parent), os.environ["PATH"]])
    return tmp_path, {
        **os.environ,
        "PATH": path,
        "RA_MODEL": "echo",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONWARNINGS": "error",
        "RA_TOKENS": str(tmp_path / "tokens"),
    }


def test_there_is_something_to_run():
    assert len(RA) > 10
    assert len(SNIPPETS) >= 2
    assert sorted(FILES) == ["masks.toml", "payments.toml", "till.toml"]
    assert TEXT.count("```toml") == len(FILES)


@pytest.mark.parametrize("line", [line for line in RA if line not in MODELS])
def test_commands(place, line):
    folder, environment = place
    if "--follow" in line or line.startswith("ra serve"):  # it has no end
        line = f"{line.split('#')[0]} --help"
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_commands_that_get_and_choose_a_model(small, capfd):
    assert len(MODELS) == 3
    for line in MODELS:
        code = main(shlex.split(line, comments=True)[1:])
        out, err = capfd.readouterr()
        assert (code, err) == (0, ""), line
        assert out, line


@pytest.mark.parametrize("code", SNIPPETS, ids=range(len(SNIPPETS)))
def test_python(place, code):
    folder, environment = place
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def examined(line, **options):
    with Detector(model="echo", store=":memory:", **options) as detector:
        return detector.examine(line)


def test_the_format_gives_what_its_example_says(place):
    folder, _ = place
    with Detector(model="echo", store=":memory:", format_files=[folder / "till.toml"]) as detector:
        (form,) = (form for form in detector.formats if form.name == "till")
        (example,) = form.examples
        (found,) = detector.detect(folder / "tills.log")
    assert example.line == TILL
    assert f"`{TILL}`" in TEXT
    assert found.body == f"{example.body}\nreceipt 4711"
    assert found.timestamp.isoformat().replace("+00:00", "Z") == example.timestamp
    assert (found.severity, found.attributes) == (example.severity, example.attributes)


def test_the_masks_are_applied(place, monkeypatch):
    folder, _ = place
    assert "<id>" not in examined("order of customer ABC-XYZ").template
    monkeypatch.setenv("RA_CONFIG_DIR", str(folder))
    assert examined("order of customer ABC-XYZ").template == "order of customer <id>"


def test_what_is_said_of_templates_holds():
    rows = re.findall(r"^\| `(<\S+>)` \| (.*) \|$", TEXT, re.MULTILINE)
    assert dict(rows) == PLACEHOLDERS
    for decides in ("HTTP 503", "HTTP 200", "0 errors", "ORA-01555", "%ASA-4-106023"):
        assert f"`{decides}`" in TEXT
        assert examined(f"check: {decides}").template == f"check: {decides}"
    assert "`14 errors`" in TEXT
    assert examined("14 errors").template == "<num> errors"
    assert "`worker received 17 bytes`" in TEXT
    assert examined("worker received 17 bytes").template == "worker received <num> bytes"


def test_what_is_said_of_formats_holds():
    assert abs(int(re.search(r"About (\d+) formats", TEXT)[1]) - len(builtin_formats())) <= 10
    assert set(re.findall(r"`\{([A-Z]+)\}`", TEXT)) <= set(FRAGMENTS)
    line = '192.0.2.1 - - [14/Mar/2026:09:41:07 +0000] "GET /api/pay?id=4 HTTP/1.1" 503 19'
    assert f"`{examined(line).body}`" in TEXT


def test_a_detection_has_what_is_said():
    said = re.search(r"A `Detection` has (.*?)\. ", TEXT, re.DOTALL)[1]
    public = {name for name in dir(Detection) if not name.startswith("_")} - {"of"}
    assert {name.removesuffix("()") for name in re.findall(r"`([\w()]+)`", said)} == public


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_service_answers_as_shown(place, serving):
    folder, environment = place
    lines = [line.replace("http://127.0.0.1:8765", serving().url) for line in LINES if line.startswith("curl ")]
    assert len(lines) >= 5
    for line in lines:
        done = subprocess.run(["bash", "-c", line.replace("curl", "curl --fail", 1)], cwd=folder, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), line
        assert done.stdout


def test_the_first_commands_are_what_the_project_has():
    install = next(line for line in LINES if "pip install" in line)
    assert "'.[model]'" in install
    assert "model = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r"^test:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_what_is_said_of_the_models_holds():
    columns = re.search(r"^\| \| `(\w+)` \| `(\w+)` \|$", TEXT, re.MULTILINE).groups()
    assert list(columns) == list(TIERS)
    for title, cells in (("base model", [tier.title for tier in TIERS.values()]), ("licence", [tier.licence for tier in TIERS.values()])):
        assert f"| {title} | {' | '.join(cells)} |" in TEXT
    assert f"{TIERS['standard'].size / 1e6:.0f} MB (Q4_K_M)" in TEXT
    assert all(f"ra-sdk[{tier.extra}]" in TEXT for tier in TIERS.values())
    assert f"the default (`{DEFAULT}`)" in TEXT


def anchors(path):
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


def test_the_readme_is_one_screen():
    assert len(README.splitlines()) <= 50


def test_what_is_generated_is_current():
    refresh = _refresh()
    for name, text in (("cli.md", refresh.command_line()), ("formats-list.md", refresh.formats())):
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, f"run: python tests/refresh_docs.py ({name})"


def test_the_readme_shows_lines_of_the_real_output():
    shown = re.search(r"```text\n\$ ra detect .*?\n(.*?)```", README, re.DOTALL)[1].splitlines()
    real = [line.rstrip() for line in _refresh().printed((ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")).splitlines()]
    assert len(shown) >= 4
    assert "\n".join(shown) in "\n".join(real)


def test_nothing_of_a_machine_in_it():
    assert not re.search(r"/(?:home|work|root|tmp)/", TEXT)


def _refresh():
    spec = spec_from_file_location("refresh_docs", ROOT / "tests" / "refresh_docs.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.model
@pytest.mark.slow
def test_the_output_is_real():
    refresh = _refresh()
    said, real = refresh.printed((ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")), refresh.first_output()
    counts = r"[\d,]+ lines, [\d,]+ records, [\d,]+ templates"
    assert re.search(counts, said)[0] == re.search(counts, real)[0]
    assert said.splitlines()[-1] == real.splitlines()[-1]  # the model's name
