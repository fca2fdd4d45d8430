"""Group relative policy optimisation (Shao et al. 2024, arXiv 2402.03300) of an adapter, with the rewards of `ra_training.rewards`.

trl's GRPOTrainer does the optimising, distributing and checkpointing (`ra_training.trainer`). The reference, for the divergence, for coherence and for
what a verdict loses without its evidence, is the adapter as it was at the start: a frozen copy beside the trained one, on the same base.
"""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from ra_sdk.reasoner.prompt import PROMPT_VERSION
from ra_sdk.records import Mode

from ra_training.augment import shown_level
from ra_training.base import base_path, fast_bf16, keep_in_bf16, load_base
from ra_training.checking import brief, dev_figures, worse
from ra_training.corpus import RAW, corpus_files, digest, training_rows
from ra_training.evidence import shown
from ra_training.examples import Encoder, Prepared, prepare
from ra_training.likelihood import Allowed
from ra_training.material import known_choices
from ra_training.record import Run
from ra_training.reference import REFERENCE, described, find_adapter, lost_without, perplexities, with_adapter
from ra_training.rewards import AnswerWeights, Rewards, Sample, means, read, score
from ra_training.rollout import Reply, Writer, sampled, write, write_with_vllm
from ra_training.tasks import Task, choice_tasks, hostile_copies, pair_tasks, verdict_task
from ra_training.trainer import make_trainer

if TYPE_CHECKING:
    import torch

__all__ = ["GrpoConfig", "Training", "grpo"]

MEASURED = 64  # expert's reasonings whose perplexity is the target


@dataclass(frozen=True, slots=True)
class GrpoConfig:
    """Everything that shapes a run. ``minutes`` (if any) takes the place of ``steps``.

    ``prompts`` and ``group``: questions a step and replies to each, in every process. ``choices``: labelled pairs of a line and a known entry, which make up
    ``choice_share`` of the questions; ``pair_share``: of lines whose twin has the other verdict. ``outcomes`` None: by the balance of the classes.
    ``words``, ``perplexity`` None: as the corpus's reasoning has them. ``adapter`` None: a fresh LoRA, that is GRPO without SFT.
    Raises ValueError for what cannot be.
    """

    out: Path
    corpus: Path
    adapter: Path | None = None
    base: str | None = None
    resume: bool = False
    steps: int = 200
    minutes: float | None = None
    mode: Mode = "direct"
    prompts: int = 4
    group: int = 8
    rate: float = 5e-5
    warmup: int = 5
    temperature: float = 1.0
    kl: float = 0.04
    think_tokens: int = 64
    longest: int = 256
    hostile: float = 0.25
    choices: Path | None = None
    choice_share: float = 0.2
    pair_share: float = 0.15
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
    dev: int = 80
    vllm: str | None = None
    seed: int = 1
    sets: tuple[str, ...] = ("general", "templates", "written", "hard", "panel")

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("prompts", 1), ("group", 2), ("think_tokens", 1), ("temperature", 0.01), ("kl", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} {getattr(self, name)} is too small; give at least {least}")
        if min(self.choice_share, self.pair_share) < 0 or self.choice_share + self.pair_share > 0.9:
            raise ValueError(f"shares of {self.choice_share:g} choices and {self.pair_share:g} pairs leave too few rows; give 0 or more, at most 0.9 together")
        if self.vllm and (self.mode == "direct" or self.choices):
            raise ValueError("vLLM does not know to which tokens a verdict, evidence and a choice are held; give --mode think without --choices")


