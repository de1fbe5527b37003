"""Findings and organs as a binary Segmentation at the source's geometry, PS3.3 A.51."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from highdicom.seg import Segmentation
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from cad_node.findings import Findings, Region
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run, derive_uid
from cad_node.output.equipment import REVIEW_REMARK, general_equipment, series_description
from cad_node.output.headers import reference_headers
from cad_node.output.segments import describe_segments
from cad_node.output.stamp import stamp

SERIES_NUMBER = 9101  # of every Segmentation; far above what scanners number


def build_seg(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    """One segment per finding, then one per organ, numbered from 1; nothing if there is neither.

    Frames without a voxel of their segment are left out.
    """
    regions = [finding.region for finding in findings.findings] + [organ.region for organ in findings.organs]
    if not regions:
        return []
    headers = reference_headers(volume, run)
    ds = _lay_out(headers, findings, regions, run)
    _fill(ds, headers, regions)
    ds.SegmentsOverlap = "YES" if any(_overlap(a, b) for a, b in combinations(regions, 2)) else "NO"
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = derive_uid(run, "seg", "dimensions")
    if headers[0].get("BodyPartExamined"):
        ds.BodyPartExamined = headers[0].BodyPartExamined
    stamp(ds, headers[0], run)
    return [ds]


def seg_instance_uid(run: Run) -> str:
    """SOP Instance UID of the run's Segmentation, for those that refer to it."""
    return derive_uid(run, "seg", "instance")


def seg_series_uid(run: Run) -> str:
    return derive_uid(run, "seg", "series")


def _lay_out(headers: Sequence[Dataset], findings: Findings, regions: Sequence[Region], run: Run) -> Segmentation:
    """The whole object, but for its pixels: every frame is one pixel.

    highdicom wants (slice, row, column, segment) in memory, 1 GB for 300 slices of 512 x 512 and 12 segments;
    it gets the occupancy of each slice to lay the frames out by, and _fill() puts the pixels in.
    """
    return Segmentation(
        source_images=[_one_pixel(header) for header in headers],
        pixel_array=_occupancy(regions, len(headers)),
        segmentation_type="BINARY",
        segment_descriptions=describe_segments(findings, run),
        series_instance_uid=seg_series_uid(run),
        series_number=SERIES_NUMBER,
        series_description=series_description(run, "segmentation"),
        sop_instance_uid=seg_instance_uid(run),
        instance_number=1,
        content_label="SEGMENTATION",
        content_description=REVIEW_REMARK,
        content_creator_name=f"cad_node^{run.manifest.name}",  # dcmqi's reader wants one
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set=None,  # stamp() sets it
        **general_equipment(run),
    )


def _one_pixel(header: Dataset) -> Dataset:
    small = Dataset()
    small.update(header)
    del small.Rows, small.Columns  # the elements themselves are shared with the header
    small.Rows = small.Columns = 1
    return small


def _occupancy(regions: Sequence[Region], slices: int) -> NDArray[np.bool_]:
    """(slice, 1, 1, segment): whether the segment has a voxel in the slice."""
    occupancy = np.zeros((slices, 1, 1, len(regions)), np.bool_)
    for index, region in enumerate(regions):
        occupancy[region.slices[0], 0, 0, index] = region.mask.any(axis=(1, 2))
    return occupancy


def _fill(ds: Segmentation, headers: Sequence[Dataset], regions: Sequence[Region]) -> None:
    """Give each frame its pixels, one bit each, without a gap between frames, PS3.5 8.1.1."""
    ds.Rows, ds.Columns = headers[0].Rows, headers[0].Columns
    slice_of = {header.SOPInstanceUID: index for index, header in enumerate(headers)}
    shared = ds.SharedFunctionalGroupsSequence[0]
    pixels_per_frame = ds.Rows * ds.Columns
    packed = np.zeros(-(-ds.NumberOfFrames * pixels_per_frame // 16) * 2, np.uint8)  # an even number of bytes
    for number, groups in enumerate(ds.PerFrameFunctionalGroupsSequence):
        segment = groups.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence  # shared when there is one segment
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        frame = _frame(regions[segment[0].ReferencedSegmentNumber - 1], slice_of[source.ReferencedSOPInstanceUID], ds.Rows, ds.Columns)
        first_byte, first_bit = divmod(number * pixels_per_frame, 8)
        bits = np.packbits(np.concatenate([np.zeros(first_bit, np.bool_), frame.ravel()]), bitorder="little")
        packed[first_byte : first_byte + len(bits)] |= bits
    ds.PixelData = packed.tobytes()


def _frame(region: Region, slice_index: int, rows: int, columns: int) -> NDArray[np.bool_]:
    """(row, column) of one slice of the source."""
    frame = np.zeros((rows, columns), np.bool_)
    frame[region.slices[1:]] = region.mask[slice_index - region.origin[0]]
    return frame


def _overlap(a: Region, b: Region) -> bool:
    """Whether two regions share a voxel."""
    low = np.maximum(a.origin, b.origin)
    high = np.minimum(np.add(a.origin, a.mask.shape), np.add(b.origin, b.mask.shape))
    if (low >= high).any():
        return False
    return bool((_cut(a, low, high) & _cut(b, low, high)).any())


def _cut(region: Region, low: NDArray[np.int_], high: NDArray[np.int_]) -> NDArray[np.bool_]:
    z, y, x = (slice(start, end) for start, end in zip(low - region.origin, high - region.origin, strict=True))
    return region.mask[z, y, x]
