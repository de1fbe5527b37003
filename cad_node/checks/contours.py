"""An RT Structure Set compared with the findings' masks: each contour filled, by the centres of the pixels inside."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset

from cad_node.checks.frames import OFF_BY, Slices
from cad_node.findings import Findings, Region

MOST_WRONG = 0.01  # of a slice's pixels: long contours are simplified to fit their element, PS3.5 7.1.2

Points = NDArray[np.float64]
Filled = NDArray[np.bool_]  # (row, column)


def wrong_contours(ds: FileDataset, slices: Slices, findings: Findings) -> Iterator[str]:
    """A sentence for each ROI that isn't drawn around its finding or organ."""
    structures = findings.structures
    names = [(int(roi.ROINumber), str(roi.ROIName)) for roi in ds.StructureSetROISequence]
    if names != [(number, structure.label) for number, structure in enumerate(structures, 1)]:
        yield f"its ROIs are {', '.join(f'{number} {name}' for number, name in names)}, which aren't the findings and organs"
        return
    for roi in ds.ROIContourSequence:
        region = structures[int(roi.ReferencedROINumber) - 1].region
        for fault in _roi_faults(roi, slices, region):
            yield f"ROI {roi.ReferencedROINumber} {fault}"


def _roi_faults(roi: Dataset, slices: Slices, region: Region) -> Iterator[str]:
    polygons: dict[int, list[Points]] = defaultdict(list)
    for contour in roi.get("ContourSequence") or ():
        points = _points_lps(contour)
        index = int(np.argmin(np.abs((slices.positions - points[0]) @ slices.normal)))
        offsets = points - slices.positions[index]
        if np.abs(offsets @ slices.normal).max() > OFF_BY * slices.finest_mm:
            yield f"has a contour off the plane of slice {index}"
            return
        named = {str(image.ReferencedSOPInstanceUID) for image in contour.get("ContourImageSequence") or ()}
        if named and slices.index_of.get(next(iter(named))) != index:
            yield f"has a contour at slice {index} that names another image"
        row = offsets @ slices.row_step / (slices.row_step @ slices.row_step)
        column = offsets @ slices.column_step / (slices.column_step @ slices.column_step)
        polygons[index].append(np.stack([row, column], axis=1))
    spanned = {region.origin[0] + int(offset) for offset in np.flatnonzero(region.mask.any(axis=(1, 2)))}
    if spanned != polygons.keys():
        yield f"has contours in {len(polygons)} slices, its mask voxels in {len(spanned)}"
        return
    for index, drawn in polygons.items():
        mask = region.mask[index - region.origin[0]]
        wrong = int(np.count_nonzero(_filled(drawn, region) != np.pad(mask, 1)))
        if wrong > MOST_WRONG * np.count_nonzero(mask):
            yield f"differs from its mask by {wrong} voxels in slice {index}"


def _points_lps(contour: Dataset) -> Points:
    """(N, 3); as bytes, for pydicom would take seconds to make numbers of a lung's."""
    element = contour.get_item("ContourData")
    if isinstance(element, RawDataElement) and element.value:
        values = np.fromstring(element.value.replace(b"\\", b" ").decode("ascii"), sep=" ")
    else:
        values = np.array(contour.ContourData, np.float64)
    return values.reshape(-1, 3)


def _filled(polygons: list[Points], region: Region) -> Filled:
    """The region's box with a pixel around, filled where a pixel's centre is inside: lines that cross its row on the left are odd.

    What is drawn farther away counts as the pixels around.
    """
    _, height, width = region.mask.shape
    shape = height + 2, width + 2
    crossings = np.zeros(shape[0] * (shape[1] + 1), np.int64)
    for polygon in polygons:
        start = polygon - (region.origin[1] - 1, region.origin[2] - 1)
        rows, columns = _crossings(start, np.roll(start, -1, axis=0))
        inside = (rows >= 0) & (rows < shape[0])
        places = rows[inside] * (shape[1] + 1) + np.clip(columns[inside], 0, shape[1])
        crossings += np.bincount(places, minlength=len(crossings))
    odd: Filled = np.cumsum(crossings.reshape(shape[0], -1), axis=1)[:, :-1] % 2 == 1
    return odd


def _crossings(start: Points, end: Points) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(row, first column to its right) of each place where an edge crosses a row of pixels' centres."""
    low, high = np.ceil(np.minimum(start[:, 0], end[:, 0])), np.ceil(np.maximum(start[:, 0], end[:, 0]))
    counts = (high - low).astype(np.int64)
    edge = np.repeat(np.arange(len(start)), counts)
    rows = low[edge].astype(np.int64) + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    slope = (end[edge, 1] - start[edge, 1]) / (end[edge, 0] - start[edge, 0])
    columns = np.ceil(start[edge, 1] + (rows - start[edge, 0]) * slope).astype(np.int64)
    return rows, columns
