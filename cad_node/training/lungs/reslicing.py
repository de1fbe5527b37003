"""Scans as if their slices had been thinner or thicker; what lies between the slices that are there is interpolated."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cad_node.training.lungs.lctsc_masks import SPACING_MM

SCANNED_MM = int(SPACING_MM[0])  # between two slices


@dataclass(frozen=True, slots=True)
class Slicing:
    """Slices so far apart; each is the mean of what lies at `offsets_mm` from its middle. The first lies where the scan's first does."""

    apart_mm: int
    offsets_mm: tuple[float, ...] = (0.0,)

    def reslice(self, voxels: NDArray[np.int16]) -> NDArray[np.int16]:
        """Linear between the slices; beyond the ends as at the ends."""
        last_mm = (len(voxels) - 1) * SCANNED_MM
        middles_mm = np.arange(0, last_mm + 1, self.apart_mm)
        at = np.clip(middles_mm[:, None] + self.offsets_mm, 0, last_mm) / SCANNED_MM
        weights = np.maximum(0, 1 - np.abs(at[..., None] - np.arange(len(voxels)))).mean(axis=1)
        return np.rint(np.tensordot(weights.astype(np.float32), voxels.astype(np.float32), 1)).astype(np.int16)

    def scanned(self, slices: NDArray[Any]) -> NDArray[Any]:
        """Those of the new slices that lie where the scan has one."""
        return slices[:: self._common_mm // self.apart_mm]

    def met(self, slices: NDArray[Any]) -> NDArray[Any]:
        """Those of the scan's slices, where a new one lies."""
        return slices[:: self._common_mm // SCANNED_MM]

    @property
    def _common_mm(self) -> int:
        return int(np.lcm(self.apart_mm, SCANNED_MM))
