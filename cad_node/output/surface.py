"""A region's surface as a closed triangle mesh: smooth, and as large as the region."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq
from skimage.measure import marching_cubes
from trimesh import Trimesh
from trimesh.smoothing import filter_taubin

from cad_node.findings import Region

Field = NDArray[np.float32]  # (slice, row, column): how much of each cell is the region's

_MOST_TRIANGLES = 80_000  # about: 4 MB
_SMOOTHING_CELLS = 0.6  # standard deviation: takes the steps between voxels away, and moves no end by a voxel
_MARGIN_CELLS = 4  # what smoothing reaches
_VOLUME_TOLERANCE = 0.005  # a part of it
_CLEARANCE = 1e-3  # of the field from the level, so that no two vertices become one when they are written as float32
_HALF = 0.5  # where the surface of something large lies
_LEVELS = (0.01, 0.99)  # of the field's greatest value
_NUDGES = (1.0, 0.99, 1.01, 0.98, 1.02, 0.97)


def surface(region: Region, affine: NDArray[np.float64]) -> Trimesh:
    """In LPS mm; normals point outwards.

    affine: that of the volume, (slice, row, column, 1) index -> LPS mm.
    Smoothing alone would make small things smaller: the surface lies where the smoothed mask takes the value at which
    it encloses the region's own volume.
    """
    voxels_per_cell = _cell(region, affine)
    field = _smoothed(region, voxels_per_cell)
    to_lps_mm = affine @ _cells_to_voxels(region, voxels_per_cell)
    wanted_mm3 = float(np.count_nonzero(region.mask) * abs(np.linalg.det(affine[:3, :3])))
    mesh = _evened(_closed(field, _level(field, to_lps_mm, wanted_mm3), to_lps_mm))
    centre = mesh.vertices.mean(axis=0)
    mesh.vertices = centre + (mesh.vertices - centre) * np.cbrt(wanted_mm3 / mesh.volume)  # what is left of a difference
    return mesh


def _cell(region: Region, affine: NDArray[np.float64]) -> tuple[int, int, int]:
    """How many voxels make a cell on each axis: more than one where the surface would have too many triangles."""
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    faces_mm2 = spacing_mm.prod() / spacing_mm
    padded = np.pad(region.mask, 1)
    steps = [np.count_nonzero(np.diff(padded, axis=axis)) for axis in range(3)]
    area_mm2 = float(np.dot(steps, faces_mm2)) / 1.5  # of the surface that the steps go up and down
    edge_mm = np.sqrt(2 * area_mm2 / _MOST_TRIANGLES)  # a cell on the surface makes two triangles
    z, y, x = np.maximum(1, np.round(edge_mm / spacing_mm)).astype(int).tolist()
    return z, y, x


def _smoothed(region: Region, voxels_per_cell: tuple[int, int, int]) -> Field:
    shape = [-(-size // step) for size, step in zip(region.mask.shape, voxels_per_cell, strict=True)]
    filled = np.zeros([cells * step for cells, step in zip(shape, voxels_per_cell, strict=True)], np.float32)
    filled[tuple(slice(size) for size in region.mask.shape)] = region.mask
    split = [size for pair in zip(shape, voxels_per_cell, strict=True) for size in pair]
    cells = filled.reshape(split).mean(axis=(1, 3, 5))
    return gaussian_filter(np.pad(cells, _MARGIN_CELLS), _SMOOTHING_CELLS)


def _cells_to_voxels(region: Region, voxels_per_cell: tuple[int, int, int]) -> NDArray[np.float64]:
    """(4, 4): index of a cell of the field -> index of a voxel of the volume, centre to centre."""
    step = np.array(voxels_per_cell, np.float64)
    matrix = np.diag([*step, 1.0])
    matrix[:3, 3] = region.origin - _MARGIN_CELLS * step + (step - 1) / 2
    return matrix


def _level(field: Field, to_lps_mm: NDArray[np.float64], wanted_mm3: float) -> float:
    """The field's value on a surface that encloses so much; a half, where that is near enough."""

    def excess(level: float) -> float:
        return _at_level(field, level, to_lps_mm).volume / wanted_mm3 - 1

    greatest = float(field.max())
    if greatest > _HALF and abs(excess(_HALF)) <= _VOLUME_TOLERANCE:
        return _HALF
    low, high = (share * greatest for share in _LEVELS)
    return float(brentq(excess, low, high, xtol=1e-4))


def _closed(field: Field, level: float, to_lps_mm: NDArray[np.float64]) -> Trimesh:
    """The surface at about this level; in rare cells marching cubes has four triangles meet at an edge, but not at levels beside it."""
    for factor in _NUDGES:
        mesh = _at_level(field, level * factor, to_lps_mm)
        if mesh.is_watertight:
            break
    return mesh


def _at_level(field: Field, level: float, to_lps_mm: NDArray[np.float64]) -> Trimesh:
    clear = np.where(np.abs(field - level) < _CLEARANCE, np.float32(level + _CLEARANCE), field)
    vertices, faces, _, _ = marching_cubes(clear, level)  # type: ignore[no-untyped-call]
    mesh = Trimesh(vertices @ to_lps_mm[:3, :3].T + to_lps_mm[:3, 3], faces, process=False)
    if mesh.volume < 0:  # the axes' order or direction mirrors
        mesh.invert()
    return mesh


def _evened(mesh: Trimesh) -> Trimesh:
    """Without what is left of the steps, where that doesn't change the volume; it would make little of a few voxels."""
    even = filter_taubin(mesh.copy(), lamb=0.5, nu=0.53, iterations=10)  # type: ignore[no-untyped-call]
    return even if abs(even.volume / mesh.volume - 1) <= _VOLUME_TOLERANCE else mesh
