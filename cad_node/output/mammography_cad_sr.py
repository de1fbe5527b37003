"""Findings as a Mammography CAD SR, TID 4000. The volume of such a series has one "slice" for each of its views.

No model that is shipped reads mammograms, nor does the loader; this is the report that one would give.
"""

from collections.abc import Sequence

from highdicom.sr import ContainerContentItem, RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import MammographyCADSRStorage

from cad_node.findings import Finding, Findings
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run
from cad_node.output.cad_content import (
    CONTAINS,
    HAS_PROPERTIES,
    algorithm,
    code,
    document,
    findings_summary,
    geometry,
    holding,
    image_library,
    language,
    lengths,
    library_entry,
    library_reference,
    rendering_intent,
    score,
    summaries_of_algorithms,
    tracking,
)
from cad_node.output.headers import study_header

_IMPRESSION = Code("111034", "DCM", "Individual Impression/Recommendation")  # pydicom's has a zero-width space in it
_MEASURED = codes.cid6014.MammographyBreastDensity, codes.cid6014.CalcificationCluster  # TID 4011 and 4010 include TID 1400
_SIDES = {"L": codes.cid6022.LeftBreast, "R": codes.cid6022.RightBreast, "B": codes.cid6022.BothBreasts}
_HAS_ACQ_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT


def build_mammography_cad_sr(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    """A report of every finding, each on the view of its long axis, or one that says that there is none."""
    headers = [study_header(source) for source in volume.sources]
    numbers = range(1, len(headers) + 1)
    found = [_impression(finding, finding_number, run) for finding_number, finding in enumerate(findings.findings, 1)]
    searched = [library_reference(library_number, HAS_PROPERTIES) for library_number in numbers]
    items = [
        language(),
        image_library([library_entry(header, _view(header)) for header in headers]),
        findings_summary(found),  # TID 4001
        *summaries_of_algorithms(run.manifest.output.finding.code, searched, run),
    ]
    root = ContainerContentItem(codes.DCM.MammographyCADReport, template_id="4000")
    return [document(root, items, MammographyCADSRStorage, headers, run)]


def _impression(finding: Finding, finding_number: int, run: Run) -> Dataset:
    """TID 4003"""
    item = ContainerContentItem(_IMPRESSION, relationship_type=RelationshipTypeValues.INFERRED_FROM)
    return holding(item, [rendering_intent(), _single_image_finding(finding, finding_number, run)])


def _single_image_finding(finding: Finding, finding_number: int, run: Run) -> Dataset:
    """TID 4006, its rows in order; the finding's code is of CID 6014."""
    library_number = finding.long_axis.slice_index + 1
    rows = [
        rendering_intent(),
        *tracking(finding, finding_number, run),
        *algorithm(run, HAS_PROPERTIES),
        *score(finding, (codes.DCM.CertaintyOfFinding, codes.DCM.ProbabilityOfCancer), run),
        *geometry(finding, library_number),
        *(lengths(finding, library_number) if finding.code in _MEASURED else ()),
    ]
    return holding(code(codes.DCM.SingleImageFinding, finding.code, CONTAINS), rows)


def _view(header: Dataset) -> list[Dataset]:
    """TID 4020 rows 2 to 4"""
    items: list[Dataset] = []
    if header.get("ImageLaterality") in _SIDES:
        items.append(code(codes.DCM.ImageLaterality, _SIDES[header.ImageLaterality], _HAS_ACQ_CONTEXT))
    for view in header.get("ViewCodeSequence") or ():
        modifiers = [
            code(codes.DCM.ImageViewModifier, _code_of(modifier), RelationshipTypeValues.HAS_CONCEPT_MOD)
            for modifier in view.get("ViewModifierCodeSequence") or ()
        ]
        item = code(codes.DCM.ImageView, _code_of(view), _HAS_ACQ_CONTEXT)
        items.append(holding(item, modifiers) if modifiers else item)
    return items


def _code_of(item: Dataset) -> Code:
    return Code(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)
