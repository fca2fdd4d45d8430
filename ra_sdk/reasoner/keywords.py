"""Verdicts by keywords and severity, for machines on which no language model is installed.

It finds fewer faults than a model and gives more false alarms, and it explains nothing: it quotes the word it found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ra_sdk.records import Mode, Verdict

__all__ = ["KeywordReasoner"]

_FAULT = re.compile(
    r"""(?<![\w-])(?:
        errors? | err | fail(?:s|ed|ure|ures|ing)? | fatal | exceptions? | panic(?:ked)? | den(?:ied|y) | refused | rejected | timed[ ]?out | timeout
        | corrupt(?:ed|ion)? | abort(?:ed|ing)? | kill(?:ed)? | crash(?:ed|es)? | invalid | cannot | can't | could[ ]not | unable[ ]to
        | unreachable | lost | reset[ ]by | broken | critical | severe | missing | not[ ]found | illegal | violation | unexpected | no[ ]such
        | overflow | expired | degraded | segfault | traceback | out[ ]of[ ](?:memory|range|space) | oom-killer | denied
    )(?![\w-])""",
    re.IGNORECASE | re.VERBOSE,
)
_HARMLESS = re.compile(
    r"\b(?:0|no|without|zero) (?:\w+ )?(?:errors?|failures?|exceptions?|warnings?)\b|\b(?:errors?|fail(?:ed|ures?))\s*[:=]\s*(?:0|none|null|false)\b",
    re.IGNORECASE,
)
_SCORES = {"FATAL": 0.95, "ERROR": 0.85, "WARN": 0.7, None: 0.75, "INFO": 0.6, "DEBUG": 0.4, "TRACE": 0.4}  # of a line with a fault word
_WITHOUT_WORD = {"FATAL": 0.8, "ERROR": 0.6}  # of a line that only its severity marks
_NORMAL = 0.1


class KeywordReasoner:
    """Judges by words of failure and by the severity, without a model."""

    name = "keywords (no model)"
    digest = "keywords-1"
    reads_severity = True

    def judge(self, templates: Sequence[str], mode: Mode = "direct", *, severities: Sequence[str | None] = ()) -> Iterator[Verdict]:
        """Yield a verdict for every template, in order.

        Args:
            templates: Masked texts.
            mode: Kept in the verdicts; there is no reasoning to think with.
            severities: The severity of each template, one of ``ra_sdk.records.SEVERITIES`` or None; empty: unknown.
        """
        for template, severity in zip(templates, severities or [None] * len(templates), strict=True):
            word = _FAULT.search(_HARMLESS.sub(" ", template))
            score = _SCORES[severity] if word else _WITHOUT_WORD.get(severity or "", _NORMAL)
            if score < 0.5:
                yield Verdict(template, "normal", score, mode=mode, model=self.name, severity=severity)
                continue
            rationale = f'The line has "{word.group()}".' if word else f"Its severity is {severity}."
            yield Verdict(template, "abnormal", score, None, rationale, True, mode, self.name, severity=severity, reason_source="quote")
