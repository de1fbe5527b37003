"""Reader of the LCTSC lung masks: 12 chest CTs with both lungs outlined by experts, every third slice, 256×256 pixels.

Licence of the data: CC BY 3.0 (LCTSC, the 2017 Lung CT Segmentation Challenge on The Cancer Imaging Archive; 4-D CT at 50 % of the breath).
Case_NNN_img.png and Case_NNN_mask.png hold the slices of one patient from the feet up, one below the other; 0 to 255 = -1024 to 400 HU.
Both lungs are one mask, with the vessels and without trachea and main bronchi; tumours are partly left out.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cad_node.training.samples import DataError, Samples, Split

FOLDER = "lctsc_lung_masks"
SHA256 = "b3d43713bdde346b86060816bfd910b25427cf530923a16ff302dcc9a770e7d1"  # of the twelve patients' images and masks, in order
SIZE_PX = 256
SPACING_MM = (9.0, 1.953125, 1.953125)  # slice, row, column
HU_PER_GREY = 1424 / 255
DARKEST_HU = -1024.0
FOLDS = 4  # member k of these is never shown fold k; the member after the last is shown all
VALIDATION_PATIENTS = 2
EMPTY_KEPT = 2  # one of so many slices without lung is trained on: nearly half of all are of the neck and the belly


@dataclass(frozen=True, slots=True)
class Case:
    """One patient. voxels: (slices, 256, 256) int16 HU, from the feet up; lungs: bool of the same shape."""

    patient: str
    voxels: NDArray[np.int16]
    lungs: NDArray[np.bool_]


def read_split(data: Path, split: Split, member: int, sha256: str = SHA256) -> Samples:
    """The slices of one split of a member: its fold is its test split; the member after the last fold has none.

    sha256: of the whole set; empty takes any.
    Raises DataError.
    """
    cases, digest = read_cases(data, sha256)
    chosen = [case for index, case in enumerate(cases) if split_of(index, len(cases), member) is split]
    if split is Split.TRAIN:
        chosen = [_thinned(case) for case in chosen]
    slices = sum(len(case.voxels) for case in chosen)
    inputs, lungs = np.empty((slices, 1, SIZE_PX, SIZE_PX), np.int16), np.empty((slices, 1, SIZE_PX, SIZE_PX), np.float32)
    start = 0
    for case in chosen:
        inputs[start : start + len(case.voxels), 0], lungs[start : start + len(case.voxels), 0] = case.voxels, case.lungs
        start += len(case.voxels)
    patients = tuple(case.patient for case in chosen for _ in case.voxels)
    return Samples(inputs, {"lungs": lungs}, patients, {}, digest)


def _thinned(case: Case) -> Case:
    keep = case.lungs.any(axis=(1, 2)) | (np.arange(len(case.lungs)) % EMPTY_KEPT == 0)
    return Case(case.patient, case.voxels[keep], case.lungs[keep])


def split_of(patient: int, patients: int, member: int) -> Split:
    """In which split of a member the patient with this number is; validation follows the fold, so that it changes with it."""
    fold = range(member, patients, FOLDS) if member < FOLDS else ()
    if patient in fold:
        return Split.TEST
    others = [other for other in range(patients) if other not in fold]
    first = 2 * member + 1
    validation = [others[(first + step * len(others) // VALIDATION_PATIENTS) % len(others)] for step in range(VALIDATION_PATIENTS)]
    return Split.VALIDATION if patient in validation else Split.TRAIN


def read_cases(data: Path, sha256: str = SHA256) -> tuple[list[Case], str]:
    """Every patient, in order, and the SHA-256 of their files.

    data: the folder with the images, or one that holds it as lctsc_lung_masks.
    Raises DataError naming what is missing, unreadable or not the data expected.
    """
    folder = data / FOLDER if (data / FOLDER).is_dir() else data
    files = sorted(folder.glob("Case_*_img.png"))
    if not files:
        raise DataError(f"{folder}: holds no Case_NNN_img.png; name the folder of the LCTSC lung masks")
    digest = hashlib.sha256()
    cases = []
    for file in files:
        patient = file.name.removesuffix("_img.png")
        grey, mask = (_read_stack(folder / f"{patient}_{kind}.png", digest) for kind in ("img", "mask"))
        if grey.shape != mask.shape:
            raise DataError(f"{file}: {len(grey)} slices, its mask has {len(mask)}")
        cases.append(Case(patient, np.rint(grey * HU_PER_GREY + DARKEST_HU).astype(np.int16), mask > 0))
    if sha256 and digest.hexdigest() != sha256:
        raise DataError(
            f"{folder}: SHA-256 is {digest.hexdigest()}, expected {sha256}; the set is incomplete or another one, fetch it again"
        )
    return cases, digest.hexdigest()


def _read_stack(file: Path, digest: "hashlib._Hash") -> NDArray[np.uint8]:
    """(slices, 256, 256)"""
    try:
        content = file.read_bytes()
        with Image.open(file) as image:
            grey = np.asarray(image.convert("L"))
    except (OSError, UnidentifiedImageError) as exc:
        raise DataError(f"{file}: not readable as an image: {exc}") from exc
    if grey.shape[1] != SIZE_PX or grey.shape[0] % SIZE_PX:
        raise DataError(f"{file}: {grey.shape[1]}×{grey.shape[0]} pixels, expected slices of {SIZE_PX}×{SIZE_PX} one below the other")
    digest.update(content)
    return grey.reshape(-1, SIZE_PX, SIZE_PX)
