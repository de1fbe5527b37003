"""Which marks of several readers are one nodule."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

READERS = 4
SHRINK, LEAST_MM = 0.9, 0.1


def cluster_marks(points_mm: Sequence[NDArray[np.float64]], tolerance_mm: float) -> list[list[int]]:
    """Indices of the marks of each nodule, as the package pylidc groups them.

    points_mm: of each mark, (P, 3), its outlines' pixels. Marks belong together whose nearest points are within the tolerance, which is
    the slice thickness; it shrinks as long as more marks come together than there are readers.
    """
    apart = _distances_mm(points_mm)
    while True:
        _, numbers = connected_components(apart <= tolerance_mm, directed=False)
        groups = [np.flatnonzero(numbers == number).tolist() for number in range(numbers.max(initial=-1) + 1)]
        if tolerance_mm <= LEAST_MM or all(len(group) <= READERS for group in groups):
            return groups
        tolerance_mm *= SHRINK


def _distances_mm(points_mm: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(marks, marks) least distance."""
    trees = [cKDTree(points) for points in points_mm]
    distances = np.zeros((len(trees), len(trees)))
    for first, tree in enumerate(trees):
        for second in range(first):
            distances[first, second] = distances[second, first] = np.min(tree.query(points_mm[second])[0])
    return distances
