"""The Structured Report, re-read by highdicom."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sr.codedict import codes

from cad_node.findings import Findings
from cad_node.imaging import concepts
from cad_node.imaging.concepts import LONG_AXIS, SHORT_AXIS
from cad_node.output.file import encode
from cad_node.output.seg import build_seg
from cad_node.output.sr import build_sr
from tests.output import case


@pytest.fixture(scope="module")
def volume():
    return case.volume()


def reread(ds):
    return hd.sr.Comprehensive3DSR.from_dataset(dcmread(BytesIO(encode(ds))))


def report_of(volume, nodules=3):
    return reread(*build_sr(volume, case.findings(volume, nodules), case.run()))


def items(container, value_type):
    return [item for item in container.ContentSequence if item.ValueType == value_type]


def container(sr, meaning):
    return next(item for item in items(sr, "CONTAINER") if item.ConceptNameCodeSequence[0].CodeMeaning == meaning)


def numbers(group):
    measured = [item for item in group[0].ContentSequence if item.ValueType == "NUM"]
    return {item.ConceptNameCodeSequence[0].CodeMeaning: item.MeasuredValueSequence[0] for item in measured}


def test_each_nodule_has_its_measurements_with_units(volume):
    sr = report_of(volume)
    findings = case.findings(volume).findings

    groups = sr.content.get_volumetric_roi_measurement_groups()

    assert len(groups) == len(findings)
    for group, finding in zip(groups, findings, strict=True):
        measured = numbers(group)
        assert (measured["Volume"].NumericValue, measured["Volume"].MeasurementUnitsCodeSequence[0].CodeValue) == (
            round(finding.volume_mm3, 1),
            "mm3",
        )
        assert measured["Attenuation Coefficient"].MeasurementUnitsCodeSequence[0].CodeValue == "[hnsf'U]"
        assert measured["Certainty of Finding"].NumericValue == pytest.approx(100 * finding.score)
        assert measured["Certainty of Finding"].MeasurementUnitsCodeSequence[0].CodeValue == "%"


def test_tracking_and_segment_number_are_those_of_the_segmentation(volume):
    (seg,) = build_seg(volume, case.findings(volume), case.run())

    groups = report_of(volume).content.get_volumetric_roi_measurement_groups()

    for group, segment in zip(groups, seg.SegmentSequence[:3], strict=True):
        assert (group.tracking_identifier, group.tracking_uid) == (segment.TrackingID, segment.TrackingUID)
        reference = items(group[0], "IMAGE")[0].ReferencedSOPSequence[0]
        assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (seg.SOPClassUID, seg.SOPInstanceUID)
        assert reference.ReferencedSegmentNumber == segment.SegmentNumber


def test_every_volumetric_group_shares_its_tracking_uid_with_one_that_is_drawn(volume):
    content = report_of(volume).content

    drawn = {group.tracking_uid for group in content.get_image_measurement_groups()}

    assert drawn == {group.tracking_uid for group in content.get_volumetric_roi_measurement_groups()}
    assert len(drawn) == 3


def test_the_diameters_are_drawn_on_their_slice_where_they_were_measured(volume):
    findings = case.findings(volume).findings

    groups = report_of(volume).content.get_image_measurement_groups()

    for group, finding in zip(groups, findings, strict=True):
        for name, axis in ((LONG_AXIS, finding.long_axis), (SHORT_AXIS, finding.short_axis)):
            (measured,) = group.get_measurements(name=name.concept)
            assert measured.value == pytest.approx(axis.length_mm, abs=0.005)
            (line,) = items(measured[0], "SCOORD")
            assert line.GraphicType == "POLYLINE"
            assert np.allclose(np.reshape(line.GraphicData, (2, 2)), axis.ends_px)
            image = line.ContentSequence[0].ReferencedSOPSequence[0]
            assert image.ReferencedSOPInstanceUID == volume.sources[axis.slice_index].SOPInstanceUID


def test_sites_name_region_and_side(volume):
    groups = report_of(volume).content.get_volumetric_roi_measurement_groups()

    sites = [(group.finding_sites[0].value.meaning, group.finding_sites[0].laterality.meaning) for group in groups]

    assert sites == [("Lung", "Right"), ("Lung", "Right"), ("Lung", "Left")]


def test_no_tracking_identifier_asks_a_viewer_to_measure_anew(volume):
    groups = report_of(volume).content.get_image_measurement_groups()

    assert not any(group.tracking_identifier.startswith("Cornerstone") for group in groups)


def test_it_names_device_procedure_and_language(volume):
    sr = report_of(volume)

    (observer,) = sr.content.get_observer_contexts()
    coded = {item.ConceptNameCodeSequence[0].CodeMeaning: item.ConceptCodeSequence[0] for item in items(sr, "CODE")}

    assert observer.observer_type == codes.DCM.Device
    assert observer.observer_identifying_attributes.uid == case.run().device_uid
    assert coded["Procedure reported"].CodeValue == "169069000"
    assert coded["Language of Content Item and Descendants"].CodeValue == "en-US"


def test_it_is_complete_preliminary_and_unverified(volume):
    sr = report_of(volume)

    assert (sr.CompletionFlag, sr.PreliminaryFlag, sr.VerificationFlag) == ("COMPLETE", "PRELIMINARY", "UNVERIFIED")


def test_evidence_is_the_whole_series_and_the_segmentation(volume):
    sr = report_of(volume)

    evidence = {uids[2] for uids in sr.get_evidence()}

    (seg,) = build_seg(volume, case.findings(volume), case.run())
    assert evidence == {source.SOPInstanceUID for source in volume.sources} | {seg.SOPInstanceUID}


def test_a_study_without_findings_says_so_in_codes_and_words(volume):
    sr = report_of(volume, nodules=0)

    said = container(sr, "Qualitative Evaluations")

    coded = {item.ConceptNameCodeSequence[0].CodeMeaning: item.ConceptCodeSequence[0].CodeMeaning for item in items(said, "CODE")}
    assert coded == {"CAD Processing and Findings Summary": "All algorithms succeeded; without findings", "Nodule": "Absent"}
    words = {item.ConceptNameCodeSequence[0].CodeMeaning: item.TextValue for item in items(said, "TEXT")}
    assert words == {
        "Algorithm Name": "Lung nodules on chest CT",
        "Algorithm Version": "1.0.0",
        "Comment": "Nodule: none detected by the algorithm. Not for diagnostic use without review.",
    }


def test_a_report_without_measurements_is_not_entitled_as_one(volume):
    positive, negative = report_of(volume), report_of(volume, nodules=0)

    assert positive.ConceptNameCodeSequence[0].CodeValue == "126000"
    assert negative.ConceptNameCodeSequence[0].CodeMeaning == "Chest CAD Report"
    assert negative.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert not negative.content.get_volumetric_roi_measurement_groups()


def test_without_organs_and_findings_it_refers_to_no_segmentation(volume):
    sr = reread(*build_sr(volume, Findings((), ()), case.run()))

    assert {uids[2] for uids in sr.get_evidence()} == {source.SOPInstanceUID for source in volume.sources}


def coded(measured):
    """What a measurement item says of itself: concept, value, unit, method, derivation."""
    method = next(
        (item for item in items(measured[0], "CODE") if item.ConceptNameCodeSequence[0].CodeMeaning == "Measurement Method"), None
    )
    return (
        measured.name.value,
        measured.value,
        measured.unit.value,
        method and method.ConceptCodeSequence[0].CodeValue,
        measured.derivation and measured.derivation.value,
    )


def stated(measurement):
    codes_of = (code and code.value for code in (measurement.method, measurement.derivation))
    return (measurement.concept.value, measurement.value, measurement.unit.value, *codes_of)


@pytest.fixture(scope="module")
def measured_report(volume):
    return reread(*build_sr(volume, case.measured_findings(volume), case.run()))


def test_every_quantity_of_a_nodule_has_its_unit_method_and_derivation(volume, measured_report):
    findings = case.measured_findings(volume).findings

    groups = measured_report.content.get_volumetric_roi_measurement_groups()[: len(findings)]

    for group, finding in zip(groups, findings, strict=True):
        score = case.run().manifest.output.meaning.code
        said = [coded(measured) for measured in group.get_measurements() if measured.name != score]
        assert said[0] == ("118565006", pytest.approx(finding.volume_mm3, abs=0.05), "mm3", "PARTIAL_VOLUME", None)
        assert said[1] == ("112031", pytest.approx(finding.mean_hu, abs=0.05), "[hnsf'U]", None, "373098007")
        assert said[2:] == [stated(measurement) for measurement in finding.measurements]


def test_judgements_are_qualitative_evaluations_of_their_nodule(volume, measured_report):
    groups = measured_report.content.get_volumetric_roi_measurement_groups()[:3]

    judged = [[(one.name.meaning, one.value.meaning) for one in group.get_qualitative_evaluations()] for group in groups]

    assert judged == [[("Location in Chest", "Upper zone of lung")]] * 3


def test_each_lung_has_a_group_that_refers_to_its_segment(volume, measured_report):
    organs = case.measured_findings(volume).organs
    (seg,) = build_seg(volume, case.measured_findings(volume), case.run())

    groups = measured_report.content.get_volumetric_roi_measurement_groups()[3:]

    for group, organ, segment in zip(groups, organs, seg.SegmentSequence[3:], strict=True):
        assert (group.tracking_identifier, group.tracking_uid) == (segment.TrackingID, segment.TrackingUID)
        assert group.referenced_segment.referenced_segment_numbers == [segment.SegmentNumber]
        assert (group.finding_category, group.finding_type.meaning) == (codes.SCT.AnatomicalStructure, "Lung")
        assert [coded(measured) for measured in group.get_measurements()] == [stated(measurement) for measurement in organ.measurements]


def test_a_lung_is_drawn_under_its_tracking_uid_on_the_section_of_greatest_area(volume, measured_report):
    volumetric = measured_report.content.get_volumetric_roi_measurement_groups()[3:]

    drawn = measured_report.content.get_image_measurement_groups()[3:]

    assert [group.tracking_uid for group in drawn] == [group.tracking_uid for group in volumetric]
    for group in drawn:
        (measured,) = group.get_measurements(name=LONG_AXIS.concept)
        (line,) = items(measured[0], "SCOORD")
        (column0, row0), (column1, row1) = np.reshape(line.GraphicData, (2, 2))
        rows_mm, columns_mm = volume.spacing_mm[1:]
        assert measured.value == pytest.approx(np.hypot((row1 - row0) * rows_mm, (column1 - column0) * columns_mm), abs=0.05)


def test_both_lungs_together_are_derived_measurements(volume, measured_report):
    measurements = case.measured_findings(volume).measurements

    said = items(container(measured_report, "Derived Imaging Measurements"), "NUM")

    assert [item.MeasuredValueSequence[0].NumericValue for item in said] == [measurement.value for measurement in measurements]
    for item in said:
        modifiers = {child.ConceptNameCodeSequence[0].CodeMeaning: child for child in item.ContentSequence}
        assert "Derivation" in modifiers
        site = modifiers["Finding Site"]
        assert site.ConceptCodeSequence[0].CodeMeaning == "Lung"
        assert site.ContentSequence[0].ConceptCodeSequence[0].CodeMeaning in ("Bilateral", "Right and left")


def test_a_report_without_findings_measures_the_lungs_all_the_same(volume):
    sr = reread(*build_sr(volume, case.measured_findings(volume, nodules=0), case.run()))

    groups = sr.content.get_volumetric_roi_measurement_groups()

    assert [group.tracking_identifier for group in groups] == ["Right lung", "Left lung"]
    assert sr.ConceptNameCodeSequence[0].CodeMeaning == "Chest CAD Report"


def test_private_codes_fit_their_attributes_and_are_told_in_the_conformance_statement():
    quantities = (*concepts.NODULE_QUANTITIES, *concepts.LUNG_QUANTITIES)
    private = {code for one in quantities for code in (one.concept, one.method) if code and code.scheme_designator == "99CADNODE"}

    told = Path("docs/conformance.md").read_text(encoding="utf-8")

    assert private
    for code in private:
        assert len(code.value) <= 16  # SH, PS3.5 6.2
        assert len(code.meaning) <= 64  # LO
        assert f"| {code.value} | 99CADNODE | {code.meaning}" in told


def observation_uids(ds):
    """Of each content item that observes something: those beneath the report's sections but for references and what only describes."""
    sections = [item for item in items(ds, "CONTAINER") if item.ConceptNameCodeSequence[0].CodeMeaning != "Image Library"]
    return [item.get("ObservationUID") for section in sections for item in observed(section)]


