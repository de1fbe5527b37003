"""What reports and presentation states draw on the source's slices, compared with the findings in patient coordinates."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from cad_node.checks.content_tree import Item
from cad_node.checks.frames import Slices
from cad_node.checks.templates import TRACKING_IDENTIFIER
from cad_node.findings import Axis, Finding, Findings, Structure

TOLERANCE_PX = 0.5
MARGIN_PX = 1.5  # beyond the box of what an outline goes around

Points = NDArray[np.float64]  # (N, 2): (column, row), PS3.3 C.18.6.1.2 and C.10.5


def misdrawn_coordinates(root: Item, slices: Slices, findings: Findings) -> Iterator[str]:
    """A sentence for each SCOORD of a report that isn't where its finding is."""
    yield from _misdrawn_below(root, findings.structures, slices)


def misdrawn_graphics(ds: Dataset, slices: Slices, findings: Findings) -> Iterator[str]:
    """A sentence for each graphic of a presentation state that isn't where any finding is."""
    for annotation in ds.get("GraphicAnnotationSequence") or ():
        for image in annotation.get("ReferencedImageSequence") or ():
            index = slices.index_of.get(str(image.ReferencedSOPInstanceUID))
            for graphic in annotation.get("GraphicObjectSequence") or ():
                if graphic.GraphicAnnotationUnits == "PIXEL" and index is not None:
                    fault = _fault(str(graphic.GraphicType), _points(graphic), index, findings.structures, slices)
                    if fault:
                        yield f"a {graphic.GraphicType} in layer {annotation.GraphicLayer} {fault}"


def _misdrawn_below(item: Item, structures: Sequence[Structure], slices: Slices) -> Iterator[str]:
    labels = [str(child.ds.get("TextValue", "")) for child in item.of(TRACKING_IDENTIFIER)]
    named = [structure for structure in structures if structure.label in labels]
    structures = named or structures
    for child in item.children:
        if child.value_type == "SCOORD":
            fault = _coordinates_fault(child, structures, slices)
            if fault:
                yield f"{' '.join(labels) or item.meaning}: an SCOORD {fault}"
        yield from _misdrawn_below(child, structures, slices)


def _coordinates_fault(item: Item, structures: Sequence[Structure], slices: Slices) -> str:
    images = [child for child in item.children if child.value_type == "IMAGE"]
    if not images:
        return "names no image"
    uid = str(images[0].ds.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    if uid not in slices.index_of:
        return f"is on {uid}, which is no image of the source"
    return _fault(str(item.ds.GraphicType), _points(item.ds), slices.index_of[uid], structures, slices)


def _points(ds: Dataset) -> Points:
    return np.array(ds.GraphicData, np.float64).reshape(-1, 2)


def _fault(graphic_type: str, points: Points, index: int, structures: Sequence[Structure], slices: Slices) -> str:
    """Why a graphic on slice `index` shows none of the structures; "" if it shows one."""
    if (points < 0).any() or (points > (slices.columns, slices.rows)).any():
        return "lies outside the image"
    if graphic_type == "POLYLINE" and len(points) == 2 and all(isinstance(structure, Finding) for structure in structures):
        off = _off_an_axis(points, index, structures, slices)
        if off > TOLERANCE_PX:
            return f"is {off:.1f} px off the axes of what it measures" if np.isfinite(off) else "is on a slice without an axis"
        return ""
    placed = points[:1] if graphic_type == "CIRCLE" else points  # a circle goes around with room: only its centre counts
    if not any(_goes_around(placed, index, structure) for structure in structures):
        return f"in slice {index} isn't where a finding or organ is"
    return ""


def _off_an_axis(points: Points, index: int, structures: Sequence[Structure], slices: Slices) -> float:
    """Pixels between the ends of a line and those of the nearest axis on its slice."""
    axes = [axis for finding in structures if isinstance(finding, Finding) for axis in (finding.long_axis, finding.short_axis)]
    return min((_apart(points, _ends(axis, slices)) for axis in axes if axis.slice_index == index), default=float("inf"))


def _apart(points: Points, ends: Points) -> float:
    return float(min(np.abs(points - ends).max(), np.abs(points[::-1] - ends).max()))


def _ends(axis: Axis, slices: Slices) -> Points:
    """An axis's ends in the pixels of its slice, out of its LPS coordinates and the slice's own position."""
    offsets = np.array(axis.ends_lps_mm) - slices.positions[axis.slice_index]
    column = offsets @ slices.column_step / (slices.column_step @ slices.column_step)
    row = offsets @ slices.row_step / (slices.row_step @ slices.row_step)
    return np.stack([column, row], axis=1) + 0.5  # the centre of the first pixel


def _goes_around(points: Points, index: int, structure: Structure) -> bool:
    """Whether all points lie in the box of the structure, on a slice in which it is."""
    planes, rows, columns = structure.region.slices
    if not planes.start <= index < planes.stop:
        return False
    low = np.array([columns.start, rows.start]) - MARGIN_PX
    high = np.array([columns.stop, rows.stop]) + MARGIN_PX
    return bool((points >= low).all() and (points <= high).all())
