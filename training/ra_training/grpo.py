"""Group relative policy optimisation (Shao et al. 2024, arXiv 2402.03300) of an adapter, with the rewards of `ra_training.rewards`.

trl's GRPOTrainer does the optimising, distributing and checkpointing. The replies come from `ra_training.rollout` by its ``rollout_func``, for two
reasons. trl would tokenise prompts itself, and a ``<|im_end|>`` in a log line would close the turn. And the product forces the tags between
reasoning and answer, so here they are forced too, and masked out of the loss (``env_mask``).

The reference, for the divergence and for coherence, is the adapter as it was at the start: a frozen copy beside the trained one, on the same base.
"""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from ra_sdk.grounding import grounded
from ra_sdk.prompt import PROMPT_VERSION, Mode

from ra_training.augment import hostile
from ra_training.base import base_path, fast_bf16, load_base
from ra_training.corpus import corpus_files, digest, masked, training_rows
from ra_training.examples import Encoder, Prepared, prepare
from ra_training.metrics import figures
from ra_training.reasons import anchored
from ra_training.record import Run
from ra_training.reference import REFERENCE, described, find_adapter, freeze_copy, perplexities, with_adapter
from ra_training.rewards import NAMES, AnswerWeights, Rewards, Sample, means, read, score
from ra_training.rollout import Reply, Writer, greedy, sampled, write, write_with_vllm

if TYPE_CHECKING:
    import torch

__all__ = ["GrpoConfig", "grpo"]

FOREVER = 1_000_000  # steps, where time ends the run
MEASURED = 64  # expert's reasonings whose perplexity is the target


@dataclass(frozen=True, slots=True)
class GrpoConfig:
    """Everything that shapes a run. ``minutes`` (if any) takes the place of ``steps``.

    ``prompts`` and ``group``: log lines a step and replies to each, in every process. ``outcomes`` None: by the balance of the classes.
    ``words``, ``perplexity`` None: as the corpus's reasoning has them. ``adapter`` None: a fresh LoRA, that is GRPO without SFT.
    Raises ValueError for a number that is too small.
    """

    out: Path
    corpus: Path
    adapter: Path | None = None
    base: str | None = None
    resume: bool = False
    steps: int = 200
    minutes: float | None = None
    mode: Mode = "think"
    prompts: int = 4
    group: int = 8
    rate: float = 5e-5
    warmup: int = 5
    temperature: float = 1.0
    kl: float = 0.04
    think_tokens: int = 64
    longest: int = 256
    hostile: float = 0.25
    rank: int = 32
    alpha: int = 64
    layers: int | None = None
    weights: Rewards = field(default_factory=Rewards)
    outcomes: AnswerWeights | None = None
    words: float | None = None
    perplexity: float | None = None
    precision: str = "auto"
    threads: int = 2
    checkpoint_minutes: float = 8.0
    dev: int = 60
    vllm: str | None = None
    seed: int = 1
    sets: tuple[str, ...] = ("general", "templates", "written", "hard", "panel")

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("prompts", 1), ("group", 2), ("think_tokens", 1), ("temperature", 0.01), ("kl", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} {getattr(self, name)} is too small; give at least {least}")


