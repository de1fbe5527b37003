"""Patches of 32×32 pixels from annotated nodules, split by patient, with the same nodules in other patients' lungs for training.

Real: positives centred on nodules that at least three readers marked; negatives on other bright spots of the same slices, away from what
any reader marked. Synthetic, training only: those nodules put into the lungs of LCTSC, and as many spots beside those places without one.
DIR holds lidc_nodule_slices (or is another folder of annotated nodules) and lctsc_lung_masks.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.training.detection.insertion import diameter_of, insert_nodule
from cad_node.training.lungs.lctsc_masks import SPACING_MM, Case, read_cases
from cad_node.training.nodules.annotated import AnnotatedNodule, read_nodules
from cad_node.training.samples import DataError, Samples, Split
from cad_node.training.splits import split_of

PATCH_PX = 32
NODULES = "lidc_nodule_slices"
SURE = 3  # readers who make a nodule certain
LOOKS = (-0.25, 0.0, 0.25)  # of the diameter: the slices that serving looks at too
AWAY_PX = 5  # of a negative's centre from what any reader marked
BORDER_PX = 10  # of a negative's centre from the crop's; what its patch lacks is mirrored
AIRY_HU, AIRY = -500.0, 0.45  # a negative stands in lung: least share of air around it
BRIGHT_HU = 60.0  # least contrast of a negative
NEGATIVES = 2  # a slice, the brightest first
SYNTHETIC = 600  # pairs: a nodule, and a spot nearby without one
FREE_HU = -600.0  # of the densest spot where a nodule is put: nothing stood there
NEARBY_PX = 5
DIAMETER_MM = (4.0, 16.0)  # of the nodules put there


@dataclass(frozen=True, slots=True)
class _Patch:
    """hu: (32, 32). diameter_mm: NaN where there is no nodule."""

    hu: NDArray[Any]
    nodule: bool
    patient: str
    synthetic: bool
    diameter_mm: float
    image: str


def read_lidc_patches(data: Path, split: Split) -> Samples:
    """One split: target "nodule" is 0 or 1. Raises DataError naming what is missing."""
    nodules, digest = read_nodules(data / NODULES if (data / NODULES).is_dir() else data)
    chosen = [nodule for nodule in nodules if split_of(nodule.patient) is split]
    certain = [nodule for nodule in chosen if len(nodule.readers) >= SURE and nodule.consensus.any()]
    if not certain:
        raise DataError(f"{data}: no nodule of the {split} split that {SURE} readers marked")
    patches = [*_around_nodules(certain), *_beside_nodules(chosen)]
    if split is Split.TRAIN:
        cases, tissue_digest = read_cases(data)
        digest = hashlib.sha256((digest + tissue_digest).encode()).hexdigest()
        patches += _in_other_lungs(certain, cases, np.random.default_rng(7))
    return _samples(patches, digest)


def _samples(patches: Sequence[_Patch], digest: str) -> Samples:
    return Samples(
        np.stack([patch.hu for patch in patches])[:, np.newaxis].astype(np.int16),
        {"nodule": np.array([patch.nodule for patch in patches], np.float32)},
        tuple(patch.patient for patch in patches),
        {
            "synthetic": np.array([patch.synthetic for patch in patches]),
            "diameter_mm": np.array([patch.diameter_mm for patch in patches]),
            "image": np.array([patch.image for patch in patches]),
        },
        digest,
    )


def _around_nodules(nodules: Iterable[AnnotatedNodule]) -> Iterator[_Patch]:
    for nodule in nodules:
        diameter_mm = diameter_of(nodule)
        filled = np.flatnonzero(nodule.consensus.any(axis=(1, 2)))
        middle, row, column = ndimage.center_of_mass(nodule.consensus)
        wanted = [round(middle + look * diameter_mm / nodule.slice_spacing_mm) for look in LOOKS]
        for index in sorted(set(np.clip(wanted, filled[0], filled[-1]).tolist())):
            hu = _cut(nodule.hu[index], row, column)
            yield _Patch(hu, True, nodule.patient, False, diameter_mm, f"{nodule.key}, slice {index}")


def _beside_nodules(nodules: Iterable[AnnotatedNodule]) -> Iterator[_Patch]:
    for nodule in nodules:
        marked = np.asarray(nodule.readers.any(axis=0))
        for index in range(0, len(nodule.hu), 3):  # neighbouring slices show the same vessels
            for row, column in _bright_spots(nodule.hu[index], marked[index])[:NEGATIVES]:
                hu = _cut(nodule.hu[index], row, column)
                yield _Patch(hu, False, nodule.patient, False, np.nan, f"{nodule.key}, slice {index}")


def _bright_spots(plane: NDArray[np.int16], marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(row, column) of what stands out in the lung, the brightest first, away from `marked`."""
    hu = np.clip(plane, -1000, 200).astype(np.float32)
    contrast = ndimage.gaussian_filter(hu, 1.5) - ndimage.gaussian_filter(hu, 3.5)
    peaks = (contrast > BRIGHT_HU) & (contrast == ndimage.maximum_filter(contrast, size=7))
    peaks &= ndimage.uniform_filter((hu < AIRY_HU).astype(np.float32), 15) >= AIRY
    if marked.any():
        peaks &= ndimage.distance_transform_edt(~marked) >= AWAY_PX
    peaks[:BORDER_PX] = peaks[-BORDER_PX:] = peaks[:, :BORDER_PX] = peaks[:, -BORDER_PX:] = False
    spots = np.argwhere(peaks)
    return [(int(row), int(column)) for row, column in spots[np.argsort(-contrast[peaks], kind="stable")]]


