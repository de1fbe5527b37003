"""Nodules as several readers outlined and judged them, whatever format they come in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cad_node.training.samples import DataError

RATINGS = ("malignancy", "subtlety", "texture", "calcification", "spiculation")  # LIDC's, 1 to 5; calcification 1 to 6


@dataclass(frozen=True, slots=True)
class AnnotatedNodule:
    """A nodule on every slice that a reader marked it on, in crops of 64×64 pixels with the nodule in the middle.

    key: tells nodules of a data set apart. hu: (slices, 64, 64) int16. readers: (readers, slices, 64, 64) bool, what each outlined.
    ratings: name, of RATINGS -> one value a reader.
    """

    key: str
    patient: str
    series_instance_uid: str
    hu: NDArray[np.int16]
    readers: NDArray[np.bool_]
    pixel_mm: float
    slice_spacing_mm: float
    slice_thickness_mm: float
    ratings: Mapping[str, tuple[int, ...]]
    manufacturer: str = ""

    def __post_init__(self) -> None:
        if not len(self.readers) or self.readers.shape[1:] != self.hu.shape:
            raise ValueError(f"nodule {self.key}: readers' masks {self.readers.shape} don't fit the slices {self.hu.shape}")
        if any(len(values) != len(self.readers) for values in self.ratings.values()):
            raise ValueError(f"nodule {self.key}: {len(self.readers)} readers, but ratings of another number of them")

    @property
    def agreement(self) -> NDArray[np.float32]:
        """(slices, 64, 64) share of the readers who outlined each voxel."""
        return np.asarray(self.readers.mean(axis=0, dtype=np.float32))

    @property
    def consensus(self) -> NDArray[np.bool_]:
        """(slices, 64, 64) what at least half of the readers outlined."""
        return self.agreement >= 0.5

    def median(self, rating: str) -> float:
        return float(np.median(self.ratings[rating]))


def read_nodules(data: Path) -> tuple[list[AnnotatedNodule], str]:
    """All nodules in the folder `data`, of whichever known format it is, and the SHA-256 of what was read. Raises DataError."""
    from cad_node.training.datasets import lidc_idri  # noqa: PLC0415 - readers need the type above
    from cad_node.training.nodules import lidc_nodule_slices  # noqa: PLC0415

    if (data / lidc_nodule_slices.TABLE).is_file():
        return lidc_nodule_slices.read(data)
    if lidc_idri.is_lidc_idri(data):
        return lidc_idri.read_lidc_idri(data)
    raise DataError(f"{data}: holds neither {lidc_nodule_slices.TABLE} nor LIDC-IDRI's XML files; name a folder with annotated nodules")
