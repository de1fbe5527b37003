"""What the patch network is shown: the same cuts that it was trained on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cad_node.imaging.volume import Volume

OUTSIDE_HU = -1000


def cut_patches(volume: Volume, centres: Sequence[tuple[float, float, float]], size_px: int) -> NDArray[np.float32]:
    """Axial patches of size_px at the source's own pixel spacing, pixel size_px // 2 at the centre.

    centres: (slice, row, column) indices. Returns (N, 1, size_px, size_px) float32, HU; outside the image it is air.
    """
    patches = np.full((len(centres), 1, size_px, size_px), OUTSIDE_HU, np.float32)
    slices, rows, columns = volume.voxels.shape
    for patch, centre in zip(patches, centres, strict=True):
        z, (top, left) = round(centre[0]), patch_corner(centre, size_px)
        inside_y = slice(max(0, top), min(rows, top + size_px))
        inside_x = slice(max(0, left), min(columns, left + size_px))
        if 0 <= z < slices and inside_y.start < inside_y.stop and inside_x.start < inside_x.stop:
            seen = volume.voxels[z, inside_y, inside_x]
            patch[0, inside_y.start - top : inside_y.stop - top, inside_x.start - left : inside_x.stop - left] = seen
    return patches


def patch_corner(centre: tuple[float, float, float], size_px: int) -> tuple[int, int]:
    """(row, column) of the source that is the patch's first pixel; may lie outside."""
    return round(centre[1]) - size_px // 2, round(centre[2]) - size_px // 2
