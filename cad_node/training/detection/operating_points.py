"""Thresholds named by how many false positives a scan they let through."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CANDIDATES = 200  # a scan, as the search hands them over: its limit, which nearly every scan reaches
FALSE_POSITIVES = (0.5, 1.0, 2.0, 4.0)  # a scan
DEFAULT_FP = 2.0


def choose_operating_points(labels: NDArray[Any], scores: NDArray[Any]) -> dict[str, float]:
    """ "threshold", the default, and one for each of FALSE_POSITIVES, as "threshold_2fp"; from (N,) validation labels and scores.

    The lowest at which the share of negatives over it, times CANDIDATES, is at most so many: halfway between two negatives' scores.
    """
    negatives = np.sort(scores[labels == 0])[::-1]
    thresholds = {name_of(wanted): _threshold(negatives, wanted) for wanted in FALSE_POSITIVES}
    return {"threshold": thresholds[name_of(DEFAULT_FP)], **thresholds}


def name_of(false_positives: float) -> str:
    return f"threshold_{false_positives:g}fp".replace(".", "_")


def _threshold(negatives: NDArray[Any], wanted: float) -> float:
    """negatives: scores, highest first."""
    allowed = min(int(wanted / CANDIDATES * len(negatives)), len(negatives) - 1)
    above = negatives[allowed - 1] if allowed else 1.0
    return float((above + negatives[allowed]) / 2)
