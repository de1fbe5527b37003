"""The voxel grid that the phantom is drawn on, and what is drawn with analytic edges onto it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cad_node.findings import Point
from cad_node.phantom.nodules import PhantomNodule

Array = NDArray[np.floating]

_SUPERSAMPLES = 4  # per axis and voxel, for nodules


@dataclass(frozen=True, slots=True)
class Grid:
    """An axial grid centred on the origin of LPS; x is left, y posterior, z superior."""

    slices: int
    size_px: int
    spacing_mm: float
    pixel_spacing_mm: float

    @property
    def x_mm(self) -> Array:  # of columns, and of rows as y: the planes are square
        return ((np.arange(self.size_px) - (self.size_px - 1) / 2) * self.pixel_spacing_mm).astype(np.float32)

    @property
    def z_mm(self) -> Array:
        return ((np.arange(self.slices) - (self.slices - 1) / 2) * self.spacing_mm).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Tube:
    """A piece of a vessel, a bronchus or a rib: a cone with round ends."""

    start: Point
    end: Point
    start_radius_mm: float
    end_radius_mm: float


def draw_tube(hu: Array, grid: Grid, tube: Tube, value_hu: float, around_hu: float) -> None:
    """Draw `tube` into hu (slice, row, column); at its edge it is mixed with around_hu, and never hides what is further from that."""
    start, end = np.array(tube.start), np.array(tube.end)
    margin = max(tube.start_radius_mm, tube.end_radius_mm) + max(grid.spacing_mm, grid.pixel_spacing_mm)
    box = _box(grid, np.minimum(start, end) - margin, np.maximum(start, end) + margin)
    if box is None:
        return
    x, y, z = _coordinates(grid, box)
    axis = end - start
    along = (x - start[0]) * axis[0] + (y - start[1]) * axis[1] + (z - start[2]) * axis[2]
    along = np.clip(along / max(float(axis @ axis), 1e-6), 0, 1)
    z_off = z - start[2] - along * axis[2]
    square = (x - start[0] - along * axis[0]) ** 2 + (y - start[1] - along * axis[1]) ** 2 + z_off**2 + 1e-6
    radius = tube.start_radius_mm + along * (tube.end_radius_mm - tube.start_radius_mm)
    # a voxel's extent in the direction of the surface's normal
    width = np.sqrt(grid.pixel_spacing_mm**2 + z_off**2 / square * (grid.spacing_mm**2 - grid.pixel_spacing_mm**2))
    covered = np.clip(0.5 + (radius - np.sqrt(square)) / width, 0, 1) * np.minimum(1, 2 * radius / width)
    _mix(hu, box, covered, value_hu, around_hu)


def draw_nodule(hu: Array, grid: Grid, nodule: PhantomNodule, around_hu: float) -> None:
    """Draw `nodule` with supersampled edges."""
    _draw_sphere(hu, grid, nodule.centre_lps_mm, nodule.diameter_mm, value_hu=nodule.density_hu, around_hu=around_hu)
    if nodule.core_diameter_mm:
        core_hu, shell_hu = nodule.core_density_hu, nodule.density_hu
        _draw_sphere(hu, grid, nodule.centre_lps_mm, nodule.core_diameter_mm, value_hu=core_hu, around_hu=shell_hu)


def _draw_sphere(hu: Array, grid: Grid, centre: Point, diameter_mm: float, *, value_hu: float, around_hu: float) -> None:
    middle = np.array(centre)
    box = _box(grid, middle - diameter_mm / 2 - grid.spacing_mm, middle + diameter_mm / 2 + grid.spacing_mm)
    if box is None:
        return
    x, y, z = _coordinates(grid, box)
    parts = (np.arange(_SUPERSAMPLES) + 0.5) / _SUPERSAMPLES - 0.5
    covered = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), np.float32)
    for dz in parts * grid.spacing_mm:
        for dy in parts * grid.pixel_spacing_mm:
            for dx in parts * grid.pixel_spacing_mm:
                square = (x + dx - centre[0]) ** 2 + (y + dy - centre[1]) ** 2 + (z + dz - centre[2]) ** 2
                covered += square <= (diameter_mm / 2) ** 2
    _mix(hu, box, covered / _SUPERSAMPLES**3, value_hu, around_hu)


Box = tuple[slice, slice, slice]


def _box(grid: Grid, low: NDArray[np.float64], high: NDArray[np.float64]) -> Box | None:
    def axis(coordinates: Array, at: int) -> slice:
        return slice(int(np.searchsorted(coordinates, low[at])), int(np.searchsorted(coordinates, high[at])))

    box = (axis(grid.z_mm, 2), axis(grid.x_mm, 1), axis(grid.x_mm, 0))
    return box if all(part.stop > part.start for part in box) else None


def _coordinates(grid: Grid, box: Box) -> tuple[Array, Array, Array]:
    return grid.x_mm[box[2]][None, None, :], grid.x_mm[box[1]][None, :, None], grid.z_mm[box[0]][:, None, None]


def _mix(hu: Array, box: Box, covered: Array, value_hu: float, around_hu: float) -> None:
    extreme: Callable[..., Array] = np.maximum if value_hu > around_hu else np.minimum
    drawn = np.where(covered > 0, around_hu + covered * (value_hu - around_hu), hu[box])
    hu[box] = extreme(hu[box], drawn)
