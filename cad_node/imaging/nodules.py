"""Where a nodule's border runs, once something has drawn its outline: half-way between nodule and lung."""

import cc3d
import numpy as np
from scipy import ndimage

from cad_node.findings import Region
from cad_node.imaging.coverage import cover
from cad_node.imaging.shapes import Mask, box_around
from cad_node.imaging.volume import Volume


def settle_border(volume: Volume, region: Region) -> Region:
    """The same nodule with its border half-way between its own HU and the lung's, no further from where it was than a voxel or so.

    What leads away from it, vessels and the chest wall, stays off. A nodule of which nothing would be left stays as it is.
    """
    coverage = cover(volume, region)
    at = np.subtract(region.origin, coverage.origin)
    old = np.zeros(coverage.share.shape, np.bool_)
    old[tuple(slice(start, start + n) for start, n in zip(at, region.mask.shape, strict=True))] = region.mask
    new = ndimage.binary_fill_holes(coverage.share >= 0.5)
    parts = cc3d.connected_components(new, connectivity=6)
    shared = np.bincount(parts[old & new], minlength=1)
    shared[0] = 0
    return region_of(parts == np.argmax(shared), coverage.origin) if shared.any() else region


def region_of(mask: Mask, origin: tuple[int, int, int]) -> Region:
    """A mask that isn't empty, cropped. origin: the volume's voxel that is the mask's first."""
    box = box_around(mask)
    z, y, x = (start + part.start for start, part in zip(origin, box, strict=True))
    return Region((z, y, x), np.ascontiguousarray(mask[box]))
