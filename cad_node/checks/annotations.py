"""What reports and presentation states draw on the source's slices, compared with the findings in patient coordinates."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from cad_node.checks.content_tree import Item, referred_to
from cad_node.checks.frames import Slices
from cad_node.checks.templates import TRACKING_IDENTIFIER
from cad_node.findings import Axis, Finding, Findings, Structure

TOLERANCE_PX = 0.5
OUTLINE_PX = 0.6  # beyond the outermost pixels' centres; their edges are at 0.5

Points = NDArray[np.float64]  # (N, 2): (column, row), PS3.3 C.18.6.1.2 and C.10.5


def misdrawn_coordinates(root: Item, slices: Slices, findings: Findings) -> Iterator[str]:
    """A sentence for each SCOORD of a report that isn't where its finding is."""
    yield from _misdrawn_below(root, root, findings.structures, slices)


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


def _misdrawn_below(item: Item, root: Item, structures: Sequence[Structure], slices: Slices) -> Iterator[str]:
    labels = [str(child.ds.get("TextValue", "")) for child in item.of(TRACKING_IDENTIFIER)]
    structures = [structure for structure in structures if structure.label in labels] or structures
    for child in item.children:
        if child.value_type == "SCOORD":
            fault = _coordinates_fault(child, root, structures, slices)
            if fault:
                yield f"{' '.join(labels) or item.meaning}: an SCOORD {fault}"
        yield from _misdrawn_below(child, root, structures, slices)


def _coordinates_fault(item: Item, root: Item, structures: Sequence[Structure], slices: Slices) -> str:
    images = [image for child in item.children if (image := referred_to(child, root)) and image.value_type == "IMAGE"]
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
    limits = np.array([slices.columns, slices.rows])
    if (points < 0).any() or (points > limits).any():
        return "lies outside the image"
    if graphic_type == "POLYLINE" and len(points) == 2 and all(isinstance(structure, Finding) for structure in structures):
        return _axis_fault(points, index, structures, slices)
    centre = points[0] if graphic_type == "CIRCLE" else points[:-1].mean(axis=0) if len(points) > 2 else points.mean(axis=0)
    is_cut = graphic_type != "CIRCLE" and bool(((points == 0) | (points == limits)).any())  # at the image's side
    off = min((_off(points, centre, pixels) for structure in structures if (pixels := _pixels(structure, index)) is not None), default=None)
    if off is None:
        return f"is in slice {index}, in which there is no finding and no organ"
    return f"is {off:.1f} px off what it shows" if off > TOLERANCE_PX and not is_cut else ""


def _axis_fault(points: Points, index: int, findings: Sequence[Structure], slices: Slices) -> str:
    axes = [axis for finding in findings if isinstance(finding, Finding) for axis in (finding.long_axis, finding.short_axis)]
    off = min((_apart(points, _ends(axis, slices)) for axis in axes if axis.slice_index == index), default=None)
    if off is None:
        return f"is in slice {index}, in which no axis was measured"
    return f"is {off:.1f} px off the axes of what it measures" if off > TOLERANCE_PX else ""


def _apart(points: Points, ends: Points) -> float:
    return float(min(np.abs(points - ends).max(), np.abs(points[::-1] - ends).max()))


def _ends(axis: Axis, slices: Slices) -> Points:
    """An axis's ends in the pixels of its slice, out of its LPS coordinates and the slice's own position."""
    offsets = np.array(axis.ends_lps_mm) - slices.positions[axis.slice_index]
    column = offsets @ slices.column_step / (slices.column_step @ slices.column_step)
    row = offsets @ slices.row_step / (slices.row_step @ slices.row_step)
    return np.stack([column, row], axis=1) + 0.5  # the centre of the first pixel


def _pixels(structure: Structure, index: int) -> Points | None:
    """The centres of its pixels in a slice; None where it has none."""
    region = structure.region
    planes, rows, columns = region.slices
    if not planes.start <= index < planes.stop:
        return None
    row, column = np.nonzero(region.mask[index - planes.start])
    return np.column_stack([column + columns.start, row + rows.start]) + 0.5 if len(row) else None


def _off(points: Points, centre: NDArray[np.float64], pixels: Points) -> float:
    """Pixels by which a graphic misses: it goes along within the outermost pixels, or around with their centre as its own."""
    beyond = np.maximum(pixels.min(axis=0) - points, points - pixels.max(axis=0)).max()
    return float(0.0 if len(points) > 1 and beyond <= OUTLINE_PX else np.abs(centre - pixels.mean(axis=0)).max())
