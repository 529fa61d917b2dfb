"""What words alone tell of the classes of texts: TF-IDF with logistic regression, by scikit-learn.

A linear model over counts of words and pairs of words takes seconds on a CPU, and where topics are
to be told apart it is hard to beat (Joachims 1998; Wang and Manning 2012, "Baselines and Bigrams").
"""

import time
from collections.abc import Sequence
from typing import Any

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.inspection import TextBaseline
from engine.data.texts import LabelledText, index_texts

_FEATURES = 20_000
"""The commonest words and pairs that are counted; in Google's text classification guide, more did
not help."""
_INVERSE_PENALTY = 10.0
"""`C`: rows of TF-IDF have length 1, for which scikit-learn's own 1 is strict."""
_ITERATIONS = 1000


def fit(config: Config) -> TextBaseline:
    """Learn from the training part of a config's texts, measure on the validation part.

    The parts are those of a run of the same config. Raises `UserError` where scikit-learn is
    missing, the task is another, or the data can't be used.
    """
    if config.task != "text-classification":
        raise UserError(
            f"task: TF-IDF with logistic regression is a baseline of text-classification, not of "
            f"{config.task}."
        )
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError:
        raise UserError(
            "The TF-IDF baseline needs scikit-learn: pip install 'finetune-tui[baseline]'"
        ) from None
    index = index_texts(config, lambda _: None)
    counts = index.counts(index.train)
    commonest = counts.index(max(counts))
    began = time.monotonic()
    said = _said(index.train, [sample.text for sample in index.val])
    return TextBaseline(
        commonest=index.classes[commonest],
        majority=_figures(index.val, [commonest] * len(index.val)),
        tfidf=_figures(index.val, said),
        train=len(index.train),
        val=len(index.val),
        seconds=time.monotonic() - began,
    )


def _said(train: Sequence[LabelledText], texts: Sequence[str]) -> Sequence[int]:
    """The class that the model gives each text, once it has learnt from `train`."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model: Any = make_pipeline(
        TfidfVectorizer(
            token_pattern=r"\w+|[^\w\s]",  # words of one letter too, and what is no word
            ngram_range=(1, 2),
            sublinear_tf=True,
            max_features=_FEATURES,
        ),
        LogisticRegression(C=_INVERSE_PENALTY, max_iter=_ITERATIONS),
    )
    model.fit([sample.text for sample in train], [sample.label for sample in train])
    said: Sequence[int] = model.predict(texts).tolist()
    return said


def _figures(val: Sequence[LabelledText], said: Sequence[int]) -> dict[str, float]:
    """As an evaluation of the task has them."""
    from sklearn.metrics import accuracy_score, f1_score

    labels = [sample.label for sample in val]
    return {
        "accuracy": float(accuracy_score(labels, said)),
        "macro_f1": float(f1_score(labels, said, average="macro")),
    }
