"""How findings are marked on an image: a circle around each, and its label beside the circles."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cad_node.findings import Axis, Findings
from cad_node.imaging.volume import Volume
from cad_node.output.outlines import Points, pixel_centres, spanned_slices
from cad_node.output.pictures.windowing import Window

MARGIN_MM = 2.0  # between the finding and its circle, so that its border stays visible
LINES_PER_IMAGE = 48  # of text, one below the other
LETTER_WIDTH = 0.55  # of a line's height
GAP = 0.4  # between circle and label, of a line's height

_SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))  # of the circle: columns, rows

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
    """axes: those that were measured on this slice; text: with their lengths."""

    finding_number: int
    label: str
    circle: Circle
    axes: tuple[Axis, ...]
    text: str
    text_box: Box

    @property
    def anchor(self) -> tuple[float, float]:
        """Where on the circle a line from the text ends, so that it is plain which finding the text is about."""
        towards = (self.text_box.mean(axis=0) - self.circle.centre) / self.circle.radii_px
        column, row = self.circle.centre + towards / np.linalg.norm(towards) * self.circle.radii_px
        return float(column), float(row)


def marks_by_slice(volume: Volume, findings: Findings, window: Window) -> Mapping[int, Sequence[Mark]]:
    """Marks of every slice that a finding spans.

    window: in which the images will be seen.
    """
    spanned: dict[int, list[int]] = defaultdict(list)
    for number, finding in enumerate(findings.findings, 1):
        for index in spanned_slices(finding.region):
            spanned[index].append(number)
    return {index: tuple(_marks(volume, findings, index, numbers, window)) for index, numbers in sorted(spanned.items())}


def _marks(volume: Volume, findings: Findings, slice_index: int, numbers: Sequence[int], window: Window) -> Iterator[Mark]:
    found = [findings.findings[number - 1] for number in numbers]
    circles = [_circle(volume, pixel_centres(finding.region, slice_index)) for finding in found]
    taken = [circle.box for circle in circles]
    for number, finding, circle in zip(numbers, found, circles, strict=True):
        axes = tuple(axis for axis in (finding.long_axis, finding.short_axis) if axis.slice_index == slice_index)
        text = _text(finding.label, axes)
        box = _place(text, circle, taken, volume.voxels[slice_index], window)
        taken.append(box)
        yield Mark(number, finding.label, circle, axes, text, box)


def _circle(volume: Volume, pixels: Points) -> Circle:
    """Around all pixels with a margin; round on the screen, that is, in millimetres."""
    _, row_mm, column_mm = volume.spacing_mm
    centre = pixels.mean(axis=0)
    farthest_mm = np.linalg.norm((pixels - centre) * (column_mm, row_mm), axis=1).max()
    radius_mm = float(farthest_mm) + np.hypot(column_mm, row_mm) / 2 + MARGIN_MM
    return Circle((float(centre[0]), float(centre[1])), (radius_mm / column_mm, radius_mm / row_mm))


def _text(label: str, axes: Sequence[Axis]) -> str:
    """In ASCII, which every character set holds."""
    return f"{label}\r\n{' x '.join(f'{axis.length_mm:.1f}' for axis in axes)} mm" if axes else label


def _place(text: str, circle: Circle, taken: Sequence[Box], plane: NDArray[np.int16], window: Window) -> Box:
    """Around the circle where the image is darkest, for texts are bright, and no circle or label is; if all is taken, at its right."""
    lines = text.split("\r\n")
    line_px = max(plane.shape) / LINES_PER_IMAGE
    size = np.array([max(len(line) for line in lines) * LETTER_WIDTH, len(lines)]) * line_px
    away = circle.radii_px + size / 2 + GAP * line_px
    boxes = [circle.centre + np.array(side) * away + np.array([-size, size]) / 2 for side in _SIDES]
    limits = np.array(plane.shape[::-1], np.float64)
    free = [box for box in boxes if _is_within(box, limits) and not any(_overlap(box, other) for other in taken)]
    return min(free, key=lambda box: _brightness(box, plane, window)) if free else np.clip(boxes[0], 0, limits)


def _is_within(box: Box, limits: NDArray[np.float64]) -> bool:
    return bool((box[0] >= 0).all() and (box[1] <= limits).all())


def _overlap(a: Box, b: Box) -> bool:
    return bool((np.maximum(a[0], b[0]) < np.minimum(a[1], b[1])).all())


def _brightness(box: Box, plane: NDArray[np.int16], window: Window) -> float:
    (left, top), (right, bottom) = np.concatenate([np.floor(box[:1]), np.ceil(box[1:])]).astype(int)
    return float(window.grey(plane[top:bottom, left:right]).mean())
