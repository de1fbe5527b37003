"""What Chest and Mammography CAD SR documents have in common: the templates that both include, PS3.16.

Images are referred to by their place in the Image Library, as the templates want it where there is one.
"""

from collections.abc import Sequence

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    ComprehensiveSR,
    ContainerContentItem,
    ContentItem,
    DateContentItem,
    GraphicTypeValues,
    ImageContentItem,
    NumContentItem,
    RelationshipTypeValues,
    ScoordContentItem,
    TextContentItem,
    TimeContentItem,
    UIDRefContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.valuerep import DA, TM

from cad_node.findings import Axis, Finding
from cad_node.imaging.concepts import LONG_AXIS, MILLIMETER, PERCENT, SHORT_AXIS
from cad_node.output.builder import Run, derive_uid, tracking_uid
from cad_node.output.codes import CAD_SUMMARY, WITH_FINDINGS, WITHOUT_FINDINGS
from cad_node.output.equipment import general_equipment, manufacturer, model_name, series_description
from cad_node.output.outlines import outline, pixel_centres
from cad_node.output.references import predecessors
from cad_node.output.report import ENGLISH
from cad_node.output.stamp import stamp

SERIES_NUMBER = 9106  # of every CAD SR
LIBRARY_PLACE = (1, 2)  # of the Image Library in the tree, after the language

HAS_PROPERTIES = RelationshipTypeValues.HAS_PROPERTIES
CONTAINS = RelationshipTypeValues.CONTAINS
_HAS_ACQ_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT

_INTENT = codes.cid6034.PresentationRequiredRenderingDeviceIsExpectedToPresent


def holding(item: ContentItem, children: Sequence[Dataset]) -> ContentItem:
    """The item with its children. highdicom's own way refuses those that have no name, as references haven't."""
    item.add_new("ContentSequence", "SQ", list(children))
    return item


def code(name: Code, value: Code, relationship: RelationshipTypeValues) -> ContentItem:
    return CodeContentItem(name, value, relationship)


def number(name: Code, value: float, unit: Code, relationship: RelationshipTypeValues = HAS_PROPERTIES) -> ContentItem:
    return NumContentItem(name, value, unit, relationship_type=relationship)


def document(root: ContainerContentItem, items: Sequence[Dataset], sop_class_uid: str, headers: Sequence[Dataset], run: Run) -> Dataset:
    """The SR document of this tree. Its modules are those of a Comprehensive SR, PS3.3 A.35.5.3 and A.35.6.3."""
    root.add_new("ContentSequence", "SQ", list(items[:1]))  # all that highdicom must see, see holding()
    ds = ComprehensiveSR(
        evidence=headers,
        content=root,
        series_instance_uid=derive_uid(run, "cad_sr", "series"),
        series_number=SERIES_NUMBER,
        series_description=series_description(run, "CAD report"),
        sop_instance_uid=derive_uid(run, "cad_sr", "instance"),
        instance_number=1,
        is_complete=True,
        is_final=False,  # and not verified: nobody has reviewed it
        previous_versions=predecessors(run, "cad_sr", headers[0].StudyInstanceUID),
        specific_character_set=None,  # stamp() sets it
        **general_equipment(run),
    )
    ds.SOPClassUID = sop_class_uid
    ds.add_new("ContentSequence", "SQ", list(items))
    stamp(ds, headers[0], run)
    return ds


def language() -> ContentItem:
    """TID 1204"""
    return CodeContentItem(codes.DCM.LanguageOfContentItemAndDescendants, ENGLISH, RelationshipTypeValues.HAS_CONCEPT_MOD)


def image_library(entries: Sequence[Dataset]) -> ContentItem:
    return holding(ContainerContentItem(codes.DCM.ImageLibrary, relationship_type=CONTAINS), entries)


def library_entry(image: Dataset, views: Sequence[Dataset] = ()) -> Dataset:
    """TID 4020 of an image; `views` are its rows 2 to 4, whose codes differ between documents."""
    entry: ContentItem = ImageContentItem(codes.DCM.ImageLibrary, image.SOPClassUID, image.SOPInstanceUID, relationship_type=CONTAINS)
    del entry.ConceptNameCodeSequence  # highdicom wants one, the template has none
    return holding(entry, [*views, *_orientation(image), *_times(image), *_spacing(image)])


def library_reference(library_number: int, relationship: RelationshipTypeValues) -> Dataset:
    """The entry of the Image Library, from 1, by reference, PS3.3 C.17.3.2.5."""
    item = Dataset()
    item.RelationshipType = relationship.value
    item.ReferencedContentItemIdentifier = [*LIBRARY_PLACE, library_number]
    return item


def findings_summary(findings: Sequence[Dataset]) -> ContentItem:
    """TID 4001 and 4101, with what the summary is inferred from."""
    summary = code(CAD_SUMMARY, WITH_FINDINGS if findings else WITHOUT_FINDINGS, CONTAINS)
    return holding(summary, findings) if findings else summary


