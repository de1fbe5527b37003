"""A mask's outlines on one slice as closed polygons. Every pixel's centre is inside them or outside, as the mask has it."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from skimage.measure import approximate_polygon, find_contours, points_in_poly

from cad_node.imaging.shapes import Mask

Points = NDArray[np.float64]  # (N, 2): (row, column) indices, 0 at a pixel's centre; the last point isn't the first again


def polygons(plane: Mask) -> list[Points]:
    """One for each part of the mask, whose pixels touch by their edges; it runs midway between pixels' centres.

    A hole is joined to what is around it by a channel of no width, there and back: the keyhole of PS3.3 C.8.8.6.3,
    which readers that know only one kind of polygon show, too.
    """
    lines = [_without_points_on_the_way(line[:-1]) - 1 for line in find_contours(np.pad(plane, 1).astype(np.float32), 0.5)]  # type: ignore[no-untyped-call]
    areas = [_signed_area(line) for line in lines]
    around = [(line, area) for line, area in zip(lines, areas, strict=True) if area > 0]
    holes: list[list[Points]] = [[] for _ in around]
    for hole in (line for line, area in zip(lines, areas, strict=True) if area < 0):
        owners = [index for index, (line, _) in enumerate(around) if points_in_poly(hole[:1], line)[0]]  # type: ignore[no-untyped-call]
        holes[min(owners, key=lambda index: around[index][1])].append(hole)
    return [_keyholed(line, its_holes) for (line, _), its_holes in zip(around, holes, strict=True)]


def simplified(polygon: Points, tolerance_px: float) -> Points:
    """Fewer points, none of which leaves the polygon by more than the tolerance."""
    closed: Points = approximate_polygon(np.vstack((polygon, polygon[:1])), tolerance_px)  # type: ignore[no-untyped-call]
    return closed[:-1]


def _without_points_on_the_way(line: Points) -> Points:
    """Without those that lie on the straight line from the one before to the one after."""
    before, after = line - np.roll(line, 1, axis=0), np.roll(line, -1, axis=0) - line
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return np.asarray(line[turns])


def _signed_area(line: Points) -> float:
    """Above 0 where the mask is inside, as find_contours() winds them."""
    after = np.roll(line, -1, axis=0)
    return float((line[:, 1] * after[:, 0] - line[:, 0] * after[:, 1]).sum()) / 2


def _keyholed(line: Points, holes: list[Points]) -> Points:
    """The nearest hole first, each from the nearest point of what is joined already: so no channel crosses another hole."""
    if not holes:
        return line
    points, owner = np.vstack(holes), np.repeat(np.arange(len(holes)), [len(hole) for hole in holes])
    gap, across = np.full(len(points), np.inf), np.zeros_like(points)
    joined: Points = line
    while len(points):
        distance, nearest = (np.asarray(found) for found in KDTree(joined).query(points))
        closer = distance < gap
        gap[closer], across[closer] = distance[closer], joined[nearest[closer]]
        entry = gap.argmin()
        joined = np.roll(holes[owner[entry]], -int(entry - np.searchsorted(owner, owner[entry])), axis=0)
        at = int(np.flatnonzero((line == across[entry]).all(axis=1))[0])
        line = np.vstack((line[: at + 1], joined, joined[:1], line[at:]))
        waiting = owner != owner[entry]
        points, owner, gap, across = points[waiting], owner[waiting], gap[waiting], across[waiting]
    return line
