"""Options that several stages have: each is explained once, and means the same everywhere."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_corpus", "add_training"]


def add_corpus(parser: argparse.ArgumentParser, why: str) -> None:
    """Where the research data lie."""
    parser.add_argument("--corpus", type=Path, help=f"directory with corpus/ and data/ ({why}); else RA_SHARED")


def add_training(parser: argparse.ArgumentParser) -> None:
    """What every stage that trains a LoRA needs: its directory, its data, its base, its size, and how it runs."""
    parser.add_argument("--out", type=Path, required=True, help="the run's directory")
    add_corpus(parser, "what is learnt")
    parser.add_argument("--sets", default="general,templates,written,hard,panel", help="which of them")
    parser.add_argument("--base", help="GGUF to train on; else the default model")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--rank", type=int, default=32, help="of a fresh LoRA")
    parser.add_argument("--alpha", type=int, default=64, help="of a fresh LoRA")
    parser.add_argument("--layers", type=int, help="a fresh LoRA only on so many of the upper layers: faster to train and to run; else on all")
    parser.add_argument("--hostile", type=float, default=0.25, help="injected copies, as a share of the rows")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="of matrix products; auto: bf16 where it is fast")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--checkpoint-minutes", type=float, default=8.0, help="time between checkpoints")
    parser.add_argument("--seed", type=int, default=1, help="of everything random")
