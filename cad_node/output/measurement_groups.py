"""The measurement groups of a report, two per finding under one Tracking UID."""

from collections.abc import Sequence

import numpy as np
from highdicom.sr import (
    ContentSequence,
    CoordinatesForMeasurement,
    FindingSite,
    GraphicTypeValues,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    ReferencedSegment,
    SourceImageForRegion,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from cad_node.findings import Axis, Finding, Findings
from cad_node.output.builder import Run, tracking_uid
from cad_node.output.codes import CUBIC_MILLIMETER, HOUNSFIELD_UNIT, LONG_AXIS, PERCENT, SHORT_AXIS, site_and_side
from cad_node.output.equipment import report_algorithm
from cad_node.output.seg import seg_instance_uid


def measurement_groups(headers: Sequence[Dataset], findings: Findings, run: Run) -> ContentSequence:
    """Per finding a volumetric group that refers to its segment, and a planar one that draws its diameters.

    OHIF merges groups by Tracking UID and shows nothing of a report in which one has no coordinates.
    The Tracking Identifier names no viewer's tool: values are shown as reported, not measured anew.
    """
    groups = ContentSequence()
    for number, finding in enumerate(findings.findings, 1):
        groups.extend(_volumetric(finding, number, headers[0], run))
        groups.extend(_planar(finding, number, headers, run))
    return groups


def _volumetric(finding: Finding, number: int, header: Dataset, run: Run) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    """TID 1411"""
    segment = ReferencedSegment(
        SegmentationStorage,
        seg_instance_uid(run),
        segment_number=number,
        source_series=SourceSeriesForSegmentation(header.SeriesInstanceUID),
    )
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid(run, number), finding.label),
        referenced_segment=segment,
        finding_type=finding.code,
        finding_sites=_sites(finding),
        algorithm_id=report_algorithm(run),
        measurements=_volumetric_measurements(finding, run.manifest.output.meaning.code),
    )


def _volumetric_measurements(finding: Finding, score_meaning: Code) -> list[Measurement]:
    return [
        Measurement(codes.SCT.Volume, round(finding.volume_mm3, 1), CUBIC_MILLIMETER),
        Measurement(codes.DCM.AttenuationCoefficient, round(finding.mean_hu, 1), HOUNSFIELD_UNIT, derivation=codes.SCT.Mean),
        Measurement(score_meaning, round(100 * finding.score, 1), PERCENT),
    ]


def _planar(finding: Finding, number: int, headers: Sequence[Dataset], run: Run) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501"""
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid(run, number), finding.label),
        finding_type=finding.code,
        finding_sites=_sites(finding),
        measurements=[_diameter(LONG_AXIS, finding.long_axis, headers), _diameter(SHORT_AXIS, finding.short_axis, headers)],
    )


def _diameter(name: Code, axis: Axis, headers: Sequence[Dataset]) -> Measurement:
    source = headers[axis.slice_index]
    line = CoordinatesForMeasurement(
        GraphicTypeValues.POLYLINE,
        np.array(axis.ends_px, np.float32),  # (column, row) pairs, PS3.3 C.18.6.1.2
        SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID),
    )
    return Measurement(name, round(axis.length_mm, 2), codes.UCUM.Millimeter, referenced_coordinates=[line])


def _sites(finding: Finding) -> list[FindingSite]:
    return [FindingSite(*site_and_side(finding.site))] if finding.site else []
