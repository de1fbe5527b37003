"""Labelled patches of one split, as the training loop takes them."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Split(StrEnum):
    TRAIN = "train"
    VALIDATION = "val"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class PatchSet:
    """Patches and what they show.

    patches: (N, 1, P, P) float32, HU.
    labels: (N,) float32, 1 where the patch shows what the model looks for.
    sha256: of the label file and the images it names.
    """

    patches: NDArray[np.float32]
    labels: NDArray[np.float32]
    sha256: str

    def __post_init__(self) -> None:
        if self.patches.ndim != 4 or len(self.patches) != len(self.labels):
            raise ValueError(f"{self.patches.shape} patches don't fit {self.labels.shape} labels")

    @property
    def positives(self) -> int:
        return int(self.labels.sum())
