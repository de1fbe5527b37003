"""Where a region lies on one image: pixel coordinates in which (0.5, 0.5) is the centre of the first pixel.

So it is in SCOORD, PS3.3 C.18.6.1.2, and in the PIXEL units of presentation states, PS3.3 C.10.5.1.
"""

import numpy as np
from numpy.typing import NDArray

from cad_node.findings import Region
from cad_node.imaging.shapes import Mask
from cad_node.output.contours import polygons

Points = NDArray[np.float64]  # (N, 2): (column, row)


def spanned_slices(region: Region) -> list[int]:
    """Indices of the slices of the volume on which the region has a voxel."""
    return [int(index) for index in region.origin[0] + np.flatnonzero(region.mask.any(axis=(1, 2)))]


def pixel_centres(region: Region, slice_index: int) -> Points:
    """Of the region's pixels on a slice that it spans."""
    rows, columns = np.nonzero(_plane(region, slice_index))
    return np.column_stack((columns + region.origin[2], rows + region.origin[1])).astype(np.float64) + 0.5


def outline(region: Region, slice_index: int) -> Points:
    """Closed line along the pixels' edges around the region's widest part on a slice that it spans."""
    widest = max(polygons(_plane(region, slice_index)), key=lambda part: float(np.prod(np.ptp(part, axis=0))))
    return np.vstack((widest, widest[:1]))[:, ::-1] + (region.origin[2], region.origin[1]) + 0.5


def _plane(region: Region, slice_index: int) -> Mask:
    plane: Mask = region.mask[slice_index - region.origin[0]]
    return plane
