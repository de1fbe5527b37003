"""What the nodule networks are shown: the very same cuts that they were trained on."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.findings import Region
from cad_node.imaging.shapes import Spacing

OUTLINE_PX = 64  # rows and columns of an outline slab
JUDGEMENT_PX = 48  # of a judgement slab
JUDGEMENT_MM = 0.75  # its pixels, whatever the scan's: size counts
LEVELS = (0.25, 0.5, 0.75)  # of the nodule's extent along the slices: where it is looked at

Place = tuple[float, float]  # along rows, along columns


def cut_outline_slabs(
    voxels: NDArray[np.int16], indices: NDArray[np.intp], middle: tuple[float, float], step: float
) -> NDArray[np.float32]:
    """(N, 3, 64, 64) HU: each slice of `indices` between its neighbours, the middle (row, column) between the four innermost pixels.

    step: pixels of the source from one pixel to the next. Beyond the image its rim goes on.
    """
    shown = np.clip(indices[:, None] + (-1, 0, 1), 0, len(voxels) - 1)
    first, last = int(shown.min()), int(shown.max())
    planes = np.stack([resample_plane(voxels[index], middle, (step, step), OUTLINE_PX) for index in range(first, last + 1)])
    return np.asarray(planes[shown - first])


def cut_judgement_slab(voxels: NDArray[np.int16], spacing_mm: Spacing, region: Region) -> NDArray[np.float32]:
    """(3, 48, 48) HU: slices at a quarter, half and three quarters of the region, its box's middle in the middle, pixels of 0.75 mm.

    Beyond the image its rim goes on.
    """
    depths, middle, step = judgement_view(spacing_mm, region)
    return np.stack([resample_plane(voxels[depth], middle, step, JUDGEMENT_PX) for depth in depths])


def judgement_view(spacing_mm: Spacing, region: Region) -> tuple[list[int], Place, Place]:
    """Slices, middle (row, column) and the step from pixel to pixel, in source rows and columns, of a region's judgement slab."""
    z, y, x = region.slices
    depths = [z.start + round(level * (z.stop - z.start - 1)) for level in LEVELS]
    middle = ((y.start + y.stop - 1) / 2, (x.start + x.stop - 1) / 2)
    return depths, middle, (JUDGEMENT_MM / spacing_mm[1], JUDGEMENT_MM / spacing_mm[2])


def planes_on_source(
    planes: NDArray[np.float32], middle: Place, step: Place, shape: tuple[int, ...]
) -> tuple[tuple[int, int], NDArray[np.float32]]:
    """The way back, linear between pixels: (row, column) of the first source pixel that was seen, and (N, rows, columns) values.

    planes: (N, size_px, size_px) around the middle, `step` source pixels apart; shape: (slices, rows, columns) of the source.
    """
    size_px = planes.shape[-1]
    rows, columns = (
        np.arange(max(0, int(np.ceil(at - pixels * size_px / 2))), min(length, int(at + pixels * size_px / 2) + 1))
        for at, pixels, length in zip(middle, step, shape[1:], strict=True)
    )
    centre = (size_px - 1) / 2
    at = np.meshgrid((rows - middle[0]) / step[0] + centre, (columns - middle[1]) / step[1] + centre, indexing="ij")
    values = [ndimage.map_coordinates(plane, at, np.float32, order=1, mode="nearest") for plane in planes]
    return (int(rows[0]), int(columns[0])), np.stack(values)


def resample_plane(plane: NDArray[np.int16], middle: tuple[float, float], step: tuple[float, float], size_px: int) -> NDArray[np.float32]:
    """(size_px, size_px) around the middle, `step` pixels of the plane apart; averaged over a step that is longer than two pixels."""
    along = np.arange(size_px) - (size_px - 1) / 2
    rows, columns = (at + along * pixels for at, pixels in zip(middle, step, strict=True))
    smoothed = (
        ndimage.uniform_filter(plane.astype(np.float32), [round(pixels) for pixels in step], mode="nearest") if max(step) > 2 else plane
    )
    return np.asarray(
        ndimage.map_coordinates(smoothed, np.meshgrid(rows, columns, indexing="ij"), np.float32, order=1, mode="nearest"), np.float32
    )
