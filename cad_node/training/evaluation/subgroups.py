"""The same statistic in each part of the cases: where a model is better and where it is worse."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cad_node.training.evaluation.bootstrap import Groups, Interval
from cad_node.training.metrics import Table

Statistic = Callable[..., tuple[float, Interval]]  # of the arrays, then patients: mean_ci, roc_auc, average_precision


def subgroup_table(
    title: str,
    groups: Mapping[str, NDArray[Any]],
    arrays: Sequence[NDArray[Any]],
    statistic: Statistic,
    *,
    patients: Groups = (),
    note: str = "",
) -> Table:
    """A row for all cases, then one for each value of each attribute.

    groups: attribute, for instance "texture" -> (N,) each case's value in words, "" leaves it out. `ranges` makes words of numbers.
    arrays: (values,) or (labels, scores), (N,) each, whichever the statistic takes.
    """
    rows = [_row(("all", ""), np.ones(len(arrays[0]), np.bool_), arrays, statistic, patients)]
    for name, values in groups.items():
        words = sorted(filter(None, set(values.tolist())), key=_by_number)
        rows += [_row((name, word), values == word, arrays, statistic, patients) for word in words]
    return Table(title, note, ("attribute", "value", "cases", "result (95 % CI)"), tuple(rows))


def ranges(values: NDArray[Any], edges: Sequence[float], unit: str) -> NDArray[np.str_]:
    """(N,) "under 6 mm", "6 to 10 mm", "from 10 mm" for the edges 6 and 10; NaN has empty words."""
    names = [f"under {edges[0]:g} {unit}", *(f"{low:g} to {high:g} {unit}" for low, high in itertools.pairwise(edges))]
    words = np.array([*names, f"from {edges[-1]:g} {unit}"])[np.searchsorted(edges, values, side="right")]
    return np.where(np.isnan(values), "", words)


def _row(
    names: tuple[str, str], chosen: NDArray[np.bool_], arrays: Sequence[NDArray[Any]], statistic: Statistic, patients: Groups
) -> tuple[str, ...]:
    whose = np.asarray(patients)[chosen] if len(patients) else ()
    value, (low, high) = statistic(*(array[chosen] for array in arrays), whose)
    cell = "not defined" if np.isnan(value) else f"{value:.3f} ({low:.3f} to {high:.3f})"
    return *names, str(np.count_nonzero(chosen)), cell


def _by_number(value: str) -> tuple[float, bool, str]:
    """Ranges in rising order: "under 6 mm", "6 to 10 mm", "from 10 mm"."""
    number = re.search(r"\d+(\.\d+)?", value)
    return float(number[0]) if number else 0.0, not value.startswith("under"), value
