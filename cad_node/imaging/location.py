"""Where in the lungs a nodule lies: side, height, how far from their border."""

from collections.abc import Iterator

import numpy as np
from pydicom.sr.coding import Code
from scipy import ndimage

from cad_node.findings import Point, Region
from cad_node.imaging.concepts import LEFT_LUNG, RIGHT_LUNG, ZONES
from cad_node.imaging.lungs import Lungs
from cad_node.imaging.shapes import Mask
from cad_node.imaging.volume import Volume

SEARCHED_MM = (15.0, 40.0, 100.0)  # around a nodule for the lung's border: most lie near it


def lung_with(region: Region, lungs: Lungs) -> tuple[Code, Region] | None:
    """The lung that holds most of a region, by name; None where neither holds any of it."""
    named = [(code, lung) for code, lung in ((LEFT_LUNG, lungs.left), (RIGHT_LUNG, lungs.right)) if lung]
    shared = [int((_within(lung, region.slices) & region.mask).sum()) for _, lung in named]
    return named[int(np.argmax(shared))] if any(shared) else None


def zone(volume: Volume, centre_lps_mm: Point, lung: Region) -> Code:
    """Upper, middle or lower third of the lung's height."""
    first, last = lung.origin[0] - 0.5, lung.origin[0] + len(lung.mask) - 0.5
    z_mm = [volume.to_lps((index, lung.origin[1], lung.origin[2]))[2] for index in (first, last)]
    height = (centre_lps_mm[2] - min(z_mm)) / (max(z_mm) - min(z_mm))
    return ZONES[int(np.clip(3 * height, 0, 2))]


def distance_to_border_mm(volume: Volume, region: Region, lung: Region) -> float | None:
    """From the region's surface to where its lung ends, 0 where it touches. None if the volume ends first.

    Between the voxels' faces: between centres, and less the voxel on the way.
    """
    for box, searched_mm in _boxes(volume, region):
        within = ndimage.binary_erosion(_within(lung, box), np.ones((3, 3, 3), np.bool_), border_value=1)
        if not within.all():
            gap_mm = float(ndimage.distance_transform_edt(within, sampling=volume.spacing_mm)[_within(region, box)].min())
            if gap_mm <= searched_mm:
                return gap_mm
    return None


def _boxes(volume: Volume, region: Region) -> Iterator[tuple[tuple[slice, slice, slice], float]]:
    for margin_mm in SEARCHED_MM:
        z, y, x = (
            slice(max(0, part.start - int(margin_mm / mm) - 1), min(size, part.stop + int(margin_mm / mm) + 1))
            for part, mm, size in zip(region.slices, volume.spacing_mm, volume.voxels.shape, strict=True)
        )
        yield (z, y, x), margin_mm


def _within(region: Region, box: tuple[slice, slice, slice]) -> Mask:
    """The region's mask as it lies in a box of the volume."""
    mask = np.zeros([part.stop - part.start for part in box], np.bool_)
    low = [max(part.start, own.start) for part, own in zip(box, region.slices, strict=True)]
    high = [min(part.stop, own.stop) for part, own in zip(box, region.slices, strict=True)]
    if all(a < b for a, b in zip(low, high, strict=True)):
        there = tuple(slice(a - part.start, b - part.start) for a, b, part in zip(low, high, box, strict=True))
        here = tuple(slice(a - at, b - at) for a, b, at in zip(low, high, region.origin, strict=True))
        mask[there] = region.mask[here]
    return mask
