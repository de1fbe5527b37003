"""LIDC-IDRI as The Cancer Imaging Archive hands it out: folders of DICOM series and the readers' XML, in any arrangement.

Source: https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX, 1,018 CT series of 1,010 patients. Licence: CC BY 3.0.
Only images that show a nodule are decoded.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from cad_node.training.datasets.lidc_clusters import cluster_marks
from cad_node.training.datasets.lidc_xml import Mark, Reading, is_reading, parse_reading
from cad_node.training.nodules.annotated import RATINGS, AnnotatedNodule
from cad_node.training.samples import DataError

SIZE_PX = 64
AIR_HU, BONE_HU = -1024, 3071  # what lies outside a round field of view, -2000 on some scanners, becomes air


def is_lidc_idri(data: Path) -> bool:
    """Whether an XML file somewhere in the folder is a reading of a CT series."""
    return any(is_reading(file) for file in data.rglob("*.xml"))


def read_lidc_idri(data: Path) -> tuple[list[AnnotatedNodule], str]:
    """The nodules of 3 mm or more, by series and position, and the SHA-256 of all readings and images that they are in.

    Raises DataError naming the file: an XML file that isn't a reading is passed over, as is a series nobody read.
    """
    readings = list(_readings(data))
    folders = _series_folders(data)
    digest = hashlib.sha256()
    nodules: list[AnnotatedNodule] = []
    for file, reading in sorted(readings, key=lambda item: item[1].series_instance_uid):
        digest.update(file.read_bytes())
        if reading.nodules and reading.series_instance_uid not in folders:
            raise DataError(f"{file}: no folder holds the images of series {reading.series_instance_uid}; download them too")
        if reading.nodules:
            nodules += _read_series(file, reading, folders[reading.series_instance_uid], digest)
    if not nodules:
        raise DataError(f"{data}: {len(readings)} readings of CT series, with no nodule of 3 mm or more; name the folder of LIDC-IDRI")
    return nodules, digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Series:
    """Image files in order of rising position; number: SOP Instance UID -> place in that order."""

    files: Sequence[Path]
    number: dict[str, int]
    positions_mm: NDArray[np.float64]
    header: Dataset

    @property
    def pixel_mm(self) -> float:
        return float(self.header.PixelSpacing[0])

    @property
    def slice_spacing_mm(self) -> float:
        return float(np.median(np.diff(self.positions_mm)))


def _readings(data: Path) -> Iterator[tuple[Path, Reading]]:
    """Each series' reading once: the archive also offers all XML files as one download."""
    seen = set()
    for file in sorted(data.rglob("*.xml")):
        if is_reading(file):
            reading = parse_reading(file, file.read_bytes())
            if reading.series_instance_uid not in seen:
                yield file, reading
            seen.add(reading.series_instance_uid)


def _series_folders(data: Path) -> dict[str, Path]:
    """Series Instance UID -> folder, told by one image of each."""
    folders = {}
    for root, _, names in os.walk(data):
        images = sorted(name for name in names if name.endswith(".dcm"))
        if images:
            folders[str(_header(Path(root) / images[0]).SeriesInstanceUID)] = Path(root)
    return folders


def _read_series(file: Path, reading: Reading, folder: Path, digest: "hashlib._Hash") -> Iterator[AnnotatedNodule]:
    series = _order(folder)
    for mark in reading.nodules:
        for outline in mark.outlines:
            if outline.sop_instance_uid not in series.number:
                raise DataError(f"{file}: names image {outline.sop_instance_uid}, which isn't in {folder}; download the series again")
    points_mm = [_points_mm(mark, series) for mark in reading.nodules]
    groups = cluster_marks(points_mm, float(series.header.SliceThickness))
    for number, group in enumerate(groups):
        marks = [reading.nodules[index] for index in group]
        nodule = _nodule(f"{reading.series_instance_uid}_{number:02d}", marks, series, digest)
        if nodule is not None:
            yield nodule


def _order(folder: Path) -> _Series:
    files = sorted(folder.glob("*.dcm"))
    headers = [_header(file) for file in files]
    positions = np.array([float(header.ImagePositionPatient[2]) for header in headers])
    order = np.argsort(positions, kind="stable")
    number = {str(headers[index].SOPInstanceUID): place for place, index in enumerate(order)}
    return _Series([files[index] for index in order], number, positions[order], headers[order[0]])


