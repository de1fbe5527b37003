"""Series that are written in ways that tempt software to misplace things, with a body of known shape and place in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from cad_node.findings import Axis, Finding, Findings, Heat, Measurement
from cad_node.imaging.concepts import PERCENT, private
from cad_node.imaging.volume import Volume
from tests.factory import ct_study
from tests.output import case

SHAPE = (14, 44, 56)  # slices, rows, columns
PLACE = (5.3, 16.6, 32.2)  # of the body's centre on the grid: not in its middle, so that what is mirrored is elsewhere
CENTRE_LPS_MM = np.array([-61.5, 37.25, -412.75])
BALLS = (((0.0, 0.0, 0.0), 7.0), ((7.0, -5.0, 4.0), 4.0))  # offset LPS mm, radius: no mirror image of itself

SUPINE, PRONE, FEET_FIRST, ON_THE_SIDE = (1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, -1, 0), (-1, 0, 0, 0, 1, 0), (0, 1, 0, -1, 0, 0)

Points = np.ndarray  # (N, 3) LPS mm


@dataclass(frozen=True)
class Way:
    """How a series is written. is_sheared: the table moves along the patient, whichever way the gantry is tilted."""

    orientation: tuple[float, ...] = SUPINE
    pixel_spacing_mm: tuple[float, float] = (1.2, 1.2)  # between rows, between columns
    step_mm: float = 2.0
    is_numbered_downwards: bool = False
    is_sheared: bool = False


def turned(about_x_deg: float, about_z_deg: float) -> tuple[float, ...]:
    """The orientation of slices turned about the patient's axes, as scanners write it."""
    x, z = np.radians([about_x_deg, about_z_deg])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return tuple(np.round((about_x @ about_z)[:, :2].T.ravel(), 8).tolist())


def study(way: Way) -> list[Dataset]:
    """In the order of their files: as they are numbered."""
    along_row, along_column = np.reshape(way.orientation, (2, 3))
    step = np.array([0.0, 0.0, 1.0]) * way.step_mm if way.is_sheared else np.cross(along_row, along_column) * way.step_mm
    row_mm, column_mm = way.pixel_spacing_mm
    first = CENTRE_LPS_MM - PLACE[0] * step - PLACE[1] * row_mm * along_column - PLACE[2] * column_mm * along_row
    datasets = ct_study(slices=SHAPE[0], voxels=np.zeros(SHAPE, np.int16))
    for index, ds in enumerate(datasets):
        ds.ImageOrientationPatient, ds.PixelSpacing = list(way.orientation), list(way.pixel_spacing_mm)
        ds.ImagePositionPatient = np.round(first + index * step, 6).tolist()
        ds.InstanceNumber = SHAPE[0] - index if way.is_numbered_downwards else index + 1
        rows, columns = np.indices(SHAPE[1:])
        hu = np.where(is_in_body(lps(ds, columns, rows)), 40, -850).astype(np.int16)
        ds.PixelData = (hu + 1024).astype("<i2").tobytes()
    return sorted(datasets, key=lambda ds: ds.InstanceNumber)


def lps(image: Dataset, columns: np.ndarray, rows: np.ndarray) -> Points:
    """Centres of pixels by their indices, or places between them: PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1."""
    along_row, along_column = np.reshape(np.array(image.ImageOrientationPatient, float), (2, 3))
    row_mm, column_mm = (float(value) for value in image.PixelSpacing)
    across, down = np.asarray(columns)[..., None] * column_mm * along_row, np.asarray(rows)[..., None] * row_mm * along_column
    return np.array(image.ImagePositionPatient, float) + across + down


def is_in_body(points: Points) -> np.ndarray:
    return np.any([np.linalg.norm(points - CENTRE_LPS_MM - offset, axis=-1) < radius for offset, radius in BALLS], axis=0)


def body(images: Sequence[Dataset]) -> Points:
    """Where the body's voxels are, by the headers of the images."""
    rows, columns = np.indices(SHAPE[1:])
    points = np.concatenate([lps(image, columns, rows).reshape(-1, 3) for image in images])
    return points[is_in_body(points)]


def findings(volume: Volume) -> Findings:
    """The body as the one finding, found by its brightness; its axes are drawn between pixels' centres."""
    region = case.crop(volume.voxels == 40)
    index = region.origin[0] + int(region.mask.sum(axis=(1, 2)).argmax())
    pixels = np.argwhere(volume.voxels[index] == 40)
    long_axis = _axis(volume, index, pixels[pixels[:, 1].argmin()], pixels[pixels[:, 1].argmax()])
    short_axis = _axis(volume, index, pixels[pixels[:, 0].argmin()], pixels[pixels[:, 0].argmax()])
    evidence = private("EVIDENCE", "Evidence for a nodule")
    finding = Finding(
        label="Nodule 1",
        code=case.NODULE,
        site=case.RIGHT_LUNG,
        centre_lps_mm=tuple(body(volume.sources).mean(axis=0).tolist()),
        score=0.8,
        region=region,
        long_axis=long_axis,
        short_axis=short_axis,
        volume_mm3=1700.0,
        mean_hu=40.0,
        measurements=(Measurement(evidence, 80.0, PERCENT),),
        heat=Heat(region.origin, region.mask.astype(np.float32), evidence, PERCENT),
    )
    return Findings((finding,), ())


def _axis(volume: Volume, index: int, *pixels: np.ndarray) -> Axis:
    ends_lps_mm = [lps(volume.sources[index], column, row) for row, column in pixels]
    ends_px = tuple((float(column) + 0.5, float(row) + 0.5) for row, column in pixels)
    return Axis(index, tuple(tuple(end.tolist()) for end in ends_lps_mm), ends_px, float(np.linalg.norm(np.subtract(*ends_lps_mm))))
