"""Figures of a set of predictions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ra_sdk.reasoner.rationale import invented

__all__ = ["average_precision", "calibration_error", "figures", "rationale_figures"]


def figures(truth: Sequence[bool], scores: Sequence[float], said: Sequence[bool]) -> dict[str, float]:
    """Precision, recall and F1 of abnormal, macro F1, balanced accuracy, average precision and expected calibration error.

    ``truth``, ``said``: abnormal or not; ``scores``: P(abnormal). All of one length.
    """
    pairs = list(zip(truth, said, strict=True))
    tp, fp, fn, tn = (pairs.count(kind) for kind in ((True, True), (False, True), (True, False), (False, False)))
    recall, specificity = _share(tp, tp + fn), _share(tn, tn + fp)
    found = {
        "n": len(pairs),
        "abnormal": tp + fn,
        "precision": _share(tp, tp + fp),
        "recall": recall,
        "f1": _share(2 * tp, 2 * tp + fp + fn),
        "macro_f1": (_share(2 * tp, 2 * tp + fp + fn) + _share(2 * tn, 2 * tn + fp + fn)) / 2,
        "balanced_accuracy": (recall + specificity) / 2,
        "average_precision": average_precision(truth, scores),
        "ece": calibration_error(truth, scores),
    }
    return {name: round(value, 4) for name, value in found.items()}


def average_precision(truth: Sequence[bool], scores: Sequence[float]) -> float:
    """Area under precision and recall, in steps; equal scores are one step, so that order cannot help."""
    ordered = sorted(zip(scores, truth, strict=True), reverse=True)
    positives, total, hits, at = sum(truth), 0.0, 0, 0
    while at < len(ordered):
        end = at
        while end < len(ordered) and ordered[end][0] == ordered[at][0]:
            end += 1
        new = sum(true for _, true in ordered[at:end])
        hits += new
        total += new * hits / end
        at = end
    return _share(total, positives)


def calibration_error(truth: Sequence[bool], scores: Sequence[float], bins: int = 10) -> float:
    """Expected calibration error (Guo et al. 2017), of P(abnormal) in bins of equal width."""
    held: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for score, true in zip(scores, truth, strict=True):
        held[min(int(score * bins), bins - 1)].append((score, true))
    return sum(abs(sum(score - true for score, true in part)) for part in held) / max(len(scores), 1)


def rationale_figures(messages: Sequence[str], rationales: Sequence[str | None], said: Sequence[bool]) -> dict[str, float | int | None]:
    """How many there are, how long, the share that invents a specific, and how many abnormal verdicts come without a quote."""
    told = [(message, why) for message, why in zip(messages, rationales, strict=True) if why]
    bad = sum(bool(invented(message, why)) for message, why in told)
    mute = sum(wrong and not re.search(r'"[^"]+"', why or "") for why, wrong in zip(rationales, said, strict=True))
    return {
        "rationales": len(told),
        "words": round(sum(len(why.split()) for _, why in told) / len(told), 1) if told else None,
        "ungrounded_share": round(bad / len(told), 4) if told else None,
        "abnormal_without_quote": mute,
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
