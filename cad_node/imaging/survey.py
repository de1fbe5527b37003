"""What a series shows, seen on a coarse grid: body, soft tissue, bone, and the lungs as air inside the body. No model is asked."""

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.imaging.shapes import Mask
from cad_node.imaging.volume import Volume

GRID_MM = (5.0, 4.0, 4.0)  # voxel edges of the coarse grid, about: slices are left out, pixels averaged
AIR_HU = -400  # half-way between lung and soft tissue
BODY_HU = -300
SOFT_HU = (-150, 150)  # fat to enhanced muscle
BONE_HU = 200
SMALLEST_CORE = 0.01  # of the image: what lies deep in a body is more
PADDING_HU = -1200  # darker than any tissue: what scanners write outside their round field of view
PURE_AIR_HU = -970  # a quarter of what lies around a body is darker; of emphysema too little
CLIPPED_NOISE = 0.5  # of the noise's SD: so much brighter air seems where values end at -1024
SMALLEST_CUT_ML = 20.0  # a smaller part at the image's side is a fold of skin
THIN_VOXELS = 2  # deep behind the image's side, on average: less is a cushion or the table

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Survey:
    """Shares are 0..1; of an image without any body all are 0."""

    air_share: float  # of the image that is darker than any tissue but lung
    soft_share: float  # of the body, lungs included, that has the HU of fat or muscle
    bone_share: float  # of the body without its air
    spread_hu: float | None  # SD deep in the body without its air, smoothed over 12 mm; None where nothing lies deep
    is_round: bool  # the outline is one circle on every slice
    likeness: float  # correlation of neighbouring slices, their median
    lung_ml: float  # air inside the body
    lung_hu: float  # its mean
    end_shares: tuple[float, float]  # lung on the first and the last slice, of the slice that shows most
    cut_cm2: float  # face at which the image's sides cut the lungs


def survey(volume: Volume, noise_hu: float) -> Survey:
    """Look at the whole series; noise_hu: of its pixels. A quarter of a second for 300 slices of 512×512."""
    hu, spacing_mm = _coarse(volume)
    body = _body(hu)
    cut = _cut_lungs(hu, body, spacing_mm, PURE_AIR_HU + CLIPPED_NOISE * noise_hu)
    air = (body & (hu < AIR_HU)) | cut
    tissue = body & ~air
    area = air.sum(axis=(1, 2))
    z_mm, y_mm, x_mm = spacing_mm
    return Survey(
        air_share=float((hu < AIR_HU).mean()),
        soft_share=_share((hu > SOFT_HU[0]) & (hu < SOFT_HU[1]) & tissue, body | air),
        bone_share=_share(hu > BONE_HU, tissue),
        spread_hu=_spread_hu(hu, tissue),
        is_round=_is_round(body, spacing_mm),
        likeness=_likeness(hu),
        lung_ml=float(area.sum() * z_mm * y_mm * x_mm) / 1000,
        lung_hu=float(hu[air].mean()) if air.any() else 0.0,
        end_shares=(float(area[0] / max(1, area.max())), float(area[-1] / max(1, area.max()))),
        cut_cm2=float((cut & _sides(hu)).sum() * z_mm * (y_mm + x_mm) / 2) / 100,
    )


def _coarse(volume: Volume) -> tuple[Floats, tuple[float, float, float]]:
    """Every n-th slice, as means over blocks of its pixels; what is left over at the far ends is dropped."""
    z_step, y_step, x_step = (max(1, round(wanted / mm)) for wanted, mm in zip(GRID_MM, volume.spacing_mm, strict=True))
    planes = volume.voxels[(len(volume.voxels) - 1) % z_step // 2 :: z_step]
    rows, columns = planes.shape[1] // y_step, planes.shape[2] // x_step
    coarse = np.empty((len(planes), rows, columns), np.float32)
    for plane, means in zip(planes, coarse, strict=True):  # slice by slice: no second copy of the volume
        blocks = plane[: rows * y_step, : columns * x_step].reshape(rows, y_step, columns, x_step)
        means[:] = blocks.mean(axis=(1, 3), dtype=np.float32)
    z_mm, y_mm, x_mm = volume.spacing_mm
    return coarse, (z_mm * z_step, y_mm * y_step, x_mm * x_step)


def _body(hu: Floats) -> Mask:
    """The largest thing, with what it encloses on each slice: without table and clothes."""
    opened = np.stack([ndimage.binary_opening(plane) for plane in hu > BODY_HU])
    parts = cc3d.connected_components(opened, connectivity=6)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    if not sizes.any():
        return np.zeros(hu.shape, np.bool_)
    return np.stack([ndimage.binary_fill_holes(plane) for plane in parts == sizes.argmax()])


def _cut_lungs(hu: Floats, body: Mask, spacing_mm: tuple[float, float, float], pure_air_hu: float) -> Mask:
    """Parts of lung that reach a side of the image, so that no body encloses them: unlike the air around they aren't pure air, nor thin."""
    parts = cc3d.connected_components((hu < AIR_HU) & (hu > PADDING_HU) & ~body, connectivity=6)
    voxels = np.bincount(parts.ravel())
    at_sides = np.bincount(parts[_sides(hu)], minlength=len(voxels))
    large = (at_sides > 0) & (voxels > SMALLEST_CUT_ML * 1000 / np.prod(spacing_mm)) & (voxels > THIN_VOXELS * at_sides)
    found = [part for part in np.flatnonzero(large) if part and np.percentile(hu[parts == part], 25) > pure_air_hu]
    return np.asarray(np.isin(parts, found))


def _sides(hu: Floats) -> Mask:
    """Where the image ends in its plane, or its round field of view."""
    padding = hu <= PADDING_HU
    sides = ndimage.binary_dilation(padding, np.ones((1, 3, 3), np.bool_)) & ~padding if padding.any() else padding
    sides[:, [0, -1], :] = sides[:, :, [0, -1]] = True
    return np.asarray(sides)


def _share(part: Mask, whole: Mask) -> float:
    return float((part & whole).sum() / max(1, whole.sum()))


def _spread_hu(hu: Floats, tissue: Mask) -> float | None:
    core = ndimage.binary_erosion(tissue, np.ones((1, 3, 3), np.bool_), iterations=2)
    return float(ndimage.uniform_filter(hu, 3)[core].std()) if core.mean() > SMALLEST_CORE else None


def _is_round(body: Mask, spacing_mm: tuple[float, float, float]) -> bool:
    """A circle of one size: no part of a patient is."""
    _, y_mm, x_mm = spacing_mm
    area = body.sum(axis=(1, 2)) * y_mm * x_mm
    shown = area > area.max() / 2
    height, width = body.any(axis=2).sum(axis=1)[shown] * y_mm, body.any(axis=1).sum(axis=1)[shown] * x_mm
    if not shown.any():
        return False
    circle = np.abs(area[shown] / (np.pi / 4 * height * width) - 1) < 0.05
    equal = (np.abs(height - width) <= y_mm + x_mm) & (np.abs(area[shown] / np.median(area[shown]) - 1) < 0.05)
    return bool((circle & equal).mean() > 0.9)


def _likeness(hu: Floats) -> float:
    flat = hu.reshape(len(hu), -1) - hu.mean(axis=(1, 2))[:, None]
    length = np.maximum(np.linalg.norm(flat, axis=1), 1e-6)
    return float(np.median((flat[1:] * flat[:-1]).sum(axis=1) / (length[1:] * length[:-1]))) if len(hu) > 1 else 0.0
