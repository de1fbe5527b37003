"""How surely the search for candidates finds nodules of known place: real shapes put into the lungs of real scans.

    python benchmarks/candidates.py --data DIR [--json FILE]

DIR holds lidc_idri_0314, lidc_0003 and lung_pet_ct_dx (the scans) and lidc_nodule_slices (the shapes; training patients' only).
The nodules stand free in the lung: those at the pleura and on vessels are harder, and not in these figures.
"""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.findings import Region
from cad_node.imaging.candidates import find_candidates
from cad_node.imaging.lungs import Lungs
from cad_node.imaging.volume import Volume
from cad_node.inference.network import load_network
from cad_node.inference.segment_lungs import segment_lungs
from cad_node.manifest import PartFolder, read_part
from cad_node.shipped import shipped
from cad_node.training.detection.insertion import insert_nodule
from cad_node.training.detection.operating_points import CANDIDATES
from cad_node.training.detection.scans import DIAMETER_MM, LUNGS
from cad_node.training.detection.whole_scans import read_scans
from cad_node.training.evaluation.bootstrap import mean_ci
from cad_node.training.nodules.annotated import AnnotatedNodule, read_nodules
from cad_node.training.samples import Split
from cad_node.training.splits import split_of

SIZES_MM = (4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0)  # of the nodules put in, in turn
AT_ONCE = 16  # in one copy of a scan
ROUNDS = 5
APART_MM = 25.0
AIRY_HU = -600.0  # of the place a nodule is put at, averaged over about its size
RANKS = (50, 100, CANDIDATES)


@dataclass(frozen=True, slots=True)
class Try:
    """One nodule put in. rank: of the first candidate in it, from 1; 0 where none is."""

    scan: str
    diameter_mm: float
    solid: bool
    rank: int


def try_scan(name: str, volume: Volume, lungs: Lungs, nodules: Sequence[AnnotatedNodule], random: Generator) -> Iterator[Try]:
    """AT_ONCE nodules, each of a size in turn, put into a copy of the scan and searched for."""
    voxels = volume.voxels.copy()
    chosen = [nodules[int(random.integers(len(nodules)))] for _ in range(AT_ONCE)]
    placed = []
    for nodule, diameter_mm, centre in zip(chosen, SIZES_MM * (AT_ONCE // len(SIZES_MM)), _places(volume, lungs, random), strict=True):
        insert_nodule(voxels, volume.spacing_mm, centre, nodule, diameter_mm)
        placed.append((nodule, diameter_mm, centre))
    candidates = find_candidates(Volume(voxels, volume.affine, volume.sources), lungs, DIAMETER_MM, CANDIDATES)
    for nodule, diameter_mm, centre in placed:
        away_mm = [math.dist(np.multiply(one.index, volume.spacing_mm), np.multiply(centre, volume.spacing_mm)) for one in candidates]
        within_mm = max(diameter_mm / 2, volume.spacing_mm[0])
        rank = next((number for number, mm in enumerate(away_mm, 1) if mm <= within_mm), 0)
        yield Try(name, diameter_mm, nodule.median("texture") >= 4, rank)


def _places(volume: Volume, lungs: Lungs, random: Generator) -> list[tuple[float, float, float]]:
    """AT_ONCE indices deep in airy lung, apart from each other."""
    spacing_mm = np.array(volume.spacing_mm)
    free = np.concatenate([_free(volume, region) for region in lungs.regions])
    places: list[tuple[float, float, float]] = []
    while len(places) < AT_ONCE:
        z, y, x = (float(value) for value in free[int(random.integers(len(free)))])
        if all(math.dist(np.multiply(other, spacing_mm), np.multiply((z, y, x), spacing_mm)) >= APART_MM for other in places):
            places.append((z, y, x))
    return places


def _free(volume: Volume, region: Region) -> NDArray[np.intp]:
    """(N, 3) indices at least 8 mm inside the lung, where it is airy."""
    spacing_mm = np.array(volume.spacing_mm)
    step = tuple(np.maximum(1, np.round(2.0 / spacing_mm)).astype(int))
    coarse = tuple(slice(None, None, int(count)) for count in step)
    mask, hu = region.mask[coarse], volume.voxels[region.slices][coarse].astype(np.float32)
    deep = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing_mm * step)[1:-1, 1:-1, 1:-1] >= 8.0
    airy = ndimage.gaussian_filter(hu, 4.0 / (spacing_mm * step)) < AIRY_HU
    return np.asarray(np.argwhere(mask & deep & airy) * step + np.array(region.origin))


def tabulate(tries: Sequence[Try]) -> str:
    groups: dict[str, list[Try]] = {"all": list(tries)}
    groups |= {f"{size:g} mm": [one for one in tries if one.diameter_mm == size] for size in SIZES_MM}
    groups |= {name: [one for one in tries if one.solid is solid] for name, solid in (("solid", True), ("sub-solid", False))}
    groups |= {scan: [one for one in tries if one.scan == scan] for scan in sorted({one.scan for one in tries})}
    lines = [
        f"| nodules put in | number | {' | '.join(f'found among {rank} (95 % CI)' for rank in RANKS)} |",
        "|---" * (2 + len(RANKS)) + "|",
    ]
    for name, group in groups.items():
        cells = []
        for limit in RANKS:
            mean, (low, high) = mean_ci(np.array([0 < one.rank <= limit for one in group], np.float64))
            cells.append(f"{mean:.3f} ({low:.3f} to {high:.3f})")
        lines.append(f"| {name} | {len(group)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="sensitivity of the candidate search on nodules put into real scans")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder = shipped("models") / LUNGS
    network = load_network(PartFolder(folder, read_part(folder)), "cpu")
    nodules = shapes(arguments.data)
    random = np.random.default_rng(11)
    tries: list[Try] = []
    for scan in read_scans(arguments.data):
        lungs = segment_lungs(scan.volume, network)
        for _ in range(ROUNDS):
            tries += try_scan(scan.name, scan.volume, lungs, nodules, random)
    print(tabulate(tries))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in tries], indent=1) + "\n", encoding="utf-8")


def shapes(data: Path) -> list[AnnotatedNodule]:
    """Nodules of training patients that three readers marked and that were cut finely enough to be enlarged."""
    nodules, _ = read_nodules(data / "lidc_nodule_slices")
    fine = [nodule for nodule in nodules if len(nodule.readers) >= 3 and len(nodule.hu) >= 4 and nodule.consensus.any()]
    return [nodule for nodule in fine if split_of(nodule.patient) is Split.TRAIN]


if __name__ == "__main__":
    main()
