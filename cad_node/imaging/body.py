"""The patient's body on axial slices, told from table, clothes and the air around it."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.imaging.shapes import IN_PLANE, Mask, largest_parts

TISSUE_HU = -200  # fat and more
SIDES = 2  # of four: a narrow field of view may cut the body off on the others


def inside_body(hu: NDArray[np.float32]) -> Mask:
    """Where tissue of the body lies in two or more of the four directions of the slice.

    hu: (slice, row, column). Rays instead of filled outlines, since a thin chest wall or a narrow field of view leaves those open.
    """
    tissue = largest_parts(ndimage.binary_opening(hu > TISSUE_HU, IN_PLANE), 1)  # tables are thin where they touch
    if not tissue:
        return np.zeros(hu.shape, np.bool_)
    sides = np.zeros(hu.shape, np.uint8)
    for axis in (1, 2):
        sides += np.maximum.accumulate(tissue[0], axis)
        sides += np.flip(np.maximum.accumulate(np.flip(tissue[0], axis), axis), axis)
    return sides >= SIDES
