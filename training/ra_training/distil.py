"""Distillation: messages go to a teacher, rows of a corpus come back, each checked; what fails is kept with the reason.

A run's directory holds ``corpus/general.jsonl`` (so that ``RA_SHARED`` may name it), ``rejected.jsonl``, ``config.json`` and ``metrics.jsonl``. Only redacted
text is in them. The same command goes on where it stopped: ids in either file are done.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ra_sdk.errors import ModelError

from ra_training.asking import DistilConfig, read_messages, read_names, unfit
from ra_training.ledger import Budget, Files, begin
from ra_training.record import Run
from ra_training.redact import Redactor
from ra_training.teacher import Asked, Busy, Endpoint, Format, LocalTeacher, Messages, Refused, Teacher, again, read_reply, request
from ra_training.validate import faults

__all__ = ["Summary", "distil"]

FAILURES = 5  # in a row: then it is the teacher that is at fault, not the rows
_SECONDS = 5.0  # between two lines of progress


@dataclass(slots=True)
class Summary:
    """How a call went. ``asked`` = ``accepted`` + ``rejected``; ``before``: rows done by earlier calls; ``left``: rows not done yet."""

    before: int = 0
    accepted: int = 0
    rejected: int = 0
    left: int = 0
    tokens: int = 0
    stopped: str | None = None  # by which limit

    @property
    def asked(self) -> int:
        """Rows that this call decided."""
        return self.accepted + self.rejected

    def __str__(self) -> str:
        told = f"{self.asked} rows: {self.accepted} accepted, {self.rejected} rejected; {self.left} left, {self.before} done before, {self.tokens:,} tokens"
        return f"{told}; stopped by {self.stopped}" if self.stopped else told


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A row, or why there is none. ``failed``: the teacher gave no reply to look at; ``undone``: the budget or Ctrl-C came first."""

    asked: Asked
    row: dict[str, Any] | None = None
    reasons: tuple[str, ...] = ()
    reply: str | None = None
    failed: bool = False
    undone: bool = False


def distil(config: DistilConfig) -> Summary:
    """Ask for all rows that are not done. Raises SystemExit, or ra_sdk.errors.ModelError when the teacher is out of reach; what is done stays done."""
    redactor, run = Redactor(read_names(config.names)), Run(config.out)
    messages = read_messages(config, redactor)
    teacher = _teacher(config)
    begin(run, config)
    stage = _Stage(config, run, teacher)
    try:
        return stage.work(messages)
    finally:
        told = {"accepted": stage.summary.accepted, "rejected": stage.summary.rejected, "tokens": stage.budget.used}
        run.log(seconds=round(time.monotonic() - stage.began, 1), **told, replaced=dict(redactor.counts))
        stage.files.close()
        if isinstance(teacher, LocalTeacher):
            teacher.close()


