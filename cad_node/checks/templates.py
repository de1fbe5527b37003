"""What the root templates of the node's reports require, PS3.16, and what OHIF needs to draw them."""

from collections import Counter
from collections.abc import Iterator

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cad_node.checks.content_tree import Item

MEASUREMENT_REPORT = codes.DCM.ImagingMeasurementReport
CHEST_CAD_REPORT = Code("112000", "DCM", "Chest CAD Report")
MAMMOGRAPHY_CAD_REPORT = Code("111036", "DCM", "Mammography CAD Report")
MEASUREMENT_GROUP = codes.DCM.MeasurementGroup
IMAGING_MEASUREMENTS = codes.DCM.ImagingMeasurements
TRACKING_IDENTIFIER = codes.DCM.TrackingIdentifier
TRACKING_UID = codes.DCM.TrackingUniqueIdentifier
REFERENCED_SEGMENT = codes.DCM.ReferencedSegment
PROCEDURE_REPORTED = codes.DCM.ProcedureReported
IMAGE_LIBRARY = codes.DCM.ImageLibrary

_CHEST_CAD, _MAMMOGRAPHY_CAD, _KEY_OBJECTS = ".88.65", ".88.50", ".88.59"
_KEY_OBJECT_TITLES = {
    *map(str, range(113000, 113011)),
    "113013",
    "113018",
    "113020",
    "113021",
    *map(str, range(113030, 113040)),
}  # CID 7010
_REJECTED_FOR_QUALITY = "113001"


def broken_template(root: Item, sop_class_uid: str) -> Iterator[str]:
    """A sentence for each row of the report's template that isn't kept."""
    if sop_class_uid.endswith((_CHEST_CAD, _MAMMOGRAPHY_CAD)):
        yield from _cad_report(root, CHEST_CAD_REPORT if sop_class_uid.endswith(_CHEST_CAD) else MAMMOGRAPHY_CAD_REPORT)
    elif sop_class_uid.endswith(_KEY_OBJECTS):
        yield from _key_objects(root)
    elif root.name == (MEASUREMENT_REPORT.value, "DCM") or template_of(root) == "1500":
        yield from _measurement_report(root)


def measurement_groups(root: Item) -> tuple[Item, ...]:
    """The groups of a TID 1500 report."""
    return tuple(group for section in root.of(IMAGING_MEASUREMENTS) for group in section.of(MEASUREMENT_GROUP))


def tracking_uid_of(item: Item) -> str:
    """Its Tracking Unique Identifier; "" without one."""
    return next((str(child.ds.get("UID", "")) for child in item.of(TRACKING_UID)), "")


def template_of(root: Item) -> str:
    templates = root.ds.get("ContentTemplateSequence")
    return str(templates[0].get("TemplateIdentifier", "")) if templates else ""


def _measurement_report(root: Item) -> Iterator[str]:
    """TID 1500; the rows that are mandatory, and those that a reader of the node's reports relies on."""
    required = (codes.DCM.LanguageOfContentItemAndDescendants, codes.DCM.ObserverType, PROCEDURE_REPORTED)
    for concept in required:
        if not root.of(concept):
            yield f"TID 1500: {concept.meaning} is missing"
    groups = measurement_groups(root)
    if groups and not root.of(IMAGE_LIBRARY):
        yield "TID 1500: Image Library is missing"
    if root.name == (MEASUREMENT_REPORT.value, "DCM") and not groups:
        yield "TID 1500: an Imaging Measurement Report has no Measurement Group: OHIF shows it black"
    drawn = {tracking_uid_of(group) for group in groups if _draws(group)}
    for number, group in enumerate(groups, 1):
        for concept in (TRACKING_IDENTIFIER, TRACKING_UID):
            if not group.of(concept):
                yield f"TID 1501: Measurement Group {number} has no {concept.meaning}"
        if tracking_uid_of(group) not in drawn:
            yield f"Measurement Group {number} shares its Tracking UID with none that has an SCOORD: OHIF shows the report black"


def _draws(group: Item) -> bool:
    return any(item.value_type in ("SCOORD", "SCOORD3D") for item in group.walk())


def _cad_report(root: Item, title: Code) -> Iterator[str]:
    """TID 4000 and TID 4100"""
    if root.name != (title.value, "DCM"):
        yield f"the root isn't titled {title.meaning}"
    required = [
        codes.DCM.LanguageOfContentItemAndDescendants,
        codes.DCM.CADProcessingAndFindingsSummary,
        codes.DCM.SummaryOfDetections,
        codes.DCM.SummaryOfAnalyses,
    ]
    if title == MAMMOGRAPHY_CAD_REPORT or any(item.value_type == "SCOORD" for item in root.walk()):
        required.append(IMAGE_LIBRARY)
    for concept in required:
        if not root.of(concept):
            yield f"{title.meaning}: {concept.meaning} is missing"
    named = Counter(item.name[0] for item in root.walk() if item.name[1] == "DCM")
    if named[codes.DCM.AlgorithmName.value] != named[codes.DCM.AlgorithmVersion.value]:
        yield f"{title.meaning}: an algorithm has a name without a version, or a version without a name"


def _key_objects(root: Item) -> Iterator[str]:
    """TID 2010"""
    if root.name[1] == "DCM" and root.name[0] not in _KEY_OBJECT_TITLES:
        yield f"TID 2010: {root.meaning} is no title of a Key Object Selection, CID 7010"
    if root.name == (_REJECTED_FOR_QUALITY, "DCM") and not root.of(codes.DCM.DocumentTitleModifier):
        yield "TID 2010: a rejection for quality reasons has no Document Title Modifier"
    if not any(item.value_type in ("IMAGE", "WAVEFORM", "COMPOSITE") for item in root.children):
        yield "TID 2010: it selects no object"
