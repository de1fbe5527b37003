"""A small chest CT with three nodules in two lungs, as volume, findings and run: what the builders' tests build from."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from cad_node.findings import Axis, Evaluation, Finding, Findings, Heat, Measurement, Organ, Region
from cad_node.imaging import concepts
from cad_node.imaging.volume import Volume
from cad_node.manifest import Manifest
from cad_node.output.builder import EarlierObject, Run
from tests.factory import ct_study

RIGHT_LUNG = Code("3341006", "SCT", "Right lung")
LEFT_LUNG = Code("44029006", "SCT", "Left lung")
NODULE = Code("27925004", "SCT", "Nodule")
EVIDENCE = Code("SUSPICION_HEAT", "99CADNODE", "Evidence for suspicion of malignancy")
PER_CM2 = Code("/cm2", "UCUM", "per square centimetre")
_IN_UPPER_ZONE = Evaluation(concepts.LOCATION_IN_CHEST, concepts.ZONES[2])

EARLIER = (
    EarlierObject("seg", SegmentationStorage, "2.25.71", "2.25.710"),
    EarlierObject("sr", Comprehensive3DSRStorage, "2.25.72", "2.25.720"),
    EarlierObject("sr", Comprehensive3DSRStorage, "2.25.73", "2.25.730", "all-frames"),
    EarlierObject("tree", Comprehensive3DSRStorage, "2.25.74", "2.25.740", "sr+tree"),
)

_CENTRES = ((3, 30, 20), (5, 20, 22), (6, 33, 46))


def run(title: str = "Lung nodules on chest CT") -> Run:
    return Run(uuid.UUID(int=7), manifest(title), datetime(2026, 1, 2, 11, 12, 13, 140000, UTC), "2.25.99", "0.1.0")


def later_run(title: str = "Lung nodules on chest CT") -> Run:
    """A run that takes the place of an earlier one, which had a Segmentation, a report and a root."""
    return replace(run(title), supersedes=EARLIER)


def manifest(title: str) -> Manifest:
    any_length = {"min": 0, "max": 10000}
    return Manifest.model_validate(
        {
            "name": "lung_nodule_ct",
            "version": "1.0.0",
            "title": title,
            "manufacturer": "cad_node",
            "task": "analyse_lungs",
            "accepts": {
                "modality": ["CT"],
                "sop_class_uid": ["1.2.840.10008.5.1.4.1.1.2"],
                "body_part": ["CHEST"],
                "slices": any_length,
                "slice_spacing_mm": any_length,
                "pixel_spacing_mm": any_length,
            },
            "graph": {"sha256": "0" * 64, "input": "patches", "input_shape": ["batch", 1, 50, 50], "outputs": ["scores"]},
            "candidates": {"diameter_mm": any_length, "limit": 100},
            "output": {
                "meaning": {"value": "111012", "scheme": "DCM", "meaning": "Certainty of Finding"},
                "finding": {"value": "27925004", "scheme": "SCT", "meaning": "Nodule"},
                "site": {"value": "39607008", "scheme": "SCT", "meaning": "Lung"},
                "diameter_mm": any_length,
                "limit": 15,
            },
            "parts": {"lungs": "lung_segmentation_ct/1.2.3"},
            "golden": {"tolerance": 0.001},
        }
    )


def volume(datasets: list[Dataset] | None = None) -> Volume:
    """The volume of these slices, in their order; its affine is read off their headers."""
    datasets = datasets or ct_study(slices=10, voxels=np.full((10, 61, 67), -850, np.int16))
    voxels = np.stack([np.frombuffer(ds.PixelData, "<i2").reshape(ds.Rows, ds.Columns) - 1024 for ds in datasets])
    first, last = datasets[0], datasets[-1]
    rows_mm, columns_mm = first.PixelSpacing
    affine = np.eye(4)
    affine[:3, 0] = np.subtract(last.ImagePositionPatient, first.ImagePositionPatient) / max(len(datasets) - 1, 1)
    affine[:3, 1] = np.multiply(first.ImageOrientationPatient[3:], rows_mm)
    affine[:3, 2] = np.multiply(first.ImageOrientationPatient[:3], columns_mm)
    affine[:3, 3] = first.ImagePositionPatient
    for ds in datasets:
        del ds.PixelData
    return Volume(voxels.astype(np.int16), affine, tuple(datasets))


def findings(of: Volume, nodules: int = 3) -> Findings:
    """Up to three nodules in two lungs; the lungs' masks include them, and touch no edge."""
    shape = of.voxels.shape
    lungs = np.zeros(shape, np.bool_)
    lungs[1:9, 8:50, 6:62] = True
    halves = lungs.copy(), lungs.copy()
    halves[0][:, :, 34:] = False
    halves[1][:, :, :34] = False
    return Findings(
        tuple(_nodule(of, number) for number in range(1, nodules + 1)),
        (Organ("Right lung", RIGHT_LUNG, crop(halves[0])), Organ("Left lung", LEFT_LUNG, crop(halves[1]))),
    )


