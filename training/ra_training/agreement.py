"""Label correction, third step: how far reviewers agree, and what is left to an adjudicator."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

from ra_training.correct import Study
from ra_training.review import Answer, read_answers

__all__ = ["agree", "cohen", "consensus", "fleiss", "read_reviews", "votes"]

Reviews = Mapping[str, Mapping[str, Answer]]


def read_reviews(study: Study) -> dict[str, dict[str, Answer]]:
    """Each reviewer's answers, by row. Raises SystemExit if nobody reviewed."""
    study.config()
    found = {path.stem: read_answers(path) for path in sorted(study.reviews.glob("*.jsonl"))}
    found = {name: answers for name, answers in found.items() if answers}
    if not found:
        raise SystemExit(f"study {str(study.path)!r} has no answers; run ra-train correct review {study.path} --reviewer NAME first")
    return found


def votes(reviews: Reviews) -> dict[str, list[Answer]]:
    """All answers to a row, by row."""
    rows = dict.fromkeys(row for answers in reviews.values() for row in answers)
    return {row: [answers[row] for answers in reviews.values() if row in answers] for row in rows}


def agree(study: Study) -> str:
    """Kappas as a table in Markdown; the rows with both labels go to the list for the adjudicator. Raises SystemExit if there are fewer than two reviewers."""
    reviews = read_reviews(study)
    if len(reviews) < 2:
        raise SystemExit(f"{len(reviews)} reviewer ({', '.join(reviews)}) cannot agree with anybody; have another one review")
    lines = ["| reviewers | rows both judged | same label | Cohen's kappa | with category |", "|---|---|---|---|---|"]
    lines += [_pair(reviews, one, two) for one, two in combinations(reviews, 2)]
    common = _common(list(reviews.values()))
    by_label, by_kind = (fleiss([[part(answers[row]) for answers in reviews.values()] for row in common]) for part in (_label, _kind))
    lines += ["", f"Fleiss' kappa of {len(reviews)} reviewers on {len(common)} rows: {_figure(by_label)}; with category {_figure(by_kind)}"]
    split = _write_disagreements(study, reviews)
    unsure = sum(any(answer.unsure for answer in said) for said in votes(reviews).values())
    lines += [f"{split} rows with both labels, for adjudication: {study.disagreements}; {unsure} rows that somebody is unsure of"]
    return "\n".join(lines) + "\n"


def _pair(reviews: Reviews, one: str, two: str) -> str:
    common = _common([reviews[one], reviews[two]])
    pairs = [(reviews[one][row], reviews[two][row]) for row in common]
    same = sum(a.label == b.label for a, b in pairs) / len(pairs) if pairs else None
    kappas = (cohen([part(a) for a, _ in pairs], [part(b) for _, b in pairs]) for part in (_label, _kind))
    return f"| {one}, {two} | {len(pairs)} | {_figure(same)} | " + " | ".join(map(_figure, kappas)) + " |"


def cohen(one: Sequence[str], two: Sequence[str]) -> float | None:
    """Cohen's kappa (1960), or None where it is not defined: nothing judged, or one and the same label everywhere."""
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(one, two)) if len({*one, *two}) > 1 else None


def fleiss(said: Sequence[Sequence[str]]) -> float | None:
    """Fleiss' kappa (1971) of rows of answers, one a reviewer; None where it is not defined."""
    from statsmodels.stats.inter_rater import fleiss_kappa

    kinds = sorted({answer for row in said for answer in row})
    table = [[list(row).count(kind) for kind in kinds] for row in said]
    return float(fleiss_kappa(table)) if len(kinds) > 1 else None


def consensus(reviews: Reviews, adjudicated: Mapping[str, Answer], *, least: int = 2, majority: bool = False) -> tuple[dict[str, Answer], list[str]]:
    """The panel's label of each row, and the rows it leaves open.

    The adjudicator decides where asked; else at least ``least`` reviewers, all of them, or with ``majority`` more than half. The category is the one most
    of those who decide it name.
    """
    decided: dict[str, Answer] = {}
    unsettled = []
    for row, said in votes(reviews).items():
        label, count = Counter(answer.label for answer in said).most_common(1)[0]
        enough = len(said) >= least and (count == len(said) or (majority and 2 * count > len(said)))
        if row in adjudicated:
            decided[row] = adjudicated[row]
        elif enough:
            named = Counter(answer.category for answer in said if answer.label == label).most_common(1)
            decided[row] = Answer(row, label, named[0][0], any(answer.unsure for answer in said))
        else:
            unsettled.append(row)
    return decided, unsettled


def _write_disagreements(study: Study, reviews: Reviews) -> int:
    """Write the rows with both labels, in the ranking's order; how many. Names are left out: whose vote it was must not count."""
    cast, lines = votes(reviews), []
    for suspect in study.ranking():
        said = [answer.label for answer in cast.get(suspect.id, ())]
        if len(set(said)) > 1:
            counts = f"{said.count('abnormal')} abnormal, {said.count('normal')} normal"
            lines.append(json.dumps({"id": suspect.id, "message": suspect.message, "votes": counts}) + "\n")
    study.disagreements.write_text("".join(lines), encoding="utf-8")
    return len(lines)


def _common(reviews: Sequence[Mapping[str, Answer]]) -> list[str]:
    return [row for row in reviews[0] if all(row in answers for answers in reviews)]


def _label(answer: Answer) -> str:
    return answer.label


def _kind(answer: Answer) -> str:
    return answer.category or answer.label


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
