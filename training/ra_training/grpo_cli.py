"""The sub-command ``ra-train grpo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ra_training.corpus import place
from ra_training.options import add_training
from ra_training.rewards import NAMES, AnswerWeights, Rewards

__all__ = ["add_grpo"]

WEIGHTS = ", ".join(f"{name} {getattr(Rewards(), name):g}" for name in NAMES)


def add_grpo(parser: argparse.ArgumentParser) -> None:
    """Give ``ra-train grpo`` its options."""
    add_training(parser)
    _add_rewards(parser)
    parser.add_argument(
        "--adapter", type=Path, metavar="RUN", help="where to start: a run of ra-train sft, or a LoRA in peft's form or in GGUF; else a fresh one"
    )
    parser.add_argument("--steps", type=int, default=200, help="steps of the optimiser, over all resumptions")
    parser.add_argument("--minutes", type=float, help="time instead of steps")
    parser.add_argument("--mode", choices=("direct", "think"), default="direct", help="verdict, then the words that decide; or reasoning, then verdict")
    parser.add_argument("--prompts", type=int, default=4, help="questions a step")
    parser.add_argument("--group", type=int, default=8, help="replies to each, which are compared with one another")
    parser.add_argument("--rate", type=float, default=5e-5, help="learning rate")
    parser.add_argument("--warmup", type=int, default=5, help="steps up to that rate")
    parser.add_argument("--temperature", type=float, default=1.0, help="of sampling")
    parser.add_argument("--kl", type=float, default=0.04, help="weight of the divergence from the adapter as it was")
    parser.add_argument("--choices", type=Path, help="lines with known entries that fit or do not (sets/choices.jsonl): the choice is aligned too")
    parser.add_argument("--choice-share", type=float, default=0.2, help="of the questions, with --choices")
    parser.add_argument("--pair-share", type=float, default=0.15, help="of the questions: lines that have a twin with another value and the other verdict")
    parser.add_argument("--think-tokens", type=int, default=64, help="most tokens of reasoning, in think mode")
    parser.add_argument("--longest", type=int, default=256, help="tokens of a prompt; longer ones are left out")
    parser.add_argument("--dev", type=int, default=80, help="dev rows, and as many choices, judged at each checkpoint; 0: none")
    parser.add_argument("--vllm", metavar="URL", help="a trl vllm-serve that writes the replies, in think mode")
    parser.set_defaults(run=_grpo)


def _add_rewards(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", default="", metavar="NAME=W,…", help=f"weights of rewards that shall not be the default: {WEIGHTS}")
    parser.add_argument("--without", action="append", default=[], choices=NAMES, help="switch a reward off (may be repeated)")
    parser.add_argument("--outcomes", type=float, nargs=4, metavar=("FOUND", "CONFIRMED", "FALSE", "MISSED"), help="the answer's reward; else by class balance")
    parser.add_argument("--misfit", type=float, default=1.5, help="what it costs to choose an entry that does not fit; one that is missed costs 1")
    parser.add_argument("--decisive", type=float, default=4.0, help="log odds that a verdict loses without its evidence where this decides it all")
    parser.add_argument("--invention", type=float, default=1.0, help="what each invention costs of the grounding, in think mode")
    parser.add_argument("--words", type=float, help="target length of the reasoning; else the corpus's median")
    parser.add_argument("--perplexity", type=float, help="target perplexity of the reasoning; else that of the corpus's under the adapter as it was")


_NUMBERS = ("misfit", "decisive", "invention")
_REWARDS = ("weights", "without", "outcomes", *_NUMBERS)


def _grpo(args: argparse.Namespace) -> int:
    from ra_training.grpo import GrpoConfig, grpo

    given = {name: value for name, value in vars(args).items() if name not in ("run", "sets", "corpus", *_REWARDS)}
    try:
        pairs = (pair.partition("=") for pair in args.weights.split(",") if pair)
        weights = Rewards(**{name: getattr(args, name) for name in _NUMBERS}).weighed({name: float(value) for name, _, value in pairs}).without(args.without)
        outcomes = AnswerWeights(*args.outcomes) if args.outcomes else None
        config = GrpoConfig(corpus=place(args.corpus), sets=tuple(args.sets.split(",")), weights=weights, outcomes=outcomes, **given)
    except ValueError as error:
        raise SystemExit(f"ra-train grpo: {error}") from error
    grpo(config)
    return 0
