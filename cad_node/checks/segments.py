"""A Segmentation compared with the findings' masks, voxel for voxel, in patient coordinates."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset

from cad_node.checks.frames import Slices, frame_bits, frame_values, functional_group, misplaced, slice_indices, stored_bytes
from cad_node.findings import Findings, Region, Structure

LABEL_MAP = "LABELMAP"


def wrong_segments(ds: FileDataset, slices: Slices, findings: Findings) -> Iterator[str]:
    """A sentence for each segment that doesn't show its finding or organ, or shows it elsewhere."""
    structures = findings.structures
    indices = slice_indices(ds, slices)
    yield from misplaced(ds, slices, indices)
    yield from _misdescribed(ds, structures)
    shown = [*zip(_shown_segments(ds), indices, strict=True)]
    regions = [structure.region for structure in structures]
    if ds.SegmentationType == LABEL_MAP:
        yield from _label_map_faults(ds, shown, regions)
    else:
        yield from _binary_faults(ds, shown, regions)


def _misdescribed(ds: Dataset, structures: Sequence[Structure]) -> Iterator[str]:
    """Segments are numbered from 1 in the order of the sequence: OHIF goes by position."""
    described = [segment for segment in ds.SegmentSequence if segment.SegmentNumber != 0]
    numbers = [int(segment.SegmentNumber) for segment in described]
    if numbers != list(range(1, len(structures) + 1)):
        yield f"its segments are numbered {', '.join(map(str, numbers))}, but there are {len(structures)} findings and organs"
    for segment, structure in zip(described, structures, strict=False):
        if segment.SegmentLabel != structure.label:
            yield f"segment {segment.SegmentNumber} is labelled {segment.SegmentLabel}, not {structure.label}"
        if not (segment.get("TrackingID") and segment.get("TrackingUID")):
            yield f"segment {segment.SegmentNumber} has no Tracking ID and UID"


def _shown_segments(ds: Dataset) -> Iterator[int]:
    """The segment that each frame shows; of a label map 0."""
    shared = ds.SharedFunctionalGroupsSequence[0]
    for groups in ds.PerFrameFunctionalGroupsSequence:
        segment = functional_group(shared, groups, "SegmentIdentificationSequence")
        yield int(segment.ReferencedSegmentNumber) if segment is not None else 0


def _binary_faults(ds: FileDataset, shown: Sequence[tuple[int, int]], regions: Sequence[Region]) -> Iterator[str]:
    if len(set(shown)) < len(shown):
        yield "two frames show the same segment in the same slice"
    needed = {(number, index) for number, region in enumerate(regions, 1) for index in _slices_with_voxels(region)}
    for number, index in sorted(needed - set(shown)):
        yield f"segment {number} has voxels in slice {index}, but no frame there"
    stored, shape = stored_bytes(ds, "PixelData"), (ds.Rows, ds.Columns)
    for frame, (number, index) in enumerate(shown):
        if not 1 <= number <= len(regions):
            yield f"frame {frame + 1} shows segment {number}, which there isn't"
            continue
        wrong = _differing(frame_bits(stored, shape, frame), regions[number - 1], index)
        if wrong:
            yield f"segment {number} differs from its mask by {wrong} voxels in slice {index}"


def _label_map_faults(ds: FileDataset, shown: Sequence[tuple[int, int]], regions: Sequence[Region]) -> Iterator[str]:
    """Where segments overlap a label map can only show one: there, either is right."""
    needed = {index for region in regions for index in _slices_with_voxels(region)}
    for index in sorted(needed - {index for _, index in shown}):
        yield f"slice {index} has voxels of a segment, but no frame"
    stored, shape = stored_bytes(ds, "PixelData"), (ds.Rows, ds.Columns)
    for frame, (_, index) in enumerate(shown):
        labels = frame_values(stored, shape, frame, f"<u{ds.BitsAllocated // 8}")
        covered = np.zeros(labels.shape, np.bool_)
        right = np.zeros(labels.shape, np.bool_)
        for number, region in enumerate(regions, 1):
            mask = _plane(region, index)
            if mask is not None:
                box = region.slices[1:]
                covered[box] |= mask
                right[box] |= mask & (labels[box] == number)
        wrong = int(np.count_nonzero(right != covered) + np.count_nonzero(labels[~covered]))
        if wrong:
            yield f"slice {index} differs from the masks by {wrong} voxels"


def _differing(frame: NDArray[np.bool_], region: Region, index: int) -> int:
    """How many pixels of a frame aren't as the region's slice."""
    mask = _plane(region, index)
    if mask is None:
        return int(np.count_nonzero(frame))
    inside = frame[region.slices[1:]]
    outside = np.count_nonzero(frame) - np.count_nonzero(inside)
    return int(outside + np.count_nonzero(inside != mask))


def _plane(region: Region, index: int) -> NDArray[np.bool_] | None:
    """The region's (row, column) mask in a slice of the source; None where it has none."""
    offset = index - region.origin[0]
    return region.mask[offset] if 0 <= offset < len(region.mask) else None


def _slices_with_voxels(region: Region) -> Iterator[int]:
    return (region.origin[0] + int(offset) for offset in np.flatnonzero(region.mask.any(axis=(1, 2))))
