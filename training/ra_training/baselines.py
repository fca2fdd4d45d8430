"""What a model must beat: a regular expression, and logistic regression on n-grams."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ra_training.corpus import Row

__all__ = ["keywords", "tfidf"]

_FAULT = re.compile(
    "|".join(
        r"""error fail fatal exception panic denied refused timed?.?out corrupt abort kill crash invalid cannot can't could.not unable unreachable lost
        reset.by broken critical severe warn missing not.found bad. illegal violation interrupt unexpected no.such overflow expired degraded
        segfault down\b""".split()
    ),
    re.IGNORECASE,
)


def keywords(messages: Sequence[str]) -> list[float]:
    """1 for a message with a word of failure in it, else 0."""
    return [float(_FAULT.search(message) is not None) for message in messages]


def tfidf(train: Sequence[Row], messages: Sequence[str]) -> list[float]:
    """P(abnormal) by TF-IDF of characters (2 to 5) and words (1 to 2) with logistic regression, fitted on ``train``."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    grams = make_union(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=1),
    )
    model = make_pipeline(grams, LogisticRegression(C=10, class_weight="balanced", max_iter=2000))
    model.fit([row.message for row in train], [row.abnormal for row in train])
    return [float(p) for p in model.predict_proba(list(messages))[:, 1]]
