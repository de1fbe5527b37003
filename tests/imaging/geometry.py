"""Volumes made of arrays, for tests that need no files."""

import numpy as np
from pydicom.dataset import Dataset

from cad_node.imaging.volume import Volume


def volume_of(voxels: np.ndarray, spacing_mm: tuple[float, float, float], origin_lps_mm: tuple[float, float, float] = (0, 0, 0)) -> Volume:
    """Head first and supine: slices run up, rows to the back, columns to the patient's left."""
    z, y, x = spacing_mm
    affine = np.eye(4)
    affine[:3] = np.column_stack(([0, 0, z], [0, y, 0], [x, 0, 0], origin_lps_mm))
    source = Dataset()
    source.SeriesInstanceUID = "1.2.3.4"
    return Volume(np.asarray(voxels, np.int16), affine, (source,) * len(voxels))


def ball(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], centre: tuple[float, float, float], radii_mm) -> np.ndarray:
    """Mask of an ellipsoid: centre in voxels; radii_mm one number, or one for each axis."""
    axes = np.broadcast_to(np.asarray(radii_mm, float), 3)
    z, y, x = (((np.arange(n) - c) * mm / radius) ** 2 for n, c, mm, radius in zip(shape, centre, spacing_mm, axes, strict=True))
    return z[:, None, None] + y[:, None] + x <= 1
