"""Real nodules put into lung tissue that has none: true shapes at any size, in other surroundings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.training.nodules.annotated import AnnotatedNodule

Point = tuple[float, float, float]


def insert_nodule(
    voxels: NDArray[Any], spacing_mm: Point, centre: Point, nodule: AnnotatedNodule, diameter_mm: float
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """The voxels with a nodule of about that diameter in them, and how much of each voxel is nodule (0..1); both (slice, row, column).

    centre: where to, in voxels. Its edge is as soft as its readers disagreed.
    """
    from_mm = np.array([nodule.slice_spacing_mm, nodule.pixel_mm, nodule.pixel_mm]) * (diameter_mm / diameter_of(nodule))
    ratio = np.array(spacing_mm) / from_mm  # source pixels in one of the target's
    soften = 0.4 * np.maximum(ratio - 1, 0)
    cover, hu = (ndimage.gaussian_filter(array.astype(np.float32), soften) for array in (nodule.agreement, nodule.hu))
    middle = np.array(ndimage.center_of_mass(nodule.consensus))
    reach = (np.array(nodule.hu.shape) / 2 + 1) / ratio
    box = tuple(
        slice(max(0, int(at - length)), min(size, int(at + length) + 2))
        for at, length, size in zip(centre, reach, voxels.shape, strict=True)
    )
    grid = np.stack(np.meshgrid(*(np.arange(side.start, side.stop) for side in box), indexing="ij"))
    at = (grid - np.reshape(centre, (3, 1, 1, 1))) * ratio.reshape(3, 1, 1, 1) + middle.reshape(3, 1, 1, 1)
    share = np.zeros(voxels.shape, np.float32)
    share[box] = ndimage.map_coordinates(cover, at, order=1, cval=0.0)
    inserted = voxels.copy()
    tissue = voxels[box]
    inserted[box] = tissue + share[box] * (ndimage.map_coordinates(hu, at, order=1, mode="nearest") - tissue)
    return inserted, share


def diameter_of(nodule: AnnotatedNodule) -> float:
    """Of the disc as large as the consensus on the slice where that is largest, mm."""
    area_px = nodule.consensus.sum(axis=(1, 2)).max()
    return float(2 * np.sqrt(area_px / np.pi) * nodule.pixel_mm)
