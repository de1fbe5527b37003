"""When the ensemble should say that it doesn't know."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RIGHT = 0.95  # share of the certain answers, of either kind, that agree with the readers on validation
AGREEING = 95  # percent of the validation nodules on which members differ no more than is allowed


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """Scores between low and high, and members that differ by more than `spread`, give no answer."""

    low: float
    high: float
    spread: float

    @property
    def parameters(self) -> Mapping[str, float]:
        """By the names that serving asks for."""
        return {"uncertain_from": self.low, "uncertain_to": self.high, "uncertain_spread": self.spread}

    def is_certain(self, scores: NDArray[Any], spreads: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(((scores <= self.low) | (scores >= self.high)) & (spreads <= self.spread))


def choose_uncertainty(labels: NDArray[Any], scores: NDArray[Any], spreads: NDArray[Any]) -> Uncertainty:
    """The narrowest middle band outside which RIGHT of the answers on either side are right; on validation data."""
    return Uncertainty(
        low=1 - _certain_from(1 - labels, 1 - scores),
        high=_certain_from(labels, scores),
        spread=float(np.percentile(spreads, AGREEING)),
    )


def _certain_from(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """The least score, at least a half, from which on RIGHT of the cases are positive; 1 where there is none."""
    steps = np.sort(scores[scores >= 0.5])
    return float(next((step for step in steps if labels[scores >= step].mean() >= RIGHT), 1.0))
