"""What a Segmentation says of each segment: label, codes, tracking, algorithm, colour."""

from highdicom.color import CIELabColor
from highdicom.seg import SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cad_node.findings import Finding, Findings, Organ
from cad_node.output.builder import Run, organ_tracking_uid, tracking_uid
from cad_node.output.codes import site_and_side
from cad_node.output.colours import RGB, finding_colour, organ_colour
from cad_node.output.equipment import segment_algorithm


def describe_segments(findings: Findings, run: Run) -> list[SegmentDescription]:
    """Findings first, so that finding n is segment n; then the organs. PS3.3 C.8.20.4"""
    described = [_finding_segment(finding, number, run) for number, finding in enumerate(findings.findings, 1)]
    for number, organ in enumerate(findings.organs, 1):
        described.append(_organ_segment(organ, number, len(described) + 1, run))
    return described


def segment_colours(findings: Findings) -> list[RGB]:
    """The same, in describe_segments()'s order."""
    shown = [finding_colour(number) for number, _ in enumerate(findings.findings, 1)]
    return shown + [organ_colour(number) for number, _ in enumerate(findings.organs, 1)]


def _finding_segment(finding: Finding, number: int, run: Run) -> SegmentDescription:
    description = SegmentDescription(
        segment_number=number,
        segment_label=finding.label,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=finding.code,
        algorithm_type="AUTOMATIC",
        algorithm_identification=segment_algorithm(run),
        tracking_id=finding.label,
        tracking_uid=tracking_uid(run, number),
        display_color=CIELabColor.from_rgb(*finding_colour(number)),
    )
    if finding.site:
        site = site_and_side(finding.site)
        region = concept(site.region)
        if site.laterality:
            region.AnatomicRegionModifierSequence = [concept(site.laterality)]
        description.AnatomicRegionSequence = [region]
    return description


def _organ_segment(organ: Organ, number: int, segment_number: int, run: Run) -> SegmentDescription:
    site = site_and_side(organ.code)
    description = SegmentDescription(
        segment_number=segment_number,
        segment_label=organ.label,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=site.region,
        algorithm_type="AUTOMATIC",
        algorithm_identification=segment_algorithm(run),
        tracking_id=organ.label,
        tracking_uid=organ_tracking_uid(run, number),
        display_color=CIELabColor.from_rgb(*organ_colour(number)),
    )
    if site.laterality:
        segment_type = description.SegmentedPropertyTypeCodeSequence[0]
        segment_type.SegmentedPropertyTypeModifierCodeSequence = [concept(site.laterality)]
    return description


def concept(code: Code) -> CodedConcept:
    return CodedConcept.from_code(code)
