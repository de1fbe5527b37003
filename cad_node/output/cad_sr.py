"""Findings as a Chest CAD SR, TID 4100, or of mammograms as a Mammography CAD SR; for workstations that read no other report."""

from collections.abc import Sequence

from highdicom.sr import ContainerContentItem, RelationshipTypeValues, UIDRefContentItem
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ChestCADSRStorage

from cad_node.findings import Finding, Findings
from cad_node.imaging.concepts import CUBIC_MILLIMETER, HOUNSFIELD_UNIT, VOLUME
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run
from cad_node.output.cad_content import (
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
    number,
    rendering_intent,
    score,
    summaries_of_algorithms,
    tracking,
)
from cad_node.output.codes import site_and_side
from cad_node.output.headers import reference_headers, study_header
from cad_node.output.mammography_cad_sr import build_mammography_cad_sr

_LOCATION = codes.DCM.LocationInChest
_IN_THE_CHEST = (codes.SCT.Lung, codes.SCT.Chest, codes.SCT.Pleura, codes.SCT.Mediastinum, codes.SCT.Heart)


def build_cad_sr(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    """A report of every finding, or one that says that there is none; nothing of other sites, for which there is no CAD SR.

    Organs and remarks have no place in these templates.
    """
    if volume.sources[0].Modality == "MG":
        return build_mammography_cad_sr(volume, findings, run)
    if site_and_side(run.manifest.output.site.code).region not in _IN_THE_CHEST:
        return []
    slices = sorted({finding.long_axis.slice_index for finding in findings.findings})
    entries = [library_entry(study_header(volume.sources[index])) for index in slices]
    found = [
        _single_image_finding(finding, finding_number, slices.index(finding.long_axis.slice_index) + 1, run)
        for finding_number, finding in enumerate(findings.findings, 1)
    ]
    searched = UIDRefContentItem(codes.DCM.SeriesInstanceUID, volume.series_instance_uid, HAS_PROPERTIES)
    items = [
        language(),
        *([image_library(entries)] if entries else []),
        findings_summary(found),  # TID 4101
        *summaries_of_algorithms(run.manifest.output.finding.code, [searched], run),
    ]
    root = ContainerContentItem(codes.DCM.ChestCADReport, template_id="4100")
    return [document(root, items, ChestCADSRStorage, reference_headers(volume, run), run)]


def _single_image_finding(finding: Finding, finding_number: int, library_number: int, run: Run) -> Dataset:
    """TID 4104, its rows in order; on the slice of the long axis."""
    concept_mod, inferred_from = RelationshipTypeValues.HAS_CONCEPT_MOD, RelationshipTypeValues.INFERRED_FROM
    rows = [
        code(codes.DCM.SingleImageFindingModifier, finding.code, concept_mod),  # CID 6102, extended
        rendering_intent(),
        *tracking(finding, finding_number, run),
        *algorithm(run, RelationshipTypeValues.HAS_OBS_CONTEXT),
        *score(finding, (codes.DCM.CertaintyOfFinding,), run),
        *geometry(finding, library_number),
        *lengths(finding, library_number),
        *_volumes(finding),
        *_descriptors(finding),
    ]
    return holding(code(codes.DCM.SingleImageFinding, codes.DCM.AbnormalOpacity, inferred_from), rows)


def _volumes(finding: Finding) -> list[Dataset]:
    """TID 1402: the volume, and what else of the measurements is one."""
    measured = [one for one in finding.measurements if one.concept in codes.cid7472 and one.unit == CUBIC_MILLIMETER]
    return [number(one.concept, one.value, one.unit) for one in (VOLUME.of(finding.volume_mm3), *measured)]


def _descriptors(finding: Finding) -> list[Dataset]:
    """TID 4105 rows 8, 9 and 20: what its context groups have a code for."""
    located = [one for one in finding.evaluations if one.concept == _LOCATION and one.value in codes.cid6124]
    side = site_and_side(finding.site).laterality if finding.site else None
    return [
        *(code(one.concept, one.value, HAS_PROPERTIES) for one in located),
        *([code(codes.SCT.Laterality, side, HAS_PROPERTIES)] if side else []),
        number(codes.cid6141.MeanAttenuationCoefficient, round(finding.mean_hu, 1), HOUNSFIELD_UNIT),
    ]
