"""A stand-in for the model, for tests and trials."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ra_sdk.reasoner.rationale import grounded
from ra_sdk.records import Mode, Verdict

__all__ = ["EchoReasoner"]


class EchoReasoner:
    """A stand-in for the model in tests and trials: it goes by a few words, and says so. ``calls`` and ``judged`` count."""

    name = "echo (no model: goes by words)"
    digest = "echo"
    _FAULT = re.compile(r"\b(?:error|fail(?:ed|ure)?|fatal|exception|refused|denied|panic|timed out|corrupt\w*|killed|lost)\b", re.IGNORECASE)
    _ZERO = re.compile(r"\b0 (?:errors?|fail\w*)", re.IGNORECASE)

    def __init__(self) -> None:
        self.calls = self.judged = 0

    def judge(self, templates: Sequence[str], mode: Mode = "direct") -> Iterator[Verdict]:
        """A verdict for every template, in order."""
        self.calls += 1
        for template in templates:
            self.judged += 1
            word = None if self._ZERO.search(template) else self._FAULT.search(template)
            if word is None:
                yield Verdict(template, "normal", 0.1, mode=mode, model=self.name)
            else:
                rationale = f'It says "{template[max(0, word.start() - 30) : word.end()].replace(chr(34), "").strip()}".'
                yield Verdict(template, "abnormal", 0.9, "system", rationale, grounded(template, rationale), mode, self.name)