def observed(section):
    for item in section.ContentSequence:
        if item.RelationshipType == "CONTAINS" and item.ValueType in {"CONTAINER", "NUM", "CODE", "TEXT"}:
            yield item
            yield from observed(item) if "ContentSequence" in item else ()


def test_every_observation_has_a_uid_of_its_own(measured_report):
    uids = observation_uids(measured_report)

    assert len(uids) > 50
    assert all(uids)
    assert len(set(uids)) == len(uids)


def test_an_observation_is_the_same_in_each_edition_of_the_report(volume):
    findings = case.measured_findings(volume)

    (some_frames,), (all_frames,) = (build_sr(volume, findings, replace(case.run(), keeps_empty_frames=keeps)) for keeps in (False, True))

    assert some_frames.SOPInstanceUID != all_frames.SOPInstanceUID
    assert observation_uids(some_frames) == observation_uids(all_frames)


def test_the_algorithm_has_one_name_and_version_in_every_place(volume):
    sr, (seg,) = report_of(volume), build_seg(volume, case.findings(volume), case.run())

    groups = sr.content.get_volumetric_roi_measurement_groups()
    said = [{item.name.meaning: item.value for item in group[0].ContentSequence if item.value_type.value == "TEXT"} for group in groups]
    in_segments = [segment.SegmentationAlgorithmIdentificationSequence[0] for segment in seg.SegmentSequence]
    equipment = sr.ContributingEquipmentSequence[-1]  # after the scanner

    named = {(text["Algorithm Name"], text["Algorithm Version"]) for text in said}
    named |= {(item.AlgorithmName, item.AlgorithmVersion) for item in in_segments}
    named |= {(one.ManufacturerModelName, one.SoftwareVersions[0]) for one in (equipment, sr, seg)}
    assert named == {("Lung nodules on chest CT", "1.0.0")}


