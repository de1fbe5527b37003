"""Square views of a slice: which part of it is seen, how large, and where a point of it comes to lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cad_node.findings import Finding, Findings, Region
from cad_node.imaging.volume import Volume
from cad_node.output.pictures.drawing import Line, Place

CONTEXT_MM = 30.0  # around the lungs: the chest wall is seen too
NARROWEST_MM = 40.0
MARGIN = 2.2  # of a close-up, in diameters


@dataclass(frozen=True, slots=True)
class View:
    """centre: (column, row) as SCOORD counts, the first pixel's centre is (0.5, 0.5), PS3.3 C.18.6.1.2; mm: of a pixel across and down."""

    centre: Place
    side_mm: float
    mm: tuple[float, float]
    side_px: int

    @property
    def px_per_mm(self) -> float:
        return self.side_px / self.side_mm

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom on the slice; may reach beyond it."""
        (x, y), half = self.centre, (self.side_mm / 2 / self.mm[0], self.side_mm / 2 / self.mm[1])
        return x - half[0], y - half[1], x + half[0], y + half[1]

    def at(self, column: float, row: float) -> Place:
        """Where a point of the slice lies in the picture."""
        left, top, right, bottom = self.box
        return (column - left) / (right - left) * self.side_px, (row - top) / (bottom - top) * self.side_px

    def cut(self, plane: NDArray[np.uint8] | NDArray[np.float32]) -> Image.Image:
        """(row, column) of a slice -> the picture; 0 beyond the slice."""
        left, top, right, bottom = self.box
        x, y = floor(left), floor(top)
        whole = Image.fromarray(plane).crop((x, y, ceil(right), ceil(bottom)))
        kind = Image.Resampling.BICUBIC if plane.dtype == np.uint8 else Image.Resampling.BILINEAR  # which never overshoots
        return whole.resize((self.side_px, self.side_px), kind, (left - x, top - y, right - x, bottom - y))


def overview(volume: Volume, findings: Findings, side_px: int) -> View:
    """The same part of every slice: organs and findings with what is around them, or the whole slice where there are none."""
    rows, columns = volume.voxels.shape[1:]
    _, row_mm, column_mm = volume.spacing_mm
    whole_mm = max(rows * row_mm, columns * column_mm)
    regions = [organ.region for organ in findings.organs] + [finding.region for finding in findings.findings]
    if not findings.organs:
        return View((columns / 2, rows / 2), whole_mm, (column_mm, row_mm), side_px)
    low = np.min([[region.slices[2].start, region.slices[1].start] for region in regions], axis=0)
    high = np.max([[region.slices[2].stop, region.slices[1].stop] for region in regions], axis=0)
    side_mm = min(float(((high - low) * (column_mm, row_mm)).max()) + 2 * CONTEXT_MM, whole_mm)
    middle = (float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2)
    return View(middle, side_mm, (column_mm, row_mm), side_px)


def close_up(volume: Volume, finding: Finding, side_px: int) -> View:
    """The finding in the middle."""
    _, row_mm, column_mm = volume.spacing_mm
    _, rows, columns = finding.region.slices
    centre = ((columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2)
    return View(centre, max(NARROWEST_MM, MARGIN * finding.diameter_mm), (column_mm, row_mm), side_px)


def outline(region: Region, slice_index: int, view: View) -> Sequence[Line]:
    """The mask's border on a slice, along its pixels' edges, of every part and hole of it; empty where it has no pixel there."""
    at = slice_index - region.origin[0]
    if not 0 <= at < len(region.mask):
        return []
    _, rows, columns = region.slices
    return [[view.at(columns.start + x, rows.start + y) for x, y in corners] for corners in _edges(region.mask[at])]


def _edges(mask: NDArray[np.bool_]) -> Sequence[Line]:
    """Where a pixel in the mask meets one that isn't, as straight runs (x, y)."""
    padded = np.pad(mask, 1)
    runs: list[Line] = []
    for line, change in enumerate(padded[1:, 1:-1] != padded[:-1, 1:-1]):
        runs += [[(float(a), float(line)), (float(b), float(line))] for a, b in _runs(change)]
    for line, change in enumerate((padded[1:-1, 1:] != padded[1:-1, :-1]).T):
        runs += [[(float(line), float(a)), (float(line), float(b))] for a, b in _runs(change)]
    return runs


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and stop of each stretch of True."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(steps[::2], steps[1::2], strict=True)]
