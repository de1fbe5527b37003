"""The trachea: followed from the neck down to where it would open into a lung."""

import numpy as np
from scipy import ndimage

from cad_node.imaging.shapes import Mask, Spacing

AREA_MM2 = (40.0, 700.0)  # cross-section of a trachea
MIDDLE = 0.25  # of the air's width: how far from its middle a trachea may begin
JUMP_MM = 6.0  # how far its centre may move from one slice to the next
SEEDED_IN = 0.6  # the upper part of the scan in which it is looked for


def find_trachea(air: Mask, spacing_mm: Spacing) -> Mask:
    """The trachea and what follows it as a tube, on the grid of `air`; slices run from the feet to the head. Empty if none is seen."""
    trachea = np.zeros_like(air)
    columns = np.flatnonzero(air.any(axis=(0, 1)))
    if not len(columns):
        return trachea
    middle, width = float(columns.mean()), float(np.ptp(columns))
    previous: tuple[float, float] | None = None
    for index in range(len(air) - 1, -1, -1):
        if previous is None and index < len(air) * (1 - SEEDED_IN):
            break
        section = _section(air[index], previous, middle, width, spacing_mm)
        if section is None:
            if previous is not None:
                break  # it has opened into a bronchus or a lung
            continue
        trachea[index], previous = section
    return ndimage.binary_dilation(trachea, iterations=1)


def _section(
    plane: Mask, previous: tuple[float, float] | None, middle: float, width: float, spacing_mm: Spacing
) -> tuple[Mask, tuple[float, float]] | None:
    """The part of a slice that continues the trachea, or begins it; and its centre (row, column)."""
    labels, count = ndimage.label(plane)
    pixel_mm2 = spacing_mm[1] * spacing_mm[2]
    for label in range(1, count + 1):
        part = labels == label
        if not AREA_MM2[0] <= part.sum() * pixel_mm2 <= AREA_MM2[1]:
            continue
        row, column = ndimage.center_of_mass(part)
        if previous is None:
            fits = abs(column - middle) <= MIDDLE * width
        else:
            fits = np.hypot((row - previous[0]) * spacing_mm[1], (column - previous[1]) * spacing_mm[2]) <= JUMP_MM
        if fits:
            return part, (float(row), float(column))
    return None
