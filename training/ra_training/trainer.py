"""trl's GRPOTrainer with our rollouts, our rewards and our likelihood of a reply's tokens.

The replies come from `ra_training.rollout` by trl's ``rollout_func``: trl would tokenise prompts itself, and a ``<|im_end|>`` in a log line would close the
turn; and what the product forces is forced here too, and masked out of the loss (``env_mask``). The likelihood is taken among the tokens that may come
(`ra_training.likelihood`), and a prompt that several replies answer is computed once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ra_training.likelihood import Allowed, cut, reply_hidden, token_log_probs
from ra_training.reference import freeze_copy
from ra_training.rewards import NAMES

if TYPE_CHECKING:
    from ra_training.grpo import Training

__all__ = ["make_trainer"]

FOREVER = 1_000_000  # steps, where time ends the run


def make_trainer(training: Training) -> Any:
    """The trainer of a run, ready to train."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # rollout_func may change, it says; training/pyproject.toml pins trl
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import GRPOConfig

    trainer = _trainer_class(training)(
        model=training.model,
        reward_funcs=[training.reward],
        args=GRPOConfig(**_arguments(training)),
        train_dataset=Dataset.from_list([{"prompt": str(number)} for number in range(len(training.tasks))]),
        processing_class=training.tokenizer,
        callbacks=[_callback(training)],
        rollout_func=training.rollout,
    )
    trainer.remove_callback(PrinterCallback)
    if not training.config.kl:  # trl copies the adapter only for the divergence; coherence and erasure need it too
        freeze_copy(training.model)
    return trainer


def _trainer_class(training: Training) -> Any:
    from trl import GRPOTrainer

    class Held(GRPOTrainer):  # type: ignore[misc]  # trl is not typed for us
        """The likelihood of a token is taken among those that could come where it stands."""

        def _get_per_token_logps_and_entropies(
            self, model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int, batch_size: int | None = None, **_: Any
        ) -> tuple[Any, Any, None]:
            import torch

            size, found = batch_size or len(input_ids), []
            with self.accelerator.autocast():
                for at in range(0, len(input_ids), size):
                    rows = slice(at, at + size)
                    plain = model if model is self.accelerator.unwrap_model(model) else None
                    found.append(_log_probs(training, plain, model, input_ids[rows], attention_mask[rows], logits_to_keep))
            each, entropies = (torch.cat(parts) for parts in zip(*found, strict=True))
            return each, entropies, None

    return Held


def _log_probs(training: Training, plain: Any, model: Any, ids: Any, attention: Any, kept: int) -> tuple[Any, Any]:
    """Log probabilities and entropies of the replies' tokens; ``plain``: the model unless a group of processes has wrapped it."""
    asked, said = cut(ids[:, :-kept], attention[:, :-kept]), cut(ids[:, -kept:], attention[:, -kept:])
    replies, mask = ids[:, -kept:], attention[:, -kept:]
    if plain is not None:
        hidden = reply_hidden(plain.get_base_model(), asked, replies, mask)
    else:  # gradients are gathered only if its own forward is called
        whole = model(input_ids=ids, attention_mask=attention, output_hidden_states=True, logits_to_keep=1, use_cache=False)
        hidden = whole.hidden_states[-1][:, -kept - 1 : -1]
    allowed: list[Sequence[Allowed]] = [training.allowed[tuple(before + after)] for before, after in zip(asked, said, strict=True)]
    llama = training.model.get_base_model()
    found: tuple[Any, Any] = token_log_probs(llama, hidden, replies, allowed, training.config.temperature)
    return found


def _arguments(training: Training) -> dict[str, Any]:
    """trl's GRPOConfig, as keywords."""
    config = training.config
    at_once = config.prompts if config.mode == "direct" else 1  # short replies fit into one pass, and their prompts are shared in it
    return {
        "output_dir": str(training.run.path / "trl"),
        "per_device_train_batch_size": config.group * at_once,
        "gradient_accumulation_steps": config.prompts // at_once,
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
        **_vllm(training),
    }


def _vllm(training: Training) -> dict[str, Any]:
    url = training.config.vllm
    if not url:
        return {}
    stops = sorted(training.writer.pieces.newlines)
    return {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": url, "generation_kwargs": {"stop_token_ids": stops}}


def _callback(training: Training) -> Any:
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
                training.save(state.global_step)
            training.saved = training.seconds

    return Between()


def _progress(training: Training, step: int, logs: dict[str, Any]) -> None:
    parts = {name: logs.get(f"part/{name}") for name in NAMES}
    told = {"reward": logs["reward"], **{name: value for name, value in parts.items() if value is not None}}
    figures = {"kl": logs.get("kl", 0.0), "tokens": logs.get("completions/mean_length", 0.0), "step_seconds": logs.get("step_time", 0.0)}
    training.run.log(step=step, seconds=round(training.seconds, 1), loss=logs.get("loss"), **{k: round(v, 4) for k, v in (told | figures).items()})
    done = training.progress(step)
    left = training.seconds * (1 / max(done, 1e-6) - 1) / 60
    shown = "  ".join(f"{name} {value:.2f}" for name, value in told.items())
    print(f"step {step}  {shown}  kl {figures['kl']:.3f}  {figures['step_seconds']:.1f} s/step  {min(done, 1):.0%}, {max(left, 0):.0f} min left", flush=True)
