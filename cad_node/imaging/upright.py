"""A volume seen as if every patient lay on the back, head first: whatever way the slices were stored."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cad_node.findings import Region
from cad_node.imaging.volume import Volume


@dataclass(frozen=True, slots=True)
class Upright:
    """voxels: (slice, row, column) HU, a view of the volume's: slices run up, rows to the back, columns to the left.

    transposed: rows and columns of the source are swapped; reversed_: which axes, after that, run the other way in the source.
    """

    voxels: NDArray[np.int16]
    spacing_mm: tuple[float, float, float]
    transposed: bool
    reversed_: tuple[bool, bool, bool]

    def to_source(self, region: Region) -> Region:
        """A region of the upright voxels, on the volume's own."""
        lengths = self.voxels.shape
        ends = [o + n for o, n in zip(region.origin, region.mask.shape, strict=True)]
        z, y, x = (n - e if back else o for o, e, n, back in zip(region.origin, ends, lengths, self.reversed_, strict=True))
        mask = region.mask[_steps(self.reversed_)]
        return Region((z, x, y), mask.transpose(0, 2, 1)) if self.transposed else Region((z, y, x), mask)

    def to_source_index(self, index: tuple[float, float, float]) -> tuple[float, float, float]:
        """(slice, row, column) of the upright voxels, fractions allowed -> of the volume."""
        z, y, x = (n - 1 - at if back else at for at, n, back in zip(index, self.voxels.shape, self.reversed_, strict=True))
        return (z, x, y) if self.transposed else (z, y, x)


def see_upright(volume: Volume) -> Upright:
    """The volume's axes by the direction that each is nearest to, PS3.3 C.7.6.2.1.1: x grows to the left, y to the back, z to the head."""
    directions = volume.affine[:3, :3] / np.array(volume.spacing_mm)
    transposed = bool(abs(directions[0, 1]) > abs(directions[0, 2]))  # the rows' index runs across the patient
    order = (0, 2, 1) if transposed else (0, 1, 2)
    z, y, x = (bool(directions[patient, axis] < 0) for patient, axis in zip((2, 1, 0), order, strict=True))
    depth_mm, row_mm, column_mm = (volume.spacing_mm[axis] for axis in order)
    voxels = volume.voxels.transpose(order)[_steps((z, y, x))]
    return Upright(voxels, (depth_mm, row_mm, column_mm), transposed, (z, y, x))


def _steps(reversed_: tuple[bool, bool, bool]) -> tuple[slice, slice, slice]:
    z, y, x = (slice(None, None, -1 if back else 1) for back in reversed_)
    return z, y, x
