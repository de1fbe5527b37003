"""The Segmentation, re-read by other code than wrote it."""

from dataclasses import replace
from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from cad_node.findings import Findings, Region
from cad_node.output.builder import tracking_uid
from cad_node.output.file import encode
from cad_node.output.headers import reference_headers
from cad_node.output.seg import build_seg
from cad_node.output.segments import describe_segments
from tests.factory import altered, ct_study
from tests.interop.tools import dciodvfy_errors
from tests.output import case


def reread(ds):
    return dcmread(BytesIO(encode(ds)))


def oriented(orientation, z_step):
    """Ten slices in volume order; the first is where the normal begins."""
    datasets = ct_study(slices=10, voxels=np.full((10, 61, 67), -850, np.int16))
    return [
        altered(ds, ImageOrientationPatient=orientation, ImagePositionPatient=[12.5, -7.25, 100 + z_step * index])
        for index, ds in enumerate(datasets)
    ]


def lps_of_mask(ds, number):
    """The patient coordinates of a segment's voxels, from the frames' own positions and bits: no library's idea of the volume."""
    frames = ds.pixel_array if ds.NumberOfFrames > 1 else ds.pixel_array[np.newaxis]
    shared = ds.SharedFunctionalGroupsSequence[0]
    row_mm, column_mm = shared.PixelMeasuresSequence[0].PixelSpacing
    along_row, along_column = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(float)
    points = set()
    for frame, groups in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        segment = groups.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
        if segment[0].ReferencedSegmentNumber != number:
            continue
        origin = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        rows, columns = np.nonzero(frame)
        lps = origin + np.outer(columns, along_row * column_mm) + np.outer(rows, along_column * row_mm)
        points |= {tuple(point) for point in lps.round(3) + 0.0}
    return points


def frames_of(ds):
    """Pixels of each frame, and what is said of it but for its place among the frames; in an order that both libraries' objects share."""
    frames = zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True)
    said = [(pixels, altered(groups, FrameContentSequence=None).to_json()) for pixels, groups in frames]
    return sorted(said, key=lambda one: one[1])


def lps_of_region(volume, region):
    index = np.argwhere(case.full_mask(region, volume.voxels.shape))
    lps = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    return {tuple(point) for point in lps.round(3) + 0.0}


@pytest.mark.parametrize(
    ("orientation", "z_step"),
    [
        ([1, 0, 0, 0, 1, 0], 1.25),
        ([-1, 0, 0, 0, 1, 0], -1.25),
        ([1, 0, 0, 0, -1, 0], -1.25),
        ([-1, 0, 0, 0, -1, 0], 1.25),
        ([0, 1, 0, 1, 0, 0], -1.25),
    ],
)
def test_each_segment_lies_in_patient_space_where_its_mask_does(orientation, z_step):
    volume = case.volume(oriented(orientation, z_step))
    findings = case.findings(volume)

    ds = reread(*build_seg(volume, findings, case.run()))

    for number, item in enumerate((*findings.findings, *findings.organs), 1):
        assert lps_of_mask(ds, number) == lps_of_region(volume, item.region)


def test_highdicom_reads_the_same_masks_back_by_source_image():
    volume = case.volume()
    findings = case.findings(volume)
    uids = [source.SOPInstanceUID for source in volume.sources]

    seg = hd.seg.Segmentation.from_dataset(reread(*build_seg(volume, findings, case.run())))
    masks = seg.get_pixels_by_source_instance(uids, ignore_spatial_locations=False, assert_missing_frames_are_empty=True)

    for index, item in enumerate((*findings.findings, *findings.organs)):
        assert np.array_equal(masks[..., index].astype(bool), case.full_mask(item.region, volume.voxels.shape))


@pytest.mark.parametrize("keeps_empty_frames", [False, True])
def test_it_is_what_highdicom_makes_of_the_whole_masks(keeps_empty_frames):
    volume = case.volume()
    findings, run = case.findings(volume), replace(case.run(), keeps_empty_frames=keeps_empty_frames)
    masks = [case.full_mask(item.region, volume.voxels.shape) for item in (*findings.findings, *findings.organs)]
    headers, segments = reference_headers(volume, run), describe_segments(findings, run)
    series, equipment = ("1.2.3", 1, "1.2.4", 1), ("m", "n", "v", "d")
    masks = np.stack(masks, axis=-1)
    whole = hd.seg.Segmentation(headers, masks, "BINARY", segments, *series, *equipment, omit_empty_frames=not keeps_empty_frames)

    (ds,) = build_seg(volume, findings, run)

    assert (ds.Rows, ds.Columns, ds.SegmentsOverlap) == (whole.Rows, whole.Columns, whole.SegmentsOverlap)
    assert [text for _, text in frames_of(ds)] == [text for _, text in frames_of(whole)]
    assert all(np.array_equal(*pixels) for pixels in zip(*([one for one, _ in frames_of(each)] for each in (ds, whole)), strict=True))
    assert ds.SharedFunctionalGroupsSequence == whole.SharedFunctionalGroupsSequence


