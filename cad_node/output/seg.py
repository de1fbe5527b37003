"""Findings and organs as a binary Segmentation at the source's geometry, PS3.3 A.51."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from highdicom.seg import Segmentation
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from cad_node.findings import Findings, Region
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run, derive_uid
from cad_node.output.equipment import series_description
from cad_node.output.headers import reference_headers
from cad_node.output.segment_frames import finish, lay_out, occupancy, segment_regions, slice_indices

SERIES_NUMBER = 9101  # of every Segmentation; far above what scanners number


def build_seg(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    """One segment per finding, then one per organ, numbered from 1; nothing if there is neither.

    Frames go by segment, then by slice of the source. Those without a voxel of their segment are left out, unless the run keeps them.
    """
    regions = segment_regions(findings)
    if not regions:
        return []
    headers = reference_headers(volume, run)
    ds = _lay_out(headers, findings, regions, run)
    _fill(ds, headers, regions)
    ds.SegmentsOverlap = "YES" if any(_overlap(a, b) for a, b in combinations(regions, 2)) else "NO"
    finish(ds, headers[0], "seg", run)
    return [ds]


def seg_instance_uid(run: Run) -> str:
    """SOP Instance UID of the run's Segmentation, for those that refer to it."""
    return derive_uid(run, "seg", "instance")


def seg_series_uid(run: Run) -> str:
    return derive_uid(run, "seg", "series")


def _lay_out(headers: Sequence[Dataset], findings: Findings, regions: Sequence[Region], run: Run) -> Segmentation:
    return lay_out(
        headers,
        occupancy(regions, len(headers))[:, np.newaxis, np.newaxis],
        findings,
        run,
        segmentation_type="BINARY",
        series_instance_uid=seg_series_uid(run),
        series_number=SERIES_NUMBER,
        series_description=series_description(run, "segmentation"),
        sop_instance_uid=seg_instance_uid(run),
        content_label="SEGMENTATION",
    )


def _fill(ds: Segmentation, headers: Sequence[Dataset], regions: Sequence[Region]) -> None:
    """Give each frame its pixels, one bit each, without a gap between frames, PS3.5 8.1.1."""
    shared = ds.SharedFunctionalGroupsSequence[0]
    pixels_per_frame = ds.Rows * ds.Columns
    packed = np.zeros(-(-ds.NumberOfFrames * pixels_per_frame // 16) * 2, np.uint8)  # an even number of bytes
    for number, (groups, slice_index) in enumerate(zip(ds.PerFrameFunctionalGroupsSequence, slice_indices(ds, headers), strict=True)):
        segment = groups.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence  # shared when there is one segment
        region = regions[segment[0].ReferencedSegmentNumber - 1]
        if not 0 <= slice_index - region.origin[0] < len(region.mask):
            continue  # one of the empty frames that are kept
        frame = _frame(region, slice_index, ds.Rows, ds.Columns)
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
