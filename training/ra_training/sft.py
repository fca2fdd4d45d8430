"""Fine-tuning on reasoned verdicts: LoRA, loss on the reply only, one plain loop.

An epoch is made from the seed and its number, so a run that was stopped goes on with the very batch that it would have seen.
"""

from __future__ import annotations

import math
import random
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ra_sdk.reasoner.prompt import PROMPT_VERSION

from ra_training.base import base_path, fast_bf16, load_base, with_lora
from ra_training.corpus import RAW, Row, corpus_files, digest, read_rows, training_rows
from ra_training.examples import Encoder, Example, Mixture, batches, epoch_examples, prepare
from ra_training.export import with_gguf
from ra_training.known import balanced
from ra_training.likelihood import margins, probability
from ra_training.material import known_choices, mined_statements
from ra_training.metrics import figures
from ra_training.record import Run

if TYPE_CHECKING:
    import torch

__all__ = ["SftConfig", "abnormal_scores", "collate", "reply_loss", "sft"]


@dataclass(frozen=True, slots=True)
class SftConfig:
    """Everything that shapes a run. ``minutes`` (if any) takes the place of ``epochs``: the schedule ends when the time does."""

    out: Path
    corpus: Path
    base: str | None = None
    start: Path | None = None
    resume: bool = False
    epochs: float = 2.0
    minutes: float | None = None
    rate: float = 6e-4
    warmup: int = 30
    batch: int = 16
    rank: int = 32
    alpha: int = 64
    layers: int | None = None
    verdict_weight: float = 4.0
    smoothing: float = 0.0
    longest: int = 384
    precision: str = "auto"
    threads: int = 2
    checkpoint_minutes: float = 8.0
    dev: int = 120
    seed: int = 1
    sets: tuple[str, ...] = ("general", "templates", "written", "hard", "panel")
    statements: Path | None = None
    choices: Path | None = None
    known: int = 0
    mixture: Mixture = field(default_factory=Mixture)