def summaries_of_algorithms(sought: Code, searched: Sequence[Dataset], run: Run) -> list[Dataset]:
    """What was detected, by which algorithm and where, TID 4015 and 4017. Of comparisons, which these templates call analyses, none."""
    detection = holding(code(codes.DCM.DetectionPerformed, sought, CONTAINS), [*algorithm(run, HAS_PROPERTIES), *searched])
    inferred_from = RelationshipTypeValues.INFERRED_FROM
    successful = holding(ContainerContentItem(codes.DCM.SuccessfulDetections, relationship_type=inferred_from), [detection])
    return [
        holding(code(codes.DCM.SummaryOfDetections, codes.DCM.Succeeded, CONTAINS), [successful]),
        code(codes.DCM.SummaryOfAnalyses, codes.DCM.NotAttempted, CONTAINS),
    ]


def rendering_intent() -> ContentItem:
    """What is reported is above the model's threshold: a workstation is to show all of it."""
    return code(codes.DCM.RenderingIntent, _INTENT, RelationshipTypeValues.HAS_CONCEPT_MOD)


def tracking(finding: Finding, finding_number: int, run: Run) -> list[Dataset]:
    """TID 4108"""
    relationship = RelationshipTypeValues.HAS_OBS_CONTEXT
    return [
        TextContentItem(codes.DCM.TrackingIdentifier, finding.label, relationship),
        UIDRefContentItem(codes.DCM.TrackingUniqueIdentifier, tracking_uid(run, finding_number), relationship),
    ]


def algorithm(run: Run, relationship: RelationshipTypeValues) -> list[Dataset]:
    """TID 4019"""
    return [
        TextContentItem(codes.DCM.AlgorithmName, model_name(run), relationship),
        TextContentItem(codes.DCM.AlgorithmVersion, run.manifest.version, relationship),
        TextContentItem(codes.DCM.AlgorithmManufacturer, manufacturer(run), relationship),
    ]


def score(finding: Finding, known: Sequence[Code], run: Run) -> list[Dataset]:
    """The finding's score, if it means one of the concepts that the template knows."""
    meaning = run.manifest.output.meaning.code
    return [number(meaning, round(100 * finding.score, 1), PERCENT)] if meaning in known else []


def geometry(finding: Finding, library_number: int) -> list[Dataset]:
    """TID 4021 and 4107: centre and outline on the slice of the long axis."""
    index = finding.long_axis.slice_index
    centre = pixel_centres(finding.region, index).mean(axis=0, keepdims=True)
    return [
        _drawn(codes.DCM.Center, GraphicTypeValues.POINT, centre, HAS_PROPERTIES, library_number),
        _drawn(codes.DCM.Outline, GraphicTypeValues.POLYLINE, outline(finding.region, index), HAS_PROPERTIES, library_number),
    ]


def lengths(finding: Finding, library_number: int) -> list[Dataset]:
    """TID 1400: both axes with their paths, and what else of the measurements is a length of the finding."""
    measured = [one for one in finding.measurements if one.concept in codes.cid7470 and one.unit == MILLIMETER]
    return [
        _length(LONG_AXIS.concept, finding.long_axis, library_number),
        _length(SHORT_AXIS.concept, finding.short_axis, library_number),
        *(number(one.concept, one.value, one.unit) for one in measured),
    ]


def _length(concept: Code, axis: Axis, library_number: int) -> Dataset:
    ends = np.array(axis.ends_px)
    path = _drawn(codes.DCM.Path, GraphicTypeValues.POLYLINE, ends, RelationshipTypeValues.INFERRED_FROM, library_number)
    return holding(number(concept, round(axis.length_mm, LONG_AXIS.decimals), MILLIMETER), [path])


def _drawn(
    name: Code, graphic_type: GraphicTypeValues, points: np.ndarray, relationship: RelationshipTypeValues, library_number: int
) -> ContentItem:
    item = ScoordContentItem(name, graphic_type, points.astype(np.float32), relationship_type=relationship)
    return holding(item, [library_reference(library_number, RelationshipTypeValues.SELECTED_FROM)])


def _orientation(image: Dataset) -> list[Dataset]:
    """TID 4020 rows 5 and 6"""
    names = codes.DCM.PatientOrientationRow, codes.DCM.PatientOrientationColumn
    values = image.get("PatientOrientation") or ()
    return [TextContentItem(name, value, _HAS_ACQ_CONTEXT) for name, value in zip(names, values, strict=False) if value]


def _times(image: Dataset) -> list[Dataset]:
    """TID 4020 rows 7 to 10"""
    items: list[Dataset] = []
    for kind in ("Study", "Content"):
        date, time = image.get(f"{kind}Date"), image.get(f"{kind}Time")
        if date:
            items.append(DateContentItem(getattr(codes.DCM, f"{kind}Date"), DA(date), _HAS_ACQ_CONTEXT))
        if time:
            items.append(TimeContentItem(getattr(codes.DCM, f"{kind}Time"), TM(time), _HAS_ACQ_CONTEXT))
    return items


def _spacing(image: Dataset) -> list[Dataset]:
    """TID 4020 rows 11 and 12; a mammogram's is that at its detector."""
    rows_mm, columns_mm = image.get("PixelSpacing") or image.get("ImagerPixelSpacing") or (None, None)
    named = (codes.DCM.HorizontalPixelSpacing, columns_mm), (codes.DCM.VerticalPixelSpacing, rows_mm)
    return [number(name, float(value), MILLIMETER, _HAS_ACQ_CONTEXT) for name, value in named if value]
