"""A small set of nodules in the format of lidc_nodule_slices: balls in noise, one patient of each split named in the split file."""

import csv
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

PATIENTS = {
    "train": ["LIDC-IDRI-0004", "LIDC-IDRI-0006"],
    "val": ["LIDC-IDRI-0020", "LIDC-IDRI-0036"],
    "test": ["LIDC-IDRI-0003", "LIDC-IDRI-0314"],
}
SLICES = 5
TISSUE_GREY = 120
GREYS_PER_HU = TISSUE_GREY / 1030


def row(key: str, patient: str, readers: int = 4, **changed: str) -> dict[str, str]:
    """One nodule's row; `changed` overrides columns."""
    ratings = {name: " ".join(["3"] * readers) for name in ("malignancy_per_reader", "subtlety", "texture", "calcification", "spiculation")}
    return {
        "file": key,
        "patient": patient,
        "series_uid": "1.2.3.4",
        "n_readers": str(readers),
        **ratings,
        "pixel_mm": "0.7",
        "slice_spacing_mm": "1.25",
        "slice_thickness_mm": "1.25",
        "mask_iou_vs_pylidc_per_reader": " ".join(["1.00"] * readers),
        "tissue_gray_per_slice": " ".join([str(TISSUE_GREY)] * SLICES),
        "has_padding": "0",
        **changed,
    }


def write_set(folder: Path, rows: list[dict[str, str]]) -> Path:
    """The rows' table with a ball for each: larger where the readers' ratings are higher."""
    for kind in ("img", "mask"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    for values in rows:
        radius_px = 3.0 + 2.0 * float(values["malignancy_per_reader"].split()[0])
        grey, mask = draw(random, radius_px, len(values["mask_iou_vs_pylidc_per_reader"].split()))
        Image.fromarray(grey.reshape(-1, 64)).save(folder / "img" / f"{values['file']}.png")
        Image.fromarray(mask.reshape(-1, 64)).save(folder / "mask" / f"{values['file']}.png")
    with (folder / "nodules.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


def draw(random: np.random.Generator, radius_px: float, readers: int) -> tuple[np.ndarray, np.ndarray]:
    """(slices, 64, 64) grey, lung at -860 HU and the ball at 40; and the readers' bits, each reader's ball a little larger."""
    depth, rows, columns = np.ogrid[:SLICES, :64, :64]
    away = np.sqrt(((depth - SLICES // 2) * 1.25 / 0.7) ** 2 + (rows - 31.5) ** 2 + (columns - 31.5) ** 2)
    hu = np.where(away <= radius_px, 40.0, -860.0) + random.normal(0, 20, away.shape)
    mask = sum(((away <= radius_px + 0.5 * (reader - 1)).astype(np.uint8) << reader for reader in range(readers)), np.uint8(0))
    return np.clip((hu + 990) * GREYS_PER_HU, 0, 255).round().astype(np.uint8), np.asarray(mask, np.uint8)


def pack(folder: Path, destination: Path) -> Path:
    """The same as published: the table, and the images in one archive."""
    destination.mkdir()
    (destination / "nodules.csv").write_bytes((folder / "nodules.csv").read_bytes())
    with tarfile.open(destination / "slices.tar.xz", "w:xz") as tar:
        for kind in ("img", "mask"):
            tar.add(folder / kind, kind)
    return destination
