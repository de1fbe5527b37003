"""The three whole scans with marked nodules that no model is trained on, as volumes.

DIR/lidc_idri_0314, DIR/lidc_0003 (LIDC-IDRI, CC BY 3.0) and DIR/lung_pet_ct_dx (CC BY 4.0), packed or unpacked; one that isn't there is
left out.
"""

import csv
import json
import lzma
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from cad_node.imaging.load import load_volume
from cad_node.imaging.volume import Volume
from cad_node.manifest import Range
from cad_node.study import Instance, Series

Index = tuple[float, float, float]  # (slice, row, column)
ANY_MM = Range(min=0.1, max=10)
FOLDERS = ("lidc_idri_0314", "lidc_0003", "lung_pet_ct_dx")
SURE = 3  # readers who make a nodule certain
CROP_MIDDLE_PX = 64  # of the 128×128 crop that begins at row0, col0 of nodules.csv


@dataclass(frozen=True, slots=True)
class Mark:
    """What readers marked: the box from `low` to `high` in voxels.

    counts: it must be found; one that few readers marked is neither missed nor a false positive.
    """

    name: str
    low: Index
    high: Index
    counts: bool

    def holds(self, index: Index) -> bool:
        return all(low - 1 <= at <= high + 1 for low, at, high in zip(self.low, index, self.high, strict=True))


@dataclass(frozen=True, slots=True)
class Scan:
    name: str
    volume: Volume
    marks: tuple[Mark, ...]


def holds_scans(data: Path) -> bool:
    return any((data / name).is_dir() for name in FOLDERS)


def read_scans(data: Path) -> Iterator[Scan]:
    """Those of the three that are in the folder `data`, one at a time."""
    for name, read in zip(FOLDERS, (_read_0314, _read_0003, _read_tumour), strict=True):
        if (data / name).is_dir():
            with _unpacked(data / name) as folder:
                yield read(folder, data)


@contextmanager
def _unpacked(folder: Path) -> Iterator[Path]:
    archive = next(folder.glob("*.tar.xz"), None)
    if archive is None:
        yield folder
        return
    with TemporaryDirectory() as temporary, tarfile.open(archive) as tar:
        tar.extractall(temporary, filter="data")
        yield Path(temporary)


def _read_0314(folder: Path, data: Path) -> Scan:
    volume = _load(folder)
    nodule = json.loads((data / "lidc_idri_0314" / "annotations.json").read_text())["luna16_nodule"]
    centre = np.linalg.solve(volume.affine, [*nodule["world_mm"], 1.0])[:3]
    return Scan("LIDC-IDRI-0314, 1 mm slices", volume, (_ball("nodule", centre, nodule["diameter_mm"], volume, counts=True),))


def _read_0003(folder: Path, data: Path) -> Scan:
    table = json.loads((folder / "LIDC-IDRI-0003.json").read_text())
    volume = _decode_0003(folder / "LIDC-IDRI-0003.delta16.xz", table)
    with (data / "lidc_nodule_slices" / "nodules.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["patient"] == table["patient"]]
    marks = []
    for row in rows:
        z = int(row["z_index0"]) - table["offset_zyx"][0] + (int(row["n_slices"]) - 1) / 2
        centre = np.array([z, int(row["row0"]) + CROP_MIDDLE_PX, int(row["col0"]) + CROP_MIDDLE_PX])
        diameter_mm = float(np.mean([float(value) for value in row["diam_mm_per_reader"].split()]))
        marks.append(_ball(f"nodule {row['nodule']}", centre, diameter_mm, volume, counts=int(row["n_readers"]) >= SURE))
    return Scan("LIDC-IDRI-0003, 2.5 mm slices", volume, tuple(marks))


def _read_tumour(folder: Path, _: Path) -> Scan:
    volume = _load(folder)
    at = {str(header.SOPInstanceUID): index for index, header in enumerate(volume.sources)}
    rows = [row for row in json.loads((folder / "boxes.json").read_text()) if row["sop_uid"] in at]
    slices, corners = [at[row["sop_uid"]] for row in rows], np.array([row["box"] for row in rows])  # column, row, column, row
    left, top, right, bottom = (float(value) for value in (*corners[:, :2].min(axis=0), *corners[:, 2:].max(axis=0)))
    mark = Mark("tumour", (min(slices), top, left), (max(slices), bottom, right), counts=True)
    return Scan("Lung-PET-CT-Dx A0001, 5 mm slices", volume, (mark,))


def _ball(name: str, centre: NDArray[np.float64], diameter_mm: float, volume: Volume, *, counts: bool) -> Mark:
    reach = diameter_mm / 2 / np.array(volume.spacing_mm)
    low, high = centre - reach, centre + reach
    return Mark(name, (low[0], low[1], low[2]), (high[0], high[1], high[2]), counts)


def _load(folder: Path) -> Volume:
    instances = tuple(Instance(path.name, CTImageStorage, "", path) for path in sorted(folder.rglob("*.dcm")))
    return load_volume(Series(folder.name, "CT", instances), ANY_MM, ANY_MM)


def _decode_0003(file: Path, table: dict[str, Any]) -> Volume:
    """The lungs' box in its place in the whole image, air around it.

    Stored as zigzag-coded differences along a row, low and high bytes apart.
    """
    content, shape = np.frombuffer(lzma.decompress(file.read_bytes()), np.uint8), tuple(table["shape"])
    low, high = content.reshape(2, -1).astype(np.int32)
    coded = low | high << 8
    box = np.cumsum(((coded >> 1) ^ -(coded & 1)).reshape(shape), axis=2)
    z, y, x = table["offset_zyx"]
    voxels = np.full((shape[0], *table["full_shape"][1:]), table["clip"][0], np.int16)
    voxels[:, y : y + shape[1], x : x + shape[2]] = box
    spacing_mm = table["spacing_zyx"]
    affine = np.eye(4)
    affine[:3] = np.column_stack(
        ([0, 0, spacing_mm[0]], [0, spacing_mm[1], 0], [spacing_mm[2], 0, 0], [0, 0, table["z_positions_full"][z]])
    )
    header = Dataset()
    header.SeriesInstanceUID = table["uid"]
    return Volume(voxels, affine, (header,) * shape[0])
