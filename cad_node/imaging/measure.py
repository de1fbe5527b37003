"""Sizes of a region in millimetres of patient space."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import cdist

from cad_node.findings import Axis, Point, Region
from cad_node.imaging.volume import Volume

Points = NDArray[np.float64]  # (N, 2)


@dataclass(frozen=True, slots=True)
class Size:
    centre_lps_mm: Point
    volume_mm3: float
    mean_hu: float
    long_axis: Axis
    short_axis: Axis


def measure(volume: Volume, region: Region) -> Size:
    """Centre of mass, volume, mean HU, longest axial diameter and the longest perpendicular to it on the same slice."""
    z, y, x = (float(o + c) for o, c in zip(region.origin, ndimage.center_of_mass(region.mask), strict=True))
    long_axis, short_axis = _axes(volume, region)
    return Size(
        centre_lps_mm=volume.to_lps((z, y, x)),
        volume_mm3=float(region.mask.sum() * np.prod(volume.spacing_mm)),
        mean_hu=float(volume.voxels[region.slices][region.mask].mean()),
        long_axis=long_axis,
        short_axis=short_axis,
    )


def _axes(volume: Volume, region: Region) -> tuple[Axis, Axis]:
    """Of the slice with the longest diameter; ends lie on the outer edge of the mask's pixels."""
    step_mm = np.array(volume.spacing_mm[1:])
    best: tuple[float, int, Points] | None = None
    for index, plane in enumerate(region.mask):
        if not plane.any():
            continue
        points = np.argwhere(plane) * step_mm
        length, ends = _farthest(points)
        if best is None or length > best[0]:
            best = length, index, ends
    assert best is not None, "a region isn't empty"
    _, index, ends = best
    direction = _direction(ends)
    across = _widest_across(np.argwhere(region.mask[index]) * step_mm, direction, float(step_mm.min()))
    perpendicular = np.array([-direction[1], direction[0]])
    slice_index = region.origin[0] + index
    return (
        _axis(volume, region, slice_index, _to_edges(ends, direction, step_mm)),
        _axis(volume, region, slice_index, _to_edges(across, perpendicular, step_mm)),
    )


def _farthest(points: Points) -> tuple[float, Points]:
    """The two points farthest apart."""
    corners = points
    if len(points) > 3:
        try:
            corners = points[ConvexHull(points).vertices]
        except QhullError:  # all on one line
            corners = points[[np.lexsort(points.T)[0], np.lexsort(points.T)[-1]]]
    distances = cdist(corners, corners)
    first, second = np.unravel_index(np.argmax(distances), distances.shape)
    return float(distances[first, second]), np.stack([corners[first], corners[second]])


def _direction(ends: Points) -> NDArray[np.float64]:
    along = ends[1] - ends[0]
    length = float(np.linalg.norm(along))
    return along / length if length else np.array([0.0, 1.0])


def _widest_across(points: Points, direction: NDArray[np.float64], step_mm: float) -> Points:
    """Ends of the longest chord perpendicular to `direction`, among strips one pixel wide."""
    perpendicular = np.array([-direction[1], direction[0]])
    along, across = points @ direction, points @ perpendicular
    strips = np.round((along - along.min()) / step_mm).astype(int)
    extents = [(np.ptp(across[strips == strip]), strip) for strip in np.unique(strips)]
    _, strip = max(extents)
    chosen = strips == strip
    middle = along[chosen].mean()
    return np.stack([middle * direction + value * perpendicular for value in (across[chosen].min(), across[chosen].max())])


def _to_edges(ends: Points, direction: NDArray[np.float64], step_mm: NDArray[np.float64]) -> Points:
    """From pixel centres to where the line leaves the outermost pixels."""
    with np.errstate(divide="ignore"):
        half = float(np.min(step_mm / 2 / np.abs(direction)))
    return np.stack([ends[0] - half * direction, ends[1] + half * direction])


def _axis(volume: Volume, region: Region, slice_index: int, ends_mm: Points) -> Axis:
    rows_columns = ends_mm / np.array(volume.spacing_mm[1:]) + region.origin[1:]
    (row0, column0), (row1, column1) = ((float(r), float(c)) for r, c in rows_columns)
    start, end = volume.to_lps((slice_index, row0, column0)), volume.to_lps((slice_index, row1, column1))
    return Axis(
        slice_index=slice_index,
        ends_lps_mm=(start, end),
        ends_px=((column0 + 0.5, row0 + 0.5), (column1 + 0.5, row1 + 0.5)),  # SCOORD: a pixel's centre is at .5
        length_mm=float(np.linalg.norm(np.subtract(end, start))),
    )
