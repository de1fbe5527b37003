"""The longest axial diameter of a nodule and the longest across it, between points of its surface, finer than a pixel."""

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import cdist

from cad_node.findings import Axis, Region
from cad_node.imaging.coverage import Coverage
from cad_node.imaging.shapes import Mask
from cad_node.imaging.volume import Volume

HALF = 0.5  # the surface runs where a voxel is half filled
LINES_PER_PIXEL = 4  # across the long axis, and points on each

Points = NDArray[np.float64]  # (N, 2): (row, column)
Plane = NDArray[np.float32]


def measure_axes(volume: Volume, region: Region, coverage: Coverage) -> tuple[Axis, Axis]:
    """Long and short axis, on the slice with the longest: the short one is the longest chord at right angles to it."""
    step_mm = np.array(volume.spacing_mm[1:])
    best: tuple[float, int, Points] | None = None
    for slice_index, outlined in _outlined_planes(region, coverage):
        ends = _farthest(_surface(_plane(coverage, slice_index, outlined)), step_mm)
        length = float(np.linalg.norm((ends[1] - ends[0]) * step_mm))
        if best is None or length > best[0]:
            best = length, slice_index, ends
    assert best is not None, "a region isn't empty"
    _, slice_index, ends = best
    outlined = dict(_outlined_planes(region, coverage))[slice_index]
    across = _widest_across(_plane(coverage, slice_index, outlined), ends, step_mm)
    return _axis(volume, coverage, slice_index, ends), _axis(volume, coverage, slice_index, across)


def measure_section(volume: Volume, region: Region) -> Axis:
    """Long axis of the region's slice of greatest area, between the borders of its pixels."""
    widest = int(region.mask.sum(axis=(1, 2)).argmax())
    origin = region.origin[0] + widest, *region.origin[1:]
    section = Region(origin, region.mask[widest : widest + 1])
    return measure_axes(volume, section, Coverage(origin, section.mask.astype(np.float32)))[0]


def _outlined_planes(region: Region, coverage: Coverage) -> list[tuple[int, Mask]]:
    """(slice of the volume, the outline's plane on the coverage's grid) of each slice with an outline."""
    top, left = (at - start for at, start in zip(region.origin[1:], coverage.origin[1:], strict=True))
    planes = []
    for index, plane in enumerate(region.mask, region.origin[0]):
        if plane.any():
            outlined = np.zeros(coverage.share.shape[1:], np.bool_)
            outlined[top : top + plane.shape[0], left : left + plane.shape[1]] = plane
            planes.append((index, outlined))
    return planes


def _plane(coverage: Coverage, slice_index: int, outlined: Mask) -> Plane:
    """Shares in one slice, with a pixel of nothing around, of the parts that the outline touches."""
    share = coverage.share[slice_index - coverage.origin[0]]
    labels = cc3d.connected_components(share >= HALF, connectivity=4)
    own = np.isin(labels, np.setdiff1d(labels[outlined], [0]))
    if not own.any():  # less than half filled anywhere: thinner than a slice
        return np.pad(outlined.astype(np.float32), 1)
    return np.pad(np.where(own | (share < HALF), share, 0.0).astype(np.float32), 1)


def _surface(plane: Plane) -> Points:
    """Where the lines between neighbouring pixels' centres cross the surface."""
    crossings = []
    for axis in (0, 1):
        here, there = (plane[:-1], plane[1:]) if axis == 0 else (plane[:, :-1], plane[:, 1:])
        at = np.argwhere((here >= HALF) != (there >= HALF)).astype(np.float64)
        index = tuple(at.astype(int).T)
        at[:, axis] += (here[index] - HALF) / (here[index] - there[index])
        crossings.append(at)
    return np.concatenate(crossings)


def _farthest(points: Points, step_mm: NDArray[np.float64]) -> Points:
    """The two points that are farthest apart in millimetres."""
    try:
        corners = points[ConvexHull(points * step_mm).vertices]
    except QhullError:  # all on one line
        corners = points
    distances = cdist(corners * step_mm, corners * step_mm)
    first, second = np.unravel_index(np.argmax(distances), distances.shape)
    return np.stack([corners[first], corners[second]])


def _widest_across(plane: Plane, ends: Points, step_mm: NDArray[np.float64]) -> Points:
    """Ends of the longest unbroken chord at right angles to the line between `ends`."""
    along_mm = (ends[1] - ends[0]) * step_mm
    length_mm = float(np.linalg.norm(along_mm))
    direction = along_mm / length_mm
    normal = np.array([-direction[1], direction[0]])
    fine_mm = float(step_mm.min()) / LINES_PER_PIXEL
    lines_mm = np.linspace(0, length_mm, 2 * max(1, int(length_mm / fine_mm / 2)) + 1)  # one through the middle
    points_mm = np.arange(-length_mm - fine_mm, length_mm + 2 * fine_mm, fine_mm)
    at_mm = ends[0] * step_mm + lines_mm[:, None, None] * direction + points_mm[:, None] * normal
    share = ndimage.map_coordinates(plane, (at_mm / step_mm).transpose(2, 0, 1), order=1, mode="constant")
    chords = [_longest_run(values) for values in share]
    best = int(np.argmax([end - start for start, end in chords]))
    chord_mm = points_mm[0] + fine_mm * np.array(chords[best])
    return np.asarray((ends[0] * step_mm + lines_mm[best] * direction + chord_mm[:, None] * normal) / step_mm)


def _longest_run(values: Plane) -> tuple[float, float]:
    """Where the longest run of at least half begins and ends, in fractions of an index; (0, 0) if there is none."""
    inside = np.concatenate([[False], values >= HALF, [False]])
    changes = np.flatnonzero(inside[1:] != inside[:-1])  # first index of each run, and first after it
    if not changes.size:
        return 0.0, 0.0
    starts, ends = changes[::2], changes[1::2]
    longest = int(np.argmax(ends - starts))
    start, end = int(starts[longest]), int(ends[longest])
    return _crossing(values, start - 1, start), _crossing(values, end - 1, end)


def _crossing(values: Plane, before: int, after: int) -> float:
    if before < 0 or after >= len(values):
        return float(max(before, 0))
    return before + float((HALF - values[before]) / (values[after] - values[before]))


def _axis(volume: Volume, coverage: Coverage, slice_index: int, ends: Points) -> Axis:
    (row0, column0), (row1, column1) = (ends - 1 + coverage.origin[1:]).tolist()  # - 1: the pixel of nothing around
    start, end = volume.to_lps((slice_index, row0, column0)), volume.to_lps((slice_index, row1, column1))
    return Axis(
        slice_index=slice_index,
        ends_lps_mm=(start, end),
        ends_px=((column0 + 0.5, row0 + 0.5), (column1 + 0.5, row1 + 0.5)),  # SCOORD: a pixel's centre is at .5
        length_mm=float(np.linalg.norm(np.subtract(end, start))),
    )
