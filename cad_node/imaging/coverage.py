"""How much of each voxel a nodule fills: what an outline of whole voxels can't say.

A voxel at the border holds nodule and lung; where its HU lies between theirs tells how much of either. So does the scanner's blur,
which moves part of the nodule into voxels around it: summed over a rim wide enough, nothing of it is lost.
"""

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.findings import Region
from cad_node.imaging.shapes import Mask
from cad_node.imaging.volume import Volume

RIM_MM = 1.75  # half the width of the rim in which voxels are shared, at least a voxel: two sigmas of most kernels' point spread
LUNG_HU = (-1024, -500)  # voxels around that may be lung, dense or emptied
LEVEL_MM = 1.25  # sigma over which the nodule's own HU is averaged: a part-solid one has more than one
MIN_LUNG_VOXELS = 20  # around, to know the lung's HU by
MIN_CONTRAST_HU = 80.0  # of nodule to lung: below, HU say nothing of the border, and the outline is taken as it is
OVERSHOOT = 0.25  # by which noise may take a share below 0 or above 1: cut there, it would add up

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Coverage:
    """share: (slice, row, column) float32 of a box whose voxel (0, 0, 0) is the volume's voxel `origin`; about 0..1."""

    origin: tuple[int, int, int]
    share: Floats


def cover(volume: Volume, region: Region) -> Coverage:
    """The share of each voxel that belongs to the nodule outlined by `region`.

    Inside the rim's inner edge it is 1. In the rim it is where the voxel's HU lies between the lung's (one value: what is around)
    and the nodule's (of the part nearest). What is as bright as the nodule and leads away from it is a vessel or the chest wall:
    it has no share, nor has what lies nearer to it. Without contrast to the lung around the share is the outline's, 0 or 1.
    """
    box, mask = _around(volume, region)
    hu = volume.voxels[box].astype(np.float32)
    origin = box[0].start, box[1].start, box[2].start
    reach = tuple(mm / max(RIM_MM, mm) for mm in volume.spacing_mm)  # distances in rims
    outwards = ndimage.distance_transform_edt(~mask, sampling=reach)
    inwards = _depth(mask, reach)
    lung_hu = _lung_hu(hu, outwards)
    level_hu = _level_hu(hu, mask, inwards, volume.spacing_mm)
    if lung_hu is None or np.median(level_hu[mask]) - lung_hu < MIN_CONTRAST_HU:
        return Coverage(origin, mask.astype(np.float32))
    leads_away = _leading_away(hu > (level_hu + lung_hu) / 2, mask, outwards)
    shared = np.clip((hu - lung_hu) / np.maximum(level_hu - lung_hu, MIN_CONTRAST_HU), -OVERSHOOT, 1 + OVERSHOOT)
    own = _nearer(mask, leads_away, volume.spacing_mm)
    share = np.where(mask & (inwards > 1), 1.0, np.where((outwards <= 1) & own, shared, 0.0))
    return Coverage(origin, share.astype(np.float32))


def _around(volume: Volume, region: Region) -> tuple[tuple[slice, slice, slice], Mask]:
    """The region's box with two rims around it, cut at the volume's edge, and the mask in it."""
    margin = [int(np.ceil(2 * max(RIM_MM, mm) / mm)) + 1 for mm in volume.spacing_mm]
    z, y, x = (
        slice(max(0, at - wide), min(size, at + length + wide))
        for at, length, wide, size in zip(region.origin, region.mask.shape, margin, volume.voxels.shape, strict=True)
    )
    mask = np.zeros((z.stop - z.start, y.stop - y.start, x.stop - x.start), np.bool_)
    inside = tuple(
        slice(at - part.start, at - part.start + n) for at, part, n in zip(region.origin, (z, y, x), region.mask.shape, strict=True)
    )
    mask[inside] = region.mask
    return (z, y, x), mask


def _depth(mask: Mask, reach: tuple[float, ...]) -> NDArray[np.float64]:
    """Distance to what is outside, which goes on beyond the volume's edge only where the nodule doesn't."""
    return np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"), sampling=reach)[1:-1, 1:-1, 1:-1])


def _lung_hu(hu: Floats, outwards: NDArray[np.float64]) -> float | None:
    """Mean of what may be lung beyond the rim, without what stands out of it (as far above the median as the 5th percentile is below)."""
    beyond = hu[(outwards > 1) & (outwards <= 2) & (hu > LUNG_HU[0]) & (hu < LUNG_HU[1])]
    if beyond.size < MIN_LUNG_VOXELS:
        return None
    low, middle = np.percentile(beyond, (5, 50))
    return float(beyond[np.abs(beyond - middle) <= middle - low].mean())


def _level_hu(hu: Floats, mask: Mask, inwards: NDArray[np.float64], spacing_mm: tuple[float, float, float]) -> Floats:
    """The nodule's own HU at each voxel: the mean of its core, as far as that is near."""
    core = mask & (inwards > min(1.0, 0.9 * float(inwards.max())))
    sigma = [LEVEL_MM / mm for mm in spacing_mm]
    weight = ndimage.gaussian_filter(core.astype(np.float32), sigma)
    mean = ndimage.gaussian_filter(np.where(core, hu, 0.0).astype(np.float32), sigma) / np.maximum(weight, 1e-6)
    nearest = ndimage.distance_transform_edt(~core, sampling=spacing_mm, return_distances=False, return_indices=True)
    return np.asarray(mean[tuple(nearest)], np.float32)


def _leading_away(bright: Mask, mask: Mask, outwards: NDArray[np.float64]) -> Mask:
    """Bright parts outside the outline that reach beyond the rim."""
    labels = cc3d.connected_components(bright & ~mask, connectivity=6)
    return np.asarray(np.isin(labels, np.setdiff1d(labels[outwards > 1], [0])))


def _nearer(mask: Mask, other: Mask, spacing_mm: tuple[float, float, float]) -> Mask:
    if not other.any():
        return np.ones_like(mask)
    to_mask, to_other = (ndimage.distance_transform_edt(~part, sampling=spacing_mm) for part in (mask, other))
    return np.asarray(to_mask < to_other)
