"""How findings are marked on an image: a circle around each, and its label beside the circles."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cad_node.findings import Finding, Findings
from cad_node.imaging.volume import Volume
from cad_node.output.outlines import Points, pixel_centres, spanned_slices

MARGIN_MM = 2.0  # between the finding and its circle, so that its border stays visible
LINES_PER_IMAGE = 36  # of text, one below the other
LETTER_WIDTH = 0.6  # of a line's height
GAP = 0.4  # between circle and label, of a line's height

Box = NDArray[np.float64]  # ((left, top), (right, bottom)), (column, row)


@dataclass(frozen=True, slots=True)
class Circle:
    """Pixel coordinates as in outlines. radii_px: across columns, across rows; they differ where pixels aren't square."""

    centre: tuple[float, float]
    radii_px: tuple[float, float]

    @property
    def box(self) -> Box:
        return np.array([np.subtract(self.centre, self.radii_px), np.add(self.centre, self.radii_px)])


@dataclass(frozen=True, slots=True)
class Mark:
    finding_number: int
    circle: Circle
    text: str
    text_box: Box
    is_left_of_circle: bool  # the text: it then ends at the circle


def marks_by_slice(volume: Volume, findings: Findings) -> Mapping[int, Sequence[Mark]]:
    """Marks of every slice that a finding spans, a finding's text with its diameters on the slice where they were measured."""
    spanned: dict[int, list[int]] = defaultdict(list)
    for number, finding in enumerate(findings.findings, 1):
        for index in spanned_slices(finding.region):
            spanned[index].append(number)
    return {index: tuple(_marks(volume, findings, index, numbers)) for index, numbers in sorted(spanned.items())}


def _marks(volume: Volume, findings: Findings, slice_index: int, numbers: Sequence[int]) -> Iterator[Mark]:
    found = [findings.findings[number - 1] for number in numbers]
    circles = [_circle(volume, pixel_centres(finding.region, slice_index)) for finding in found]
    taken = [circle.box for circle in circles]
    for number, finding, circle in zip(numbers, found, circles, strict=True):
        text = _text(finding, slice_index)
        box, is_left = _place(text, circle, taken, volume.voxels.shape[1:])
        taken.append(box)
        yield Mark(number, circle, text, box, is_left)


def _circle(volume: Volume, pixels: Points) -> Circle:
    """Around all pixels with a margin; round on the screen, that is, in millimetres."""
    _, row_mm, column_mm = volume.spacing_mm
    centre = pixels.mean(axis=0)
    farthest_mm = np.linalg.norm((pixels - centre) * (column_mm, row_mm), axis=1).max()
    radius_mm = float(farthest_mm) + np.hypot(column_mm, row_mm) / 2 + MARGIN_MM
    return Circle((float(centre[0]), float(centre[1])), (radius_mm / column_mm, radius_mm / row_mm))


def _text(finding: Finding, slice_index: int) -> str:
    """In ASCII, which every character set holds."""
    diameters = f"{finding.long_axis.length_mm:.1f} x {finding.short_axis.length_mm:.1f} mm"
    return f"{finding.label}\r\n{diameters}" if slice_index == finding.long_axis.slice_index else finding.label


def _place(text: str, circle: Circle, taken: Sequence[Box], image: tuple[int, int]) -> tuple[Box, bool]:
    """Beside, above or below the circle, where it is on the image and on no circle or label; if it fits nowhere, to its right."""
    lines = text.split("\r\n")
    line_px = max(image) / LINES_PER_IMAGE
    size = np.array([max(len(line) for line in lines) * LETTER_WIDTH, len(lines)]) * line_px
    (left, top), (right, bottom) = circle.box
    gap = GAP * line_px
    column, row = circle.centre - size / 2
    corners = ((right + gap, row), (left - gap - size[0], row), (column, top - gap - size[1]), (column, bottom + gap))
    boxes = [np.array([corner, corner + size]) for corner in corners]
    limits = np.array(image[::-1], np.float64)
    free = (place for place, box in enumerate(boxes) if _is_within(box, limits) and not any(_overlap(box, other) for other in taken))
    chosen = next(free, 0)
    return np.clip(boxes[chosen], 0, limits), chosen == 1


def _is_within(box: Box, limits: NDArray[np.float64]) -> bool:
    return bool((box[0] >= 0).all() and (box[1] <= limits).all())


def _overlap(a: Box, b: Box) -> bool:
    return bool((np.maximum(a[0], b[0]) < np.minimum(a[1], b[1])).all())
