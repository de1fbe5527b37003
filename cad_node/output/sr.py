"""Findings as a Comprehensive 3D SR, TID 1500 Measurement Report, PS3.16."""

from collections.abc import Sequence

from highdicom.sr import Comprehensive3DSR, ContainerContentItem, ImageLibrary
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import SegmentationStorage

from cad_node.findings import Findings
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run, derive_uid
from cad_node.output.codes import QUALITATIVE_EVALUATIONS, reading
from cad_node.output.equipment import general_equipment, series_description
from cad_node.output.headers import reference_headers
from cad_node.output.measurement_groups import derived_measurements, measurement_groups, organ_axes
from cad_node.output.references import identity, predecessors
from cad_node.output.report import begin_report, identify_observations, section, summary
from cad_node.output.seg import seg_instance_uid, seg_series_uid
from cad_node.output.stamp import stamp

SERIES_NUMBER = 9102  # of every report


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
        previous_versions=predecessors(run, "sr", headers[0].StudyInstanceUID),
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
    return [identity(header.StudyInstanceUID, seg_series_uid(run), SegmentationStorage, seg_instance_uid(run))]


def _root(volume: Volume, headers: Sequence[Dataset], findings: Findings, run: Run) -> ContainerContentItem:
    """TID 1500, its rows in order. highdicom's MeasurementReport can't say that nothing was found."""
    _, negative_title = reading(str(headers[0].Modality), run.manifest.output.site.code)
    root = begin_report(codes.DCM.ImagingMeasurementReport if findings.findings else negative_title, headers[0], run)
    sections = []
    drawn_organs = organ_axes(volume, findings)
    if findings.findings or drawn_organs:
        drawn = [axis for finding in findings.findings for axis in (finding.long_axis, finding.short_axis)]
        slices = sorted({axis.slice_index for axis in (*drawn, *drawn_organs.values())})
        root.ContentSequence.extend(ImageLibrary([headers[index] for index in slices]))
        sections.append(section(codes.DCM.ImagingMeasurements, measurement_groups(headers, findings, drawn_organs, run)))
    if findings.measurements:
        sections.append(section(codes.DCM.DerivedImagingMeasurements, derived_measurements(findings, run)))
    sections.append(section(QUALITATIVE_EVALUATIONS, summary(findings, run)))
    for one in sections:
        identify_observations(one, run, one.name.meaning)
        root.ContentSequence.append(one)
    return root