@pytest.mark.parametrize(("keeps_empty_frames", "first"), [(False, "2.25.72"), (True, "2.25.73")])
def test_a_later_report_names_the_one_it_follows(volume, keeps_empty_frames, first):
    run = replace(case.later_run(), keeps_empty_frames=keeps_empty_frames)

    (sr,) = build_sr(volume, case.findings(volume), run)

    (study,) = sr.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert study.StudyInstanceUID == sr.StudyInstanceUID
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence] == [first]


def test_the_first_report_follows_none(volume):
    assert "PredecessorDocumentsSequence" not in report_of(volume)


def test_a_finding_of_one_voxel_is_drawn_all_the_same(volume):
    (finding,) = case.findings(volume, nodules=1).findings
    point = replace(finding.long_axis, ends_px=(finding.long_axis.ends_px[0],) * 2, length_mm=0.0)

    sr = reread(*build_sr(volume, Findings((replace(finding, long_axis=point, short_axis=point),), ()), case.run()))

    (volumetric,) = sr.content.get_volumetric_roi_measurement_groups()
    (drawn,) = sr.content.get_image_measurement_groups()
    assert drawn.tracking_uid == volumetric.tracking_uid
    assert [len(items(measured[0], "SCOORD")) for measured in drawn.get_measurements()] == [1, 1]


def test_values_keep_their_names_where_the_report_is_read_as_text(measured_report):
    groups = container(measured_report, "Imaging Measurements").ContentSequence

    assert {group.ContinuityOfContent for group in groups} == {"SEPARATE"}
