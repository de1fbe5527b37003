"""The RT Structure Set, re-read: its contours are filled again on the images that they name."""

import re
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from skimage.measure import points_in_poly

from cad_node.findings import Findings, Region
from cad_node.output.colours import finding_colour, organ_colour
from cad_node.output.file import encode
from cad_node.output.rtstruct import build_rtstruct, rtstruct_instance_uid, rtstruct_series_uid
from tests.factory import altered, ct_study
from tests.interop.tools import dciodvfy_errors
from tests.output import case

ORIENTATIONS = {  # with the way from slice to slice
    "supine": ([1, 0, 0, 0, 1, 0], [0, 0, 1.25]),
    "rows reversed": ([1, 0, 0, 0, -1, 0], [0, 0, -1.25]),
    "columns reversed": ([-1, 0, 0, 0, 1, 0], [0, 0, -1.25]),
    "oblique": ([0.96, 0.28, 0, -0.168, 0.576, 0.8], [0.28, -0.96, 0.75]),
}


def volume_of(orientation, step_mm, spacing_mm=(0.75, 0.75)):
    datasets = ct_study(slices=10, voxels=np.full((10, 61, 67), -850, np.int16))
    first = np.array([12.5, -7.25, 100.0])
    return case.volume(
        [
            altered(
                ds,
                ImageOrientationPatient=orientation,
                ImagePositionPatient=(first + index * np.array(step_mm)).round(6).tolist(),
                PixelSpacing=list(spacing_mm),
            )
            for index, ds in enumerate(datasets)
        ]
    )


def reread(ds):
    return dcmread(BytesIO(encode(ds)))


def contours_of(roi):
    """(the image that it names, (N, 3) LPS mm) of each contour."""
    for contour in roi.ContourSequence:
        yield contour.ContourImageSequence[0].ReferencedSOPInstanceUID, np.reshape(np.array(contour.ContourData, float), (-1, 3))


def filled(roi, volume):
    """The mask of the pixels whose centres are in a contour, by the headers of the images that the contours name."""
    mask = np.zeros(volume.voxels.shape, np.bool_)
    places = {source.SOPInstanceUID: index for index, source in enumerate(volume.sources)}
    centres = np.indices(volume.voxels.shape[1:]).reshape(2, -1).T
    for uid, points in contours_of(roi):
        image = volume.sources[places[uid]]
        offset = points - np.array(image.ImagePositionPatient, float)
        along_row, along_column = np.reshape(np.array(image.ImageOrientationPatient, float), (2, 3))
        row_mm, column_mm = (float(value) for value in image.PixelSpacing)
        assert np.abs(offset @ np.cross(along_row, along_column)).max() < 0.002  # they lie on their image
        pixels = np.column_stack((offset @ along_column / row_mm, offset @ along_row / column_mm))
        mask[places[uid]] |= points_in_poly(centres, pixels).reshape(mask.shape[1:])
    return mask


@pytest.mark.parametrize("way", ORIENTATIONS)
@pytest.mark.parametrize("spacing_mm", [(0.75, 0.75), (0.9, 0.6)], ids=["square", "oblong"])
def test_filled_again_the_contours_are_the_masks(way, spacing_mm):
    volume = volume_of(*ORIENTATIONS[way], spacing_mm)
    findings = case.findings(volume)

    ds = reread(*build_rtstruct(volume, findings, case.run()))

    for roi, item in zip(ds.ROIContourSequence, (*findings.findings, *findings.organs), strict=True):
        assert np.array_equal(filled(roi, volume), case.full_mask(item.region, volume.voxels.shape))


def test_a_hole_stays_a_hole():
    volume = case.volume()
    mask = np.ones((2, 30, 30), np.bool_)
    mask[:, 5:9, 5:9] = mask[:, 14:25, 12:22] = False
    mask[:, 17:20, 15:18] = True
    finding = replace(case.findings(volume).findings[0], region=Region((3, 20, 20), mask))

    ds = reread(*build_rtstruct(volume, Findings((finding,), ()), case.run()))

    assert np.array_equal(filled(ds.ROIContourSequence[0], volume), case.full_mask(finding.region, volume.voxels.shape))
    assert len(ds.ROIContourSequence[0].ContourSequence) == 4  # on each slice the ring and its island


