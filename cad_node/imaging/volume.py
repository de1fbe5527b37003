"""A series as one array in patient space."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from cad_node.findings import Point


@dataclass(frozen=True, slots=True)
class Volume:
    """Voxels and where they lie.

    voxels: (slice, row, column) int16, HU; slices run along increasing position on the normal.
    affine: (4, 4) float64, maps (slice, row, column, 1) index to LPS mm (voxel centres).
    sources: one header per slice, in slice order, without pixel data; Rows, Columns and all patient,
    study and frame-of-reference attributes are in them.
    """

    voxels: NDArray[np.int16]
    affine: NDArray[np.float64]
    sources: tuple[Dataset, ...]

    @property
    def series_instance_uid(self) -> str:
        return str(self.sources[0].SeriesInstanceUID)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along slice, row and column index."""
        z, y, x = (float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))
        return z, y, x

    def to_lps(self, index: tuple[float, float, float]) -> Point:
        """(slice, row, column) index, fractions allowed -> LPS mm."""
        x, y, z, _ = self.affine @ np.array([*index, 1.0])
        return float(x), float(y), float(z)
