"""The measurement groups of a report, two per finding or organ under one Tracking UID."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from highdicom.sr import (
    ContentSequence,
    CoordinatesForMeasurement,
    FindingSite,
    GraphicTypeValues,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceImageForRegion,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr import Measurement as MeasurementItem
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from cad_node.findings import Axis, Finding, Findings, Measurement, Organ
from cad_node.imaging.axes import measure_section
from cad_node.imaging.concepts import LONG_AXIS, MEAN_HU, PERCENT, SECTION_AXIS, SHORT_AXIS, VOLUME
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run, organ_tracking_uid, tracking_uid
from cad_node.output.codes import BOTH_SIDES, site_and_side
from cad_node.output.equipment import report_algorithm
from cad_node.output.seg import seg_instance_uid

OrganAxes = Mapping[int, Axis]  # by the organ's number, from 1


def organ_axes(volume: Volume, findings: Findings) -> OrganAxes:
    """What is drawn of each organ that has measurements."""
    return {number: measure_section(volume, organ.region) for number, organ in enumerate(findings.organs, 1) if organ.measurements}


def measurement_groups(headers: Sequence[Dataset], findings: Findings, axes: OrganAxes, run: Run) -> ContentSequence:
    """Per finding a volumetric group that refers to its segment, and a planar one that draws its diameters; then the same per organ.

    OHIF merges groups by Tracking UID and shows nothing of a report in which one has no coordinates.
    The Tracking Identifier names no viewer's tool: values are shown as reported, not measured anew.
    """
    groups = ContentSequence()
    for number, finding in enumerate(findings.findings, 1):
        groups.extend(_volumetric(finding, number, headers[0], run))
        groups.extend(_planar(finding, number, headers, run))
    for number, axis in axes.items():
        organ = findings.organs[number - 1]
        groups.extend(_organ(organ, number, len(findings.findings) + number, headers[0], run))
        groups.extend(_organ_section(organ, number, axis, headers, run))
    for group in groups:
        group["ContinuityOfContent"].value = "SEPARATE"  # where it is read as text, each value has its name
    return groups


def derived_measurements(findings: Findings, run: Run) -> ContentSequence:
    """TID 1420: of a pair of organs taken together, each with a derivation."""
    site = site_and_side(run.manifest.output.site.code).region
    items = ContentSequence()
    for measured in findings.measurements:
        of_all = replace(measured, derivation=measured.derivation or codes.SCT.Total)
        items.extend(_item(of_all, finding_sites=[FindingSite(site, BOTH_SIDES)]))
    return items


def _volumetric(finding: Finding, number: int, header: Dataset, run: Run) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    """TID 1411"""
    score = Measurement(run.manifest.output.meaning.code, round(100 * finding.score, 1), PERCENT)
    measured = (VOLUME.of(finding.volume_mm3), MEAN_HU.of(finding.mean_hu), score, *finding.measurements)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid(run, number), finding.label),
        referenced_segment=_segment(number, header, run),
        finding_type=finding.code,
        finding_sites=_sites(finding.site),
        algorithm_id=report_algorithm(run),
        measurements=[_item(one) for one in measured],
        qualitative_evaluations=[QualitativeEvaluation(one.concept, one.value) for one in finding.evaluations],
    )


def _planar(finding: Finding, number: int, headers: Sequence[Dataset], run: Run) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501"""
    drawn = ((LONG_AXIS, finding.long_axis), (SHORT_AXIS, finding.short_axis))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid(run, number), finding.label),
        finding_type=finding.code,
        finding_sites=_sites(finding.site),
        measurements=[_item(quantity.of(axis.length_mm), referenced_coordinates=[_line(axis, headers)]) for quantity, axis in drawn],
    )


def _organ(organ: Organ, number: int, segment_number: int, header: Dataset, run: Run) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    """TID 1411"""
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(organ_tracking_uid(run, number), organ.label),
        referenced_segment=_segment(segment_number, header, run),
        finding_category=codes.SCT.AnatomicalStructure,  # by which a reader tells organs from findings
        finding_type=site_and_side(organ.code).region,
        finding_sites=_sites(organ.code),
        algorithm_id=report_algorithm(run),
        measurements=[_item(one) for one in organ.measurements],
    )


def _organ_section(organ: Organ, number: int, axis: Axis, headers: Sequence[Dataset], run: Run) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501"""
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(organ_tracking_uid(run, number), organ.label),
        finding_category=codes.SCT.AnatomicalStructure,
        finding_type=site_and_side(organ.code).region,
        finding_sites=_sites(organ.code),
        measurements=[_item(SECTION_AXIS.of(axis.length_mm), referenced_coordinates=[_line(axis, headers)])],
    )


def _item(
    measured: Measurement,
    referenced_coordinates: Sequence[CoordinatesForMeasurement] | None = None,
    finding_sites: Sequence[FindingSite] | None = None,
) -> MeasurementItem:
    """TID 1419"""
    return MeasurementItem(
        measured.concept,
        measured.value,
        measured.unit,
        method=measured.method,
        derivation=measured.derivation,
        referenced_coordinates=referenced_coordinates,
        finding_sites=finding_sites,
    )


def _segment(number: int, header: Dataset, run: Run) -> ReferencedSegment:
    series = SourceSeriesForSegmentation(header.SeriesInstanceUID)
    return ReferencedSegment(SegmentationStorage, seg_instance_uid(run), segment_number=number, source_series=series)


def _line(axis: Axis, headers: Sequence[Dataset]) -> CoordinatesForMeasurement:
    source = headers[axis.slice_index]
    return CoordinatesForMeasurement(
        GraphicTypeValues.POLYLINE,
        np.array(axis.ends_px, np.float32),  # (column, row) pairs, PS3.3 C.18.6.1.2
        SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID),
    )


def _sites(site: Code | None) -> list[FindingSite]:
    return [FindingSite(*site_and_side(site))] if site else []
