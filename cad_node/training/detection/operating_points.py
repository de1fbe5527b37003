"""Thresholds named by how many false positives a scan they let through."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CANDIDATES = 200  # a scan, as the search hands them over: its limit, which nearly every scan reaches
FALSE_POSITIVES = (1, 2, 4, 8)  # a scan, were each candidate judged by a single patch
DEFAULT = 0.5  # of the calibrated score: as likely a nodule as not


def choose_operating_points(labels: NDArray[Any], scores: NDArray[Any]) -> dict[str, float]:
    """Names and thresholds: "threshold", the default, and "threshold_2fp" and so on, from (N,) validation labels and scores.

    Those are the lowest at which the share of negatives over it, times CANDIDATES, is at most so many; halfway between two scores.
    """
    negatives = np.sort(scores[labels == 0])[::-1]
    return {"threshold": DEFAULT, **{name_of(wanted): _threshold(negatives, wanted) for wanted in FALSE_POSITIVES}}


def name_of(false_positives: int) -> str:
    return f"threshold_{false_positives}fp"


def _threshold(negatives: NDArray[Any], wanted: int) -> float:
    """negatives: scores, highest first."""
    allowed = min(wanted * len(negatives) // CANDIDATES, len(negatives) - 1)
    above = negatives[allowed - 1] if allowed else 1.0
    return float((above + negatives[allowed]) / 2)
