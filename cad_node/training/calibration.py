"""Platt scaling: the straight line through the logits that makes scores mean what they say."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Calibration:
    """score = sigmoid(scale · logit + offset)."""

    scale: float
    offset: float

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        return 1 / (1 + np.exp(-(self.scale * logits.astype(np.float64) + self.offset)))


def fit_calibration(logits: NDArray[np.float32], labels: NDArray[np.float32]) -> Calibration:
    """The line with the least cross-entropy on these patches: on validation data, never on those trained on.

    Labels are drawn in from 0 and 1 as Platt does (Probabilistic outputs for support vector machines, 1999),
    without which perfectly separated patches give an endless slope.
    """
    positives = labels.sum()
    target = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    twice = np.concatenate([logits, logits])[:, np.newaxis]
    classes = np.repeat([1, 0], len(labels))
    fit = LogisticRegression(C=1e6).fit(twice, classes, np.concatenate([target, 1 - target]))
    return Calibration(float(fit.coef_[0, 0]), float(fit.intercept_[0]))


class CalibratedNetwork(nn.Module):
    """The graph that is shipped: patches (batch, 1, P, P) HU -> scores (batch,), 0..1."""

    def __init__(self, network: nn.Module, calibration: Calibration) -> None:
        super().__init__()
        self.network = network
        self.calibration = calibration

    def forward(self, patches: Tensor) -> Tensor:
        logits: Tensor = self.network(patches)
        return (logits * self.calibration.scale + self.calibration.offset).sigmoid()
