"""The phantom as a Volume, made once for all tests of a process."""

import functools

import numpy as np

from cad_node.findings import Region
from cad_node.imaging.lungs import Lungs
from cad_node.imaging.volume import Volume
from cad_node.phantom import phantom_study
from cad_node.phantom.anatomy import Anatomy
from cad_node.phantom.grid import Grid

SLICES, SPACING_MM, PIXEL_SPACING_MM, SIZE_PX = 100, 2.5, 0.95, 384


@functools.cache
def phantom_volume() -> Volume:
    study = phantom_study(SLICES, SPACING_MM, PIXEL_SPACING_MM, SIZE_PX)
    hu = [np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns).astype(np.int16) - 1024 for ds in study.datasets]
    affine = np.eye(4)
    first = [float(v) for v in study.datasets[0].ImagePositionPatient]
    affine[:3] = np.column_stack(([0, 0, SPACING_MM], [0, PIXEL_SPACING_MM, 0], [PIXEL_SPACING_MM, 0, 0], first))
    return Volume(np.stack(hu), affine, study.datasets)


@functools.cache
def phantom_lungs() -> Lungs:
    """As they were drawn, not as they are found."""
    grid = Grid(SLICES, SIZE_PX, SPACING_MM, PIXEL_SPACING_MM)
    anatomy = Anatomy(grid, np.random.default_rng(0))
    drawn = np.stack([anatomy.on_plane("lungs", float(z_mm)) < 0 for z_mm in grid.z_mm])
    left, right = drawn & (grid.x_mm > 0), drawn & (grid.x_mm < 0)
    return Lungs(Region((0, 0, 0), left), Region((0, 0, 0), right))


def index_of(volume: Volume, lps_mm: tuple[float, float, float]) -> np.ndarray:
    """(slice, row, column) of a point, fractions allowed."""
    return np.linalg.solve(volume.affine, [*lps_mm, 1.0])[:3]


def mirrored(volume: Volume) -> Volume:
    """The same patient with slices and columns stored the other way round, as of a patient who lay feet first."""
    affine = volume.affine.copy()
    affine[:3, 3] = volume.to_lps((len(volume.voxels) - 1, 0, volume.voxels.shape[2] - 1))
    affine[:3, 0] *= -1
    affine[:3, 2] *= -1
    return Volume(np.ascontiguousarray(volume.voxels[::-1, :, ::-1]), affine, volume.sources[::-1])
