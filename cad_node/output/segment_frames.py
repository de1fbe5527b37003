"""What binary Segmentations and label maps share: their regions in order, their layout by occupancy, how they are finished.

highdicom wants all segments of all slices in memory, 1 GB for 300 slices of 512 x 512 and 12 segments. It is given frames of one pixel
to lay the object out by; whoever asked for it puts the pixels in.
"""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from highdicom.seg import Segmentation
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from cad_node.findings import Findings, Region
from cad_node.output.builder import Run, derive_uid
from cad_node.output.equipment import REVIEW_REMARK, general_equipment
from cad_node.output.segments import describe_segments
from cad_node.output.stamp import stamp


def segment_regions(findings: Findings) -> list[Region]:
    """Region n - 1 is segment n: as describe_segments() numbers them."""
    return [finding.region for finding in findings.findings] + [organ.region for organ in findings.organs]


def occupancy(regions: Sequence[Region], slices: int) -> NDArray[np.bool_]:
    """(slice, segment): whether the segment has a voxel in the slice."""
    occupied = np.zeros((slices, len(regions)), np.bool_)
    for index, region in enumerate(regions):
        occupied[region.slices[0], index] = region.mask.any(axis=(1, 2))
    return occupied


def lay_out(headers: Sequence[Dataset], pixels: NDArray[Any], findings: Findings, run: Run, **kind: Any) -> Segmentation:
    """The whole object but for its pixels, with the source's Rows and Columns and its frames put_in_order().

    pixels: what highdicom would take of frames of one pixel. kind: its arguments that tell one object from another.
    """
    ds = Segmentation(
        source_images=[one_pixel(header) for header in headers],
        pixel_array=pixels,
        segment_descriptions=describe_segments(findings, run),
        instance_number=1,
        content_description=REVIEW_REMARK,
        content_creator_name=f"cad_node^{run.manifest.name}",  # dcmqi's reader wants one
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=not run.keeps_empty_frames,
        specific_character_set=None,  # stamp() sets it
        **general_equipment(run),
        **kind,
    )
    ds.Rows, ds.Columns = headers[0].Rows, headers[0].Columns
    put_in_order(ds, headers)
    return ds


def put_in_order(ds: Dataset, headers: Sequence[Dataset]) -> None:
    """Frames go as the volume's slices do, segment by segment; highdicom has the slices along the patient's axes."""
    placed = []
    for frame, slice_index in zip(ds.PerFrameFunctionalGroupsSequence, slice_indices(ds, headers), strict=True):
        *segment, _ = np.atleast_1d(frame.FrameContentSequence[0].DimensionIndexValues).tolist()
        placed.append((segment, slice_index, frame))
    placed.sort(key=itemgetter(0, 1))
    ranks = {slice_index: rank for rank, slice_index in enumerate(sorted({slice_index for _, slice_index, _ in placed}), 1)}
    for segment, slice_index, frame in placed:
        frame.FrameContentSequence[0].DimensionIndexValues = [*segment, ranks[slice_index]]
    ds.PerFrameFunctionalGroupsSequence = [frame for _, _, frame in placed]


def slice_indices(ds: Dataset, headers: Sequence[Dataset]) -> Iterator[int]:
    """Which slice of the source each frame shows, in the frames' order."""
    slice_of = {header.SOPInstanceUID: index for index, header in enumerate(headers)}
    for groups in ds.PerFrameFunctionalGroupsSequence:
        yield slice_of[groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]


def finish(ds: Dataset, header: Dataset, name: str, run: Run) -> None:
    """What is the same for every run of the same job, and what highdicom leaves out."""
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = derive_uid(run, name, "dimensions")
    if header.get("BodyPartExamined"):
        ds.BodyPartExamined = header.BodyPartExamined
    stamp(ds, header, run)


def one_pixel(header: Dataset) -> Dataset:
    small = Dataset()
    small.update(header)
    del small.Rows, small.Columns  # the elements themselves are shared with the header
    small.Rows = small.Columns = 1
    return small
