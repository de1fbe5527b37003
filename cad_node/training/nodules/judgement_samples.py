"""Slabs through nodules and what the readers said of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cad_node.imaging.nodule_slabs import cut_judgement_slab
from cad_node.imaging.nodules import region_of
from cad_node.training.nodules.annotated import AnnotatedNodule, read_nodules
from cad_node.training.nodules.judgement_folds import split_for
from cad_node.training.samples import Samples, Split

JUDGED_READERS = 3  # fewer don't make an opinion worth comparing with
MOST_READERS = 4
SUSPICIOUS, UNSUSPICIOUS = 4.0, 2.0  # median rating from which on, and up to which, a nodule counts
UNDECIDED = -1.0
NO_CALCIUM = 6  # LIDC's calcification: 1 to 5 are kinds of it
HEADS = ("malignancy", "texture", "spiculation", "calcification")


def read_judgements(data: Path, split: Split, member: int = 0) -> Samples:
    """Slabs (N, 3, 48, 48) float32; targets of HEADS (N,) 0..1, and "weight" (N,): the more readers, the more.

    Training: every nodule as each of its readers outlined it. Validation and test: the consensus of those with at least 3 readers.
    Attribute "suspicious": 1 or 0 by the readers' median, UNDECIDED in between. Raises DataError.
    """
    nodules, sha256 = read_nodules(data)
    chosen = [nodule for nodule in nodules if split_for(nodule.patient, member) is split]
    seen = [(nodule, mask) for nodule in chosen for mask in _masks(nodule, split)]
    opinions = [_opinion(nodule) for nodule, _ in seen]
    attributes = [_attributes(nodule, mask) for nodule, mask in seen]
    return Samples(
        inputs=np.stack([_cut(nodule, mask) for nodule, mask in seen]),
        targets={name: np.array([opinion[name] for opinion in opinions], np.float32) for name in opinions[0]},
        patients=tuple(nodule.patient for nodule, _ in seen),
        attributes={name: np.array([values[name] for values in attributes]) for name in attributes[0]},
        sha256=sha256,
    )


def decided(samples: Samples) -> NDArray[np.intp]:
    """Nodules on which the readers' median takes a side."""
    return np.flatnonzero(samples.attributes["suspicious"] != UNDECIDED)


def _masks(nodule: AnnotatedNodule, split: Split) -> Iterator[NDArray[np.bool_]]:
    if split is Split.TRAIN:
        yield from (mask for mask in nodule.readers if mask.any())  # some lie beyond the crop
    elif len(nodule.readers) >= JUDGED_READERS and nodule.consensus.any():
        yield nodule.consensus


def _cut(nodule: AnnotatedNodule, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    return cut_judgement_slab(nodule.hu, (nodule.slice_spacing_mm, nodule.pixel_mm, nodule.pixel_mm), region_of(mask, (0, 0, 0)))


def _opinion(nodule: AnnotatedNodule) -> dict[str, float]:
    """Of the 1 to 5 scales the mean, from 0 to 1; of calcification the share of readers who saw some."""
    scaled = {name: (float(np.mean(nodule.ratings[name])) - 1) / 4 for name in HEADS[:3]}
    calcified = float(np.mean([value < NO_CALCIUM for value in nodule.ratings["calcification"]]))
    return {**scaled, "calcification": calcified, "weight": len(nodule.readers) / MOST_READERS}


def _attributes(nodule: AnnotatedNodule, mask: NDArray[np.bool_]) -> dict[str, float]:
    median = nodule.median("malignancy")
    volume_mm3 = float(mask.sum()) * nodule.pixel_mm**2 * nodule.slice_spacing_mm
    return {
        "suspicious": 1.0 if median >= SUSPICIOUS else 0.0 if median <= UNSUSPICIOUS else UNDECIDED,
        "diameter_mm": (6 * volume_mm3 / np.pi) ** (1 / 3),  # of a ball as large
        "texture": nodule.median("texture"),
        "slice_thickness_mm": nodule.slice_thickness_mm,
    }
