"""MedMNIST: one .npz file for each set, with its official split.

Source: https://medmnist.com (Yang et al., MedMNIST v2, Scientific Data 10, 2023). Licence: CC BY 4.0, of DermaMNIST CC BY-NC 4.0.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from cad_node.training.samples import DataError, Samples, Split


def is_medmnist(data: Path) -> bool:
    return data.is_file() and data.suffix == ".npz"


def read_medmnist(file: Path, split: Split) -> Samples:
    """Grey or colour values (N, 1 or 3, H, W), 0 to 255; target "label" (N,) is the class number, or (N, labels) of a set with several.

    The sets name no patients; that their split is by patient is their authors' word. Raises DataError naming the file.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as exc:
        raise DataError(f"{file}: not a set of MedMNIST with a {split} split: {exc}; download it again") from exc
    if images.ndim not in (3, 4) or len(images) != len(labels):
        raise DataError(f"{file}: images {images.shape} and labels {labels.shape} aren't those of two-dimensional images")
    planes = images[:, np.newaxis] if images.ndim == 3 else np.moveaxis(images, -1, 1)
    targets = labels.astype(np.float32)
    checksum = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return Samples(planes.astype(np.float32), {"label": targets[:, 0] if targets.shape[1] == 1 else targets}, (), {}, checksum)
