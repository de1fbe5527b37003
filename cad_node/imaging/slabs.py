"""Slices as a network of one pixel size takes them: thin ones averaged to slabs, pixels resampled, and the way back."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cad_node.imaging.shapes import Spacing

SLAB_MM = 3.0  # about how thick a slab is, at least a slice
OUTSIDE_HU = -1024.0

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Slabs:
    """The grid of slabs over a volume's; what lies outside the volume is air.

    shape: (slabs, rows, columns); slices: of the source in each slab but perhaps the last.
    pixel_steps: of the grid, in source rows and columns.
    rows, columns: (source, grid) float32 weights that take a plane of the grid to the source; down_… take the source's to the grid.
    """

    shape: tuple[int, int, int]
    spacing_mm: Spacing
    slices: int
    source_slices: int
    pixel_steps: tuple[float, float]
    rows: Floats
    columns: Floats
    down_rows: Floats
    down_columns: Floats

    def planes(self, voxels: NDArray[np.int16]) -> Iterator[Floats]:
        """(rows, columns) HU of each slab of (slice, row, column) voxels."""
        for start in range(0, self.source_slices, self.slices):
            slab = np.maximum(voxels[start : start + self.slices], np.int16(OUTSIDE_HU)).mean(axis=0, dtype=np.float32)
            yield self.down_rows @ (slab - OUTSIDE_HU) @ self.down_columns.T + OUTSIDE_HU

    def to_source(self, index: tuple[float, float, float]) -> tuple[float, float, float]:
        """(slab, row, column), fractions allowed -> (slice, row, column) of the source."""
        z, *plane = index
        y, x = (
            (at - (length - 1) / 2) * step + (source - 1) / 2
            for at, length, source, step in zip(plane, self.shape[1:], (len(self.rows), len(self.columns)), self.pixel_steps, strict=True)
        )
        return min((z + 0.5) * self.slices - 0.5, self.source_slices - 1.0), y, x

    def source_box(self, box: tuple[slice, slice, slice]) -> tuple[slice, slice, slice]:
        """The part of the source that a box of the grid reaches."""
        z, y, x = box
        rows, columns = (np.flatnonzero(weights[:, part].any(axis=1)) for weights, part in ((self.rows, y), (self.columns, x)))
        stop = min(self.source_slices, z.stop * self.slices)
        return slice(z.start * self.slices, stop), slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    def on_slice(self, grid: Floats, index: int, box: tuple[slice, slice, slice]) -> Floats:
        """Values of the grid's `box` on the source's slice `index`, linear between the slabs' middles: of source_box(box)."""
        z, y, x = box
        rows, columns = self.source_box(box)[1:]
        middle = np.clip((index + 0.5) / self.slices - 0.5, z.start, z.stop - 1)
        below = min(int(middle), z.stop - 2) if z.stop - z.start > 1 else z.start
        above, share = min(below + 1, z.stop - 1), np.float32(middle - below)
        plane = grid[below, y, x] * (1 - share) + grid[above, y, x] * share
        return self.rows[rows, y] @ plane @ self.columns[columns, x].T


def lay_slabs(shape: tuple[int, int, int], spacing_mm: Spacing, pixel_mm: float, multiple: int) -> Slabs:
    """The grid for a source of this shape; its rows and columns are multiples of `multiple`, the source in their middle."""
    slices = max(1, int(SLAB_MM / spacing_mm[0] + 0.5))
    lengths = [multiple * int(np.ceil(n * mm / pixel_mm / multiple)) for n, mm in zip(shape[1:], spacing_mm[1:], strict=True)]
    steps = pixel_mm / spacing_mm[1], pixel_mm / spacing_mm[2]
    up = [_weights(n, length, 1 / step) for n, length, step in zip(shape[1:], lengths, steps, strict=True)]
    down = [_weights(length, n, step) for n, length, step in zip(shape[1:], lengths, steps, strict=True)]
    count = -(-shape[0] // slices)
    spacing = (spacing_mm[0] * slices, pixel_mm, pixel_mm)
    return Slabs((count, lengths[0], lengths[1]), spacing, slices, shape[0], steps, up[0], up[1], down[0], down[1])


def _weights(to: int, from_: int, step: float) -> Floats:
    """(to, from_): linear interpolation, or means over triangles where `step`, the distance of targets in source steps, is over one."""
    centres = (np.arange(to) + 0.5 - to / 2) * step + from_ / 2 - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(from_) - centres[:, None]) / max(1.0, step))
    inside = (centres > -0.5 - 1e-6) & (centres < from_ - 0.5 + 1e-6)
    total = weights.sum(axis=1, keepdims=True)
    return np.where(inside[:, None], weights / np.where(total > 0, total, 1), 0).astype(np.float32)
