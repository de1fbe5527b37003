"""What a model found, as values in the source image's geometry; coordinates are patient LPS millimetres."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

Point = tuple[float, float, float]  # (left, posterior, superior) mm, PS3.3 C.7.6.2.1.1


@dataclass(frozen=True, slots=True)
class Region:
    """A mask cropped to its box, on the voxel grid of the source volume.

    mask: (slice, row, column) bool; its voxel (0, 0, 0) is the source's voxel `origin`.
    """

    origin: tuple[int, int, int]
    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.mask.ndim != 3 or self.mask.dtype != np.bool_ or not self.mask.any():
            raise ValueError(f"a region is a non-empty 3-D bool mask, not {self.mask.dtype} {self.mask.shape}")

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of this region's box in the source volume."""
        z, y, x = (slice(o, o + n) for o, n in zip(self.origin, self.mask.shape, strict=True))
        return z, y, x


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number as a report states it.

    concept: what is measured; unit: UCUM; method: how (None where the concept says it);
    derivation: what kind of value of many it is, for instance (373098007, SCT, "Mean").
    """

    concept: Code
    value: float
    unit: Code
    method: Code | None = None
    derivation: Code | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A coded judgement, for instance texture: part-solid."""

    concept: Code
    value: Code


@dataclass(frozen=True, slots=True)
class Organ:
    """An anatomical structure that was delineated on the way, for instance a lung."""

    label: str
    code: Code  # SNOMED CT
    region: Region
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """A diameter on one axial slice: two end points in LPS mm, and the same in (column, row) of that slice.

    Pixel coordinates as in SCOORD: (0.5, 0.5) is the centre of the first pixel, PS3.3 C.18.6.1.2.
    """

    slice_index: int
    ends_lps_mm: tuple[Point, Point]
    ends_px: tuple[tuple[float, float], tuple[float, float]]
    length_mm: float


@dataclass(frozen=True, slots=True)
class Heat:
    """How much each place spoke for a score, on the voxel grid of the source volume, as the network itself says.

    values: (slice, row, column) float32; its voxel (0, 0, 0) is the source's voxel `origin`.
    meaning: the quantity, for instance the evidence for malignancy; unit: UCUM.
    """

    origin: tuple[int, int, int]
    values: NDArray[np.float32]
    meaning: Code
    unit: Code


@dataclass(frozen=True, slots=True)
class Finding:
    label: str  # "Nodule 1", numbered by falling score
    code: Code
    site: Code | None
    centre_lps_mm: Point
    score: float  # 0..1
    region: Region
    long_axis: Axis
    short_axis: Axis  # perpendicular to long_axis, on the same slice
    volume_mm3: float
    mean_hu: float
    measurements: tuple[Measurement, ...] = ()  # beyond those above
    evaluations: tuple[Evaluation, ...] = ()
    heat: Heat | None = None  # of the judgement on it, or else of its score

    def __post_init__(self) -> None:
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"{self.label}: score {self.score} is not in 0..1")

    @property
    def diameter_mm(self) -> float:
        """The longest axial diameter."""
        return self.long_axis.length_mm


Structure = Finding | Organ  # what has a region and a label


class Caution(StrEnum):
    """Why the results of a series are to be read with care, though a model takes it."""

    DERIVED = "derived-image"
    LOSSY = "lossy-compression"
    THICK_SLICES = "thick-slices"
    SLICE_GAP = "slice-gap"
    SHARP_KERNEL = "sharp-kernel"
    CONTRAST_AGENT = "contrast-agent"
    NOISE = "noise"
    LUNGS_CUT = "lungs-cut"


@dataclass(frozen=True, slots=True)
class Remark:
    """What a reader of the results should know of the series."""

    code: Caution
    sentence: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All that one model says of one series; `findings` may be empty, which is a result too.

    measurements: of the organs taken together, for instance of both lungs.
    """

    findings: tuple[Finding, ...]
    organs: tuple[Organ, ...]
    measurements: tuple[Measurement, ...] = ()
    remarks: tuple[Remark, ...] = ()

    @property
    def structures(self) -> tuple[Structure, ...]:
        """Findings, then organs: in the order in which segments are numbered from 1."""
        return *self.findings, *self.organs
