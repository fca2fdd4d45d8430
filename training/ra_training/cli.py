"""The command ``ra-train``: one sub-command a stage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ra_sdk.errors import RaError
from ra_sdk.records import Mode

from ra_training.choose import add_choose
from ra_training.corpus import place
from ra_training.correct_cli import add_correct
from ra_training.distil_cli import add_distil, add_validate
from ra_training.export import KINDS
from ra_training.grpo_cli import add_grpo
from ra_training.mine_cli import add_mine
from ra_training.operating import EXCERPTS
from ra_training.options import add_corpus, add_training

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    args = _parser().parse_args(arguments)
    try:
        code: int = args.run(args)
    except RaError as error:
        print(f"ra-train: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ra-train", description="Make the model of ra_sdk, or yours.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_correct(commands.add_parser("correct", help="find wrong labels, have them reviewed, patch them"))
    add_distil(commands.add_parser("distil", help="a teacher's reasoning for messages", formatter_class=argparse.ArgumentDefaultsHelpFormatter))
    add_mine(commands.add_parser("mine", help="log statements from the source code of what operators run"))
    add_choose(commands.add_parser("choose", help="which known entry explains a line: measure the choice, fit it"))
    add_validate(commands.add_parser("validate", help="check files of a corpus", formatter_class=argparse.ArgumentDefaultsHelpFormatter))
    _add_sft(commands.add_parser("sft", help="fine-tune on reasoned verdicts", formatter_class=argparse.ArgumentDefaultsHelpFormatter))
    add_grpo(commands.add_parser("grpo", help="align an adapter by rewards", formatter_class=argparse.ArgumentDefaultsHelpFormatter))
    _add_average(commands.add_parser("average", help="several runs from the same start as one"))
    _add_export(commands.add_parser("export", help="adapter to GGUF", formatter_class=argparse.ArgumentDefaultsHelpFormatter))
    _add_evaluate(commands.add_parser("evaluate", help="one table over labelled files", formatter_class=argparse.ArgumentDefaultsHelpFormatter))
    return parser


def _add_sft(parser: argparse.ArgumentParser) -> None:
    add_training(parser)
    parser.add_argument(
        "--start", type=Path, metavar="ADAPTER.gguf", help="go on from this LoRA (with its rank and layers) on new data, with a schedule of its own"
    )
    parser.add_argument("--epochs", type=float, default=2.0, help="passes over the corpus")
    parser.add_argument("--minutes", type=float, help="time instead of epochs; the schedule is shaped to it")
    parser.add_argument("--rate", type=float, default=6e-4, help="peak learning rate")
    parser.add_argument("--batch", type=int, default=16, help="examples a step")
    parser.add_argument("--verdict-weight", type=float, default=4.0, help="weight of the verdict's token in the loss")
    parser.add_argument("--smoothing", type=float, default=0.0, help="share of a verdict's target that goes to the other verdict: some labels are wrong")
    parser.add_argument("--longest", type=int, default=384, help="tokens; longer examples are left out")
    parser.add_argument("--dev", type=int, default=120, help="dev rows judged at each checkpoint")
    parser.add_argument("--evidence", type=float, default=0.5, help="share of verdict, then the words that decide; what the two leave is verdict only")
    parser.add_argument("--think", type=float, default=0.1, help="share of reasoning, then verdict")
    parser.add_argument("--statements", type=Path, help="statements of ra-train mine, learnt with their level")
    parser.add_argument("--choices", type=Path, help="lines with known entries that fit or do not (sets/choices.jsonl)")
    parser.add_argument("--levels", type=int, default=4000, help="statements an epoch whose level is learnt")
    parser.add_argument("--known", type=int, default=0, help="rows from the product's knowledge, with ordinary ones of --statements beside them")
    parser.add_argument("--pairs", type=int, default=150, help="value pairs an epoch")
    parser.set_defaults(run=_sft)


_MIXTURE = ("evidence", "think", "pairs", "hostile")


def _sft(args: argparse.Namespace) -> int:
    from ra_training.examples import Mixture
    from ra_training.sft import SftConfig, sft

    given = {name: value for name, value in vars(args).items() if name not in ("run", "sets", "corpus", "levels", *_MIXTURE)}
    mixture = Mixture(**{name: getattr(args, name) for name in _MIXTURE}, statements=args.levels)
    sft(SftConfig(corpus=place(args.corpus), sets=tuple(args.sets.split(",")), mixture=mixture, **given))
    return 0


def _add_average(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="directories of runs of the same base, rank and layers; best from the same --start")
    parser.add_argument("--out", type=Path, required=True, help="the directory of what comes out, to be exported like a run")
    parser.set_defaults(run=_average)


def _average(args: argparse.Namespace) -> int:
    from ra_training.average import average

    kept = average(args.runs, args.out)
    print(f"{args.out}: the mean of {len(args.runs)} runs; the rank keeps {kept:.4f} of it")
    return 0


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_directory", type=Path, metavar="RUN", help="a run's directory, or an adapter in peft's form")
    parser.add_argument("out", type=Path, metavar="OUT.gguf")
    parser.add_argument("--base", help="the GGUF that was trained on; else the default model")
    parser.add_argument("--merge", choices=KINDS, help="write base and adapter as one model; the smaller ones lose some of what was learnt, see --check")
    parser.add_argument("--check", type=int, default=200, help="dev messages on which PyTorch and llama.cpp must agree; 0: none")
    parser.add_argument("--plain", action="store_true", help="do not calibrate P(abnormal), nor find thresholds")
    parser.add_argument("--excerpts", type=Path, default=EXCERPTS, help="excerpts of logs, labelled, for calibration and thresholds")
    parser.add_argument("--least", type=float, default=0.98, help="share of them that must")
    add_corpus(parser, "for the check")
    parser.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> int:
    from ra_training import export
    from ra_training.base import base_path
    from ra_training.corpus import corpus_files, masked, training_rows
    from ra_training.record import Run

    run, base = Run(args.run_directory), base_path(args.base)
    directory = run.adapter if run.adapter.is_dir() else run.path
    if not (directory / "adapter_config.json").is_file():
        raise SystemExit(f"run {str(run.path)!r} holds no adapter; give the directory that ra-train sft wrote")
    config, shape = dict(run.config()), export.read_shape(base)
    adapter = export.read_adapter(directory, shape)
    if not args.plain:
        config |= _operating(base, directory, args.excerpts)
    if args.merge:
        export.merge(base, adapter, config, args.out, args.merge)
    else:
        export.write_adapter(adapter, shape, config, args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, {len(adapter.pairs)} layers, rank {adapter.rank}", flush=True)
    if not args.check:
        return 0
    rows = training_rows(corpus_files(place(args.corpus)), "dev")[: args.check]
    lines = list(zip(masked([row.message for row in rows]), (row.level for row in rows), strict=True))
    scores = export.direct_scores(base, directory, lines)
    ours = [export.calibrated(score, *config.get("calibration", (1.0, 0.0))) for score in scores]
    same, apart = export.agreement(ours, base, args.out, lines, merged=bool(args.merge))
    print(f"agreement of PyTorch and llama.cpp on {len(lines)} dev messages: {same:.3f} (scores at most {apart:.3f} apart)")
    return int(same < args.least)


def _operating(base: Path, directory: Path, excerpts: Path) -> dict[str, Any]:
    """Calibration and thresholds, found on excerpts of logs, in which abnormal lines are as rare as in real ones."""
    from ra_training import export, operating

    reads = operating.read_excerpts(excerpts)
    scores = export.direct_scores(base, directory, [(read.text, read.severity) for read in reads])
    slope, shift = export.calibration(scores, [read.abnormal for read in reads], [read.count for read in reads])
    points = operating.named_points(operating.curve([export.calibrated(score, slope, shift) for score in scores], reads))
    print(f"calibrated on {sum(read.count for read in reads)} records of excerpts: slope {slope:.3f}, shift {shift:.3f}", flush=True)
    for name, point in points.items():
        print(f"{name} sensitivity: from {point.threshold:.3f}, precision {point.precision:.3f}, recall {point.recall:.3f}", flush=True)
    return {"calibration": (slope, shift), "thresholds": [point.threshold for point in points.values()]}


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE[:LABEL]", help="labelled JSONL or CSV; LABEL names the label's column")
    parser.add_argument("--out", type=Path, required=True, help="directory for results.md, results.json and the predictions")
    parser.add_argument("--split", help="only the rows of this split (dev for choices; test once)")
    parser.add_argument("--model", help="GGUF; else the default model with its adapter")
    parser.add_argument("--adapter", help='LoRA adapter (GGUF); "none" for the bare base')
    parser.add_argument("--mode", choices=("direct", "think", "both"), default="direct", help="how the model judges")
    parser.add_argument("--explain", choices=("abnormal", "always", "never"), default="abnormal", help="whose verdicts get a rationale in direct mode")
    parser.add_argument("--limit", type=int, help="at most so many rows of a set")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--no-baselines", action="store_true", help="leave out the baselines (they need the corpus)")
    parser.add_argument("--untrained", action="store_true", help="the default base without an adapter, few-shot, as one more baseline")
    parser.add_argument(
        "--sessions",
        type=Path,
        nargs=2,
        metavar=("SESSIONS.csv", "TEMPLATES.csv"),
        help="sessions as template_ids, judged by their templates; labels come from FILE",
    )
    parser.add_argument("--hostile", type=Path, metavar="PAIRS.jsonl", help="lines and the same with an injected text: how many verdicts flip")
    parser.add_argument("--reasons", action="store_true", help="of the reasons alone, without a model: coverage, choice, twins")
    add_corpus(parser, "what the baselines learn from")
    parser.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from ra_training.choose import reasons
    from ra_training.evaluate import EvaluateConfig, evaluate, markdown

    if args.reasons:
        print(reasons(args.files, args.split), end="")
        return 0
    corpus = None if args.no_baselines else place(args.corpus)
    modes: tuple[Mode, ...] = ("direct", "think") if args.mode == "both" else (args.mode,)
    given = {name: getattr(args, name) for name in ("out", "split", "model", "adapter", "limit", "threads", "explain", "untrained", "hostile")}
    given["sessions"] = tuple(args.sessions) if args.sessions else None
    print(markdown(evaluate(EvaluateConfig(tuple(args.files), corpus=corpus, modes=modes, **given))), end="")
    return 0
