"""Solids of known size alone in lung, as a scanner of known sharpness shows them: what measurements are tested on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import pdist

from cad_node.findings import Point
from cad_node.phantom.tissues import LUNG

FINE_MM = (0.3, 0.25)  # across slices and within them: the grid that partial volume is summed on, at most
MARGIN_MM = 8.0  # of lung around a solid
NOISE_SIGMA_MM = 0.55  # grain of the noise


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """Axis-parallel; centre and radii in mm along (z, y, x)."""

    centre_mm: Point
    radii_mm: Point


Solid = Sequence[Ellipsoid]  # their union


@dataclass(frozen=True, slots=True)
class Scan:
    """How a solid is scanned.

    blur_mm: sigma of the point spread within the plane; a slice is a box as thick as its spacing.
    """

    slice_spacing_mm: float
    pixel_spacing_mm: float = 0.7
    blur_mm: float = 0.45
    solid_hu: float = 40.0


def ball(diameter_mm: float) -> Solid:
    return ellipsoid(diameter_mm, diameter_mm, diameter_mm)


def ellipsoid(z_mm: float, y_mm: float, x_mm: float) -> Solid:
    """By its three diameters."""
    return (Ellipsoid((0.0, 0.0, 0.0), (z_mm / 2, y_mm / 2, x_mm / 2)),)


def lobulated(diameter_mm: float) -> Solid:
    """A ball with three lobes, `diameter_mm` wide at the most, about."""
    r = diameter_mm / 2
    lobes = ((0.0, 0.0, 0.45, 0.55), (0.25, 0.35, -0.3, 0.5), (-0.3, -0.35, -0.25, 0.5))
    return tuple(Ellipsoid((z * r, y * r, x * r), (size * r,) * 3) for z, y, x, size in ((0.0, 0.0, 0.0, 0.62), *lobes))


def volume_mm3(solid: Solid, step_mm: float = 0.1) -> float:
    """Counted on a grid of step_mm; for one ellipsoid exact."""
    if len(solid) == 1:
        return float(4 / 3 * np.pi * np.prod(solid[0].radii_mm))
    low, high = _bounds(solid)
    axes = [np.arange(a, b + step_mm, step_mm) for a, b in zip(low, high, strict=True)]
    return float(_inside(solid, axes[0], axes[1], axes[2]).sum() * step_mm**3)


def axial_diameter_mm(solid: Solid, step_mm: float = 0.1) -> float:
    """The longest distance between two points of one axial section, over all of them."""
    low, high = _bounds(solid)
    return max((_diameter_at(solid, z) for z in np.arange(low[0] + step_mm / 2, high[0], step_mm)), default=0.0)


def scan_solid(solid: Solid, scan: Scan, offset: Point) -> NDArray[np.float32]:
    """(slice, row, column) HU without noise; the solid's origin lies `offset` voxels from the middle voxel's centre."""
    spacing = np.array([scan.slice_spacing_mm, scan.pixel_spacing_mm, scan.pixel_spacing_mm])
    low, high = _bounds(solid)
    half = np.ceil((np.maximum(-low, high) + MARGIN_MM) / spacing).astype(int) + 1
    parts = np.ceil(spacing / (FINE_MM[0], FINE_MM[1], FINE_MM[1])).astype(int)
    z, y, x = (_fine_mm(int(n), mm, int(k), at) for n, mm, k, at in zip(half, spacing, parts, offset, strict=True))
    occupied = _inside(solid, z, y, x).reshape(2 * half[0] + 1, parts[0], len(y), len(x)).mean(axis=1, dtype=np.float32)
    blurred = gaussian_filter(occupied, (0.0, *(scan.blur_mm * parts[1:] / spacing[1:])), truncate=4)
    covered = blurred.reshape(len(occupied), 2 * half[1] + 1, parts[1], 2 * half[2] + 1, parts[2]).mean(axis=(2, 4))
    return np.asarray(LUNG + covered * (scan.solid_hu - LUNG), np.float32)


def noise(shape: tuple[int, ...], sd_hu: float, pixel_spacing_mm: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Grainy within the plane, independent from slice to slice."""
    grain = gaussian_filter(rng.standard_normal(shape, np.float32), (0.0, *(2 * (NOISE_SIGMA_MM / pixel_spacing_mm,))), truncate=3)
    return np.asarray(grain * (sd_hu / grain.std()), np.float32)


def _bounds(solid: Solid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low = np.min([np.subtract(part.centre_mm, part.radii_mm) for part in solid], axis=0)
    return low, np.max([np.add(part.centre_mm, part.radii_mm) for part in solid], axis=0)


def _fine_mm(half: int, spacing_mm: float, parts: int, offset: float) -> NDArray[np.float32]:
    """Coordinates of `parts` points in each of 2 * half + 1 voxels, relative to the solid's origin."""
    within = (np.arange(parts) + 0.5) / parts - 0.5
    return ((np.arange(-half, half + 1)[:, None] + within - offset) * spacing_mm).ravel().astype(np.float32)


def _inside(solid: Solid, z: NDArray[np.floating], y: NDArray[np.floating], x: NDArray[np.floating]) -> NDArray[np.bool_]:
    inside = np.zeros((len(z), len(y), len(x)), np.bool_)
    for part in solid:
        u, v, w = (((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), part.centre_mm, part.radii_mm, strict=True))
        inside |= u[:, None, None] + v[:, None] + w <= 1
    return inside


def _diameter_at(solid: Solid, z_mm: float) -> float:
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    outline = []
    for part in solid:
        share = 1 - ((z_mm - part.centre_mm[0]) / part.radii_mm[0]) ** 2
        if share > 0:
            ring = np.stack([np.sin(turn) * part.radii_mm[1], np.cos(turn) * part.radii_mm[2]], axis=1)
            outline.append(np.array(part.centre_mm[1:]) + ring * np.sqrt(share))
    return float(pdist(np.concatenate(outline)).max()) if outline else 0.0
