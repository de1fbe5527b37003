"""Slabs of three slices and what the readers outlined on the middle one."""

from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cad_node.training.evaluation.dice import dice
from cad_node.training.nodules.annotated import AnnotatedNodule, read_nodules
from cad_node.training.samples import Samples, Split
from cad_node.training.splits import split_of

SLICES = {1: 3}  # of a nodule that so many readers marked, at most, in training
MOST_SLICES = 8  # of any other
JUDGED_READERS = 3  # fewer give no consensus worth comparing with


def read_outlines(data: Path, split: Split, member: int = 0) -> Samples:  # noqa: ARG001 - all members see the same
    """Slabs (N, 3, 64, 64) int16 and the share of readers who outlined each pixel, "nodule" (N, 1, 64, 64).

    Training: some slices of every nodule. Validation and test: every slice of those with 3 readers or more, where half of them agree.
    Attribute "nodule": which slabs belong together; the others are the nodule's. Raises DataError.
    """
    nodules, sha256 = read_nodules(data)
    chosen = [nodule for nodule in nodules if split_of(nodule.patient) is split and _belongs(nodule, split)]
    slices = [_training_slices(nodule) if split is Split.TRAIN else np.arange(len(nodule.hu)) for nodule in chosen]
    counts = [len(indices) for indices in slices]
    return Samples(
        inputs=np.concatenate([slabs_of(nodule.hu, indices) for nodule, indices in zip(chosen, slices, strict=True)]),
        targets={"nodule": np.concatenate([nodule.agreement[indices, None] for nodule, indices in zip(chosen, slices, strict=True)])},
        patients=tuple(np.repeat([nodule.patient for nodule in chosen], counts).tolist()),
        attributes={
            "nodule": np.repeat(np.arange(len(chosen)), counts),
            **{name: np.repeat([values[name] for values in map(_attributes, chosen)], counts) for name in _attributes(chosen[0])},
        },
        sha256=sha256,
    )


def slabs_of(hu: NDArray[np.int16], indices: NDArray[np.intp]) -> NDArray[np.int16]:
    """(N, 3, rows, columns): each slice between its neighbours; where there is none it stands in for it."""
    return np.stack([hu[np.clip(indices + step, 0, len(hu) - 1)] for step in (-1, 0, 1)], axis=1)


def _belongs(nodule: AnnotatedNodule, split: Split) -> bool:
    return split is Split.TRAIN or (len(nodule.readers) >= JUDGED_READERS and bool(nodule.consensus.any()))


def _training_slices(nodule: AnnotatedNodule) -> NDArray[np.intp]:
    """Spread over the nodule, both ends among them: thin slices repeat each other."""
    count = min(len(nodule.hu), SLICES.get(len(nodule.readers), MOST_SLICES))
    return np.unique(np.linspace(0, len(nodule.hu) - 1, count).round().astype(np.intp))


def _attributes(nodule: AnnotatedNodule) -> dict[str, float]:
    volume_mm3 = float(nodule.consensus.sum()) * nodule.pixel_mm**2 * nodule.slice_spacing_mm
    pairs = [dice(first, second) for first, second in combinations(nodule.readers, 2)]
    return {
        "texture": nodule.median("texture"),
        "diameter_mm": (6 * volume_mm3 / np.pi) ** (1 / 3),  # of a ball as large as the consensus
        "slice_thickness_mm": nodule.slice_thickness_mm,
        "readers_dice": float(np.mean(pairs)) if pairs else 1.0,
    }


def outline_dice(shares: NDArray[np.float32], samples: Samples, threshold: float = 0.5) -> NDArray[np.float64]:
    """(nodules,) of each nodule in 3-D: what has at least the threshold, against what at least half of the readers outlined.

    shares: (N, 1, 64, 64) as predicted.
    """
    numbers = samples.attributes["nodule"]
    found, drawn = shares >= threshold, samples.targets["nodule"] >= 0.5
    return np.array([dice(found[numbers == number], drawn[numbers == number]) for number in np.unique(numbers)])