class _Training:
    """The state of a run, between steps."""

    def __init__(self, config: SftConfig) -> None:
        import torch

        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads)
        self.config, self.run = config, Run(config.out)
        files = {name: path for name, path in corpus_files(config.corpus).items() if name in (*config.sets, *RAW)}
        path = base_path(config.base)
        self.run.begin(_written(config, files, path), resume=config.resume)
        self.train = prepare(training_rows(files, "train", seed=config.seed))
        self.dev = prepare(training_rows(files, "dev", seed=config.seed))
        self.statements = mined_statements(config.statements, config.seed) if config.statements else []
        self.train += prepare(self._known(files)) if config.known else []
        self.choices = known_choices(config.choices, "train") if config.choices else []
        base = load_base(path)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16 = config.precision == "bf16" or (config.precision == "auto" and fast_bf16(self.device))
        fresh = with_gguf(base, config.start) if config.start else with_lora(base.model, config.rank, config.alpha, config.layers)
        self.model = fresh.to(self.device).train()
        self.encoder = Encoder(base.tokenizer)
        self.weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.AdamW(self.weights, lr=config.rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.step, self.epoch, self.at, self.spent, self.tokens = 0, 0, 0, 0.0, 0
        self.steps_per_epoch = 1
        if config.resume and self.run.checkpoint.is_file():
            self._load()
        self._began = time.monotonic() - self.spent

    def _known(self, files: dict[str, Path]) -> list[Row]:
        """Rows from the product's knowledge, and ordinary statements beside them."""
        labels = {"general": "label", "panel": "label_panel"}
        others = [row.message for name in labels if name in files for row in read_rows(files[name], labels[name]) if row.split != "train"]
        statements = [(statement.text, statement.level.upper()) for statement in self.statements]
        return balanced(self.config.known, others, statements, seed=self.config.seed)

    @property
    def seconds(self) -> float:
        """Time spent so far, over all resumptions."""
        return time.monotonic() - self._began

    @property
    def progress(self) -> float:
        """How much of the run is behind: 0 to 1."""
        if self.config.minutes is not None:
            return self.seconds / 60 / self.config.minutes
        return (self.epoch + self.at / self.steps_per_epoch) / self.config.epochs

    def batches(self) -> Iterator[list[Example]]:
        """Batches, epoch after epoch, from where the run is, until its end."""
        while True:
            rng = random.Random(f"{self.config.seed} {self.epoch}")
            examples = epoch_examples(self.train, self.encoder, self.config.mixture, rng, self.config.longest, self.statements, self.choices)
            made = batches(examples, self.config.batch, rng)
            self.steps_per_epoch = max(len(made), 1)
            for batch in made[self.at :]:
                if self.progress >= 1:
                    return
                yield batch
            self.epoch, self.at = self.epoch + 1, 0
            if not made or self.progress >= 1:
                return

    def learn(self, batch: Sequence[Example]) -> float:
        """One step of the optimiser; the loss."""
        import torch

        rate = self.config.rate * min(1.0, (self.step + 1) / self.config.warmup) * _cosine(self.progress)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = self._loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step, self.at = self.step + 1, self.at + 1
        self.tokens += sum(len(example.ids) for example in batch)
        return float(loss.item())

    def _loss(self, batch: Sequence[Example]) -> torch.Tensor:
        """Only the reply's rows go through the output layer: it is a fifth of the model."""
        import torch

        ids, attention, learnt, verdict = collate(batch, self.device)
        llama = self.model.get_base_model()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            hidden = llama.model(input_ids=ids, attention_mask=attention).last_hidden_state[:, :-1][learnt]
            logits = llama.lm_head(hidden).float()
        answers = self.encoder.normal, self.encoder.abnormal
        return reply_loss(logits, ids[:, 1:][learnt], verdict[learnt], answers, self.config.verdict_weight, self.config.smoothing)

    def check(self, most: int | None) -> dict[str, float]:
        """Direct verdicts on the dev rows (the first ``most`` of a fixed order)."""
        rows = list(self.dev)
        random.Random(0).shuffle(rows)
        rows = rows[:most]
        self.model.eval()
        scores = abnormal_scores(self.model, self.encoder, [(item.text, item.row.level) for item in rows], self.bf16)
        self.model.train()
        return figures([item.row.abnormal for item in rows], scores, [score >= 0.5 for score in scores])

    def save(self) -> None:
        """Write the checkpoint and the adapter; an old one stays whole until the new one is."""
        import torch

        state = {
            "weights": {name: weight.detach() for name, weight in self.model.named_parameters() if weight.requires_grad},
            "optimiser": self.optimiser.state_dict(),
            "place": (self.step, self.epoch, self.at, self.seconds, self.tokens),
            "rng": torch.get_rng_state(),
        }
        fresh = self.run.checkpoint.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(self.run.checkpoint)
        self.model.save_pretrained(str(self.run.adapter), save_embedding_layers=False)

    def _load(self) -> None:
        import torch

        state = torch.load(self.run.checkpoint, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["weights"], strict=False)
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.epoch, self.at, self.spent, self.tokens = state["place"]
        torch.set_rng_state(state["rng"].cpu())


def sft(config: SftConfig) -> Run:
    """Train, and leave the run's directory. SIGINT and SIGTERM end it with a checkpoint from which ``resume`` goes on."""
    training = _Training(config)
    stop: list[int] = []
    before = {number: signal.signal(number, lambda number, _: stop.append(number)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _loop(training, stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    training.save()
    if stop:
        print(f"stopped at step {training.step}; go on with --resume", flush=True)
    else:
        dev = training.check(None)
        training.run.log(step=training.step, dev=dev)
        print(f"done: {training.step} steps, {training.seconds / 60:.1f} min, dev {_brief(dev)}", flush=True)
    return training.run


def _loop(training: _Training, stop: list[int]) -> None:
    saved, losses, begun, tokens = training.seconds, list[float](), training.seconds, training.tokens
    more = f"{len(training.statements)} statements, {len(training.choices)} choices, " if training.statements or training.choices else ""
    print(f"{len(training.train)} rows, {more}{len(training.dev)} dev rows, {'bf16' if training.bf16 else 'fp32'} on {training.device}", flush=True)
    for batch in training.batches():
        losses.append(training.learn(batch))
        if training.step % 10 == 0:
            speed = (training.tokens - tokens) / max(training.seconds - begun, 1e-9)
            loss = sum(losses) / len(losses)
            _progress(training, loss, speed)
            losses, begun, tokens = [], training.seconds, training.tokens
        if training.seconds - saved > training.config.checkpoint_minutes * 60:
            training.save()
            dev = training.check(training.config.dev)
            training.run.log(step=training.step, dev=dev)
            print(f"checkpoint at step {training.step}, dev {_brief(dev)}", flush=True)
            saved = begun = training.seconds
        if stop:
            return


def _progress(training: _Training, loss: float, speed: float) -> None:
    rate = training.optimiser.param_groups[0]["lr"]
    left = training.seconds * (1 / max(training.progress, 1e-6) - 1) / 60
    training.run.log(step=training.step, loss=round(loss, 4), rate=rate, tokens_per_second=round(speed, 1), seconds=round(training.seconds, 1))
    print(
        f"step {training.step}  loss {loss:.3f}  rate {rate:.1e}  {speed:.0f} tokens/s  {training.progress:.0%}, {left:.0f} min left",
        flush=True,
    )


def collate(batch: Sequence[Example], device: Any = "cpu") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids and attention (batch, length); which next tokens are learnt, and which of them are verdicts (batch, length - 1)."""
    import torch

    length = max(len(example.ids) for example in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    attention = torch.zeros_like(ids)
    learnt = torch.zeros(len(batch), length - 1, dtype=torch.bool)
    verdict = torch.zeros_like(learnt)
    for at, example in enumerate(batch):
        size = len(example.ids)
        ids[at, :size] = torch.tensor(example.ids)
        attention[at, :size] = 1
        learnt[at, example.start - 1 : size - 1] = True
        verdict[at, example.verdict - 1] = True
    return ids.to(device), attention.to(device), learnt.to(device), verdict.to(device)


def reply_loss(
    logits: torch.Tensor, wanted: torch.Tensor, verdict: torch.Tensor, answers: tuple[int, int], weight: float, smoothing: float = 0.0
) -> torch.Tensor:
    """Weighted mean cross entropy of a reply's tokens. Logits (tokens, vocabulary); the tokens that are wanted, and which of them are verdicts (tokens).

    A verdict counts ``weight`` times, and its target is shared with the other one of ``answers`` by ``smoothing`` (Szegedy et al., "Rethinking the
    inception architecture", 2016): some labels are wrong, and few are beyond doubt.
    """
    import torch
    from torch.nn.functional import cross_entropy

    each = cross_entropy(logits, wanted, reduction="none")
    if smoothing:
        other = torch.where(verdict, sum(answers) - wanted, wanted)
        each = (1 - smoothing) * each + smoothing * cross_entropy(logits, other, reduction="none")
    counts = 1 + (weight - 1) * verdict
    return (each * counts).sum() / counts.sum()


def abnormal_scores(model: Any, encoder: Encoder, lines: Sequence[tuple[str, str | None]], bf16: bool = False, size: int = 16) -> list[float]:
    """P(abnormal) of masked texts with their levels in direct mode, in order: softmax over the two answers."""
    asked = [encoder.asked(text, severity) for text, severity in lines]
    return [probability(margin) for margin in margins(model, asked, (encoder.abnormal, encoder.normal), bf16=bf16, size=size)]


def _cosine(progress: float) -> float:
    """From 1 down to 0.03."""
    return 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def _brief(dev: dict[str, float]) -> str:
    return f"F1 {dev['f1']:.3f} AP {dev['average_precision']:.3f} on {dev['n']}"


def _written(config: SftConfig, files: dict[str, Path], base: Path) -> dict[str, Any]:
    """The configuration as JSON, with hashes of all that it names. No path of this machine is needed to compare runs."""
    plain = {key: value for key, value in asdict(config).items() if key not in ("out", "corpus", "resume", "base", "start", "statements", "choices")}
    return {
        **plain,
        "sets": list(config.sets),
        "stage": "sft",
        "prompt_version": PROMPT_VERSION,
        "base": base.name,
        "base_sha256": digest(base),
        "statements_sha256": digest(config.statements) if config.statements else None,
        "choices_sha256": digest(config.choices) if config.choices else None,
        "start_sha256": digest(config.start) if config.start else None,
        "corpus": {name: digest(path) for name, path in files.items()},
    }
