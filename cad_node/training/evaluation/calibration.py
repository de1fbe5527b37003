"""Scores that mean what they say: fits on validation data, never on what was trained on, and the error that is left."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression


@dataclass(frozen=True, slots=True)
class Platt:
    """score = sigmoid(scale · logit + offset)."""

    scale: float
    offset: float

    def scores(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(1 / (1 + np.exp(-(self.scale * logits.astype(np.float64) + self.offset))), np.float64)


def fit_platt(logits: NDArray[Any], labels: NDArray[Any]) -> Platt:
    """The line with the least cross-entropy on (N,) logits.

    Labels are drawn in from 0 and 1 as Platt does (Probabilistic outputs for support vector machines, 1999),
    without which perfectly separated cases give an endless slope.
    """
    positives = labels.sum()
    target = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    twice = np.concatenate([logits, logits])[:, np.newaxis]
    classes = np.repeat([1, 0], len(labels))
    fit = LogisticRegression(C=1e6).fit(twice, classes, np.concatenate([target, 1 - target]))
    return Platt(float(fit.coef_[0, 0]), float(fit.intercept_[0]))


def expected_calibration_error(labels: NDArray[Any], scores: NDArray[Any], bins: int = 10) -> float:
    """Mean distance of score and share of positives over equal bins of score, weighted by what is in them; 0..1."""
    of_bin = bin_of(scores, bins)
    counts = np.bincount(of_bin, minlength=bins)
    gaps = np.bincount(of_bin, np.asarray(scores, np.float64) - labels, bins)
    return float(np.abs(gaps).sum() / counts.sum())


def bin_of(scores: NDArray[Any], bins: int = 10) -> NDArray[np.int64]:
    """Which of the equal bins over 0..1 each score is in, (N,), from 0; 1.0 is in the last."""
    return np.minimum((np.asarray(scores) * bins).astype(np.int64), bins - 1)
