"""What the reports of a run have in common: how they begin, and what they say in sum."""

from collections.abc import Sequence

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    LanguageOfContentItemAndDescendants,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cad_node.findings import Findings
from cad_node.output.builder import Run, observation_uid
from cad_node.output.codes import ABSENT, CAD_SUMMARY, PRESENT, WITH_FINDINGS, WITHOUT_FINDINGS, reading
from cad_node.output.equipment import REVIEW_REMARK, device_observer, report_algorithm

ENGLISH = CodedConcept("en-US", "RFC5646", "English (United States)")

_CONTAINS = RelationshipTypeValues.CONTAINS
_OBSERVATIONS = frozenset({"CONTAINER", "NUM", "CODE", "TEXT"})  # value types; a reference observes nothing


def begin_report(title: Code, header: Dataset, run: Run, template_id: str | None = "1500") -> ContainerContentItem:
    """A root with its first rows: language, the device as observer, the procedure that is reported on."""
    procedure, _ = reading(str(header.get("Modality", "")), run.manifest.output.site.code)
    root = ContainerContentItem(title, is_content_continuous=False, template_id=template_id)
    root.ContentSequence = ContentSequence()
    root.ContentSequence.extend(LanguageOfContentItemAndDescendants(ENGLISH))
    root.ContentSequence.extend(device_observer(run))
    root.ContentSequence.append(CodeContentItem(codes.DCM.ProcedureReported, procedure, RelationshipTypeValues.HAS_CONCEPT_MOD))
    return root


def section(name: Code, content: ContentSequence | Sequence[ContentItem]) -> ContainerContentItem:
    item = ContainerContentItem(name, is_content_continuous=False, relationship_type=_CONTAINS)
    item.ContentSequence = ContentSequence(content)
    return item


def summary(findings: Findings, run: Run) -> list[ContentItem]:
    """TID 1500 row 12: by which algorithm what was sought, whether it is there, in codes and in words."""
    sought, count = run.manifest.output.finding.code, len(findings.findings)
    words = [
        f"{sought.meaning}: {count or 'none'} detected by the algorithm. {REVIEW_REMARK}.",
        *(f"To be considered: {remark.sentence}." for remark in findings.remarks),
    ]
    return [
        *report_algorithm(run),
        CodeContentItem(CAD_SUMMARY, WITH_FINDINGS if count else WITHOUT_FINDINGS, _CONTAINS),
        CodeContentItem(sought, PRESENT if count else ABSENT, _CONTAINS),
        *(TextContentItem(codes.DCM.Comment, text, _CONTAINS) for text in words),
    ]


def identify_observations(container: Dataset, run: Run, *place: str | int) -> None:
    """Give each observation beneath a container its Observation UID, the same in each edition of the report, PS3.3 C.17.3.

    place: which container of the run's reports it is.
    """
    for number, item in enumerate(container.ContentSequence, 1):
        if item.RelationshipType == _CONTAINS.value and item.ValueType in _OBSERVATIONS:
            item.ObservationUID = observation_uid(run, *place, number)
            if "ContentSequence" in item:
                identify_observations(item, run, *place, number)
