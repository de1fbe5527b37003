"""Photographs and radiographs as equal squares of grey or colour values."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cad_node.training.samples import DataError

SIZE_PX = 64
SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


def image_files(folder: Path) -> list[Path]:
    """All image files below the folder, in order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


def read_image(file: Path, mode: str) -> NDArray[np.float32]:
    """(C, 64, 64), 0 to 255; the whole image, squeezed. mode: "L" is grey, "RGB" colour. Raises DataError naming the file."""
    try:
        with Image.open(file) as image:
            values = np.asarray(image.convert(mode).resize((SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR), np.float32)
    except (UnidentifiedImageError, OSError) as exc:
        raise DataError(f"{file}: not readable as an image: {exc}; download it again") from exc
    return np.moveaxis(np.atleast_3d(values), -1, 0)
