"""Patches made here in the format of LUNA16's."""

import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from cad_node.training.detection.luna_patches import ARCHIVE
from cad_node.training.samples import Split

COUNTS = {Split.TRAIN: 96, Split.VALIDATION: 24, Split.TEST: 24}


def make_patch_folder(folder: Path) -> Path:
    """Every third patch shows a disc in noise, a nodule; the others noise alone.

    The train folder holds one more image, which no label file names.
    """
    random = np.random.default_rng(3)
    for split, count in COUNTS.items():
        (folder / split).mkdir(parents=True)
        lines = []
        for index in range(count):
            label = int(index % 3 == 0)
            name = f"{split}/image_{index}.jpg"
            save_grey(folder / name, draw_grey(random, label))
            lines.append(f"{name} {label}\n")
        (folder / f"{split}datalabels.txt").write_text("".join(lines))
    (folder / "train" / "image_1000007.jpg").write_bytes(b"not an image: it must not be opened")
    return folder


def pack(folder: Path, destination: Path) -> Path:
    """The same as the published archive."""
    destination.mkdir()
    with tarfile.open(destination / ARCHIVE, "w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    return destination / ARCHIVE


def draw_grey(random: np.random.Generator, label: int) -> np.ndarray:
    grey = random.normal(30, 8, (50, 50))
    rows, columns = np.mgrid[:50, :50] - 24.5
    centre, radius = random.uniform(-2, 2, 2), random.uniform(4, 9)
    disc = np.hypot(rows - centre[0], columns - centre[1]) < radius
    return np.clip(grey + label * disc * 150, 0, 255).astype(np.uint8)


def save_grey(file: Path, grey: np.ndarray) -> None:
    Image.fromarray(grey).save(file, quality=95)
