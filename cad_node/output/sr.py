"""Findings as a Comprehensive 3D SR, TID 1500 Measurement Report, PS3.16."""

from collections.abc import Sequence

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    ImageLibrary,
    LanguageOfContentItemAndDescendants,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from cad_node.findings import Findings
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run, derive_uid
from cad_node.output.codes import (
    ABSENT,
    CAD_SUMMARY,
    PRESENT,
    QUALITATIVE_EVALUATIONS,
    WITH_FINDINGS,
    WITHOUT_FINDINGS,
    reading,
)
from cad_node.output.equipment import REVIEW_REMARK, device_observer, general_equipment, series_description
from cad_node.output.headers import reference_headers
from cad_node.output.measurement_groups import derived_measurements, measurement_groups, organ_axes
from cad_node.output.seg import seg_instance_uid, seg_series_uid
from cad_node.output.stamp import stamp

SERIES_NUMBER = 9102  # of every report

_ENGLISH = CodedConcept("en-US", "RFC5646", "English (United States)")


def build_sr(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    """A report of every finding, or one that says that there is none.

    OHIF shows a black viewport for an Imaging Measurement Report without a drawn measurement, and any other title as text:
    a report without findings has a title of its own.
    """
    headers = reference_headers(volume, run)
    ds = Comprehensive3DSR(
        evidence=[*headers, *_segmentation(headers[0], findings, run)],
        content=_root(volume, headers, findings, run),
        series_instance_uid=derive_uid(run, "sr", "series"),
        series_number=SERIES_NUMBER,
        series_description=series_description(run, "report"),
        sop_instance_uid=derive_uid(run, "sr", "instance"),
        instance_number=1,
        is_complete=True,
        is_final=False,  # and not verified: nobody has reviewed it
        specific_character_set=None,  # stamp() sets it
        **general_equipment(run),
    )
    stamp(ds, headers[0], run)
    return [ds]


def _segmentation(header: Dataset, findings: Findings, run: Run) -> list[Dataset]:
    """What the evidence says of the same run's Segmentation, if there is one."""
    if not (findings.findings or findings.organs):
        return []
    ds = Dataset()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = header.StudyInstanceUID, seg_series_uid(run)
    ds.SOPClassUID, ds.SOPInstanceUID = SegmentationStorage, seg_instance_uid(run)
    return [ds]


def _root(volume: Volume, headers: Sequence[Dataset], findings: Findings, run: Run) -> ContainerContentItem:
    """TID 1500, its rows in order. highdicom's MeasurementReport can't say that nothing was found."""
    output = run.manifest.output
    procedure, negative_title = reading(str(headers[0].Modality), output.site.code)
    root = ContainerContentItem(codes.DCM.ImagingMeasurementReport if findings.findings else negative_title, template_id="1500")
    root.ContentSequence = ContentSequence()
    root.ContentSequence.extend(LanguageOfContentItemAndDescendants(_ENGLISH))
    root.ContentSequence.extend(device_observer(run))
    root.ContentSequence.append(_code(codes.DCM.ProcedureReported, procedure, RelationshipTypeValues.HAS_CONCEPT_MOD))
    sections = organ_axes(volume, findings)
    if findings.findings or sections:
        drawn = [axis for finding in findings.findings for axis in (finding.long_axis, finding.short_axis)]
        slices = sorted({axis.slice_index for axis in (*drawn, *sections.values())})
        root.ContentSequence.extend(ImageLibrary([headers[index] for index in slices]))
        root.ContentSequence.append(_container(codes.DCM.ImagingMeasurements, measurement_groups(headers, findings, sections, run)))
    if findings.measurements:
        root.ContentSequence.append(_container(codes.DCM.DerivedImagingMeasurements, derived_measurements(findings, run)))
    root.ContentSequence.append(_container(QUALITATIVE_EVALUATIONS, _summary(findings, output.finding.code)))
    return root


def _summary(findings: Findings, sought: Code) -> ContentSequence:
    """TID 1500 row 12: what was sought, whether it is there, in codes and in words."""
    count = len(findings.findings)
    text = f"{sought.meaning}: {count or 'none'} detected by the algorithm. {REVIEW_REMARK}."
    return ContentSequence(
        [
            _code(CAD_SUMMARY, WITH_FINDINGS if count else WITHOUT_FINDINGS),
            _code(sought, PRESENT if count else ABSENT),
            TextContentItem(codes.DCM.Comment, text, RelationshipTypeValues.CONTAINS),
            *(
                TextContentItem(codes.DCM.Comment, f"To be considered: {remark.sentence}.", RelationshipTypeValues.CONTAINS)
                for remark in findings.remarks
            ),
        ]
    )


def _container(name: Code, content: ContentSequence) -> ContainerContentItem:
    item = ContainerContentItem(name, relationship_type=RelationshipTypeValues.CONTAINS)
    item.ContentSequence = content
    return item


def _code(name: Code, value: Code, relationship: RelationshipTypeValues = RelationshipTypeValues.CONTAINS) -> CodeContentItem:
    return CodeContentItem(name, value, relationship)
