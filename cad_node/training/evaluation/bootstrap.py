"""95 % confidence intervals by drawing cases again, with replacement; the cases of one patient are drawn together.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993: percentile intervals.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000

Interval = tuple[float, float]
Groups = Sequence[str] | NDArray[Any]  # whose each case is, (N,), or empty: each case stands for itself


def mean_ci(values: NDArray[Any], groups: Groups = (), seed: int = 0) -> tuple[float, Interval]:
    """Mean of (N,) values and its interval; NaN of no values."""
    if not len(values):
        return np.nan, (np.nan, np.nan)
    members = _members(len(values), groups)
    sums, sizes = np.bincount(members, values), np.bincount(members)
    drawn = np.stack(list(draw_weights(len(sizes), seed)))
    return float(np.mean(values)), interval_of((drawn @ sums) / (drawn @ sizes))


def statistic_ci(
    statistic: Callable[..., float], arrays: Sequence[NDArray[Any]], groups: Groups = (), seed: int = 0
) -> tuple[float, Interval]:
    """Any statistic of arrays of equal length, and its interval.

    statistic: called with the arrays, or the cases drawn from them; NaN where they allow none, which the interval leaves out.
    """
    members = _members(len(arrays[0]), groups)

    def of_draw(weights: NDArray[np.int64]) -> float:
        chosen = np.repeat(np.arange(len(members)), weights[members])
        return statistic(*(array[chosen] for array in arrays))

    return statistic(*arrays), interval_of([of_draw(weights) for weights in draw_weights(members.max() + 1, seed)])


def weighted_ci(statistic: Callable[[NDArray[np.int64]], float], cases: int, groups: Groups = (), seed: int = 0) -> tuple[float, Interval]:
    """A statistic that takes how often each case counts, (N,): quicker than statistic_ci where sorting is what takes the time."""
    members = _members(cases, groups)
    drawn = [statistic(weights[members]) for weights in draw_weights(members.max() + 1, seed)]
    return statistic(np.ones(cases, dtype=np.int64)), interval_of(drawn)


def draw_weights(groups: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each group was drawn, (groups,), once for each draw."""
    random = np.random.default_rng(seed)
    for _ in range(DRAWS):
        yield np.bincount(random.integers(groups, size=groups), minlength=groups)


def interval_of(drawn: Sequence[float] | NDArray[np.float64]) -> Interval:
    """The middle 95 % of the draws' statistics; NaN where no draw has one."""
    known = np.asarray(drawn)[~np.isnan(drawn)]
    if not len(known):
        return np.nan, np.nan
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)


def _members(cases: int, groups: Groups) -> NDArray[np.intp]:
    """Number of each case's group, (N,), from 0."""
    if not len(groups):
        return np.arange(cases)
    if len(groups) != cases:
        raise ValueError(f"{len(groups)} patients are named for {cases} cases; name one for each")
    return np.unique(np.asarray(groups), return_inverse=True)[1]
