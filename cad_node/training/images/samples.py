"""Images of two classes, whichever known format they come in."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from cad_node.training.datasets.image_folders import is_image_folders, read_image_folders
from cad_node.training.datasets.isic import is_isic, read_isic
from cad_node.training.datasets.medmnist import is_medmnist, read_medmnist
from cad_node.training.samples import DataError, Samples, Split

FORMATS = ((is_medmnist, read_medmnist), (is_image_folders, read_image_folders), (is_isic, read_isic))
COLOURS = 3


def read_images(data: Path, split: Split, member: int = 0) -> Samples:  # noqa: ARG001 - all members see the same
    """Colours (N, 3, H, W), 0 to 255, of grey images three times the same; target "label" is 0 or 1. Raises DataError."""
    read = next((read for is_format, read in FORMATS if is_format(data)), None)
    if read is None:
        raise DataError(f"{data}: neither a MedMNIST .npz, nor train and test folders of classes, nor images with an ISIC ground truth")
    samples = read(data, split)
    labels = samples.targets["label"]
    if labels.ndim != 1 or set(np.unique(labels).tolist()) != {0.0, 1.0}:
        raise DataError(f"{data}: the {split} split's labels aren't 0 and 1; this classifier tells two classes apart")
    return replace(samples, inputs=np.repeat(samples.inputs, COLOURS // samples.inputs.shape[1], axis=1))
