"""The large shapes of the chest as signed distances (mm, negative inside), on a coarse grid that is interpolated to the fine one."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cad_node.findings import Point
from cad_node.phantom.grid import Array, Grid

_COARSE_MM = 3.0
_HALF_FIELD_MM = 260.0  # the anatomy's own field; a larger grid sees air beyond it


class Anatomy:
    """Signed distances of the chest's large shapes.

    Kept per shape as (slice, row, column) float32 on cubes of 3 mm, centred on the origin.
    """

    def __init__(self, grid: Grid, rng: np.random.Generator) -> None:
        half_mm = min(_HALF_FIELD_MM, float(grid.x_mm[-1]) + _COARSE_MM)
        self.xy_mm = np.arange(-half_mm, half_mm + _COARSE_MM, _COARSE_MM, dtype=np.float32)
        self.z_mm = np.arange(grid.z_mm[0], grid.z_mm[-1] + 2 * _COARSE_MM, _COARSE_MM, dtype=np.float32)
        self.shapes = _shapes(self.xy_mm[None, None, :], self.xy_mm[None, :, None], self.z_mm[:, None, None])
        self.shapes["texture"] = _texture(self.shapes["lungs"].shape, rng)
        position = np.clip((grid.x_mm - self.xy_mm[0]) / _COARSE_MM, 0, len(self.xy_mm) - 1.001)
        self._below = position.astype(int)  # coarse neighbours of each fine column, and of each row
        self._part = (position - self._below).astype(np.float32)

    def on_plane(self, name: str, z_mm: float) -> Array:
        """One shape on the fine grid's plane at z_mm: (row, column)."""
        position = (z_mm - float(self.z_mm[0])) / _COARSE_MM
        below = min(int(position), len(self.z_mm) - 2)
        shape = self.shapes[name]
        coarse = _between(shape[below], shape[below + 1], np.float32(position - below))
        rows = _between(coarse[self._below], coarse[self._below + 1], self._part[:, None])
        return _between(rows[:, self._below], rows[:, self._below + 1], self._part)

    def in_heart(self, point: Point) -> bool:
        """Whether `point` (LPS mm) lies in the heart or its fat."""
        x, y, z = (int(np.abs(axis - at).argmin()) for axis, at in zip((self.xy_mm, self.xy_mm, self.z_mm), point, strict=True))
        return bool(self.shapes["heart"][z, y, x] < 2)

    def points_in_lung(self, side: int, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Random points well inside one lung: (count, 3) LPS mm; side is +1 for the left, -1 for the right."""
        inside = np.argwhere((self.shapes["lungs"] < -4) & (side * self.xy_mm > 0))
        chosen = inside[rng.integers(len(inside), size=count)] if len(inside) else np.empty((0, 3), int)
        points = np.stack((self.xy_mm[chosen[:, 2]], self.xy_mm[chosen[:, 1]], self.z_mm[chosen[:, 0]]), axis=1)
        return points.astype(np.float64) + rng.uniform(-1.5, 1.5, points.shape)


def taper(z_mm: Array) -> Array:
    """Width of the thorax at a height, as a share of its greatest: a dome above, a gentle waist below."""
    dome = np.sqrt(np.clip(1 - (np.clip(z_mm - 15, 0, None) / 116) ** 2, 1e-4, 1))
    waist = 1 - 0.04 * (np.clip(-z_mm - 60, 0, None) / 80) ** 2
    return dome * waist


def _shapes(x: Array, y: Array, z: Array) -> dict[str, Array]:
    shoulder = 1 - 0.2 * np.clip((z - 70) / 70, 0, 1) ** 2
    body = _ellipse(x / (168 * shoulder), (y - 8) / (114 * shoulder), 114, power=2.4)
    cavity = _ellipse(x / (134 * taper(z)), y / (88 * taper(z)), 88 * taper(z), power=2.2)
    mediastinum = _ellipse(x / (27 + 9 * np.exp(-(((z - 20) / 60) ** 2))), (y + 4) / 92, 32, power=2.0)
    heart = _ellipse((x - 24 + 0.25 * y) / 60, (y + 30) / 46, 46, (z + 50 + 0.2 * (x - 24)) / 48)
    above_diaphragm = (z - _diaphragm_z_mm(x, y)) * np.float32(0.85)
    vertebrae = _ellipse(x / 30, (y - 72) / 27, 27)
    lungs = cavity + 2
    for other in (mediastinum, heart, above_diaphragm, vertebrae):
        lungs = _smooth_max(lungs, -other, 5.0)
    shapes = {"body": body, "cavity": cavity, "heart": heart, "above_diaphragm": above_diaphragm, "lungs": lungs}
    full = np.broadcast_shapes(x.shape, y.shape, z.shape)
    return {name: np.ascontiguousarray(np.broadcast_to(shape, full), np.float32) for name, shape in shapes.items()}


def _diaphragm_z_mm(x: Array, y: Array) -> Array:
    """Height of the diaphragm: right dome, left dome, and the central tendon that the heart lies on."""
    right = -66 - 48 * (((x + 70) / 78) ** 2 + ((y - 8) / 88) ** 2)
    left = -76 - 48 * (((x - 74) / 78) ** 2 + ((y - 8) / 88) ** 2)
    tendon = -88 - 48 * (((x - 5) / 80) ** 2 + ((y + 15) / 88) ** 2)
    return _smooth_max(_smooth_max(right, left, 16.0), tendon, 16.0)


def _ellipse(u: Array, v: Array, scale_mm: float | Array, w: Array | float = 0.0, power: float = 2.0) -> Array:
    """Distance to a (super)ellipse, exact on its surface's short axis and a little short elsewhere."""
    k = (np.abs(u) ** power + np.abs(v) ** power + np.abs(w) ** power) ** (1 / power)
    return ((k - 1) * scale_mm).astype(np.float32)


def _smooth_max(a: Array, b: Array, radius_mm: float) -> Array:
    """Maximum with a rounded edge: shapes cut from each other don't end in knives."""
    blend = np.clip(0.5 + 0.5 * (a - b) / radius_mm, 0, 1)
    return b + (a - b) * blend + radius_mm * blend * (1 - blend)


def _texture(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Uneven aeration of the lung: HU to add."""
    coarse = gaussian_filter(rng.standard_normal(shape, np.float32), 2.5)
    fine = gaussian_filter(rng.standard_normal(shape, np.float32), 0.8)
    hu: Array = 14 * coarse / coarse.std() + 9 * fine / fine.std()
    return hu


def _between(low: Array, high: Array, part: Array | np.float32) -> Array:
    return low + part * (high - low)
