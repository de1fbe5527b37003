"""Sizes of a region in millimetres of patient space."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cad_node.findings import Axis, Point, Region
from cad_node.imaging.axes import measure_axes
from cad_node.imaging.coverage import cover
from cad_node.imaging.volume import Volume


@dataclass(frozen=True, slots=True)
class Size:
    """segment_volume_mm3 is that of the region's voxels; volume_mm3 counts each by the share that the nodule fills."""

    centre_lps_mm: Point
    volume_mm3: float
    segment_volume_mm3: float
    mean_hu: float
    long_axis: Axis
    short_axis: Axis

    @property
    def effective_diameter_mm(self) -> float:
        """Of the ball that has this volume."""
        return float(np.cbrt(6 * self.volume_mm3 / np.pi))


def measure(volume: Volume, region: Region) -> Size:
    """Centre of the outline, volume, mean HU of its voxels, longest axial diameter and the longest across it on the same slice."""
    z, y, x = (float(o + c) for o, c in zip(region.origin, ndimage.center_of_mass(region.mask), strict=True))
    coverage = cover(volume, region)
    long_axis, short_axis = measure_axes(volume, region, coverage)
    voxel_mm3 = float(np.prod(volume.spacing_mm))
    return Size(
        centre_lps_mm=volume.to_lps((z, y, x)),
        volume_mm3=float(coverage.share.sum(dtype=np.float64)) * voxel_mm3,
        segment_volume_mm3=int(region.mask.sum()) * voxel_mm3,
        mean_hu=float(volume.voxels[region.slices][region.mask].mean()),
        long_axis=long_axis,
        short_axis=short_axis,
    )
