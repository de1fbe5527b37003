"""The key images of the findings as a Key Object Selection, PS3.3 A.35.4."""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from cad_node.findings import Finding, Findings
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run
from cad_node.output.equipment import REVIEW_REMARK
from cad_node.output.headers import reference_headers
from cad_node.output.key_objects import Selection, select_objects
from cad_node.output.references import image_reference

SERIES_NUMBER = 9110


def build_kos(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    """“Of Interest”: the image of each finding's long axis; nothing where nothing was found."""
    if not findings.findings:
        return []
    headers = reference_headers(volume, run)
    images = [headers[index] for index in sorted({finding.long_axis.slice_index for finding in findings.findings})]
    selection = Selection(
        codes.DCM.OfInterest,
        _description(findings.findings, volume),
        [(image, image_reference(image)) for image in images],
    )
    return [select_objects(selection, headers[0], run, "kos", SERIES_NUMBER)]


def _description(findings: Sequence[Finding], volume: Volume) -> str:
    """Which finding is on which image."""
    images = [(finding.label, volume.sources[finding.long_axis.slice_index].get("InstanceNumber")) for finding in findings]
    named = "; ".join(f"{label}: image {number}" if number else label for label, number in images)
    return f"{named}. {REVIEW_REMARK}."
