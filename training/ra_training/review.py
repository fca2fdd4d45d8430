"""Label correction, second step: one reviewer, one message at a time, one key an answer.

A reviewer sees neither the label that is in doubt nor anybody's answers. Each answer is on disk before the next message is shown, so that a review
can stop anywhere and go on from there. Messages come in the ranking's order: whoever stops early has done the ones that matter, and the same as the others.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from ra_sdk.records import CATEGORIES
from ra_sdk.text import visible

from ra_training.correct import Study

__all__ = ["CATEGORY_KEYS", "Answer", "Item", "keys", "queue", "read_answers", "read_disagreements", "review", "review_file"]

CATEGORY_KEYS = dict(zip("hnwyc", CATEGORIES))  # hardware, network, softWare, sYstem, seCurity
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

_ASK = "normal n, abnormal a, unsure u, back b, quit q > "
_LEAN = "unsure, but rather normal n or abnormal a? back b > "
_WHICH = "hardware h, network n, software w, system y, security c; back b > "
_HOW = "Judge what the message itself reports, with ordinary values filled in. Unsure is a mark beside the label, not instead of one. Stop at any time with q."


@dataclass(frozen=True, slots=True)
class Answer:
    """What one reviewer says of one row. ``category`` is None for normal ones."""

    id: str
    label: str
    category: str | None = None
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """A message to judge. ``note`` is shown with it: an adjudicator sees how the votes fell."""

    id: str
    message: str
    note: str = ""


def review_file(study: Study, reviewer: str) -> Path:
    """Where a reviewer's answers are. Raises SystemExit if the name is no file name."""
    if not _NAME.fullmatch(reviewer):
        raise SystemExit(f"reviewer {reviewer!r} cannot name a file; use letters, digits, dots, dashes and underscores")
    return study.reviews / f"{reviewer}.jsonl"


def queue(study: Study, top: int | None = None) -> list[Item]:
    """What a reviewer is asked: the suspects, or the first ``top`` of the ranking. The label in doubt is not in it."""
    ranking = study.ranking()
    chosen = [suspect for suspect in ranking if suspect.why] if top is None else ranking[:top]
    return [Item(suspect.id, suspect.message) for suspect in chosen]


def read_disagreements(study: Study) -> list[Item]:
    """What the adjudicator is asked. Raises SystemExit if nobody has looked for it yet."""
    if not study.disagreements.is_file():
        raise SystemExit(f"study {str(study.path)!r} has no list of disagreements; run ra-train correct agree {study.path} first")
    lines = [json.loads(line) for line in study.disagreements.read_text(encoding="utf-8").splitlines()]
    return [Item(line["id"], line["message"], line["votes"]) for line in lines]


def read_answers(path: Path) -> dict[str, Answer]:
    """Answers by row; of several to one row the last. A line that a crash cut short is no answer."""
    if not path.is_file():
        return {}
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    answers = [Answer(**json.loads(line)) for line in whole.splitlines()]
    return {answer.id: answer for answer in answers}


def review(items: Sequence[Item], path: Path, key: Callable[[], str], show: TextIO) -> int:
    """Ask for every item that ``path`` has no answer to. How many are left. ``key``: the next key pressed, or "" when there are no more."""
    answers = read_answers(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _drop_torn_line(path)
    print(f"{_left(items, answers)} of {len(items)} messages to judge. {_HOW}", file=show)
    with path.open("a", encoding="utf-8") as file:
        at = _next(items, answers, 0)
        while at is not None:
            print(f"\n[{at + 1}/{len(items)}] {visible(items[at].message)}", file=show)
            if items[at].note:
                print(f"  votes: {items[at].note}", file=show)
            said = _ask(items[at].id, key, show)
            if said is None:
                break
            if isinstance(said, str):  # back
                at = max(at - 1, 0)
                continue
            file.write(json.dumps(asdict(said)) + "\n")
            file.flush()
            answers[said.id] = said
            at = _next(items, answers, at)
    return _left(items, answers)


def _ask(id: str, key: Callable[[], str], show: TextIO) -> Answer | str | None:  # noqa: A002
    """An answer, "b" for back to the message before, or None to stop."""
    unsure = False
    while True:
        pressed = _press(_LEAN if unsure else _ASK, "nab" if unsure else "naub", key, show)
        if pressed is None or (pressed == "b" and not unsure):
            return pressed
        if pressed == "n":
            return Answer(id, "normal", None, unsure)
        if pressed == "a":
            which = _press(_WHICH, "".join(CATEGORY_KEYS) + "b", key, show)
            if which is None:
                return None
            if which != "b":
                return Answer(id, "abnormal", CATEGORY_KEYS[which], unsure)
        unsure = pressed == "u"  # back from a category, or from unsure, is back to the first question


def _press(prompt: str, allowed: str, key: Callable[[], str], show: TextIO) -> str | None:
    """One of the allowed keys, or None to stop (q, Ctrl-C or the end of the input)."""
    print(f"  {prompt}", end="", file=show, flush=True)
    while True:
        try:
            pressed = key()  # capitals do not count: an arrow key sends one
        except KeyboardInterrupt:
            pressed = ""
        if pressed in ("", "q"):
            print(file=show)
            return None
        if pressed in allowed:
            print(pressed, file=show)
            return pressed


def _next(items: Sequence[Item], answers: Mapping[str, Answer], start: int) -> int | None:
    """The first item without an answer from ``start`` on, or else from the beginning."""
    order = [*range(start, len(items)), *range(start)]
    return next((at for at in order if items[at].id not in answers), None)


def _left(items: Sequence[Item], answers: Mapping[str, Answer]) -> int:
    return sum(item.id not in answers for item in items)


def _drop_torn_line(path: Path) -> None:
    """Cut what stands after the last line's end, or the next answer would be written onto it."""
    if path.is_file():
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


@contextmanager
def keys(source: TextIO | None = None) -> Iterator[Callable[[], str]]:
    """A function that waits for a key: single ones at a terminal, else (a pipe, or Windows) the letters of the lines that are typed."""
    stream = source or sys.stdin
    with _unbuffered(stream):
        yield lambda: _letter(stream)


def _letter(stream: TextIO) -> str:
    while True:
        char = stream.read(1)
        if not char.isspace():
            return char


@contextmanager
def _unbuffered(stream: TextIO) -> Iterator[None]:
    """A terminal that hands on each key at once and shows none; it is put back in the end, Ctrl-C included."""
    try:
        import termios
        import tty
    except ImportError:
        yield
        return
    if not stream.isatty():
        yield
        return
    before = termios.tcgetattr(stream)
    try:
        tty.setcbreak(stream)
        yield
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)
