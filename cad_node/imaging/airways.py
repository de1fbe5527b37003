"""The trachea and the main bronchi: followed from the neck down to where they would open into a lung."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.imaging.shapes import Mask, Spacing

AREA_MM2 = (40.0, 700.0)  # cross-section of a trachea or a main bronchus
MIDDLE = 0.25  # of the air's width: how far from its middle a trachea may begin
SEEDED_IN = 0.6  # the upper part of the scan in which it is looked for
SHORTEST_MM = 25.0  # what ends sooner isn't a trachea: the tip of a lung, gas in the gullet


def find_airways(air: Mask, spacing_mm: Spacing) -> Mask:
    """The longest tube near the middle, on the grid of `air`; slices run from the feet to the head. Empty if none is seen."""
    tubes = np.stack([_tube_sized(plane, spacing_mm[1] * spacing_mm[2]) for plane in air])
    columns = np.flatnonzero(air.any(axis=(0, 1)))
    longest, seen = np.zeros_like(air), np.zeros_like(air)
    for index in range(len(air) - 1, int(len(air) * (1 - SEEDED_IN)), -1):
        for start in _near_middle(tubes[index], columns):
            if not (seen[index] & start).any():
                tube = _followed(tubes, index, start)
                seen |= tube
                longest = max(longest, tube, key=_height)
    if _height(longest) * spacing_mm[0] < SHORTEST_MM:
        return np.zeros_like(air)
    return ndimage.binary_dilation(longest, iterations=1)


def _tube_sized(plane: Mask, pixel_mm2: float) -> NDArray[np.int32]:
    """Labels of the plane's parts that have the cross-section of an airway."""
    labels, _ = ndimage.label(plane)
    area_mm2 = np.bincount(labels.ravel()) * pixel_mm2
    fits = (area_mm2 >= AREA_MM2[0]) & (area_mm2 <= AREA_MM2[1])
    fits[0] = False
    return np.where(fits[labels], labels, 0).astype(np.int32)


def _near_middle(labels: NDArray[np.int32], columns: NDArray[np.intp]) -> list[Mask]:
    parts = [labels == label for label in np.unique(labels[labels > 0])]
    return [part for part in parts if abs(np.nonzero(part)[1].mean() - columns.mean()) <= MIDDLE * np.ptp(columns)]


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
