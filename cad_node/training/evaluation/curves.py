"""How well scores tell two classes apart, at every threshold and at one."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from cad_node.training.evaluation.bootstrap import Groups, Interval, weighted_ci

Labels = NDArray[Any]  # (N,), 1 is what is looked for, 0 is not
Scores = NDArray[Any]  # (N,), higher is surer
Weights = NDArray[Any]


def roc_auc(labels: Labels, scores: Scores, groups: Groups = ()) -> tuple[float, Interval]:
    """Area under the ROC curve and its interval; NaN where a class is missing. groups: patients, drawn whole."""
    return _area_ci(_roc_area, labels, scores, groups)


def average_precision(labels: Labels, scores: Scores, groups: Groups = ()) -> tuple[float, Interval]:
    """Area under the steps of the precision-recall curve and its interval; NaN without positives."""
    return _area_ci(_precision_area, labels, scores, groups)


def choose_threshold(labels: Labels, scores: Scores, min_sensitivity: float) -> float:
    """The highest threshold that still finds min_sensitivity of the positives, halfway to the next lower score.

    A case is found from the threshold up. On validation data, never on the test split.
    """
    _, sensitivity, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    chosen = float(thresholds[np.argmax(sensitivity >= min_sensitivity)])
    lower = scores[scores < chosen]
    return (chosen + float(lower.max())) / 2 if len(lower) else chosen


def _area_ci(area: Callable[[Weights, Weights], float], labels: Labels, scores: Scores, groups: Groups) -> tuple[float, Interval]:
    """The area from the weight of positives and of negatives at each distinct score, which are sorted once for all draws."""
    positive = np.asarray(labels) == 1
    distinct, place = np.unique(scores, return_inverse=True)

    def weighted(weights: Weights) -> float:
        positives, negatives = (np.bincount(place, weights * chosen, len(distinct)) for chosen in (positive, ~positive))
        return area(positives, negatives)

    return weighted_ci(weighted, len(positive), groups)


def _roc_area(positives: Weights, negatives: Weights) -> float:
    """Share of pairs, one of each class, that are in order; ties count half (Mann and Whitney 1947)."""
    pairs = positives.sum() * negatives.sum()
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum() / pairs) if pairs else np.nan


def _precision_area(positives: Weights, negatives: Weights) -> float:
    found = np.cumsum(positives[::-1])
    called = found + np.cumsum(negatives[::-1])
    precision = np.divide(found, called, out=np.zeros(len(called)), where=called > 0)
    return float((positives[::-1] * precision).sum() / found[-1]) if found[-1] else np.nan