def measured_findings(of: Volume, nodules: int = 3) -> Findings:
    """The same with every quantity and a judgement, each value one of its own."""
    plain = findings(of, nodules)
    return Findings(
        tuple(
            replace(finding, measurements=_measured(concepts.NODULE_QUANTITIES, 10.0 * number), evaluations=(_IN_UPPER_ZONE,))
            for number, finding in enumerate(plain.findings, 1)
        ),
        tuple(replace(organ, measurements=_measured(concepts.LUNG_QUANTITIES, 100.0 * n)) for n, organ in enumerate(plain.organs, 1)),
        _measured(concepts.LUNG_QUANTITIES, 1000.0),
    )


def _measured(quantities: Sequence[concepts.Quantity], first: float) -> tuple[Measurement, ...]:
    stated_elsewhere = (concepts.VOLUME, concepts.MEAN_HU, concepts.LONG_AXIS, concepts.SHORT_AXIS, concepts.SECTION_AXIS)
    return tuple(quantity.of(first + step) for step, quantity in enumerate(quantities) if quantity not in stated_elsewhere)


def crop(mask: np.ndarray) -> Region:
    low = np.argwhere(mask).min(axis=0)
    high = np.argwhere(mask).max(axis=0) + 1
    return Region(tuple(int(x) for x in low), mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].copy())


def full_mask(region: Region, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, np.bool_)
    mask[region.slices] = region.mask
    return mask


def _nodule(of: Volume, number: int) -> Finding:
    centre, radius = _CENTRES[number - 1], 1.5 + number
    index = np.indices(of.voxels.shape)
    distance = np.sqrt(sum((index[axis] - centre[axis]) ** 2 for axis in range(3)))
    lopsided = (distance <= radius) & ~((index[1] > centre[1]) & (index[2] > centre[2]))  # no mirror image of itself
    return Finding(
        label=f"Nodule {number}",
        code=NODULE,
        site=RIGHT_LUNG if centre[2] < 34 else LEFT_LUNG,
        centre_lps_mm=of.to_lps(centre),
        score=0.9 - number / 10,
        region=crop(lopsided),
        long_axis=_axis(of, centre, (0.0, radius)),
        short_axis=_axis(of, centre, (radius, 0.0)),
        volume_mm3=123.456 * number,
        mean_hu=-40.25,
        heat=_heat(distance.astype(np.float32), radius),
    )


def _heat(distance: np.ndarray, radius: float) -> Heat:
    """Warmest in the middle, against at the corners of its box."""
    box = crop(distance <= 2 * radius)
    return Heat(box.origin, 1 - distance[box.slices] / np.float32(2 * radius), EVIDENCE, PER_CM2)


def _axis(of: Volume, centre: tuple[int, int, int], half: tuple[float, float]) -> Axis:
    z, row, column = centre
    ends = [(row - half[0], column - half[1]), (row + half[0], column + half[1])]
    ends_lps_mm = tuple(of.to_lps((z, *end)) for end in ends)
    ends_px = tuple((end[1] + 0.5, end[0] + 0.5) for end in ends)
    return Axis(z, ends_lps_mm, ends_px, float(np.linalg.norm(np.subtract(*ends_lps_mm))))