def test_a_contour_with_more_points_than_the_element_holds_has_fewer():
    shape = (1, 700, 700)
    volume = case.volume(ct_study(slices=2, voxels=np.full((2, 700, 700), -850, np.int16)))
    comb = np.zeros(shape, np.bool_)
    comb[0, 300:310] = comb[0, 4:690, ::2] = True  # teeth to both sides
    finding = replace(case.findings(case.volume()).findings[0], region=Region((0, 0, 0), comb))

    ds = reread(*build_rtstruct(volume, Findings((finding,), ()), case.run()))

    lengths = [len(contour.get_item("ContourData").value) for contour in dcmread(BytesIO(encode(ds))).ROIContourSequence[0].ContourSequence]
    assert len(lengths) == 1
    assert 20_000 < lengths[0] <= 65_534
    assert {contour.get_item("ContourData").VR for contour in ds.ROIContourSequence[0].ContourSequence} == {"DS"}


def test_no_number_is_longer_than_sixteen_characters():
    volume = volume_of(*ORIENTATIONS["oblique"])

    content = encode(*build_rtstruct(volume, case.findings(volume), case.run()))

    values = [
        contour.get_item("ContourData").value.decode().strip()
        for roi in dcmread(BytesIO(content)).ROIContourSequence
        for contour in roi.ContourSequence
    ]
    numbers = [number for value in values for number in value.split("\\")]
    assert len(numbers) > 1000
    assert all(re.fullmatch(r"-?\d{1,8}\.\d{3}", number) for number in numbers)
    assert "-0.000" not in numbers


def test_regions_of_interest_are_named_numbered_coded_and_coloured_as_the_segments():
    volume = case.volume()

    ds = reread(*build_rtstruct(volume, case.findings(volume), case.run()))

    assert [(item.ROINumber, item.ROIName) for item in ds.StructureSetROISequence] == [
        (1, "Nodule 1"),
        (2, "Nodule 2"),
        (3, "Nodule 3"),
        (4, "Right lung"),
        (5, "Left lung"),
    ]
    colours = [tuple(item.ROIDisplayColor) for item in ds.ROIContourSequence]
    assert colours == [*(finding_colour(n) for n in (1, 2, 3)), *(organ_colour(n) for n in (1, 2))]
    observed = ds.RTROIObservationsSequence
    assert [item.ReferencedROINumber for item in observed] == [1, 2, 3, 4, 5]
    assert [item.RTROIInterpretedType for item in observed] == ["", "", "", "ORGAN", "ORGAN"]
    assert [item.RTROIIdentificationCodeSequence[0].CodeMeaning for item in observed] == ["Nodule"] * 3 + ["Lung"] * 2
    assert all(item.ROIGenerationAlgorithm == "AUTOMATIC" for item in ds.StructureSetROISequence)


def test_it_refers_to_the_whole_source_series_in_its_frame_of_reference():
    volume = case.volume()

    ds = reread(*build_rtstruct(volume, case.findings(volume), case.run()))

    (frame,) = ds.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert frame.FrameOfReferenceUID == ds.FrameOfReferenceUID == volume.sources[0].FrameOfReferenceUID
    assert study.ReferencedSOPInstanceUID == ds.StudyInstanceUID
    assert series.SeriesInstanceUID == volume.series_instance_uid
    assert [item.ReferencedSOPInstanceUID for item in series.ContourImageSequence] == [source.SOPInstanceUID for source in volume.sources]
    assert {item.ReferencedFrameOfReferenceUID for item in ds.StructureSetROISequence} == {ds.FrameOfReferenceUID}


def test_nobody_has_approved_it():
    volume = case.volume()

    ds = reread(*build_rtstruct(volume, case.findings(volume), case.run()))

    assert (ds.ApprovalStatus, ds.StructureSetDescription) == ("UNAPPROVED", "Not for diagnostic use without review")
    assert (ds.SOPInstanceUID, ds.SeriesInstanceUID) == (rtstruct_instance_uid(case.run()), rtstruct_series_uid(case.run()))


def test_neither_organ_nor_finding_makes_none():
    volume = case.volume()

    built = build_rtstruct(volume, Findings((), ()), case.run())

    assert not built


def test_dciodvfy_finds_no_error(tmp_path):
    volume = case.volume()
    paths = []
    for number, ds in enumerate(build_rtstruct(volume, case.findings(volume), case.run()), 1):
        paths.append(tmp_path / f"{number}.dcm")
        paths[-1].write_bytes(encode(ds))

    errors = dciodvfy_errors(*paths)

    assert errors == []