def _in_other_lungs(nodules: Sequence[AnnotatedNodule], cases: Sequence[Case], random: Generator) -> Iterator[_Patch]:
    """Pairs, with and without a nodule, on the tissue's own coarse grid, enlarged afterwards: that the tissue is blurred tells nothing."""
    places = [_free_places(case) for case in cases]
    for _ in range(SYNTHETIC):
        chosen = int(random.integers(len(cases)))
        nodule = nodules[int(random.integers(len(nodules)))]
        z, y, x = places[chosen][int(random.integers(len(places[chosen])))]
        slab = cases[chosen].voxels[z : z + 1].astype(np.float32)
        diameter_mm = float(random.uniform(*DIAMETER_MM))
        inserted = slab.copy()
        insert_nodule(inserted, SPACING_MM, (0.0, float(y), float(x)), nodule, diameter_mm)
        with_nodule = _enlarged(inserted[0], (y, x), nodule.pixel_mm)
        without = _enlarged(slab[0], _brightest(slab[0], y, x), nodule.pixel_mm)
        where = f"{cases[chosen].patient}, slice {z}"
        yield _Patch(with_nodule, True, nodule.patient, True, diameter_mm, f"{nodule.key} put into {where}")
        yield _Patch(without, False, nodule.patient, True, np.nan, where)


def _free_places(case: Case) -> NDArray[np.intp]:
    """(N, 3) voxels of lung around which nothing dense stands."""
    densest = ndimage.maximum_filter(ndimage.gaussian_filter(case.voxels.astype(np.float32), (0, 1, 1)), (1, 5, 5))
    return np.argwhere(ndimage.binary_erosion(case.lungs, np.ones((1, 5, 5), np.bool_)) & (densest < FREE_HU))


def _brightest(plane: NDArray[np.float32], y: int, x: int) -> tuple[int, int]:
    """(row, column) within 10 mm of the place: what a search would have taken there instead of a nodule, mostly a vessel."""
    top, left = max(0, y - NEARBY_PX), max(0, x - NEARBY_PX)
    near = ndimage.gaussian_filter(plane, 1)[top : y + NEARBY_PX + 1, left : x + NEARBY_PX + 1]
    row, column = np.unravel_index(np.argmax(np.where(near < AIRY_HU, near, -np.inf)), near.shape)  # without the wall
    return top + int(row), left + int(column)


def _enlarged(plane: NDArray[np.float32], centre: tuple[int, int], pixel_mm: float) -> NDArray[np.float32]:
    """A patch of 32×32 pixels of `pixel_mm` from a coarser plane."""
    along = (np.arange(PATCH_PX) - PATCH_PX // 2) * pixel_mm
    rows, columns = np.meshgrid(centre[0] + along / SPACING_MM[1], centre[1] + along / SPACING_MM[2], indexing="ij")
    return np.asarray(ndimage.map_coordinates(plane, [rows, columns], order=1, mode="nearest"))


def _cut(plane: NDArray[np.int16], row: float, column: float) -> NDArray[np.int16]:
    """Pixel 16 of both sides at the centre, as serving cuts."""
    half = PATCH_PX // 2
    top, left = round(row), round(column)
    return np.pad(plane, half, mode="reflect")[top : top + PATCH_PX, left : left + PATCH_PX]