def _header(file: Path) -> Dataset:
    try:
        return dcmread(file, stop_before_pixels=True)
    except (InvalidDicomError, OSError) as exc:
        raise DataError(f"{file}: not readable as DICOM: {exc}; download the series again") from exc


def _points_mm(mark: Mark, series: _Series) -> NDArray[np.float64]:
    """(P, 3) column, row and slice position of its outlines' pixels."""
    parts = []
    for outline in mark.outlines:
        position = np.full((len(outline.pixels), 1), series.positions_mm[series.number[outline.sop_instance_uid]])
        parts.append(np.hstack([outline.pixels * series.pixel_mm, position]))
    return np.concatenate(parts)


def _nodule(key: str, marks: Sequence[Mark], series: _Series, digest: "hashlib._Hash") -> AnnotatedNodule | None:
    """None where nobody's outline surrounds a pixel."""
    outlined = [series.number[outline.sop_instance_uid] for mark in marks for outline in mark.outlines]
    first = min(outlined)
    shape = (max(outlined) - first + 1, int(series.header.Rows), int(series.header.Columns))
    masks = [(mark, mask) for mark in marks if (mask := _mask(mark, series, first, shape)).any()]
    if not masks:
        return None
    union = np.any([mask for _, mask in masks], axis=0)
    inside = np.flatnonzero(union.any(axis=(1, 2)))  # the outlines at both ends may surround nothing
    chosen = slice(inside[0], inside[-1] + 1)
    files = series.files[first + chosen.start : first + chosen.stop]
    corner = _corner(union)
    return AnnotatedNodule(
        key=key,
        patient=str(series.header.PatientID),
        series_instance_uid=str(series.header.SeriesInstanceUID),
        hu=_crop(np.stack([_read_hu(file, digest) for file in files]), corner, AIR_HU),
        readers=np.stack([_crop(mask[chosen], corner, fill=False) for _, mask in masks]),
        pixel_mm=series.pixel_mm,
        slice_spacing_mm=series.slice_spacing_mm,
        slice_thickness_mm=float(series.header.SliceThickness),
        ratings={name: tuple(mark.characteristics[name] for mark, _ in masks) for name in RATINGS},
        manufacturer=str(series.header.get("Manufacturer", "")),
    )


def _mask(mark: Mark, series: _Series, first: int, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """(slices, rows, columns): what the outlines surround, without the outlines and without the holes and theirs."""
    mask = np.zeros(shape, np.bool_)
    for outline in sorted(mark.outlines, key=lambda outline: not outline.inclusion):
        image = Image.new("1", (shape[2], shape[1]))
        line = [(int(column), int(row)) for column, row in (*outline.pixels, outline.pixels[0])]
        draw = ImageDraw.Draw(image)
        draw.polygon(line, fill=1, outline=1)
        if outline.inclusion:
            draw.line(line, fill=0)
        place = series.number[outline.sop_instance_uid] - first
        drawn = np.asarray(image)
        mask[place] = mask[place] | drawn if outline.inclusion else mask[place] & ~drawn
    return mask


def _corner(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Row and column of the crop that has the mask in the middle."""
    rows, columns = (np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    return int(rows[0] + rows[-1] - SIZE_PX) // 2, int(columns[0] + columns[-1] - SIZE_PX) // 2


def _crop(stack: NDArray[Any], corner: tuple[int, int], fill: int | bool) -> NDArray[Any]:
    """(slices, 64, 64); `fill` beyond the image."""
    padded = np.pad(stack, ((0, 0), (SIZE_PX, SIZE_PX), (SIZE_PX, SIZE_PX)), constant_values=fill)
    top, left = (start + SIZE_PX for start in corner)
    return padded[:, top : top + SIZE_PX, left : left + SIZE_PX].copy()


def _read_hu(file: Path, digest: "hashlib._Hash") -> NDArray[np.int16]:
    try:
        image = dcmread(file)
        hu = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
    except (InvalidDicomError, OSError, AttributeError, ValueError) as exc:
        raise DataError(f"{file}: not readable as a CT image: {exc}; download the series again") from exc
    digest.update(file.read_bytes())
    return np.clip(np.rint(hu), AIR_HU, BONE_HU).astype(np.int16)
