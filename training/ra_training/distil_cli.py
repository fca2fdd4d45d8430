"""The sub-commands ``ra-train distil`` and ``ra-train validate``."""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice
from pathlib import Path

__all__ = ["add_distil", "add_validate"]


def add_distil(parser: argparse.ArgumentParser) -> None:
    """Hang the options onto ``ra-train distil``."""
    parser.add_argument("source", type=Path, metavar="FILE", help="CSV or JSONL with message or template; label, category, system, id and split may come")
    parser.add_argument("--out", type=Path, required=True, help="the run's directory; a run that is there goes on")
    parser.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible endpoint, as http://localhost:8000/v1")
    parser.add_argument("--model", metavar="NAME", help="the model's name there")
    parser.add_argument("--key-from", metavar="VARIABLE", help="environment variable that holds the API key; else none is sent")
    parser.add_argument("--gguf", type=Path, help="a local model instead of an endpoint")
    parser.add_argument("--label", default="label", help="column of known labels; the teacher explains them")
    parser.add_argument("--system", default="", help="what speaks, where a row does not say; else the file's name, which is not sent")
    parser.add_argument("--split", help="only the rows of this split; else all but test")
    parser.add_argument("--dev", type=float, default=0.1, help="share of rows without a split that become dev")
    parser.add_argument("--templates", action="store_true", help="short, long and repeated messages are taken too")
    parser.add_argument("--names", type=Path, metavar="FILE", help="words to redact besides, one a line: customers, projects, hosts")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print the first N requests as they would be sent, and send nothing")
    parser.add_argument("--tries", type=int, default=2, help="replies to a row, each told what was wrong with the one before")
    parser.add_argument("--parallel", type=int, default=4, help="requests at a time (an endpoint's)")
    _add_model(parser)
    _add_limits(parser)
    parser.set_defaults(run=_distil)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("schema", "object", "text"), help="how JSON is asked for; else object (endpoint) or schema (GGUF)")
    parser.add_argument("--temperature", type=float, help="of sampling; else the server's own")
    parser.add_argument("--reply-tokens", type=int, default=400, help="most tokens of a reply; a model that thinks aloud needs more")
    parser.add_argument("--context", type=int, default=4096, help="tokens of context (GGUF)")
    parser.add_argument("--threads", type=int, help="CPU threads (GGUF)")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--most-rows", type=int, help="ask for so many rows in this call")
    parser.add_argument("--most-tokens", type=int, help="use so many tokens in this call, of requests and replies")
    parser.add_argument("--most-seconds", type=float, help="begin no request after that")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for a reply")
    parser.add_argument("--retries", type=int, default=6, help="how often a busy or absent teacher is asked again")
    parser.add_argument("--backoff", type=float, default=1.0, help="seconds before the first retry; twice as long each time, up to a minute")


_OWN = ("run", "show", "retries", "backoff")


def _distil(args: argparse.Namespace) -> int:
    from ra_training.asking import DistilConfig, requests
    from ra_training.teacher import Patience

    least = {"dev": 0, "tries": 1, "parallel": 1, "reply_tokens": 1, "most_rows": 1, "most_tokens": 1, "most_seconds": 0, "retries": 0, "backoff": 0}
    for name, at_least in least.items():
        value = getattr(args, name)
        if value is not None and value < at_least:
            raise SystemExit(f"--{name.replace('_', '-')} {value} cannot be; give {at_least} or more")
    given = {name: value for name, value in vars(args).items() if name not in _OWN}
    config = DistilConfig(**given, patience=Patience(args.retries, args.backoff))
    if args.show:
        for messages in islice(requests(config), args.show):
            print(json.dumps(messages, ensure_ascii=False))
        return 0
    from ra_training.distil import distil

    print(f"{args.out}: {distil(config)}")
    return 0


def add_validate(parser: argparse.ArgumentParser) -> None:
    """Hang the options onto ``ra-train validate``."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSONL with rows of a corpus")
    parser.add_argument("--templates", action="store_true", help="short, long and repeated messages are let pass")
    parser.set_defaults(run=_validate)


def _validate(args: argparse.Namespace) -> int:
    from ra_training.validate import check

    report = check(args.files, templates=args.templates)
    for fault in report.faults:
        print(fault, file=sys.stderr)
    print(report)
    return int(report.bad > 0)
