"""What an object refers to: nothing that isn't there, and evidence for all that its content names."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import KeyObjectSelectionDocumentStorage

from cad_node.checks.content_tree import is_report

# Of the study and its order, as the source tells them; they name no image.
_OF_THE_STUDY = frozenset(
    map(
        Tag,
        (
            "ReferencedPatientSequence",
            "ReferencedPerformedProcedureStepSequence",
            "ReferencedRequestSequence",
            "ReferencedStudySequence",
            "RequestAttributesSequence",
        ),
    )
)
_REFERENCED_SOP_INSTANCE_UID = Tag("ReferencedSOPInstanceUID")
_DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"  # a structure set names its study as if it were an instance, PS3.3 C.8.8.5
_EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")


class Reference(NamedTuple):
    sop_class_uid: str
    sop_instance_uid: str


def referenced(ds: Dataset) -> frozenset[Reference]:
    """Every instance that the object names anywhere."""
    return frozenset(_references(ds))


def dangling(references: frozenset[Reference], known: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each that isn't known, or under another SOP class.

    known: SOP Instance UID -> SOP Class UID of the source images, the run's objects and those that they supersede.
    """
    for reference in sorted(references):
        actual = known.get(reference.sop_instance_uid)
        if actual is None:
            yield f"it refers to {reference.sop_instance_uid}, which is neither a source image nor an object of this run"
        elif actual != reference.sop_class_uid:
            yield f"it refers to {reference.sop_instance_uid} as {reference.sop_class_uid}, which is a {actual}"


def unevidenced(ds: Dataset) -> Iterator[str]:
    """A sentence for each instance that a report's content names and its evidence doesn't, PS3.3 C.17.2; of key objects, both ways."""
    if not is_report(ds):
        return
    content = {reference for item in ds.get("ContentSequence") or () for reference in _references(item)}
    evidence = {reference for keyword in _EVIDENCE for item in ds.get(keyword) or () for reference in _references(item)}
    for reference in sorted(content - evidence):
        yield f"the content refers to {reference.sop_instance_uid}, which the evidence doesn't list"
    if ds.SOPClassUID == KeyObjectSelectionDocumentStorage:
        for reference in sorted(evidence - content):
            yield f"the evidence lists {reference.sop_instance_uid}, to which the content doesn't refer"


def of_another_study(ds: Dataset, source: Dataset) -> Iterator[str]:
    """A sentence for each attribute by which the object doesn't belong to its source's patient, study or frame of reference."""
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName"):
        if (ds.get(keyword) or "") != (source.get(keyword) or ""):
            yield f"{keyword} isn't the source's"
    if ds.get("SeriesInstanceUID") == source.SeriesInstanceUID:
        yield "it is in the source's own series"
    frame_of_reference = source.get("FrameOfReferenceUID")
    if frame_of_reference and ds.get("FrameOfReferenceUID", frame_of_reference) != frame_of_reference:
        yield "FrameOfReferenceUID isn't the source's"


def _references(ds: Dataset) -> Iterator[Reference]:
    if _REFERENCED_SOP_INSTANCE_UID in ds.keys() and ds.get("ReferencedSOPClassUID") != _DETACHED_STUDY:  # noqa: SIM118 - quicker
        yield Reference(str(ds.get("ReferencedSOPClassUID", "")), str(ds.ReferencedSOPInstanceUID))
    sequences = [tag for tag, element in ds.items() if element.VR == "SQ" and tag not in _OF_THE_STUDY]  # as they were read
    for tag in sequences:
        for item in ds[tag].value:
            yield from _references(item)
