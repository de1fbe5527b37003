"""Patches made by the project itself, of nodules, vessels and plain lung in noise: the golden case, free of anyone's data."""

import numpy as np
from numpy.typing import NDArray

LUNG_HU, SOFT_TISSUE_HU = -860.0, 30.0
NOISE_HU = 25.0


def nodule_golden_patches(size_px: int) -> NDArray[np.float32]:
    """(16, 1, P, P) float32 HU: 0-5 nodules of growing size, 6-9 vessels that pass through, 10-15 lung with nothing at the centre."""
    random = np.random.default_rng(20)
    nodules = [_disc(size_px, radius_px) for radius_px in (4.0, 5.0, 6.0, 7.0, 8.5, 10.0)]
    vessels = [_vessel(size_px, angle_rad, width_px) for angle_rad, width_px in ((0.2, 3.0), (0.9, 4.0), (1.6, 5.0), (2.6, 6.0))]
    plain = [np.zeros((size_px, size_px)) for _ in range(6)]
    covers = np.stack(nodules + vessels + plain)
    texture = random.normal(0, NOISE_HU, covers.shape)
    patches = LUNG_HU + covers * (SOFT_TISSUE_HU - LUNG_HU) + texture
    return patches[:, np.newaxis].astype(np.float32)


def _disc(size_px: int, radius_px: float) -> NDArray[np.float64]:
    """How much of each pixel a central disc covers, 0..1."""
    rows, columns = _offsets(size_px)
    cover: NDArray[np.float64] = np.clip(radius_px + 0.5 - np.hypot(rows, columns), 0, 1)
    return cover


def _vessel(size_px: int, angle_rad: float, width_px: float) -> NDArray[np.float64]:
    rows, columns = _offsets(size_px)
    distance = np.abs(rows * np.cos(angle_rad) - columns * np.sin(angle_rad))
    cover: NDArray[np.float64] = np.clip(width_px / 2 + 0.5 - distance, 0, 1)
    return cover


def _offsets(size_px: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column distance of each pixel from the centre."""
    along = np.arange(size_px) - (size_px - 1) / 2
    rows, columns = np.meshgrid(along, along, indexing="ij")
    return rows, columns
