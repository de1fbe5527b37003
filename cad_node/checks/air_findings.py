"""Rules of AIR for what a result says: of findings, measurements, segments, and how they are followed through objects and time."""

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from cad_node.checks.air import Judged, Rule, Verdict
from cad_node.checks.air_general import GENERAL_RULES, REPORTS
from cad_node.checks.air_subject import Kind, Subject
from cad_node.checks.content_tree import Item
from cad_node.checks.templates import (
    PROCEDURE_REPORTED,
    REFERENCED_SEGMENT,
    TRACKING_IDENTIFIER,
    measurement_groups,
    template_of,
    tracking_uid_of,
)

QUALITATIVE = "6.5.3.2"
_OBSERVED = ("NUM", "CODE", "CONTAINER")


def _measurement_report(subject: Subject, _: Sequence[Subject]) -> Judged:
    assert subject.root is not None
    template = template_of(subject.root)
    if template == "1500":
        return Verdict.OK, subject.root.meaning
    if not template and subject.root.name == (codes.DCM.ImagingMeasurementReport.value, "DCM"):
        return Verdict.OK, f"by its title {subject.root.meaning}; no ContentTemplateSequence says so"
    return Verdict.VIOLATED, f"the root template is {template or 'not said'}, its title {subject.root.meaning}"


def _procedure_reported(subject: Subject, _: Sequence[Subject]) -> Judged:
    assert subject.root is not None
    procedures = subject.root.of(PROCEDURE_REPORTED)
    if not procedures:
        return Verdict.VIOLATED, "Procedure Reported (121058, DCM) is missing"
    names = {name.lower() for name, _ in subject.algorithms} | {
        str(item.get("ManufacturerModelName", "")).lower() for item in subject.equipment
    }
    for item in procedures:
        values = item.ds.get("ConceptCodeSequence")
        meaning = str(values[0].get("CodeMeaning", "")) if values else ""
        if meaning.lower() in names - {""}:
            return Verdict.VIOLATED, f"{meaning} is the algorithm, not the imaging procedure"
        if not meaning:
            return Verdict.VIOLATED, "Procedure Reported has no value"
    return Verdict.OK, meaning


def _tracked_groups(subject: Subject, _: Sequence[Subject]) -> Judged:
    groups = _groups(subject)
    if not groups:
        return Verdict.NOT_APPLICABLE, "no measurement groups"
    untracked = [number for number, group in enumerate(groups, 1) if not (group.of(TRACKING_IDENTIFIER) and tracking_uid_of(group))]
    if untracked:
        return Verdict.VIOLATED, f"without Tracking Identifier or UID: measurement group {', '.join(map(str, untracked))}"
    return Verdict.OK, f"{len(groups)} groups"


def _tracked_segments(subject: Subject, _: Sequence[Subject]) -> Judged:
    untracked = [
        str(item.get("SegmentNumber", "?")) for item in subject.segments if not (item.get("TrackingID") and item.get("TrackingUID"))
    ]
    if untracked:
        return Verdict.VIOLATED, f"without TrackingID or TrackingUID: segment {', '.join(untracked)}"
    return Verdict.OK, f"{len(subject.segments)} segments"


def _tracking_is_reused(subject: Subject, subjects: Sequence[Subject]) -> Judged:
    segmentations = {one.sop_instance_uid: one for one in subjects if one.kind is Kind.SEGMENTATION}
    compared = 0
    for group in _groups(subject):
        for reference in _segment_references(group):
            segmentation = segmentations.get(str(reference.get("ReferencedSOPInstanceUID", "")))
            if segmentation is None:
                continue
            numbers = reference.get("ReferencedSegmentNumber") or ()
            for number in numbers if isinstance(numbers, Sequence) else [numbers]:
                compared += 1
                found = [item for item in segmentation.segments if item.get("SegmentNumber") == number]
                if not found:
                    return Verdict.VIOLATED, f"segment {number} isn't in {segmentation.name}"
                if str(found[0].get("TrackingUID", "")) != tracking_uid_of(group):
                    has = "another" if found[0].get("TrackingUID") else "no"
                    return Verdict.VIOLATED, f"segment {number} in {segmentation.name} has {has} Tracking UID"
    if compared:
        return Verdict.OK, f"{compared} segments"
    return Verdict.NOT_APPLICABLE, "it refers to no segment of a file that was given"