class _Stage:
    """A call's work: this thread decides and writes, others wait for the teacher."""

    def __init__(self, config: DistilConfig, run: Run, teacher: Teacher) -> None:
        self.config = config
        self.teacher = teacher
        self.budget = Budget(config.most_rows, config.most_tokens, config.most_seconds)
        self.files = Files(run.path)
        self.stop = threading.Event()
        self.summary = Summary()
        self.began = time.monotonic()
        self._told = self.began
        self._todo: deque[Asked] = deque()
        self._flying: set[Future[_Outcome]] = set()
        self._unfit: dict[str, str] = {}
        self._begun = 0
        self._failed: list[_Outcome] = []  # not written before the teacher has answered another row
        self._answers = False

    def work(self, messages: list[Asked]) -> Summary:
        """Ask for what is not done, until all is or a limit is reached. Raises ra_sdk.errors.ModelError when the teacher is at fault."""
        todo = [asked for asked in messages if asked.id not in self.files.done]
        self.summary.before, self.summary.left = len(messages) - len(todo), len(todo)
        self._unfit = unfit(messages, templates=self.config.templates)
        self._todo = deque(todo)
        with ThreadPoolExecutor(1 if self.config.gguf else self.config.parallel, thread_name_prefix="teacher") as pool:
            try:
                while self._begin(pool) or self._flying:
                    self._land()
            except (KeyboardInterrupt, ModelError) as error:
                self._drain()
                if isinstance(error, ModelError):
                    raise
                self.summary.stopped = "Ctrl-C"
        self._settle_failed()
        self._tell(last=True)
        return self.summary

    def _begin(self, pool: ThreadPoolExecutor) -> bool:
        """Send requests while there is room; whether there is more to send."""
        parallel = 1 if self.config.gguf else self.config.parallel
        while self._todo and len(self._flying) < parallel:
            limit = self.budget.spent(self._begun)
            size = self._size(request(self._todo[0]))
            if limit is None and self._todo[0].id not in self._unfit and not self.budget.reserve(size):
                if self._flying:  # what lands may come to less than was set aside
                    return True
                limit = f"--most-tokens {self.budget.tokens}"
            if limit:
                self.summary.stopped = limit
                self._todo.clear()
                break
            asked = self._todo.popleft()
            self._begun += 1
            if asked.id in self._unfit:
                self._reject(asked, [self._unfit[asked.id]])
            else:
                self._flying.add(pool.submit(self._learn, asked, size))
        return bool(self._todo)

    def _land(self) -> None:
        """Wait for replies and write them. All that have come are written before an error is raised."""
        if not self._flying:
            return
        landed, self._flying = wait(self._flying, return_when=FIRST_COMPLETED)
        failures = [failure for future in landed if (failure := self._taken(future))]
        self._tell()
        if failures:
            raise failures[0]

    def _taken(self, future: Future[_Outcome]) -> ModelError | None:
        try:
            self._take(future.result())
        except ModelError as error:
            return error
        return None

    def _drain(self) -> None:
        """Begin nothing more, and write the replies that are on their way: they are paid for."""
        self.stop.set()
        print(f"stopping; {len(self._flying)} requests are on their way", file=sys.stderr, flush=True)
        while self._flying:
            with suppress(ModelError):
                self._land()

    def _take(self, outcome: _Outcome) -> None:
        if outcome.undone:
            self.summary.stopped = self.summary.stopped or "--most-seconds"
        elif outcome.failed:
            self._failed.append(outcome)
            if len(self._failed) >= FAILURES:
                self._failed.clear()
                raise ModelError(f"teacher failed {FAILURES} rows in a row, the last with {outcome.reasons[0]}; they are not done, the same command asks again")
        else:
            self._answers = True
            self._settle_failed()
            if outcome.row:
                self.files.accept(outcome.row)
                self.summary.accepted, self.summary.left = self.summary.accepted + 1, self.summary.left - 1
            else:
                self._reject(outcome.asked, outcome.reasons, outcome.reply)

    def _settle_failed(self) -> None:
        """A failure is the row's own if the teacher answers others."""
        if self._failed and not self._answers:
            raise ModelError(f"teacher answers nothing: {self._failed[0].reasons[0]}; look at --format, --reply-tokens and the rows. None was written")
        for outcome in self._failed:
            self._reject(outcome.asked, outcome.reasons)
        self._failed.clear()

    def _reject(self, asked: Asked, reasons: Iterable[str], reply: str | None = None) -> None:
        self.files.reject(asked, list(reasons), reply)
        self.summary.rejected, self.summary.left = self.summary.rejected + 1, self.summary.left - 1

    def _learn(self, asked: Asked, reserved: int) -> _Outcome:
        """Ask for one row until it is good or tries are out. Runs in a thread. Raises ra_sdk.errors.ModelError when the teacher is out of reach."""
        messages, outcome = request(asked), _Outcome(asked, undone=True)
        for attempt in range(self.config.tries):
            if attempt:
                messages = again(messages, outcome.reply or "", outcome.reasons)
                reserved = self._size(messages)
                if self.stop.is_set() or self.budget.spent(0) or not self.budget.reserve(reserved):
                    break
            outcome = self._once(asked, messages, reserved)
            if outcome.row or outcome.failed or outcome.undone:
                break
        return outcome

    def _once(self, asked: Asked, messages: Messages, reserved: int) -> _Outcome:
        used = 0
        try:
            reply = self.config.patience.ask(self.teacher, messages, self.stop, self.budget.deadline)
            used = reserved if reply.tokens is None else reply.tokens
        except Refused as refused:
            return _Outcome(asked, reasons=(f"teacher refused: {refused}",), failed=True)
        except Busy as busy:
            return self._gave_up(asked, busy)
        finally:
            self.budget.settle(reserved, used)
        row, found = read_reply(reply.text, asked)
        if row:
            row |= {"system": asked.system or self.config.source.stem, "split": asked.split or self._split(asked)}
            found += faults(row, templates=self.config.templates)
        return _Outcome(asked, reasons=tuple(found), reply=reply.text) if found else _Outcome(asked, row=row)

    def _gave_up(self, asked: Asked, busy: Busy) -> _Outcome:
        if not busy.lasting:  # the time was up, or Ctrl-C came
            return _Outcome(asked, undone=True)
        if busy.answered:
            return _Outcome(asked, reasons=(f"teacher failed: {busy}",), failed=True)
        raise ModelError(
            f"teacher is out of reach after {self.config.patience.retries} retries: {busy}; what is done stays, the same command goes on"
        ) from busy

    def _split(self, asked: Asked) -> str:
        """By the text, so that a row never changes sides."""
        return "dev" if int(hashlib.sha256(asked.message.encode()).hexdigest()[:8], 16) < self.config.dev * 2**32 else "train"

    def _size(self, messages: Messages) -> int:
        """Tokens that a request may come to. Three characters a token is more than English has, and about what logs have."""
        return sum(len(message["content"]) // 3 + 8 for message in messages) + self.config.reply_tokens

    def _tell(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if last or now - self._told >= _SECONDS:
            self._told, self.summary.tokens = now, self.budget.used
            print(f"distil: {self.summary}, {now - self.began:.0f} s", file=sys.stderr, flush=True)


def _teacher(config: DistilConfig) -> Teacher:
    if config.gguf:
        if not config.gguf.is_file():
            raise SystemExit(f"--gguf {str(config.gguf)!r} is no file; give the path of a GGUF")
        form: Format = config.format or "schema"
        return LocalTeacher(config.gguf, config.reply_tokens, config.temperature, form, config.context, config.threads)
    if not (config.endpoint and config.model):
        raise SystemExit("no teacher; give --endpoint URL and --model NAME, or --gguf FILE")
    key = os.environ.get(config.key_from) if config.key_from else None
    if config.key_from and not key:
        raise SystemExit(f"--key-from {config.key_from!r} names no environment variable that is set; export it, or leave the option out")
    return Endpoint(config.endpoint, config.model, key, config.reply_tokens, config.temperature, config.format or "object", config.timeout)
