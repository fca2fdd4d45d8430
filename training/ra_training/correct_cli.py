"""The sub-commands of ``ra-train correct``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["add_correct"]


def add_correct(parser: argparse.ArgumentParser) -> None:
    """Hang the sub-commands onto ``ra-train correct``."""
    commands = parser.add_subparsers(required=True, metavar="STEP")
    for name, (add, told) in _STEPS.items():
        add(commands.add_parser(name, help=told, formatter_class=argparse.ArgumentDefaultsHelpFormatter))


def _file(text: str) -> Path:
    """The path of a file that is there."""
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is no file; give a labelled CSV or JSONL")
    return path


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", type=Path, metavar="DIR", help="the directory that find wrote")


def _add_find(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=_file, metavar="FILE", help="labelled CSV or JSONL; messages in message or template")
    parser.add_argument("--label", default="label", help="the column in doubt, and the only one that is looked at")
    parser.add_argument("--out", type=Path, required=True, help="the study's directory; it will hold the messages")
    parser.add_argument("--folds", type=int, default=5, help="parts that the rows are cut into; each is judged by a model of the others")
    parser.add_argument("--seed", type=int, default=1, help="of the cut")
    parser.set_defaults(run=_find)


def _find(args: argparse.Namespace) -> int:
    from ra_training.correct import find

    if args.folds < 2:
        raise SystemExit(f"--folds {args.folds} leaves nothing to learn from; give 2 or more")
    ranking = find(args.file, args.label, args.out, folds=args.folds, seed=args.seed)
    counts = {why: sum(why in suspect.why for suspect in ranking) for why in ("out-of-fold", "twins")}
    suspects = sum(bool(suspect.why) for suspect in ranking)
    print(f"{args.out}: {suspects} suspects of {len(ranking)} rows ({counts['out-of-fold']} out of fold, {counts['twins']} outvoted by their twins)")
    return 0


def _add_score(parser: argparse.ArgumentParser) -> None:
    _add_study(parser)
    parser.add_argument("--truth", required=True, help="the column with the better labels")
    parser.add_argument("--k", default="50,100,200,300,400,500,750,1000", help="lengths of list to score; all suspects, and as many as moves, come on top")
    parser.add_argument("--split", help="only the rows of these splits, as in train,dev")
    parser.set_defaults(run=_score)


def _score(args: argparse.Namespace) -> int:
    from ra_training.correct import Study, score

    if not all(k.isdecimal() for k in args.k.split(",")):
        raise SystemExit(f"--k {args.k!r} is no list of counts; write them as in 50,100")
    print(score(Study(args.study), args.truth, [int(k) for k in args.k.split(",")], args.split.split(",") if args.split else ()), end="")
    return 0


def _add_review(parser: argparse.ArgumentParser) -> None:
    _add_study(parser)
    parser.add_argument("--reviewer", help="your name; your answers go to reviews/NAME.jsonl, and nobody else's are read")
    parser.add_argument("--top", type=int, help="judge so many from the head of the ranking; else the suspects")
    parser.add_argument("--adjudicate", action="store_true", help="decide what the reviewers disagree on; votes are shown, names are not")
    parser.set_defaults(run=_review)


def _review(args: argparse.Namespace) -> int:
    from ra_training.correct import Study
    from ra_training.review import keys, queue, read_disagreements, review, review_file

    study = Study(args.study)
    if args.adjudicate:
        items, file = read_disagreements(study), study.adjudication
    elif args.reviewer:
        items, file = queue(study, args.top), review_file(study, args.reviewer)
    else:
        raise SystemExit("a review needs a name; give --reviewer NAME, or --adjudicate")
    with keys() as key:
        left = review(items, file, key, sys.stdout)
    print(f"{file}: {len(items) - left} judged, {left} left" + ("; the same command goes on from here" if left else ""))
    return 0


def _agree(args: argparse.Namespace) -> int:
    from ra_training.agreement import agree
    from ra_training.correct import Study

    print(agree(Study(args.study)), end="")
    return 0


def _add_agree(parser: argparse.ArgumentParser) -> None:
    _add_study(parser)
    parser.set_defaults(run=_agree)


def _add_patch(parser: argparse.ArgumentParser) -> None:
    _add_study(parser)
    parser.add_argument("--least", type=int, default=2, help="reviewers that a row needs")
    parser.add_argument("--majority", action="store_true", help="more than half decide where the adjudicator has not; else it takes all")
    parser.set_defaults(run=_patch)


def _patch(args: argparse.Namespace) -> int:
    from ra_training.correct import Study
    from ra_training.patches import write_patch

    study = Study(args.study)
    moves, unsettled = write_patch(study, least=args.least, majority=args.majority)
    up = sum(move.rectified == "abnormal" for move in moves)
    print(f"{study.patch}: {len(moves)} labels move, {up} to abnormal, {len(moves) - up} to normal; {len(unsettled)} rows are open and keep theirs")
    return 0


def _add_apply(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("patch", type=Path, metavar="PATCH", help="anomaly_patch.json")
    parser.add_argument("file", type=_file, metavar="FILE", help="the labelled file")
    parser.add_argument("--label", default="label", help="the column to correct")
    parser.add_argument("--out", type=Path, required=True, help="the corrected file")
    parser.set_defaults(run=_apply)


def _apply(args: argparse.Namespace) -> int:
    from ra_training.patches import apply_patch

    done = apply_patch(args.patch, args.file, args.label, args.out)
    print(f"{args.out}: {done.changed} labels changed, {done.already} were so already, {len(done.missing)} entries of the patch met no row")
    return 0


_STEPS = {
    "find": (_add_find, "rank the labels that are likely wrong"),
    "score": (_add_score, "precision and recall of the ranking against another label column"),
    "review": (_add_review, "judge messages one by one, blind to all others"),
    "agree": (_add_agree, "kappas, and the list for adjudication"),
    "patch": (_add_patch, "write anomaly_patch.json"),
    "apply": (_add_apply, "write a file with a patch's labels"),
}
