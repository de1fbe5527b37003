"""Real nodules put into lung tissue that has none: true shapes at any size, in other surroundings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.training.nodules.annotated import AnnotatedNodule

Triple = tuple[float, float, float]  # slice, row, column


def insert_nodule(voxels: NDArray[Any], spacing_mm: Triple, centre: Triple, nodule: AnnotatedNodule, diameter_mm: float) -> None:
    """Put the nodule, at about that diameter, into `voxels` (slice, row, column; HU), its middle at the index `centre`.

    Its edge is as soft as its readers disagreed, and what the grid can't show is averaged away.
    """
    source_mm = np.array([nodule.slice_spacing_mm, nodule.pixel_mm, nodule.pixel_mm]) * (diameter_mm / diameter_of(nodule))
    ratio = np.array(spacing_mm) / source_mm  # source voxels in one of the target's
    soften = 0.4 * np.maximum(ratio - 1, 0)
    cover, hu = (ndimage.gaussian_filter(array.astype(np.float32), soften) for array in (nodule.agreement, nodule.hu))
    reach = (np.array(nodule.hu.shape) / 2 + 1) / ratio
    box = tuple(
        slice(max(0, int(at - length)), min(size, int(at + length) + 2))
        for at, length, size in zip(centre, reach, voxels.shape, strict=True)
    )
    grid = np.stack(np.meshgrid(*(np.arange(side.start, side.stop) for side in box), indexing="ij"))
    middle = np.array(ndimage.center_of_mass(nodule.consensus))
    at = (grid - np.reshape(centre, (3, 1, 1, 1))) * ratio.reshape(3, 1, 1, 1) + middle.reshape(3, 1, 1, 1)
    share = ndimage.map_coordinates(cover, at, order=1, cval=0.0)
    voxels[box] += (share * (ndimage.map_coordinates(hu, at, order=1, mode="nearest") - voxels[box])).astype(voxels.dtype)


def diameter_of(nodule: AnnotatedNodule) -> float:
    """Of the disc as large as the consensus on the slice where that is largest, mm."""
    area_px = nodule.consensus.sum(axis=(1, 2)).max()
    return float(2 * np.sqrt(area_px / np.pi) * nodule.pixel_mm)
