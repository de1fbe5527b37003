"""The trachea, followed from the neck down to where it divides."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.imaging.shapes import Mask, Spacing

AREA_MM2 = (40.0, 700.0)  # cross-section of a trachea or a main bronchus
MIDDLE_MM = 50.0  # from the lungs' middle: how far a trachea may begin
WITHIN = (0.005, 0.75)  # of the lungs, from front to back: neither beside the body nor under the table
SEEDED_IN = 0.6  # the upper part of the lungs, and what is above them, in which it is looked for
SHORTEST_MM = 25.0  # what ends sooner isn't a trachea: gas in the gullet
BRONCHI_MM = 5.0  # for so long two branches run beside each other, and
APART_MM = 12.0  # so far apart they get

Index = tuple[float, float, float]


def find_airways(lumen: Mask, lungs: Mask, spacing_mm: Spacing) -> Mask:
    """The longest tube of air near the middle of the chest; empty if none is seen.

    lumen: what is as dark as air in all of the image; lungs: both, perhaps with airways in them. Slices run from the feet to the head.
    """
    nothing = np.zeros_like(lumen)
    slices, columns = (np.flatnonzero(lungs.any(axis=axes)) for axes in ((1, 2), (0, 1)))
    if not slices.size:
        return nothing
    front, back = np.searchsorted(np.cumsum(lungs.sum(axis=(0, 2))) / lungs.sum(), WITHIN)
    tubes = np.zeros(lumen.shape, np.int32)
    for index in range(slices[0], len(lumen)):
        tubes[index] = _tube_sized(lumen[index], spacing_mm[1] * spacing_mm[2])
    tubes[:, :front] = tubes[:, back:] = 0
    longest, seen = nothing, nothing.copy()
    for index in range(len(lumen) - 1, int(slices[-1] - SEEDED_IN * (slices[-1] - slices[0])), -1):
        for start in _near_middle(tubes[index], columns.mean(), spacing_mm[2]):
            if not (seen[index] & start).any():
                tube = _followed(tubes, index, start)
                seen |= tube
                longest = max(longest, tube, key=_height)
    return longest if _height(longest) * spacing_mm[0] >= SHORTEST_MM else nothing


def find_carina(tube: Mask, spacing_mm: Spacing) -> Index | None:
    """(slice, row, column) between the two branches, on the highest slice from which they stay two; None where they aren't seen."""
    branches = 0
    for index in np.flatnonzero(tube.any(axis=(1, 2)))[::-1].tolist():
        centres = _largest_two(tube[index])
        branches = branches + 1 if len(centres) == 2 else 0
        if branches * spacing_mm[0] >= BRONCHI_MM and abs(centres[0][1] - centres[1][1]) * spacing_mm[2] >= APART_MM:
            top = index + branches - 1
            (row0, column0), (row1, column1) = _largest_two(tube[top])
            return float(top), (row0 + row1) / 2, (column0 + column1) / 2
    return None


def _tube_sized(plane: Mask, pixel_mm2: float) -> NDArray[np.int32]:
    """Labels of the plane's parts that have the cross-section of an airway."""
    labels, _ = ndimage.label(plane)
    area_mm2 = np.bincount(labels.ravel()) * pixel_mm2
    fits = (area_mm2 >= AREA_MM2[0]) & (area_mm2 <= AREA_MM2[1])
    fits[0] = False
    return np.where(fits[labels], labels, 0).astype(np.int32)


def _near_middle(labels: NDArray[np.int32], column: float, pixel_mm: float) -> list[Mask]:
    parts = [labels == label for label in np.unique(labels[labels > 0])]
    return [part for part in parts if abs(np.nonzero(part)[1].mean() - column) * pixel_mm <= MIDDLE_MM]


def _followed(tubes: NDArray[np.int32], index: int, start: Mask) -> Mask:
    """From the part `start` of slice `index` downwards, by overlap; where it forks, both ways."""
    tube = np.zeros(tubes.shape, np.bool_)
    tube[index] = start
    for below in range(index - 1, -1, -1):
        touched = np.unique(tubes[below][tube[below + 1]])
        tube[below] = np.isin(tubes[below], touched[touched > 0])
        if not tube[below].any():
            break
    return tube


def _height(tube: Mask) -> int:
    return int(tube.any(axis=(1, 2)).sum())


def _largest_two(plane: Mask) -> list[tuple[float, float]]:
    """(row, column) of the middles of the two largest parts, or of the only one."""
    labels, _ = ndimage.label(plane)
    order = np.argsort(np.bincount(labels.ravel())[1:])[::-1][:2] + 1
    centres = [np.argwhere(labels == label).mean(axis=0) for label in order]
    return [(float(row), float(column)) for row, column in centres]
