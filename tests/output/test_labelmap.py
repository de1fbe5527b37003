"""The label map, re-read by other code than wrote it."""

from dataclasses import replace
from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from cad_node.findings import Findings, Region
from cad_node.output.file import encode
from cad_node.output.labelmap import build_labelmap, labelmap_instance_uid, labelmap_series_uid
from cad_node.output.seg import build_seg
from tests.interop.tools import run, tool
from tests.output import case


def reread(ds):
    return dcmread(BytesIO(encode(ds)))


def painted(volume, findings):
    """What each voxel should say: the lowest number of the segments that it is in."""
    regions = [item.region for item in (*findings.findings, *findings.organs)]
    inside = np.stack([case.full_mask(region, volume.voxels.shape) for region in regions])
    return np.where(inside.any(axis=0), inside.argmax(axis=0) + 1, 0)


@pytest.mark.parametrize("keeps_empty_frames", [False, True])
def test_highdicom_reads_the_lowest_number_of_the_segments_that_each_voxel_is_in(keeps_empty_frames):
    volume = case.volume()
    findings = case.findings(volume)
    a_run = replace(case.run(), keeps_empty_frames=keeps_empty_frames)

    seg = hd.seg.segread(BytesIO(encode(*build_labelmap(volume, findings, a_run))))
    uids = [source.SOPInstanceUID for source in volume.sources]
    labels = seg.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True)

    assert np.array_equal(labels, painted(volume, findings))


def test_findings_win_over_organs_and_the_first_finding_over_later_ones():
    volume = case.volume()
    one, two, _ = case.findings(volume).findings
    findings = Findings((one, replace(two, region=one.region)), case.findings(volume).organs)

    ds = reread(*build_labelmap(volume, findings, case.run()))

    assert np.count_nonzero(ds.pixel_array == 1) == np.count_nonzero(one.region.mask)
    assert 2 not in ds.pixel_array
    assert {3, 4} <= set(np.unique(ds.pixel_array))


def test_slices_without_a_segment_are_left_out_unless_the_run_keeps_them():
    volume = case.volume()
    findings = case.findings(volume, nodules=1)
    alone = Findings(findings.findings, ())

    (without,) = build_labelmap(volume, alone, case.run())
    (with_all,) = build_labelmap(volume, alone, replace(case.run(), keeps_empty_frames=True))

    assert (without.NumberOfFrames, with_all.NumberOfFrames) == (len(findings.findings[0].region.mask), 10)
    assert [
        groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for groups in with_all.PerFrameFunctionalGroupsSequence
    ] == [source.SOPInstanceUID for source in volume.sources]


def test_its_segments_are_the_segmentation_s_and_the_background_comes_last():
    volume = case.volume()
    findings = case.findings(volume)

    ds = reread(*build_labelmap(volume, findings, case.run()))
    (seg,) = build_seg(volume, findings, case.run())

    *segments, background = ds.SegmentSequence
    assert [item.to_json() for item in segments] == [item.to_json() for item in seg.SegmentSequence]
    assert (background.SegmentNumber, background.SegmentLabel) == (0, "Background")


def test_it_is_a_label_map_with_the_source_s_geometry_that_refers_to_its_series():
    volume = case.volume()

    ds = reread(*build_labelmap(volume, case.findings(volume), case.run()))

    assert (ds.SOPClassUID, ds.SegmentationType) == ("1.2.840.10008.5.1.4.1.1.66.7", "LABELMAP")
    assert (ds.SOPInstanceUID, ds.SeriesInstanceUID) == (labelmap_instance_uid(case.run()), labelmap_series_uid(case.run()))
    assert (ds.Rows, ds.Columns, ds.BitsAllocated) == (61, 67, 8)
    assert ds.FrameOfReferenceUID == volume.sources[0].FrameOfReferenceUID
    assert ds.ReferencedSeriesSequence[0].SeriesInstanceUID == volume.series_instance_uid


def test_more_segments_than_a_byte_can_number_take_two():
    volume = case.volume()
    finding = case.findings(volume).findings[0]
    one_voxel = np.ones((1, 1, 1), np.bool_)
    many = tuple(replace(finding, label=f"Nodule {n + 1}", region=Region((n // 61, n % 61, 7), one_voxel)) for n in range(300))

    ds = reread(*build_labelmap(volume, Findings(many, ()), case.run()))

    assert ds.BitsAllocated == 16
    assert sorted(ds.pixel_array[ds.pixel_array > 0]) == list(range(1, 301))


def test_neither_organ_nor_finding_makes_none():
    volume = case.volume()

    built = build_labelmap(volume, Findings((), ()), case.run())

    assert not built


def test_dciodvfy_finds_no_error_but_that_it_does_not_know_the_object(tmp_path):
    volume = case.volume()
    path = tmp_path / "labelmap.dcm"
    path.write_bytes(encode(*build_labelmap(volume, case.findings(volume), case.run())))

    said = run(tool("dciodvfy", "Debian package dicom3tools"), path).stderr.splitlines()

    errors = [line for line in said if line.startswith("Error")]
    # Its release of 2022 is older than label maps, in which the background has number 0, PS3.3 C.8.20.4.
    assert [error for error in errors if "SegmentNumber not monotonically increasing" not in error] == [
        "Error - Information Object Not found"
    ]
