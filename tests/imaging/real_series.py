"""The real images below CAD_NODE_DATA, read from the packed sets as arrays; a set's own README says what they are."""

import csv
import io
import json
import lzma
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

Voxels = NDArray[np.int16]
Spacing = tuple[float, float]  # mm between slices, between pixels

LCTSC_HU = (1424 / 255, -1024)  # slope and intercept of its 8-bit pictures


def datasets_of(archive: Path) -> list[Dataset]:
    """Every DICOM file of a packed series, along its normal."""
    with tarfile.open(archive) as packed:
        members = [member for member in packed if member.name.endswith(".dcm")]
        datasets = [dcmread(io.BytesIO(packed.extractfile(member).read())) for member in members]
    first = datasets[0].ImageOrientationPatient
    normal = np.cross(first[:3], first[3:])
    return sorted(datasets, key=lambda ds: float(np.dot(normal, ds.ImagePositionPatient)))


def volumes_of_lctsc(data: Path) -> Iterator[tuple[str, Voxels, Spacing]]:
    """12 chest CTs; every third slice."""
    slope, intercept = LCTSC_HU
    for case in json.loads((data / "lctsc_lung_masks" / "meta.json").read_text()):
        grey = np.asarray(Image.open(data / "lctsc_lung_masks" / f"{case['case']}_img.png"), np.float32).reshape(-1, 256, 256)
        yield case["case"], np.rint(grey * slope + intercept).astype(np.int16), (case["dz"], case["px"])


def volumes_of_lung3d(data: Path) -> Iterator[tuple[str, Voxels, Spacing]]:
    """4 chest CTs, reduced to 128×128×64; stored (column, row, slice)."""
    for file in sorted((data / "lung3d_demo").glob("*.npz")):
        with np.load(file) as stored:
            column_mm, _, slice_mm = (float(mm) for mm in stored["spacing"])
            yield file.stem, np.ascontiguousarray(stored["ct"].transpose(2, 1, 0)), (slice_mm, column_mm)


def volume_of_lidc_0003(data: Path) -> tuple[Voxels, Spacing]:
    """The box of the lungs, HU clipped to -1024..600."""
    about = json.loads((data / "lidc_0003" / "LIDC-IDRI-0003.json").read_text())
    stored = np.frombuffer(lzma.decompress((data / "lidc_0003" / "LIDC-IDRI-0003.delta16.xz").read_bytes()), np.uint8)
    low, high = stored.reshape(2, -1).astype(np.int32)
    zigzag = low | (high << 8)
    steps = ((zigzag >> 1) ^ -(zigzag & 1)).reshape(about["shape"])
    slice_mm, pixel_mm, _ = about["spacing_zyx"]
    return steps.cumsum(axis=2).astype(np.int16), (slice_mm, pixel_mm)


def heads_of_ich(data: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """82 patients' head CTs in a brain window, 224×224."""
    with tarfile.open(data / "head_ct_ich" / "head_ct_ich.tar.gz") as packed:
        content = {Path(member.name).name: packed.extractfile(member).read() for member in packed if member.isfile()}
    slices = defaultdict(list)
    for row in csv.DictReader(io.StringIO(content["labels.csv"].decode())):
        slices[row["PatientNumber"]].append((int(row["SliceNumber"]), row["file"]))
    for patient, files in slices.items():
        pictures = [Image.open(io.BytesIO(content[file])).convert("L").resize((224, 224)) for _, file in sorted(files)]
        yield patient, np.stack([np.asarray(picture) for picture in pictures])


def chest_x_rays(data: Path) -> NDArray[np.uint8]:
    """57 pictures, each brought to 256×256."""
    with tarfile.open(data / "cxr_lung_masks" / "cxr_lung_masks.tar") as packed:
        images = [member for member in packed if member.isfile() and "_mask" not in member.name]
        pictures = [Image.open(io.BytesIO(packed.extractfile(member).read())).convert("L").resize((256, 256)) for member in images]
    return np.stack([np.asarray(picture) for picture in pictures])


def breast_ultrasounds(data: Path) -> NDArray[np.uint8]:
    with np.load(data / "medmnist" / "breastmnist.npz") as stored:
        return np.concatenate([stored[f"{split}_images"] for split in ("train", "val", "test")])
