"""Image folders as Kaggle hands them out: train, val and test, in each a folder for every class.

For instance Chest X-Ray Images (Pneumonia), Kermany et al., Cell 172, 2018, https://doi.org/10.17632/rscbjbr9sj.2, licence CC BY 4.0.
Of that set, val holds 16 images only, and names of patients come back in another split. So train and val are pooled and parted again by
patient, and who is in test is in neither.
"""

import hashlib
import re
from pathlib import Path

import numpy as np

from cad_node.training.datasets.image_files import image_files, read_image
from cad_node.training.samples import DataError, Samples, Split
from cad_node.training.splits import split_of

PATIENT = re.compile(r"(person\d+)_|((?:NORMAL2-)?IM-\d+)-")  # as that set names its files


def is_image_folders(data: Path) -> bool:
    return all((data / split).is_dir() for split in (Split.TRAIN, Split.TEST))


def read_image_folders(data: Path, split: Split) -> Samples:
    """Grey values (N, 1, 64, 64), 0 to 255; target "label" is the class number in order of the names, attribute "class" the name.

    A file name that tells no patient stands for one of its own. Raises DataError naming the file or folder.
    """
    classes = sorted(folder.name for folder in (data / Split.TRAIN).iterdir() if folder.is_dir() and not folder.name.startswith("."))
    tested = {patient_of(file) for file in _files(data, classes, Split.TEST)}
    if split is Split.TEST:
        files = _files(data, classes, Split.TEST)
    else:
        pooled = _files(data, classes, Split.TRAIN) + _files(data, classes, Split.VALIDATION)
        files = [file for file in pooled if patient_of(file) not in tested and _belongs(patient_of(file), split)]
    if {file.parent.name for file in files} != set(classes):
        raise DataError(f"{data}: the {split} split needs images of each class: {', '.join(classes) or 'train holds no folders'}")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.parent.name}/{file.name}".encode() + file.read_bytes())
    return Samples(
        inputs=np.stack([read_image(file, "L") for file in files]),
        targets={"label": np.array([classes.index(file.parent.name) for file in files], np.float32)},
        patients=tuple(patient_of(file) for file in files),
        attributes={"class": np.array([file.parent.name for file in files])},
        sha256=digest.hexdigest(),
    )


def patient_of(file: Path) -> str:
    found = PATIENT.match(file.name)
    return (found[1] or found[2]) if found else file.stem


def _files(data: Path, classes: list[str], split: Split) -> list[Path]:
    return [file for name in classes if (data / split / name).is_dir() for file in image_files(data / split / name)]


def _belongs(patient: str, split: Split) -> bool:
    return (split_of(patient) is Split.VALIDATION) == (split is Split.VALIDATION)