def test_a_single_segment_of_a_single_voxel_survives():
    volume = case.volume()
    finding = replace(case.findings(volume).findings[0], region=Region((4, 60, 66), np.ones((1, 1, 1), np.bool_)))

    ds = reread(*build_seg(volume, Findings((finding,), ()), case.run()))

    assert ds.NumberOfFrames == 1
    assert np.argwhere(ds.pixel_array).tolist() == [[60, 66]]
    assert ds.SegmentsOverlap == "NO"


def test_nodules_come_first_then_organs_numbered_from_one_with_colour_and_codes():
    volume = case.volume()

    ds = reread(*build_seg(volume, case.findings(volume), case.run()))

    segments = ds.SegmentSequence
    assert [item.SegmentNumber for item in segments] == [1, 2, 3, 4, 5]
    assert [item.SegmentLabel for item in segments] == ["Nodule 1", "Nodule 2", "Nodule 3", "Right lung", "Left lung"]
    assert len({tuple(item.RecommendedDisplayCIELabValue) for item in segments}) == 5
    assert [item.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for item in segments] == ["Nodule"] * 3 + ["Lung"] * 2
    sides = [item.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0].CodeMeaning for item in segments[:3]]
    sides += [item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning for item in segments[3:]]
    assert sides == ["Right", "Right", "Left", "Right", "Left"]
    assert [item.TrackingUID for item in segments[:3]] == [tracking_uid(case.run(), number) for number in (1, 2, 3)]
    assert all(item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "1.0.0" for item in segments)


def test_it_has_the_source_s_geometry_and_refers_to_its_series():
    volume = case.volume()

    ds = reread(*build_seg(volume, case.findings(volume), case.run()))

    assert (ds.Rows, ds.Columns) == (61, 67)
    assert ds.SegmentationType == "BINARY"
    assert ds.SegmentsOverlap == "YES"
    assert ds.FrameOfReferenceUID == volume.sources[0].FrameOfReferenceUID
    assert ds.ReferencedSeriesSequence[0].SeriesInstanceUID == volume.series_instance_uid
    assert len(ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 10
    assert ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices == 1.25


def test_frames_without_a_voxel_of_their_segment_are_left_out():
    volume = case.volume()
    findings = case.findings(volume)

    ds = reread(*build_seg(volume, findings, case.run()))

    occupied = sum(item.region.mask.any(axis=(1, 2)).sum() for item in (*findings.findings, *findings.organs))
    assert occupied == ds.NumberOfFrames


def test_a_run_that_keeps_empty_frames_has_one_for_each_segment_and_slice_in_the_source_s_order():
    volume = case.volume()
    findings, run = case.findings(volume), replace(case.run(), keeps_empty_frames=True)

    ds = reread(*build_seg(volume, findings, run))

    shown = [
        (
            groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber,
            groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID,
        )
        for groups in ds.PerFrameFunctionalGroupsSequence
    ]
    indices = [list(groups.FrameContentSequence[0].DimensionIndexValues) for groups in ds.PerFrameFunctionalGroupsSequence]
    assert shown == [(segment, source.SOPInstanceUID) for segment in range(1, 6) for source in volume.sources]
    assert indices == [[segment, place] for segment in range(1, 6) for place in range(1, 11)]
    items = (*findings.findings, *findings.organs)
    assert np.array_equal(ds.pixel_array, np.concatenate([case.full_mask(item.region, volume.voxels.shape) for item in items]))


def test_a_segmentation_with_all_frames_is_another_object():
    volume = case.volume()

    (without,) = build_seg(volume, case.findings(volume), case.run())
    (with_all,) = build_seg(volume, case.findings(volume), replace(case.run(), keeps_empty_frames=True))

    assert with_all.SOPInstanceUID != without.SOPInstanceUID
    assert with_all.SeriesInstanceUID != without.SeriesInstanceUID
    assert [item.TrackingUID for item in with_all.SegmentSequence] == [item.TrackingUID for item in without.SegmentSequence]


def test_lungs_without_a_nodule_still_make_one():
    volume = case.volume()

    ds = reread(*build_seg(volume, case.findings(volume, nodules=0), case.run()))

    assert [item.SegmentLabel for item in ds.SegmentSequence] == ["Right lung", "Left lung"]


def test_neither_organ_nor_finding_makes_none():
    volume = case.volume()

    built = build_seg(volume, Findings((), ()), case.run())

    assert not built


def test_building_leaves_the_volume_s_headers_as_they_were():
    volume = case.volume()
    before = [source.to_json() for source in volume.sources]

    build_seg(volume, case.findings(volume), case.run())

    assert [source.to_json() for source in volume.sources] == before


def test_dciodvfy_finds_no_error_in_one_with_all_frames(tmp_path):
    volume = case.volume()
    paths = []
    for number, ds in enumerate(build_seg(volume, case.findings(volume), replace(case.run(), keeps_empty_frames=True)), 1):
        paths.append(tmp_path / f"{number}.dcm")
        paths[-1].write_bytes(encode(ds))

    errors = dciodvfy_errors(*paths)

    assert errors == []
