"""Findings and organs as a Label Map Segmentation: one number per voxel, PS3.3 A.51 and C.8.20.2."""

from collections.abc import Sequence

import numpy as np
from highdicom.seg import Segmentation
from pydicom.dataset import Dataset

from cad_node.findings import Findings, Region
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run, derive_uid
from cad_node.output.equipment import series_description
from cad_node.output.headers import reference_headers
from cad_node.output.segment_frames import finish, lay_out, occupancy, segment_regions, slice_indices

SERIES_NUMBER = 9104  # of every label map


def build_labelmap(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    """The segments of the binary Segmentation, with the same numbers; nothing if there are none.

    A voxel has one number: where segments overlap it is the lowest, so that findings win over organs, and the likelier finding
    over the others. Slices without a voxel of any segment are left out, unless the run keeps them.
    """
    regions = segment_regions(findings)
    if not regions:
        return []
    headers = reference_headers(volume, run)
    ds = _lay_out(headers, findings, regions, run)
    _fill(ds, headers, regions)
    background, *segments = ds.SegmentSequence
    ds.SegmentSequence = [*segments, background]  # OHIF colours the segments by their places in the sequence
    finish(ds, headers[0], "labelmap", run)
    return [ds]


def labelmap_instance_uid(run: Run) -> str:
    """SOP Instance UID of the run's label map, for those that refer to it."""
    return derive_uid(run, "labelmap", "instance")


def labelmap_series_uid(run: Run) -> str:
    return derive_uid(run, "labelmap", "series")


def _lay_out(headers: Sequence[Dataset], findings: Findings, regions: Sequence[Region], run: Run) -> Segmentation:
    occupied = np.zeros((len(headers), 1, 1), np.uint8)
    occupied[occupancy(regions, len(headers)).any(axis=1)] = 1
    return lay_out(
        headers,
        occupied,
        findings,
        run,
        segmentation_type="LABELMAP",
        series_instance_uid=labelmap_series_uid(run),
        series_number=SERIES_NUMBER,
        series_description=series_description(run, "label map"),
        sop_instance_uid=labelmap_instance_uid(run),
        content_label="LABEL_MAP",
    )


def _fill(ds: Segmentation, headers: Sequence[Dataset], regions: Sequence[Region]) -> None:
    """Give each frame its numbers, in as many bits as highdicom found that the highest needs."""
    shown = list(slice_indices(ds, headers))
    labels = np.zeros((len(shown), ds.Rows, ds.Columns), f"<u{ds.BitsAllocated // 8}")
    frame_of = {slice_index: frame for frame, slice_index in enumerate(shown)}
    for number, region in reversed([*enumerate(regions, 1)]):  # the lowest last: it stays
        for slice_index, plane in enumerate(region.mask, region.origin[0]):
            if plane.any():
                labels[frame_of[slice_index]][region.slices[1:]][plane] = number
    ds.PixelData = labels.tobytes() + b"\0" * (labels.nbytes % 2)
