"""What a scanner makes of the anatomy: blur in the plane and across slices, and correlated noise."""

import numpy as np
from scipy.ndimage import gaussian_filter

from cad_node.phantom.grid import Array, Grid

_PSF_SIGMA_MM = 0.45  # in the plane; a full width at half maximum of 1.1 mm
_NEIGHBOUR_WEIGHT = 0.12  # a slice's profile reaches into its neighbours
_NOISE_SD_HU = 24.0
_NOISE_SIGMA_MM = 0.55  # grain of the noise


def scan_slice(hu: Array, slice_index: int, grid: Grid, rng: np.random.Generator) -> Array:
    """Slice `slice_index` of hu (slice, row, column) as the scanner shows it: (row, column) HU."""
    last = len(hu) - 1
    neighbours = hu[max(0, slice_index - 1)] + hu[min(last, slice_index + 1)]
    profile = (1 - 2 * _NEIGHBOUR_WEIGHT) * hu[slice_index] + _NEIGHBOUR_WEIGHT * neighbours
    return gaussian_filter(profile, _PSF_SIGMA_MM / grid.pixel_spacing_mm, truncate=3) + _noise(grid, rng)


def _noise(grid: Grid, rng: np.random.Generator) -> Array:
    white = rng.standard_normal((grid.size_px, grid.size_px), np.float32)
    grain = gaussian_filter(white, _NOISE_SIGMA_MM / grid.pixel_spacing_mm, truncate=3)
    from_centre = (grid.x_mm[None, :] / 200) ** 2 + (grid.x_mm[:, None] / 140) ** 2
    noise: Array = grain * (_NOISE_SD_HU / grain.std() * np.exp(-0.4 * from_centre))  # rays through the middle are weakened most
    return noise