class Training:
    """The state of a run, between steps. ``allowed``: for each reply of the step (with its prompt) the tokens among which each of its tokens was chosen."""

    def __init__(self, config: GrpoConfig) -> None:
        import torch

        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads)
        self.config, self.run = config, Run(config.out)
        files = {name: path for name, path in corpus_files(config.corpus).items() if name in (*config.sets, *RAW)}
        path = base_path(config.base)
        started = find_adapter(config.adapter, path) if config.adapter else None
        self.run.begin(_written(config, files, path, started), resume=config.resume)
        self.state = _state(self.run) if config.resume else {}
        base = load_base(path)
        self.device = _device()
        self.bf16 = config.precision == "bf16" or (config.precision == "auto" and fast_bf16(self.device))
        self.model = with_adapter(base, started, config.rank, config.alpha, config.layers).to(self.device)
        if self.bf16:
            keep_in_bf16(self.model)
        self.encoder, self.tokenizer = Encoder(base.tokenizer), base.tokenizer
        self.writer, self.choose = Writer(self.encoder, base.tokenizer, config.think_tokens), sampled(config.temperature)
        train = prepare(training_rows(files, "train", seed=config.seed))
        self.tasks = _tasks(train, self.encoder, config)
        self.dev = _dev_tasks(prepare(training_rows(files, "dev", seed=config.seed)), self.encoder, config)
        self.rewards = self._targets(train)
        self.allowed: dict[tuple[int, ...], list[Allowed]] = {}
        self.start: dict[str, float] = self.state.get("start", {})
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
        if surprise is None and told and config.weights.coherence and config.mode == "think":
            random.Random(config.seed).shuffle(told)
            asked = [self.encoder.asked(text, mode="think") for text, _ in told[:MEASURED]]
            said = [self.encoder.tokens(f" {think}\n", special=False) for _, think in told[:MEASURED]]
            surprise = median(perplexities(self.model, asked, said, bf16=self.bf16))
        outcomes = config.outcomes or AnswerWeights.balanced(fmean([task.abnormal for task in self.tasks if task.kind != "choice"]))
        return replace(config.weights, outcomes=outcomes, words=length, perplexity=surprise or config.weights.perplexity)

    def rollout(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        """One reply to each task (trl repeats a task's number for its group)."""
        tasks = [self.tasks[int(number)] for number in prompts]
        asked = [task.asked(self.encoder) for task in tasks]
        replies = [self.writer.start(task.kind, task.text) for task in tasks]
        policy = trainer.accelerator.unwrap_model(trainer.model)
        if self.config.vllm:
            write_with_vllm(trainer.vllm_generation, asked, replies)
        else:
            write(policy.get_base_model(), asked, replies, self.choose, bf16=self.bf16)
        self.allowed = {tuple(before + reply.ids): reply.allowed for before, reply in zip(asked, replies, strict=True)}
        said = [self.writer.text(reply, task.kind) for reply, task in zip(replies, tasks, strict=True)]
        return {
            "prompt_ids": asked,
            "completion_ids": [reply.ids for reply in replies],
            "logprobs": [reply.logprobs for reply in replies] if self.config.vllm else None,
            "env_mask": [reply.own for reply in replies],
            "said": said,
            "lost": self._lost(policy, tasks, said),
            "perplexity": self._perplexities(policy, tasks, asked, replies, said),
        }

    def _lost(self, model: Any, tasks: Sequence[Task], said: Sequence[str]) -> list[float | None]:
        """What each right verdict loses without its evidence; None where nothing will ask for it."""
        found: list[float | None] = [None] * len(said)
        quoted: dict[int, str] = {}
        for at, (task, text) in enumerate(zip(tasks, said, strict=True)):
            reading = read(text, "direct") if self.rewards.erasure and task.kind == "direct" else None
            evidence = shown(task.text, reading.said) if reading and reading.abnormal is task.abnormal else ""
            if evidence:
                quoted[at] = evidence
        if quoted:
            lost = lost_without(model, self.encoder, [(tasks[at], evidence) for at, evidence in quoted.items()], bf16=self.bf16)
            for at, value in zip(quoted, lost, strict=True):
                found[at] = value
        return found

    def _perplexities(self, model: Any, tasks: Sequence[Task], asked: Sequence[list[int]], replies: Sequence[Reply], said: Sequence[str]) -> list[float | None]:
        """Of the reasoning of each reply in think mode, under the reference; None where nothing will ask for it."""
        found: list[float | None] = [None] * len(replies)
        wanted = [
            at
            for at, task in enumerate(tasks)
            if task.kind == "think" and self.rewards.coherence and replies[at].ids and (not self.rewards.format or read(said[at], "think"))
        ]
        if wanted:
            thoughts = [replies[at].ids[replies[at].thought()] for at in wanted]
            values = perplexities(model, [asked[at] for at in wanted], thoughts, adapter=REFERENCE, bf16=self.bf16)
            for at, value in zip(wanted, values, strict=True):
                found[at] = value
        return found

    def reward(self, prompts: Sequence[str], **columns: Any) -> list[float]:
        """The weighted sum for each reply; the parts go into the metrics."""
        told = zip(prompts, columns["said"], columns["lost"], columns["perplexity"], strict=True)
        scores = [score(Sample(self.tasks[int(number)], said, lost, perplexity), self.rewards) for number, said, lost, perplexity in told]
        for name, value in means(scores).items():
            columns["log_metric"](f"part/{name}", value)
        return [part.total for part in scores]

    def judge(self, step: int) -> None:
        """Log the figures on dev rows; those of step 0 are what the start can do, and a later one that is worse says so."""
        if not self.dev:
            return
        dev = dev_figures(self.model, self.encoder, self.writer, self.dev, bf16=self.bf16)
        self.start = self.start or dev
        fallen = worse(self.start, dev)
        self.run.log(step=step, dev=dev, **({"worse": fallen} if fallen else {}))
        print(f"{'checkpoint at' if step else 'start, at'} step {step}, dev {brief(dev)} on {len(self.dev)}", flush=True)
        if fallen:
            print(f"WORSE THAN THE START, which had {brief(self.start)}: a smaller --rate, or a larger --kl or --group, may help", flush=True)

    def save(self, step: int) -> None:
        """The adapter, and last the file that names trl's checkpoint: it never names one that is not whole."""
        import torch

        self.model.save_pretrained(str(self.run.adapter), selected_adapters=["default"], save_embedding_layers=False)
        kept = {"trainer": f"trl/checkpoint-{step}", "step": step, "seconds": self.seconds, "perplexity": self.rewards.perplexity}
        fresh = self.run.checkpoint.with_suffix(".new")
        torch.save({**kept, "start": self.start}, fresh)
        fresh.replace(self.run.checkpoint)
        if not self.stop:
            self.judge(step)


def grpo(config: GrpoConfig) -> Run:
    """Train, and leave the run's directory. SIGINT and SIGTERM end it, after the step it is in, with a checkpoint from which ``resume`` goes on.

    Raises SystemExit for an adapter that is none or belongs to another base, a run that cannot go on, or without trl.
    """
    for package, needed in (("trl", True), ("vllm", bool(config.vllm))):
        if needed and importlib.util.find_spec(package) is None:
            raise SystemExit(f"package {package!r} is not installed, and GRPO needs it{', with --vllm' * (package == 'vllm')}; pip install '{package}'")
    training = Training(config)
    trainer = make_trainer(training)
    step = int(training.state.get("step", 0))
    if trainer.is_world_process_zero():
        kinds = ", ".join(f"{sum(task.kind == kind for task in training.tasks)} {kind}" for kind in sorted({task.kind for task in training.tasks}))
        print(f"questions: {kinds}; {len(training.dev)} of dev; {'bf16' if training.bf16 else 'fp32'} on {training.device}", flush=True)
        print(f"rewards: {training.rewards}", flush=True)
        if not training.state:
            training.judge(0)
    if not step or training.progress(step) < 1:
        before = {number: signal.signal(number, lambda number, _: training.stop.append(number)) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            trainer.train(resume_from_checkpoint=str(training.run.path / training.state["trainer"]) if training.state else None)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    _end(training, trainer)
    return training.run


def _end(training: Training, trainer: Any) -> None:
    if not trainer.is_world_process_zero():
        return
    step, minutes = trainer.state.global_step or training.state.get("step", 0), training.seconds / 60
    if training.stop:
        print(f"stopped at step {step}; go on with --resume", flush=True)
    else:
        print(f"done: {step} steps, {minutes:.1f} min; ra-train export {training.run.path} OUT.gguf makes it a GGUF", flush=True)


def _tasks(train: Sequence[Prepared], encoder: Encoder, config: GrpoConfig) -> list[Task]:
    """What the trainer draws from: the train rows, injected copies under their true label, pairs with their twins, and choices among known entries."""
    rng = random.Random(config.seed)
    rows = [verdict_task(item, config.mode, shown_level(item.row, rng)) for item in (*train, *hostile_copies(train, config.hostile, rng))]
    choices = known_choices(config.choices, "train") if config.choices else []
    whole = len(rows) / (1 - config.pair_share - (config.choice_share if choices else 0))
    tasks = [*rows, *pair_tasks(round(whole * config.pair_share / 2), config.mode, rng), *choice_tasks(choices, round(whole * config.choice_share), rng)]
    kept = _short(tasks, encoder, config)
    if len(kept) < config.prompts:
        raise SystemExit(f"corpus {str(config.corpus)!r} has {len(kept)} train rows of at most {config.longest} tokens; a step needs {config.prompts}")
    return kept


def _dev_tasks(dev: list[Prepared], encoder: Encoder, config: GrpoConfig) -> list[Task]:
    """At most so many dev rows with their own level, in a fixed order, and as many choices."""
    random.Random(0).shuffle(dev)
    rows = _short((verdict_task(item, config.mode, item.row.level) for item in dev), encoder, config)
    choices = known_choices(config.choices, "dev") if config.choices else []
    return [*rows[: config.dev], *_short(choice_tasks(choices, config.dev, random.Random(0)), encoder, config)]


def _short(tasks: Iterable[Task], encoder: Encoder, config: GrpoConfig) -> list[Task]:
    """Those whose prompts are not too long."""
    return [task for task in tasks if len(task.asked(encoder)) <= config.longest]


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
    plain = {key: value for key, value in asdict(config).items() if key not in ("out", "corpus", "resume", "base", "adapter", "vllm", "choices")}
    return {
        **plain,
        **(described(adapter, base) if adapter else {"adapter_sha256": None}),
        "sets": list(config.sets),
        "stage": "grpo",
        "prompt_version": PROMPT_VERSION,
        "base": base.name,
        "base_sha256": digest(base),
        "choices_sha256": digest(config.choices) if config.choices else None,
        "corpus": {name: digest(path) for name, path in files.items()},
    }
