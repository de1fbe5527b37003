"""The root of a run's results: a short Comprehensive 3D SR that says what came out and names every object, IHE AIR's “tree of results”.

TID 1500, extended by a catalogue of the objects, under any title but that of a Measurement Report: viewers show it as text.
"""

from collections.abc import Sequence

from highdicom.sr import Comprehensive3DSR, ContainerContentItem, RelationshipTypeValues, TextContentItem
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cad_node.findings import Finding, Findings
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run, derive_uid
from cad_node.output.codes import OBJECT_KINDS, QUALITATIVE_EVALUATIONS, reading
from cad_node.output.equipment import general_equipment, series_description
from cad_node.output.headers import reference_headers
from cad_node.output.references import predecessors, reference
from cad_node.output.report import begin_report, identify_observations, section, summary
from cad_node.output.stamp import stamp

SERIES_NUMBER = 9105

NamedObject = tuple[str, Dataset]  # objects.ObjectName, and the object


def build_tree(volume: Volume, findings: Findings, run: Run, objects: Sequence[NamedObject], edition: str) -> Sequence[Dataset]:
    """The root of these objects of the run; nothing if there is none.

    edition: objects.Profile.edition of the tree.
    """
    linked = [(name, ds) for name, ds in objects if name != "rejection"]  # which is no result
    if not linked:
        return []
    headers = reference_headers(volume, run)
    ds = Comprehensive3DSR(
        evidence=[*headers, *(ds for _, ds in linked)],
        content=_root(headers[0], findings, run, linked),
        series_instance_uid=derive_uid(run, "tree", "series"),
        series_number=SERIES_NUMBER,
        series_description=series_description(run, "results"),
        sop_instance_uid=derive_uid(run, "tree", edition, "instance"),
        instance_number=1,
        previous_versions=predecessors(run, "tree", headers[0].StudyInstanceUID, edition),
        is_complete=True,
        is_final=False,  # and not verified: nobody has reviewed it
        specific_character_set=None,  # stamp() sets it
        **general_equipment(run),
    )
    stamp(ds, headers[0], run)
    return [ds]


def _root(header: Dataset, findings: Findings, run: Run, linked: Sequence[NamedObject]) -> ContainerContentItem:
    _, title = reading(str(header.Modality), run.manifest.output.site.code)
    root = begin_report(title, header, run)
    said = section(QUALITATIVE_EVALUATIONS, summary(findings, run))
    identify_observations(said, run, said.name.meaning)  # as the Measurement Report has them
    root.ContentSequence.append(said)
    if findings.findings:
        sentences = [TextContentItem(codes.DCM.Finding, _sentence(one, run), RelationshipTypeValues.CONTAINS) for one in findings.findings]
        root.ContentSequence.append(section(codes.DCM.Findings, sentences))
    root.ContentSequence.append(section(codes.DCM.DICOMObjectCatalog, [reference(ds, _kind(name, ds)) for name, ds in linked]))
    return root


def _sentence(finding: Finding, run: Run) -> str:
    """In ASCII, which every character set holds."""
    where = f" in {finding.site.meaning.lower()}" if finding.site else ""
    axes = f"{finding.long_axis.length_mm:.1f} x {finding.short_axis.length_mm:.1f} mm"
    return (
        f"{finding.label}{where}: {axes}, {finding.volume_mm3:.0f} mm3; {run.manifest.output.meaning.meaning} {100 * finding.score:.0f} %"
    )


def _kind(name: str, ds: Dataset) -> Code:
    """A document's own title; of other objects, what they are."""
    if titles := ds.get("ConceptNameCodeSequence"):
        return Code(titles[0].CodeValue, titles[0].CodingSchemeDesignator, titles[0].CodeMeaning)
    return OBJECT_KINDS[name]
