"""Slabs made by the project itself, of balls, vessels and plain lung in noise: golden cases, free of anyone's data."""

import numpy as np
from numpy.typing import NDArray

LUNG_HU, NODULE_HU, GLASS_HU = -860.0, 30.0, -550.0
NOISE_HU = 25.0
GAP_PX = 2.0  # between the slices of a slab


def golden_slabs(size_px: int) -> NDArray[np.float32]:
    """(8, 3, size_px, size_px) HU: 0-3 solid balls of growing size, 4 ground glass, 5-6 vessels that pass through, 7 lung alone."""
    random = np.random.default_rng(20)
    balls = [_ball(radius_px, size_px) * (NODULE_HU - LUNG_HU) for radius_px in (3.0, 5.0, 8.0, 12.0)]
    glass = _ball(7.0, size_px) * (GLASS_HU - LUNG_HU)
    vessels = [_vessel(angle_rad, size_px) * (NODULE_HU - LUNG_HU) for angle_rad in (0.4, 1.9)]
    slabs = LUNG_HU + np.stack([*balls, glass, *vessels, np.zeros_like(glass)])
    return (slabs + random.normal(0, NOISE_HU, slabs.shape)).astype(np.float32)


def _ball(radius_px: float, size_px: int) -> NDArray[np.float64]:
    """How much of each pixel a ball in the middle covers, 0..1."""
    depth, rows, columns = _offsets(size_px)
    return np.asarray(np.clip(radius_px + 0.5 - np.sqrt(depth**2 + rows**2 + columns**2), 0, 1))


def _vessel(angle_rad: float, size_px: int) -> NDArray[np.float64]:
    _, rows, columns = _offsets(size_px)
    return np.asarray(np.clip(2.5 - np.abs(rows * np.cos(angle_rad) - columns * np.sin(angle_rad)), 0, 1)).repeat(3, axis=0)


def _offsets(size_px: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Distance of each slice, row and column from the middle, in pixels."""
    along = np.arange(size_px, dtype=np.float64) - (size_px - 1) / 2
    return np.array([-GAP_PX, 0.0, GAP_PX], np.float64)[:, None, None], along[None, :, None], along[None, None, :]