class _Training:
    """The state of a run, between steps."""

    def __init__(self, config: GrpoConfig) -> None:
        import torch

        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads)
        self.config, self.run = config, Run(config.out)
        files = {name: path for name, path in corpus_files(config.corpus).items() if name in config.sets}
        path = base_path(config.base)
        started = find_adapter(config.adapter, path) if config.adapter else None
        self.run.begin(_written(config, files, path, started), resume=config.resume)
        self.state = _state(self.run) if config.resume else {}
        train = prepare(training_rows(files, "train", seed=config.seed))
        self.dev = prepare(training_rows(files, "dev", seed=config.seed))
        random.Random(0).shuffle(self.dev)
        base = load_base(path)
        self.device = _device()
        self.bf16 = config.precision == "bf16" or (config.precision == "auto" and fast_bf16(self.device))
        self.model = with_adapter(base, started, config.rank, config.alpha, config.layers).to(self.device)
        self.encoder, self.tokenizer = Encoder(base.tokenizer), base.tokenizer
        self.writer = Writer(self.encoder, base.tokenizer, config.mode, config.think_tokens)
        self.choose = sampled(config.temperature)
        self.rows = _rows(train, self.encoder, config)
        self.rewards = self._targets(train)
        self.stop: list[int] = []
        self._began = time.monotonic() - self.state.get("seconds", 0.0)
        self.saved = self.seconds

    @property
    def seconds(self) -> float:
        """Time spent so far, over all resumptions."""
        return float(time.monotonic() - self._began)

    def progress(self, step: int) -> float:
        """How much of the run is behind: 0 to 1."""
        return self.seconds / 60 / self.config.minutes if self.config.minutes is not None else step / self.config.steps

    def _targets(self, train: Sequence[Prepared]) -> Rewards:
        """The rewards, with what was not given taken from the corpus."""
        config, told = self.config, [(item.text, item.think) for item in train if item.think]
        length = config.words or (median(len(think.split()) for _, think in told) if told else config.weights.words)
        surprise = config.perplexity or self.state.get("perplexity")
        if surprise is None and told and config.weights.coherence:
            random.Random(config.seed).shuffle(told)
            texts = [text for text, _ in told[:MEASURED]]
            asked = [self.encoder.asked(text, mode="think") for text in texts]
            said = [self.encoder.tokens(f" {think}\n", special=False) for _, think in told[:MEASURED]]
            surprise = median(perplexities(self.model, asked, said, bf16=self.bf16))
        outcomes = config.outcomes or AnswerWeights.balanced(fmean(row["abnormal"] for row in self.rows))
        return replace(config.weights, outcomes=outcomes, words=length, perplexity=surprise or config.weights.perplexity)

    def rollout(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        """One reply to each masked text (trl repeats a text for its group)."""
        asked = [self.encoder.asked(text, mode=self.config.mode) for text in prompts]
        if self.config.vllm:
            replies = write_with_vllm(trainer.vllm_generation, self.writer, asked)
        else:
            replies = write(self._policy(trainer).get_base_model(), self.writer, asked, self.choose, bf16=self.bf16)
        said = [self.writer.text(reply) for reply in replies]
        return {
            "prompt_ids": asked,
            "completion_ids": [reply.ids for reply in replies],
            "logprobs": [reply.logprobs for reply in replies] if self.config.vllm else None,
            "env_mask": [reply.own for reply in replies],
            "said": said,
            "perplexity": self._perplexities(self._policy(trainer), asked, replies, said),
        }

    def _policy(self, trainer: Any) -> Any:
        return trainer.accelerator.unwrap_model(trainer.model)

    def _perplexities(self, model: Any, asked: Sequence[list[int]], replies: Sequence[Reply], said: Sequence[str]) -> list[float | None]:
        """Of the reasoning of each reply, under the reference; None where nothing will ask for it."""
        found: list[float | None] = [None] * len(replies)
        spans = [reply.thought(self.config.mode) for reply in replies]
        asked_for = [
            at
            for at, text in enumerate(said)
            if self.rewards.coherence and spans[at].stop > spans[at].start and (not self.rewards.format or read(text, self.config.mode))
        ]
        if not asked_for:
            return found
        contexts = [asked[at] + replies[at].ids[: spans[at].start] for at in asked_for]
        thoughts = [replies[at].ids[spans[at]] for at in asked_for]
        for at, value in zip(asked_for, perplexities(model, contexts, thoughts, adapter=REFERENCE, bf16=self.bf16), strict=True):
            found[at] = value
        return found

    def reward(self, prompts: Sequence[str], **columns: Any) -> list[float]:
        """The weighted sum for each reply; the parts go into the metrics."""
        scores = [
            score(Sample(text, said, self.config.mode, abnormal, reference or None, perplexity), self.rewards)
            for text, said, abnormal, reference, perplexity in zip(
                prompts, columns["said"], columns["abnormal"], columns["reference"], columns["perplexity"], strict=True
            )
        ]
        for name, value in means(scores).items():
            columns["log_metric"](f"part/{name}", value)
        return [part.total for part in scores]

    def check(self) -> dict[str, float]:
        """The most probable replies to dev rows, read as the product would: figures of the verdicts, and the share of sound and grounded ones."""
        rows = self.dev[: self.config.dev]
        asked = [self.encoder.asked(item.text, item.row.level, self.config.mode) for item in rows]
        said = []
        for at in range(0, len(asked), 16):
            said += [self.writer.text(reply) for reply in write(self.model.get_base_model(), self.writer, asked[at : at + 16], greedy, bf16=self.bf16)]
        readings = [read(text, self.config.mode) for text in said]
        verdicts = [bool(reading and reading.abnormal) for reading in readings]
        found = figures([item.row.abnormal for item in rows], [float(verdict) for verdict in verdicts], verdicts)
        sound = [grounded(item.text, reading.think) for reading, item in zip(readings, rows, strict=True) if reading]
        return {**found, "formed": len(sound) / len(rows), "grounded": sum(sound) / len(rows)}


def grpo(config: GrpoConfig) -> Run:
    """Train, and leave the run's directory. SIGINT and SIGTERM end it, after the step it is in, with a checkpoint from which ``resume`` goes on.

    Raises SystemExit for an adapter that is none or belongs to another base, a run that cannot go on, or without trl.
    """
    for package, needed in (("trl", True), ("vllm", bool(config.vllm))):
        if needed and importlib.util.find_spec(package) is None:
            raise SystemExit(f"package {package!r} is not installed, and GRPO needs it{', with --vllm' * (package == 'vllm')}; pip install '{package}'")
    training = _Training(config)
    trainer = _trainer(training)
    step = int(training.state.get("step", 0))
    if trainer.is_world_process_zero():
        print(f"{len(training.rows)} prompts, {len(training.dev)} dev rows, {'bf16' if training.bf16 else 'fp32'} on {training.device}", flush=True)
        print(f"rewards: {training.rewards}", flush=True)
        if not training.state:
            _judge(training, 0)
    if not step or training.progress(step) < 1:
        before = {number: signal.signal(number, lambda number, _: training.stop.append(number)) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            trainer.train(resume_from_checkpoint=str(training.run.path / training.state["trainer"]) if training.state else None)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    _end(training, trainer)
    return training.run


def _end(training: _Training, trainer: Any) -> None:
    if not trainer.is_world_process_zero():
        return
    step, minutes = trainer.state.global_step or training.state.get("step", 0), training.seconds / 60
    if training.stop:
        print(f"stopped at step {step}; go on with --resume", flush=True)
    else:
        print(f"done: {step} steps, {minutes:.1f} min; ra-train export {training.run.path} OUT.gguf makes it a GGUF", flush=True)


def _trainer(training: _Training) -> Any:
    """trl's trainer, its rollouts and rewards ours."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # rollout_func may change, it says; training/pyproject.toml pins trl
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import GRPOConfig, GRPOTrainer

    trainer = GRPOTrainer(
        model=training.model,
        reward_funcs=[training.reward],
        args=GRPOConfig(**_arguments(training)),
        train_dataset=Dataset.from_list(training.rows),
        processing_class=training.tokenizer,
        callbacks=[_callback(training)],
        rollout_func=training.rollout,
    )
    trainer.remove_callback(PrinterCallback)
    if not training.config.kl:  # trl copies the adapter only for the divergence; coherence needs it too
        freeze_copy(training.model)
    return trainer


def _arguments(training: _Training) -> dict[str, Any]:
    """trl's GRPOConfig, as keywords."""
    config = training.config
    return {
        "output_dir": str(training.run.path / "trl"),
        "per_device_train_batch_size": config.group,
        "gradient_accumulation_steps": config.prompts,
        "num_generations": config.group,
        "max_completion_length": training.writer.longest,
        "temperature": config.temperature,
        "beta": config.kl,
        "loss_type": "grpo",
        "learning_rate": config.rate,
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": config.warmup,
        "max_steps": config.steps if config.minutes is None else FOREVER,
        "logging_steps": 1,
        "save_strategy": "no",  # the callback says when
        "save_total_limit": 2,
        "bf16": training.bf16,
        "use_cpu": training.device.type == "cpu",
        "gradient_checkpointing": False,  # it would switch off the cache of keys and values
        "dataloader_pin_memory": training.device.type == "cuda",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": config.seed,
        **_vllm(config, training.writer),
    }


def _vllm(config: GrpoConfig, writer: Writer) -> dict[str, Any]:
    if not config.vllm:
        return {}
    return {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": config.vllm, "generation_kwargs": {"stop_token_ids": [writer.newline]}}


def _callback(training: _Training) -> Any:
    """What happens between steps: progress, checkpoints, the end by time or signal."""
    from transformers import TrainerCallback

    class Between(TrainerCallback):  # type: ignore[misc]  # transformers is not typed for us
        def on_step_end(self, _: Any, state: Any, control: Any, **__: Any) -> None:
            over = bool(training.stop) or training.progress(state.global_step) >= 1
            control.should_training_stop |= over
            control.should_save |= over or training.seconds - training.saved > training.config.checkpoint_minutes * 60

        def on_log(self, _: Any, state: Any, __: Any, logs: dict[str, Any] | None = None, **___: Any) -> None:
            if state.is_world_process_zero and logs and "reward" in logs:
                _progress(training, state.global_step, logs)

        def on_save(self, _: Any, state: Any, __: Any, **___: Any) -> None:
            if state.is_world_process_zero:
                _save(training, state.global_step)
            training.saved = training.seconds

    return Between()


def _save(training: _Training, step: int) -> None:
    """The adapter, and last the file that names trl's checkpoint: it never names one that is not whole."""
    import torch

    training.model.save_pretrained(str(training.run.adapter), selected_adapters=["default"], save_embedding_layers=False)
    state = {"trainer": f"trl/checkpoint-{step}", "step": step, "seconds": training.seconds, "perplexity": training.rewards.perplexity}
    fresh = training.run.checkpoint.with_suffix(".new")
    torch.save(state, fresh)
    fresh.replace(training.run.checkpoint)
    if not training.stop:
        _judge(training, step)


def _judge(training: _Training, step: int) -> None:
    """Log the figures on dev rows; those of step 0 are what the start can do."""
    if training.config.dev and training.dev:
        dev = training.check()
        training.run.log(step=step, dev=dev)
        print(f"{'checkpoint at' if step else 'start, at'} step {step}, dev F1 {dev['f1']:.3f}, grounded {dev['grounded']:.2f} of {dev['n']}", flush=True)


def _progress(training: _Training, step: int, logs: dict[str, Any]) -> None:
    parts = {name: logs.get(f"part/{name}") for name in NAMES}
    told = {"reward": logs["reward"], **{name: value for name, value in parts.items() if value is not None}}
    figures = {"kl": logs.get("kl", 0.0), "tokens": logs.get("completions/mean_length", 0.0), "step_seconds": logs.get("step_time", 0.0)}
    training.run.log(step=step, seconds=round(training.seconds, 1), loss=logs.get("loss"), **{k: round(v, 4) for k, v in (told | figures).items()})
    done = training.progress(step)
    left = training.seconds * (1 / max(done, 1e-6) - 1) / 60
    shown = "  ".join(f"{name} {value:.2f}" for name, value in told.items())
    print(f"step {step}  {shown}  kl {figures['kl']:.3f}  {figures['step_seconds']:.1f} s/step  {min(done, 1):.0%}, {max(left, 0):.0f} min left", flush=True)


def _rows(train: Sequence[Prepared], encoder: Encoder, config: GrpoConfig) -> list[dict[str, Any]]:
    """What the trainer draws from: the train rows, with reasoning and without, and copies with injected instructions under their true label."""
    rng = random.Random(config.seed)
    again = [item for item in train if rng.random() < config.hostile]
    texts = masked([hostile(item.row, rng).message for item in again])
    # an injection may cut a quote in two: then there is no reference
    copies = [Prepared(item.row, text, anchored(item.think, text, text) if item.think else None) for item, text in zip(again, texts, strict=True) if text]
    rows: list[dict[str, Any]] = [{"prompt": item.text, "abnormal": item.row.abnormal, "reference": item.think or ""} for item in (*train, *copies)]
    kept = [row for row in rows if len(encoder.asked(row["prompt"], mode=config.mode)) <= config.longest]
    if len(kept) < config.prompts:
        raise SystemExit(f"corpus {str(config.corpus)!r} has {len(kept)} train rows of at most {config.longest} tokens; a step needs {config.prompts}")
    return kept


def _device() -> torch.device:
    """The GPU of this process (accelerate and torchrun say which), or the CPU."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def _state(run: Run) -> dict[str, Any]:
    """What the checkpoint says; empty if there is none."""
    import torch

    found: dict[str, Any] = torch.load(run.checkpoint, weights_only=True) if run.checkpoint.is_file() else {}
    return found


def _written(config: GrpoConfig, files: dict[str, Path], base: Path, adapter: Path | None) -> dict[str, Any]:
    """The configuration as JSON, with hashes of all that it names."""
    plain = {key: value for key, value in asdict(config).items() if key not in ("out", "corpus", "resume", "base", "adapter", "vllm")}
    return {
        **plain,
        **(described(adapter, base) if adapter else {"adapter_sha256": None}),
        "sets": list(config.sets),
        "stage": "grpo",
        "prompt_version": PROMPT_VERSION,
        "base": base.name,
        "base_sha256": digest(base),
        "corpus": {name: digest(path) for name, path in files.items()},
    }