def _observation_uids(subject: Subject, _: Sequence[Subject]) -> Judged:
    observations = [item for item in _observations(subject) if item.value_type in _OBSERVED]
    if not observations:
        return Verdict.NOT_APPLICABLE, "no observations"
    without = [item for item in observations if not item.ds.get("ObservationUID")]
    uids = [str(item.ds.ObservationUID) for item in observations if item.ds.get("ObservationUID")]
    if without:
        return Verdict.VIOLATED, f"{len(without)} of {len(observations)} observations have no Observation UID, first {without[0].meaning}"
    if len(set(uids)) < len(uids):
        return Verdict.VIOLATED, "two observations have the same Observation UID"
    return Verdict.OK, f"{len(uids)} observations"


def _image_references(subject: Subject, _: Sequence[Subject]) -> Judged:
    assert subject.root is not None
    count = sum(item.value_type == "IMAGE" for item in subject.root.walk())
    if count:
        return Verdict.OK, f"{count} references"
    evidence = subject.ds.get("CurrentRequestedProcedureEvidenceSequence")
    return (Verdict.OK, "in its evidence") if evidence else (Verdict.VIOLATED, "it names no image")


def _source_images(subject: Subject, _: Sequence[Subject]) -> Judged:
    if subject.ds.get("ReferencedSeriesSequence"):
        return Verdict.OK, ""
    return Verdict.VIOLATED, "ReferencedSeriesSequence is missing: a reader can't tell from the header what it was made from"


def _segment_algorithm(subject: Subject, _: Sequence[Subject]) -> Judged:
    automatic = [item for item in subject.segments if item.get("SegmentAlgorithmType") != "MANUAL"]
    if not automatic:
        return Verdict.NOT_APPLICABLE, "its segments were drawn by hand"
    unnamed = [str(item.get("SegmentNumber", "?")) for item in automatic if not item.get("SegmentationAlgorithmIdentificationSequence")]
    if unnamed:
        return Verdict.VIOLATED, f"without SegmentationAlgorithmIdentificationSequence: segment {', '.join(unnamed)}"
    return Verdict.OK, ""


def _groups(subject: Subject) -> tuple[Item, ...]:
    return measurement_groups(subject.root) if subject.root else ()


def _observations(subject: Subject) -> Iterator[Item]:
    """The groups, and what they and the sections beside them contain."""
    assert subject.root is not None
    for group in _groups(subject):
        yield group
        yield from (item for item in group.children if item.relationship == "CONTAINS")
    for section in subject.root.children:
        if section.value_type == "CONTAINER" and section.name[0] in _SECTIONS:
            yield from (item for item in section.children if item.relationship == "CONTAINS")


def _segment_references(group: Item) -> Iterator[Dataset]:
    return (reference for item in group.of(REFERENCED_SEGMENT) for reference in item.ds.get("ReferencedSOPSequence") or ())


_SECTIONS = {codes.DCM.DerivedImagingMeasurements.value, "C0034375"}  # and Qualitative Evaluations, PS3.16 TID 1500
_SEGMENTATIONS = frozenset({Kind.SEGMENTATION})
_DERIVED = frozenset({Kind.SEGMENTATION, Kind.PARAMETRIC_MAP})

RULES = (
    *GENERAL_RULES,
    Rule("measurement-report", QUALITATIVE, "A report's root template is TID 1500.", REPORTS, _measurement_report),
    Rule("procedure-reported", QUALITATIVE, "Procedure Reported names the imaging procedure.", REPORTS, _procedure_reported),
    Rule("observation-uid", "measurements", "Each observation has an Observation UID of its own.", REPORTS, _observation_uids),
    Rule("tracking", "tracking identifiers", "Each measurement group has a Tracking Identifier and UID.", REPORTS, _tracked_groups),
    Rule("segment-tracking", "tracking identifiers", "Each segment has a Tracking ID and UID.", _SEGMENTATIONS, _tracked_segments),
    Rule("tracking-reused", "tracking identifiers", "A group and the segment it refers to share them.", REPORTS, _tracking_is_reused),
    Rule("segment-algorithm", "regions", "Each automatic segment identifies its algorithm.", _SEGMENTATIONS, _segment_algorithm),
    Rule("source-images", "image references", "A derived image names the series it was made from.", _DERIVED, _source_images),
    Rule("image-references", "image references", "A report names the images it is about.", REPORTS, _image_references),
)
