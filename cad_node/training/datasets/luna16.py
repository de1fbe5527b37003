"""LUNA16 as it is downloaded: subset0 … subset9 with MetaImages, annotations.csv, and candidates_V2.csv or candidates.csv.

Source: https://luna16.grand-challenge.org, 888 CT series of LIDC-IDRI. Licence: CC BY 4.0 (LIDC-IDRI: CC BY 3.0).
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cad_node.training.datasets.meta_image import MetaImage, read_meta_image
from cad_node.training.samples import DataError, Samples, Split

PATCH_PX = 50
AIR_HU = -1000  # beyond the image; lower values are no tissue either
NEGATIVES = 30  # of each scan, drawn from some 600
SUBSETS = {Split.TRAIN: range(8), Split.VALIDATION: range(8, 9), Split.TEST: range(9, 10)}
TEST_SERIES = frozenset(  # LIDC-IDRI-0314 and -0003, which test the whole system: never to be trained on, whatever their subset
    f"1.3.6.1.4.1.14519.5.2.1.6279.6001.{series}" for series in ("154677396354641150280013275227", "170706757615202213033480003264")
)


@dataclass(frozen=True, slots=True)
class _Candidate:
    point_lps_mm: NDArray[np.float64]
    nodule: bool


def is_luna16(data: Path) -> bool:
    return (data / "annotations.csv").is_file() and any(data.glob("subset[0-9]"))


def read_luna16(data: Path, split: Split) -> Samples:
    """Axial patches (N, 1, 50, 50) int16 HU at the image's own spacing, all nodules and some other candidates of each scan.

    Target "nodule" is 0 or 1; attribute diameter_mm is that of the nearest annotation, NaN for other candidates.
    The set names no patients, so series stand for them; a few patients have two. Split by subset: 0 to 7, 8, 9.
    Raises DataError naming the file.
    """
    digest = hashlib.sha256()
    candidates = _read_candidates(data, digest)
    diameters = _read_annotations(data / "annotations.csv", digest)
    patches, labels, series, sizes = [], [], [], []
    for file in _scans(data, split):
        image, uid = read_meta_image(file), file.stem
        for candidate in _choose(candidates.get(uid, []), uid):
            patches.append(_cut(image, candidate))
            labels.append(candidate.nodule)
            series.append(uid)
            sizes.append(_diameter(candidate, diameters.get(uid, [])))
    if len(set(labels)) < 2:
        raise DataError(f"{data}: the {split} split holds no nodules or nothing else; do the CSV files belong to these subsets?")
    inputs = np.stack(patches)[:, np.newaxis]
    digest.update(inputs.tobytes())
    return Samples(inputs, {"nodule": np.array(labels, np.float32)}, tuple(series), {"diameter_mm": np.array(sizes)}, digest.hexdigest())


def _scans(data: Path, split: Split) -> list[Path]:
    folders = [data / f"subset{number}" for number in SUBSETS[split]]
    files = [file for folder in folders for file in sorted(folder.glob("*.mhd")) if file.stem not in TEST_SERIES]
    if split is Split.TEST:
        files += [file for file in sorted(data.glob("subset[0-9]/*.mhd")) if file.stem in TEST_SERIES]
    if not files:
        raise DataError(f"{data}: no scans in {', '.join(folder.name for folder in folders)}, which the {split} split is; download one")
    return files


def _read_candidates(data: Path, digest: "hashlib._Hash") -> Mapping[str, list[_Candidate]]:
    newer, older = data / "candidates_V2.csv", data / "candidates.csv"
    candidates: dict[str, list[_Candidate]] = {}
    for row in _read_table(newer if newer.is_file() else older, "class", digest):
        candidates.setdefault(row["seriesuid"], []).append(_Candidate(_point(row), row["class"] == "1"))
    return candidates


def _read_annotations(file: Path, digest: "hashlib._Hash") -> Mapping[str, list[tuple[NDArray[np.float64], float]]]:
    """Series -> centre and diameter of each nodule."""
    annotations: dict[str, list[tuple[NDArray[np.float64], float]]] = {}
    for row in _read_table(file, "diameter_mm", digest):
        annotations.setdefault(row["seriesuid"], []).append((_point(row), float(row["diameter_mm"])))
    return annotations


def _read_table(file: Path, column: str, digest: "hashlib._Hash") -> list[dict[str, str]]:
    wanted = {"seriesuid", "coordX", "coordY", "coordZ", column}
    try:
        content = file.read_bytes()
    except OSError as exc:
        raise DataError(f"{file}: {exc.strerror}; LUNA16 has it beside the subsets") from exc
    digest.update(content)
    rows = list(csv.DictReader(content.decode("utf-8", "replace").splitlines()))
    if not rows or not wanted <= rows[0].keys():
        raise DataError(f"{file}: must have rows, and the columns {', '.join(sorted(wanted))}")
    return rows


def _point(row: Mapping[str, str]) -> NDArray[np.float64]:
    return np.array([float(row[f"coord{axis}"]) for axis in "XYZ"])


def _choose(candidates: Sequence[_Candidate], uid: str) -> list[_Candidate]:
    """All nodules, and others drawn by a seed that the series gives: the same in every run."""
    others = [candidate for candidate in candidates if not candidate.nodule]
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8]))
    drawn = random.permutation(len(others))[:NEGATIVES]
    return [candidate for candidate in candidates if candidate.nodule] + [others[index] for index in sorted(drawn)]


def _cut(image: MetaImage, candidate: _Candidate) -> NDArray[np.int16]:
    """(50, 50); pixel 25 is the candidate's, as where patches are cut to be scored."""
    slice_, row, column = image.to_index(candidate.point_lps_mm)
    patch = np.full((PATCH_PX, PATCH_PX), AIR_HU, np.int16)
    slices, rows, columns = image.voxels.shape
    top, left = row - PATCH_PX // 2, column - PATCH_PX // 2
    inside_y, inside_x = (slice(max(0, start), min(size, start + PATCH_PX)) for start, size in ((top, rows), (left, columns)))
    if 0 <= slice_ < slices and inside_y.start < inside_y.stop and inside_x.start < inside_x.stop:
        seen = np.maximum(image.voxels[slice_, inside_y, inside_x], AIR_HU)
        patch[inside_y.start - top : inside_y.stop - top, inside_x.start - left : inside_x.stop - left] = seen
    return patch


def _diameter(candidate: _Candidate, annotations: Sequence[tuple[NDArray[np.float64], float]]) -> float:
    if not candidate.nodule or not annotations:
        return np.nan
    return min(annotations, key=lambda annotation: float(np.linalg.norm(annotation[0] - candidate.point_lps_mm)))[1]
