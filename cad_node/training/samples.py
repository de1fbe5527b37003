"""Labelled examples of one split, as every recipe's reader returns them and the training loop takes them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cad_node.errors import CadNodeError


class DataError(CadNodeError):
    """A training set can't be used; the message names the file."""


class Split(StrEnum):
    TRAIN = "train"
    VALIDATION = "val"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs and what they show.

    inputs: (N, C, H, W), HU, int16 or float32.
    targets: name -> (N, ...) float32.
    patients: whose each sample is, (N,) or empty where the set doesn't say.
    attributes: name -> (N,), what subgroup tables are made from, for instance diameter_mm.
    sha256: of everything that was read.
    """

    inputs: NDArray[Any]
    targets: Mapping[str, NDArray[np.float32]]
    patients: tuple[str, ...]
    attributes: Mapping[str, NDArray[Any]]
    sha256: str

    def __post_init__(self) -> None:
        lengths = {len(self.inputs), *(len(values) for values in (*self.targets.values(), *self.attributes.values()))}
        if self.inputs.ndim != 4 or len(lengths) != 1 or len(self.patients) not in (0, len(self.inputs)):
            raise ValueError(f"inputs {self.inputs.shape} don't fit targets and attributes of {sorted(lengths)} samples")

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, which: NDArray[np.intp]) -> Self:
        """Some of the samples, by their indices."""
        return replace(
            self,
            inputs=self.inputs[which],
            targets={name: values[which] for name, values in self.targets.items()},
            patients=tuple(self.patients[index] for index in which) if self.patients else (),
            attributes={name: values[which] for name, values in self.attributes.items()},
        )


def check_patients_apart(splits: Mapping[Split, Samples]) -> None:
    """Raises DataError if a patient is in two splits. Sets without patients can't be checked; their recipes say so."""
    seen: dict[str, Split] = {}
    for split, samples in splits.items():
        for patient in set(samples.patients):
            if seen.setdefault(patient, split) is not split:
                raise DataError(f"patient {patient} is in the {seen[patient]} and in the {split} split; split by patient")
