"""The Parametric Map, re-read by other code than wrote it."""

from dataclasses import replace
from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from cad_node.findings import Findings, Heat
from cad_node.output import pmap
from cad_node.output.file import encode
from cad_node.output.pmap import build_pmap, pmap_instance_uid, pmap_series_uid
from tests.factory import altered, ct_study
from tests.interop.tools import dciodvfy_errors
from tests.output import case

ORIENTATIONS = [
    [1, 0, 0, 0, 1, 0],
    [-1, 0, 0, 0, 1, 0],
    [1, 0, 0, 0, -1, 0],
    [0, 1, 0, 1, 0, 0],
    [0.8, 0.6, 0, -0.36, 0.48, 0.8],
]


def built(volume, findings):
    return dcmread(BytesIO(encode(*build_pmap(volume, findings, case.run()))))


def oriented(orientation, **values):
    """Ten slices in volume order, along their normal."""
    datasets = ct_study(slices=10, voxels=np.full((10, 61, 67), -850, np.int16))
    normal = np.cross(orientation[:3], orientation[3:])
    places = [[round(float(at), 6) for at in (12.5, -7.25, 100) + 1.25 * index * normal] for index in range(10)]
    return [
        altered(ds, ImageOrientationPatient=orientation, ImagePositionPatient=at, **values) for ds, at in zip(datasets, places, strict=True)
    ]


def values_by_place(ds):
    """{patient coordinates: value} of the voxels that aren't 0, from the frames' own positions: no library's idea of the volume."""
    frames = np.frombuffer(ds.FloatPixelData, "<f4").reshape(ds.NumberOfFrames, ds.Rows, ds.Columns)
    shared = ds.SharedFunctionalGroupsSequence[0]
    row_mm, column_mm = shared.PixelMeasuresSequence[0].PixelSpacing
    along_row, along_column = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(float)
    found = {}
    for frame, groups in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        origin = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(frame):
            found[place(origin + column * along_row * column_mm + row * along_column * row_mm)] = frame[row, column]
    return found


def heat_by_place(volume, heat):
    return {place(volume.to_lps(np.add(index, heat.origin))): heat.values[tuple(index)] for index in np.argwhere(heat.values)}


def place(lps_mm):
    return tuple(np.round(lps_mm, 3) + 0.0)


def first_finding(volume, **changes):
    return replace(case.findings(volume).findings[0], **changes)


def with_heat(volume, *heats):
    return Findings(tuple(first_finding(volume, heat=heat) for heat in heats), ())


def block(origin, value):
    return Heat(origin, np.full((2, 3, 4), value, np.float32), case.EVIDENCE, case.PER_CM2)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("pixel_spacing", [[0.7, 0.7], [0.5, 0.9]])
def test_each_value_lies_in_patient_space_where_the_heat_does(orientation, pixel_spacing):
    volume = case.volume(oriented(orientation, PixelSpacing=pixel_spacing))
    finding = first_finding(volume)

    ds = built(volume, Findings((finding,), ()))

    assert values_by_place(ds) == heat_by_place(volume, finding.heat)


def test_there_is_a_frame_for_each_slice_in_the_volume_s_order_that_names_its_source():
    volume = case.volume()

    ds = built(volume, case.findings(volume))

    sources = [groups.DerivationImageSequence[0].SourceImageSequence[0] for groups in ds.PerFrameFunctionalGroupsSequence]
    assert [source.ReferencedSOPInstanceUID for source in sources] == [source.SOPInstanceUID for source in volume.sources]
    assert (ds.Rows, ds.Columns) == (61, 67)
    assert ds.FrameOfReferenceUID == volume.sources[0].FrameOfReferenceUID
    assert ds.ReferencedSeriesSequence[0].SeriesInstanceUID == volume.series_instance_uid


def test_a_series_that_would_take_too_much_has_the_slices_with_heat_only_and_they_lie_where_they_did(monkeypatch):
    volume = case.volume()
    findings = with_heat(volume, block((1, 5, 5), 0.5), block((6, 20, 20), 1.5))
    whole = built(volume, findings)
    monkeypatch.setattr(pmap, "MOST_BYTES", len(whole.FloatPixelData) - 1)

    ds = built(volume, findings)

    assert ds.NumberOfFrames == 4
    assert values_by_place(ds) == values_by_place(whole)
    assert (ds.PatientID, ds.StudyDate) == (whole.PatientID, whole.StudyDate)


