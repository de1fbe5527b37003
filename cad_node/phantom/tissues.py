"""One plane of the chest in HU: body, organs, lungs, spine, sternum and table."""

import numpy as np

from cad_node.phantom.anatomy import Anatomy
from cad_node.phantom.grid import Array, Grid

AIR, FAT, MUSCLE, BLOOD, LUNG = -1000.0, -100.0, 55.0, 42.0, -860.0
LIVER, SPLEEN, CORTEX, MARROW, DISC, CORD, TABLE = 62.0, 48.0, 620.0, 190.0, 85.0, 30.0, -350.0

_VERTEBRA_MM = 25.0  # one body and one disc
_DISC_MM = 6.0


def draw_plane(anatomy: Anatomy, grid: Grid, z_mm: float) -> Array:
    """The plane at z_mm without vessels, bronchi, ribs and nodules: (row, column) HU."""
    x, y = grid.x_mm[None, :], grid.x_mm[:, None]
    body, cavity, lungs = (anatomy.on_plane(name, z_mm) for name in ("body", "cavity", "lungs"))
    heart, above_diaphragm = (anatomy.on_plane(name, z_mm) for name in ("heart", "above_diaphragm"))
    edge_mm = max(grid.pixel_spacing_mm, 1.0)

    def inside(distance: Array) -> Array:
        return _covered(distance, edge_mm)

    hu = np.full((grid.size_px, grid.size_px), AIR, np.float32)
    _lay(hu, TABLE, inside(np.abs(np.abs(y - 131 + 0.0008 * x**2) - 5) - 1.0))
    _lay(hu, MUSCLE, inside(body))  # skin
    _lay(hu, FAT, inside(body + 2))
    _lay(hu, MUSCLE, inside(body + 17 + 5 * np.sin(x / 31) * np.cos(y / 23)))
    _lay(hu, FAT, inside(cavity))
    _lay(hu, np.where(x < 12, np.float32(LIVER), np.float32(SPLEEN)), inside(cavity) * inside(above_diaphragm + 2))
    _lay(hu, BLOOD, inside(heart + 4))
    _lay(hu, LUNG + 0.3 * y + anatomy.on_plane("texture", z_mm), inside(lungs))
    _lay_spine(hu, x, y, z_mm, edge_mm)
    _lay_sternum(hu, x, y, z_mm, edge_mm)
    return hu


def _covered(distance: Array, edge_mm: float) -> Array:
    """Share of each voxel inside a shape."""
    covered: Array = np.clip(0.5 - distance / edge_mm, 0, 1)
    return covered


def _lay(hu: Array, value: float | Array, covered: Array) -> None:
    hu += covered * (value - hu)


def _lay_spine(hu: Array, x: Array, y: Array, z_mm: float, edge_mm: float) -> None:
    in_disc = z_mm % _VERTEBRA_MM < _DISC_MM
    body = (np.sqrt((x / 19) ** 2 + ((y - 74) / 15) ** 2) - 1) * 16
    canal = np.sqrt(x**2 + (y - 99) ** 2) - 8.5
    process = np.maximum(np.abs(x) - 3.2, np.abs(y - 113) - 7)
    transverse = np.maximum(np.abs(x) - 32, np.abs(y - 100 + 0.15 * np.abs(x)) - 4.5)
    arch = np.minimum(canal - 4, process if in_disc else np.minimum(process, transverse))
    for shape in (arch, body):
        _lay(hu, DISC if in_disc and shape is body else CORTEX, _covered(shape, edge_mm))
        if not (in_disc and shape is body):
            _lay(hu, MARROW, _covered(shape + 1.6, edge_mm))
    _lay(hu, CORD, _covered(canal, edge_mm))


def _lay_sternum(hu: Array, x: Array, y: Array, z_mm: float, edge_mm: float) -> None:
    if not -60 < z_mm < 85:
        return
    front_mm = -97 + 0.0012 * max(0.0, z_mm - 10) ** 2 * 2
    shape = (np.sqrt((x / 19) ** 2 + ((y - front_mm) / 6.5) ** 2) - 1) * 6.5
    _lay(hu, CORTEX, _covered(shape, edge_mm))
    _lay(hu, MARROW, _covered(shape + 1.3, edge_mm))
