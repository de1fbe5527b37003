"""Parts of masks and boxes around them, on grids whose voxels needn't be cubes."""

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]  # mm along slice, row, column

IN_PLANE = np.array([[[0, 0, 0]] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0]] * 3])  # neighbours within a slice


def largest_parts(mask: Mask, count: int) -> list[Mask]:
    """The `count` largest 6-connected parts, largest first; fewer if there are fewer."""
    labels, found = cc3d.connected_components(mask, connectivity=6, return_N=True)
    sizes = np.bincount(labels.ravel(), minlength=found + 1)[1:]
    return [labels == 1 + label for label in np.argsort(sizes)[::-1][:count]]


def part_at(mask: Mask, index: tuple[int, int, int]) -> Mask:
    """The 6-connected part that holds the voxel `index`; empty if that isn't in the mask."""
    if not mask[index]:
        return np.zeros_like(mask)
    labels = cc3d.connected_components(mask, connectivity=6)
    return np.asarray(labels == labels[index])


def box_around(mask: Mask) -> tuple[slice, slice, slice]:
    """The smallest box that holds every voxel of a mask that isn't empty."""
    z, y, x = ndimage.find_objects(mask.view(np.uint8))[0]
    return z, y, x
