"""Coded concepts that several objects use and no library names."""

from collections.abc import Mapping
from typing import NamedTuple

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cad_node.imaging.concepts import LEFT_LUNG, RIGHT_LUNG

QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")  # TID 1500 row 12

CAD_SUMMARY = codes.DCM.CADProcessingAndFindingsSummary
WITH_FINDINGS = codes.DCM.AllAlgorithmsSucceededWithFindings
WITHOUT_FINDINGS = codes.DCM.AllAlgorithmsSucceededWithoutFindings
PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("2667000", "SCT", "Absent")

SUPERSEDED = Code("SUPERSEDED", "99CADNODE", "Superseded by a later analysis")  # CID 7011, extended

# What an object of a run is that has no title of its own; where the standard names a modality so, CID 32.
OBJECT_KINDS: Mapping[str, Code] = {
    "seg": codes.DCM.Segmentation,
    "labelmap": codes.DCM.Segmentation,
    "gsps": codes.DCM.PresentationState,
    "sc": Code("SC", "99CADNODE", "Secondary Capture"),
    "pmap": Code("PARAMETRIC_MAP", "99CADNODE", "Parametric Map"),
    "rtstruct": codes.DCM.RTStructureSet,
    "pdf": codes.DCM.DocumentProducer,
    "stl": codes.DCM.ModelFor3DManufacturing,
}

_LUNG = Code("39607008", "SCT", "Lung")
_LEFT, _RIGHT = codes.SCT.Left, codes.SCT.Right
BOTH_SIDES = codes.SCT.Bilateral


class Site(NamedTuple):
    """An anatomic region and, of a paired one, its side."""

    region: Code
    laterality: Code | None


_SIDED = {RIGHT_LUNG.value: Site(_LUNG, _RIGHT), LEFT_LUNG.value: Site(_LUNG, _LEFT)}


def site_and_side(site: Code) -> Site:
    """A pre-coordinated side, as in "Right lung", taken apart: readers compare regions and sides, PS3.16 TID 1411 and CID 244."""
    return _SIDED.get(site.value, Site(site, None)) if site.scheme_designator == "SCT" else Site(site, None)


class Reading(NamedTuple):
    """What kind of study a report is about."""

    procedure: Code  # CID 100, extended
    negative_title: Code  # CID 7021, extended: the report's title when nothing was found


_READINGS = {
    ("CT", _LUNG.value): Reading(Code("169069000", "SCT", "CT of chest"), Code("112000", "DCM", "Chest CAD Report")),
}
_ANY_READING = Reading(codes.SCT.ImagingProcedure, Code("18748-4", "LN", "Diagnostic imaging report"))


def reading(modality: str, site: Code) -> Reading:
    """How a report on `site` in a `modality` study is entitled."""
    return _READINGS.get((modality, site_and_side(site).region.value), _ANY_READING)
