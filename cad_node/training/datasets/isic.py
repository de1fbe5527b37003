"""ISIC archive challenges: a folder of dermoscopic images and the ground truth as a CSV file.

Sources: https://challenge.isic-archive.com/data, 2018 task 3 and 2019 (a column for each diagnosis), 2020 (column target, patients named).
Licence: CC BY-NC 4.0 (2018 to 2020): no commercial use.
"""

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cad_node.training.datasets.image_files import image_files, read_image
from cad_node.training.samples import DataError, Samples, Split
from cad_node.training.splits import split_of

MELANOMA = "MEL"


@dataclass(frozen=True, slots=True)
class _Row:
    image: str
    patient: str
    diagnosis: str
    melanoma: bool


def is_isic(data: Path) -> bool:
    return any(_tables(data))


def read_isic(data: Path, split: Split) -> Samples:
    """Colours (N, 3, 64, 64), 0 to 255; target "label" is 1 for melanoma (of 2020: malignant), attribute "diagnosis" says what else.

    The archive's own test images have no public truth, so the training set is split: by patient (2020), by lesion where the file
    of lesion groupings lies beside the truth (2018), otherwise image by image. Raises DataError naming the file.
    """
    digest = hashlib.sha256()
    files = {file.stem: file for file in image_files(data)}
    rows = [row for row in _rows(data, digest) if split_of(row.patient) is split]
    if {row.melanoma for row in rows} != {True, False}:
        raise DataError(f"{data}: the {split} split has {len(rows)} images, not both with and without melanoma; take more of the set")
    images = []
    for row in rows:
        if row.image not in files:
            raise DataError(f"{data}: image {row.image} is in the ground truth, but there is no such file; download the images too")
        digest.update(row.image.encode() + files[row.image].read_bytes())
        images.append(read_image(files[row.image], "RGB"))
    return Samples(
        inputs=np.stack(images),
        targets={"label": np.array([row.melanoma for row in rows], np.float32)},
        patients=tuple(row.patient for row in rows),
        attributes={"diagnosis": np.array([row.diagnosis for row in rows])},
        sha256=digest.hexdigest(),
    )


def _rows(data: Path, digest: "hashlib._Hash") -> Iterator[_Row]:
    lesions = _lesions(data)
    for file in _tables(data):
        digest.update(file.read_bytes())
        for row in _read(file):
            image = row.get("image_name") or row["image"]
            diagnosis = row.get("diagnosis") or next((name for name, value in row.items() if name.isupper() and _is_one(value)), "")
            melanoma = _is_one(row["target"]) if "target" in row else _is_one(row[MELANOMA])
            yield _Row(image, row.get("patient_id") or lesions.get(image, image), diagnosis, melanoma)


def _tables(data: Path) -> Iterator[Path]:
    for file in sorted(data.rglob("*.csv")):
        columns = _columns(file)
        if {"image", MELANOMA} <= columns or {"image_name", "patient_id", "target"} <= columns:
            yield file


def _lesions(data: Path) -> Mapping[str, str]:
    """Image -> lesion; several images show the same one."""
    files = [file for file in sorted(data.rglob("*.csv")) if {"image", "lesion_id"} <= _columns(file)]
    return {row["image"]: row["lesion_id"] for file in files for row in _read(file)}


def _columns(file: Path) -> set[str]:
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        return set(next(csv.reader(stream), []))


def _read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        return list(csv.DictReader(stream))


def _is_one(value: str) -> bool:
    return value in {"1", "1.0"}