def test_a_single_slice_of_heat_survives(monkeypatch):
    monkeypatch.setattr(pmap, "MOST_BYTES", 0)
    volume = case.volume()
    heat = Heat((4, 60, 66), np.full((1, 1, 1), 0.5, np.float32), case.EVIDENCE, case.PER_CM2)

    ds = built(volume, with_heat(volume, heat))

    assert ds.NumberOfFrames == 1
    assert values_by_place(ds) == heat_by_place(volume, heat)


def test_where_two_overlap_the_greater_value_stands_and_what_speaks_against_stays_below_nothing():
    volume = case.volume()
    findings = with_heat(volume, block((1, 5, 5), -0.5), block((2, 6, 6), -0.25), block((2, 7, 7), 1.5))

    ds = built(volume, findings)

    frames = np.frombuffer(ds.FloatPixelData, "<f4").reshape(10, 61, 67)
    assert [frames[1, 5, 5], frames[2, 5, 5], frames[2, 6, 6], frames[2, 7, 7], frames[0, 0, 0]] == [-0.5, -0.5, -0.25, 1.5, 0]


def test_highdicom_reads_it_back_as_a_volume_in_the_source_s_place():
    volume = case.volume()
    finding = first_finding(volume)

    read = hd.pm.ParametricMap.from_dataset(built(volume, Findings((finding,), ()))).get_volume()
    read = read.match_geometry(hd.VolumeGeometry(volume.affine, volume.voxels.shape, "PATIENT"))

    z, y, x = (slice(at, at + length) for at, length in zip(finding.heat.origin, finding.heat.values.shape, strict=True))
    assert np.array_equal(read.array[z, y, x], finding.heat.values)


def test_it_says_what_a_value_is_and_how_it_came_about():
    volume = case.volume()

    ds = built(volume, case.findings(volume))

    (mapping,) = ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    quantity, method = (item.ConceptCodeSequence[0] for item in mapping.QuantityDefinitionSequence)
    assert [quantity.CodeValue, method.CodeValue, method.CodeMeaning] == ["SUSPICION_HEAT", "130402", "Class activation"]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "/cm2"
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert mapping.DoubleFloatRealWorldValueLastValueMapped == max(f.heat.values.max() for f in case.findings(volume).findings)
    assert ds.ContentDescription == "Not for diagnostic use without review"


def test_the_window_begins_at_nothing_and_is_as_wide_as_the_strongest_evidence_for_or_against():
    volume = case.volume()

    ds = built(volume, with_heat(volume, block((1, 5, 5), -2.5), block((6, 20, 20), 0.5)))

    (window,) = ds.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (1.25, 2.5)


def test_without_heat_there_is_none():
    volume = case.volume()

    assert not build_pmap(volume, with_heat(volume, None), case.run())
    assert not build_pmap(volume, Findings((), ()), case.run())


def test_heats_of_two_quantities_are_refused():
    volume = case.volume()
    other = replace(block((6, 20, 20), 0.5), meaning=case.NODULE)

    with pytest.raises(ValueError, match="2 quantities"):
        build_pmap(volume, with_heat(volume, block((1, 5, 5), 0.5), other), case.run())


def test_others_can_refer_to_it():
    volume = case.volume()

    ds = built(volume, case.findings(volume))

    assert (ds.SOPInstanceUID, ds.SeriesInstanceUID) == (pmap_instance_uid(case.run()), pmap_series_uid(case.run()))


@pytest.mark.parametrize("body_part", ["LUNG", "CHEST", None])
def test_dciodvfy_finds_no_error(body_part, tmp_path):
    volume = case.volume(oriented(ORIENTATIONS[0], BodyPartExamined=body_part))
    file = tmp_path / "pmap.dcm"
    file.write_bytes(encode(*build_pmap(volume, case.findings(volume), case.run())))

    assert dciodvfy_errors(file) == []
