"""A candidate's outline: half-way between nodule and lung, with vessels and pleura taken off."""

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.findings import Region
from cad_node.imaging.candidates import Candidate
from cad_node.imaging.coverage import cover
from cad_node.imaging.shapes import Mask, Spacing, box_around, dilate, erode, part_at
from cad_node.imaging.volume import Volume

REACH = 1.5  # of the rough diameter: no voxel further from the centre belongs to the nodule
MARGIN_MM = 8.0  # around that, in the box that is looked at
CORE = 0.3  # of the rough diameter: the ball whose voxels tell the nodule's own HU
OPENING = 0.22  # of the rough diameter: tubes thinner than twice this are vessels
LUNG_HU = (-1000, -600)  # voxels that count as lung around a nodule
WALLED_IN = 0.4  # of its surface against tissue outside the lungs or against air: more is a piece of that tissue; a half ball has 0.33
SOLID_HU = -100.0  # brighter than this the nodule's core isn't needed exactly: the border lies half-way to soft tissue


def delineate(volume: Volume, lungs: Mask, candidate: Candidate) -> Region | None:
    """The nodule at a candidate, or None where nothing stands out or only the chest wall or the mediastinum does.

    lungs: the volume's shape, with nodules at the pleura inside.
    """
    box = _box(volume, candidate)
    hu = volume.voxels[box].astype(np.float32)
    centre = np.array(candidate.index) - [part.start for part in box]
    away_mm = _distances_mm(hu.shape, centre, volume.spacing_mm)
    near = away_mm <= REACH * candidate.diameter_mm / 2 + min(volume.spacing_mm)
    tissue = hu > _border_hu(hu, lungs[box], away_mm, candidate)
    bright = tissue & lungs[box] & near
    seed = _seed(bright, away_mm, candidate)
    if seed is None:
        return None
    body = _without_vessels(part_at(bright, seed), seed, OPENING * candidate.diameter_mm, volume.spacing_mm)
    filled = ndimage.binary_fill_holes(body)
    if _walled_in(filled, tissue, lungs[box]):
        return None
    return region_of(filled, (box[0].start, box[1].start, box[2].start))


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


def _box(volume: Volume, candidate: Candidate) -> tuple[slice, slice, slice]:
    half_mm = REACH * candidate.diameter_mm / 2 + MARGIN_MM
    z, y, x = (
        slice(max(0, int(at - half_mm / mm)), min(length, int(at + half_mm / mm) + 2))
        for at, mm, length in zip(candidate.index, volume.spacing_mm, volume.voxels.shape, strict=True)
    )
    return z, y, x


def _distances_mm(shape: tuple[int, ...], centre: NDArray[np.float64], spacing_mm: Spacing) -> NDArray[np.float32]:
    z, y, x = ((np.arange(n) - c) * mm for n, c, mm in zip(shape, centre, spacing_mm, strict=True))
    return np.asarray(np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2), np.float32)


def _border_hu(hu: NDArray[np.float32], lungs: Mask, away_mm: NDArray[np.float32], candidate: Candidate) -> float:
    """Half-way between the nodule's core and the lung around it."""
    core = hu[away_mm <= max(CORE * candidate.diameter_mm, float(away_mm.min()) + 1e-3)]
    around = hu[lungs & (hu > LUNG_HU[0]) & (hu < LUNG_HU[1])]
    lung_hu = float(np.median(around)) if around.size else -850.0
    core_hu = min(float(np.percentile(core, 75)), SOLID_HU + 100)
    return (core_hu + lung_hu) / 2


def _seed(bright: Mask, away_mm: NDArray[np.float32], candidate: Candidate) -> tuple[int, int, int] | None:
    """The bright voxel nearest to the centre, if any is within the nodule's rough radius."""
    distances = np.where(bright, away_mm, np.inf)
    z, y, x = (int(i) for i in np.unravel_index(np.argmin(distances), distances.shape))
    return (z, y, x) if distances[z, y, x] <= candidate.diameter_mm / 2 else None


def _without_vessels(nodule: Mask, seed: tuple[int, int, int], radius_mm: float, spacing_mm: Spacing) -> Mask:
    """Opening that keeps the nodule's own surface; a nodule too small to be opened stays as it is."""
    core = erode(np.pad(nodule, 1), radius_mm, spacing_mm)[1:-1, 1:-1, 1:-1]
    if not core.any():
        return nodule
    distances = ndimage.distance_transform_edt(~core, sampling=spacing_mm, return_distances=False, return_indices=True)
    z, y, x = (int(axis[seed]) for axis in distances)  # the core's voxel nearest to the seed
    return nodule & dilate(part_at(core, (z, y, x)), radius_mm * 1.2, spacing_mm)


def _walled_in(nodule: Mask, tissue: Mask, lungs: Mask) -> bool:
    """Whether it lies against the chest wall or the mediastinum more than a nodule can. Where a vessel was cut off doesn't count."""
    surface = ndimage.binary_dilation(nodule) & ~nodule
    walled, free = (surface & tissue & ~lungs).sum(), (surface & ~tissue).sum()
    return bool(walled > WALLED_IN * (walled + free))
