"""What a PACS received, read again as a stranger would: from the files alone, in patient coordinates."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cad_node.errors import CadNodeError
from cad_node.findings import Point
from cad_node.imaging.concepts import LONG_AXIS, SEGMENT_VOLUME


@dataclass(frozen=True, slots=True)
class FoundInObject:
    """One finding as its report and its segment tell it."""

    study_instance_uid: str
    label: str
    centre_lps_mm: Point  # centre of the segment's voxels
    diameter_mm: float
    volume_mm3: float
    score: float
    evaluations: Mapping[str, str]  # coded judgements in words: concept -> value


class DoesNotFit(CadNodeError):
    """A report and its Segmentation contradict each other."""


def reread(files: Sequence[Path], sent: Collection[str]) -> tuple[tuple[FoundInObject, ...], tuple[str, ...]]:
    """The findings of every report among `files`, and what can't be read or doesn't fit together.

    sent: the SOP Instance UIDs of the study's own files; a Segmentation must not refer to others.
    """
    findings: list[FoundInObject] = []
    problems: list[str] = []
    by_modality: dict[str, list[Path]] = {}
    for file in files:
        by_modality.setdefault(_modality(file), []).append(file)
    segmentations = {}
    for file in by_modality.get("SEG", []):
        with _noted(problems, file):
            segmentation = hd.seg.segread(file)
            segmentations[segmentation.SOPInstanceUID] = segmentation
            _require_sent(segmentation, sent)
            for number in segmentation.segment_numbers:
                _require_voxels(segmentation, number)
    for file in by_modality.get("SR", []):
        with _noted(problems, file):
            report = hd.sr.srread(file)
            findings += [_finding(str(report.StudyInstanceUID), *groups, segmentations) for groups in _groups(report)]
    return tuple(findings), tuple(problems)


@contextmanager
def _noted(problems: list[str], file: Path) -> Iterator[None]:
    """Trouble with one file is a problem to report, and keeps no other file from being read."""
    try:
        yield
    except DoesNotFit as exc:
        problems.append(f"{file.name}: {exc}")
    except Exception as exc:  # noqa: BLE001 - a reader can raise anything; its message could quote the dataset
        problems.append(f"{file.name} can't be read back: {type(exc).__name__}")


def _modality(file: Path) -> str:
    return str(dcmread(file, specific_tags=["Modality"], stop_before_pixels=True).get("Modality", ""))


def _require_sent(segmentation: Any, sent: Collection[str]) -> None:  # Any: highdicom has no types
    series = segmentation.ReferencedSeriesSequence
    referenced = {str(instance.ReferencedSOPInstanceUID) for item in series for instance in item.ReferencedInstanceSequence}
    if not referenced or not referenced <= set(sent):
        raise DoesNotFit(f"refers to {len(referenced - set(sent))} images that weren't sent, of {len(referenced)}")


def _require_voxels(segmentation: Any, number: int) -> None:
    """Of the segments that no finding refers to (the lungs), too."""
    if not _segment(segmentation, number).array.any():
        raise DoesNotFit(f"segment {number} is empty")


def _groups(report: Any) -> list[tuple[Any, Any]]:
    """The planar and the volumetric group of each finding, paired by Tracking UID; organs have groups of their own."""
    groups = report.content.get_volumetric_roi_measurement_groups(), report.content.get_image_measurement_groups()
    volumetric, planar = ({group.tracking_uid: group for group in kind if not _is_of_an_organ(group)} for kind in groups)
    if volumetric.keys() != planar.keys():
        raise DoesNotFit("a finding lacks its planar or its volumetric measurements")
    return [(planar[uid], group) for uid, group in volumetric.items()]


def _is_of_an_organ(group: Any) -> bool:
    return bool(group.finding_category and group.finding_category == codes.SCT.AnatomicalStructure)


def _finding(study_instance_uid: str, planar: Any, volumetric: Any, segmentations: Mapping[str, Any]) -> FoundInObject:
    label = volumetric.tracking_identifier
    segment = volumetric.referenced_segment
    segmentation = segmentations.get(segment.referenced_sop_instance_uid)
    if segmentation is None:
        raise DoesNotFit(f"{label}: Segmentation {segment.referenced_sop_instance_uid} didn't arrive")
    (number,) = segment.referenced_segment_numbers
    if segmentation.get_segment_description(number).tracking_uid != volumetric.tracking_uid:
        raise DoesNotFit(f"{label}: segment {number} has another Tracking UID")
    volume = _segment(segmentation, number)
    inside = np.argwhere(volume.array)
    segment_mm3 = len(inside) * float(np.prod(volume.spacing))
    for item in volumetric.get_measurements(SEGMENT_VOLUME.concept):
        if abs(segment_mm3 - item.value) > 0.02 * item.value:
            raise DoesNotFit(f"{label}: reported {item.value:.0f} mm3, its segment has {segment_mm3:.0f}")
    x, y, z = (float(v) for v in volume.map_indices_to_reference(inside.mean(axis=0, keepdims=True))[0])
    return FoundInObject(
        study_instance_uid,
        label,
        centre_lps_mm=(x, y, z),
        diameter_mm=_value(planar, LONG_AXIS.concept),
        volume_mm3=_value(volumetric, codes.SCT.Volume),
        score=_percent(volumetric) / 100,
        evaluations={item.name.meaning: item.value.meaning for (item,) in volumetric.get_qualitative_evaluations()},
    )


def _segment(segmentation: Any, number: int) -> Any:
    """The segment as highdicom's Volume: voxels with their place in patient coordinates."""
    return segmentation.get_volume(segment_numbers=[number], combine_segments=True, dtype=np.uint8)


def _value(group: Any, name: Code) -> float:
    return float(group.get_measurements(name)[0].value)


def _percent(group: Any) -> float:
    """The score: the first measurement that is a percentage; shares of the nodule come after it."""
    return float(next(item.value for item in group.get_measurements() if item.unit.value == "%"))
