"""Key pictures of a finding: the slice of its long axis, close-ups of it, its heat, and where in the body it lies."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cad_node.findings import Axis, Finding, Findings, Heat
from cad_node.imaging.volume import Volume
from cad_node.output.colours import finding_colour
from cad_node.output.pictures.drawing import GREY, WHITE, Line, Place, chip, colour_bar, heat_colours, ring, scale_bar, stroke, write
from cad_node.output.pictures.views import View, close_up, outline, overview
from cad_node.output.pictures.windowing import Window

HEAT_OPACITY = 0.65  # from half the most on: the image stays visible below
RING_MM = 4.0  # between a finding and the ring around it
_AXES = ("RL", "AP", "FH")  # letters of the directions against and along the axes of LPS, PS3.3 C.7.6.1.1.1
_OBLIQUE = 0.25  # share of a second axis from which a direction is named after it too: 15 degrees


@dataclass(frozen=True, slots=True)
class Scene:
    """What pictures are made of."""

    volume: Volume
    findings: Findings
    window: Window

    def finding(self, number: int) -> Finding:
        """From 1."""
        return self.findings.findings[number - 1]

    def grey(self, slice_index: int) -> NDArray[np.uint8]:
        return self.window.grey(self.volume.voxels[slice_index])


def slice_picture(scene: Scene, number: int, side_px: int, text_px: int) -> Image.Image:
    """The whole slice with the finding ringed, and whatever other finding crosses it outlined."""
    volume, finding = scene.volume, scene.finding(number)
    index, view = finding.long_axis.slice_index, overview(volume, scene.findings, side_px)
    picture = view.cut(scene.grey(index)).convert("RGB")
    for other, crossing in enumerate(scene.findings.findings, 1):
        stroke(picture, outline(crossing.region, index, view), finding_colour(other), 1.0, rim=False)
    ringed = close_up(volume, finding, side_px)
    radius_px = (finding.diameter_mm / 2 + RING_MM) * view.px_per_mm
    centre = view.at(*ringed.centre)
    stroke(picture, [ring(centre, radius_px)], finding_colour(number), 2.0)
    chip(picture, _beside(centre, radius_px + text_px, side_px, text_px), str(number), finding_colour(number), text_px)
    _letters(picture, volume.affine[:3, 2], volume.affine[:3, 1], text_px)
    scale_bar(picture, view.px_per_mm, text_px)
    return picture


def close_up_picture(scene: Scene, number: int, side_px: int, text_px: int, marked: bool) -> Image.Image:
    """marked: with outline and axes, drawn along its pixels; without them the finding itself is seen."""
    finding = scene.finding(number)
    index, view = finding.long_axis.slice_index, close_up(scene.volume, finding, side_px)
    picture = view.cut(scene.grey(index)).convert("RGB")
    if marked:
        stroke(picture, outline(finding.region, index, view), finding_colour(number), 2.0)
        stroke(picture, [_drawn(finding.long_axis, view), _drawn(finding.short_axis, view)], WHITE, 1.5)
    scale_bar(picture, view.px_per_mm, text_px)
    return picture


def heat_picture(scene: Scene, number: int, heat: Heat, side_px: int, text_px: int) -> Image.Image:
    """What speaks for the score or the judgement over the close-up, with a colour bar from none to the most within the finding's heat."""
    finding = scene.finding(number)
    index, view = finding.long_axis.slice_index, close_up(scene.volume, finding, side_px)
    grey = np.asarray(view.cut(scene.grey(index)), np.float32)
    most = max(float(heat.values.max()), np.finfo(np.float32).tiny)
    share = np.clip(
        np.asarray(view.cut(_plane(heat, index, scene.volume.voxels.shape[1:]))) / most, 0, 1
    )  # what speaks against shows as none
    opacity = (HEAT_OPACITY * np.clip(2 * share, 0, 1))[..., np.newaxis]
    picture = Image.fromarray(np.asarray((1 - opacity) * grey[..., np.newaxis] + opacity * heat_colours(share) + 0.5, np.uint8))
    stroke(picture, outline(scene.finding(number).region, index, view), WHITE, 1.0, rim=False)
    bottom = side_px - 10
    middle = (side_px // 4 + 6, side_px - side_px // 4 - 16)
    colour_bar(picture, (middle[0], bottom - 12, middle[1], bottom))
    write(picture, (middle[0] - 6, bottom - 6), "0", text_px, anchor="rm", rim=True)
    write(picture, (middle[1] + 6, bottom - 6), f"{most:.2g}", text_px, anchor="lm", rim=True)
    return picture


def upright_picture(scene: Scene, number: int, side_px: int, text_px: int) -> Image.Image:
    """The plane across the slices through the finding's middle, head up; the line is the slice shown."""
    volume, finding = scene.volume, scene.finding(number)
    _, rows, columns = finding.region.slices
    picture, at = _upright(volume, scene.window.grey(volume.voxels[:, (rows.start + rows.stop) // 2]), side_px)
    index = finding.long_axis.slice_index
    left, right = at(index + 0.5, 0), at(index + 0.5, volume.voxels.shape[2])
    stroke(picture, [[left, right]], GREY, 1.0, rim=False)
    centre = at(index + 0.5, (columns.start + columns.stop) / 2)
    stroke(picture, [ring(centre, 0.04 * side_px)], finding_colour(number), 2.0)
    _letters(picture, volume.affine[:3, 2], -_upwards(volume), text_px)
    return picture


def map_picture(scene: Scene, side_px: int, text_px: int) -> Image.Image:
    """All findings on the mean of the body from front to back, head up, as on a radiograph."""
    volume = scene.volume
    mean = volume.voxels[:, ::4].mean(axis=1, dtype=np.float32)
    body = mean > np.percentile(mean, 25)
    low, high = np.percentile(mean[body], (1, 99)) if body.any() else (float(mean.min()), float(mean.max()))
    spread = Window(float(low + high) / 2, max(float(high - low), 1.0), inverted=scene.window.inverted)
    picture, at = _upright(volume, spread.grey(mean), side_px)
    for number, finding in reversed(list(enumerate(scene.findings.findings, 1))):
        slices, _, columns = finding.region.slices
        centre = at((slices.start + slices.stop) / 2, (columns.start + columns.stop) / 2)
        chip(picture, centre, str(number), finding_colour(number), text_px)
    _letters(picture, volume.affine[:3, 2], -_upwards(volume), text_px)
    return picture


def letters(direction: NDArray[np.float64]) -> str:
    """Where a direction points in the patient, the nearest axis first: "L", "LP". PS3.3 C.7.6.1.1.1"""
    share = np.abs(direction) / np.linalg.norm(direction)
    named = [axis for axis in np.argsort(-share, kind="stable") if share[axis] >= _OBLIQUE]
    return "".join(_AXES[axis][int(direction[axis] > 0)] for axis in named)


def _upright(volume: Volume, plane: NDArray[np.uint8], side_px: int) -> tuple[Image.Image, Callable[[float, float], Place]]:
    """(slice, column) values -> the picture, head up, and where a place between slices and columns lies in it."""
    slices, columns = plane.shape
    slice_mm, _, column_mm = volume.spacing_mm
    view = View((columns / 2, slices / 2), max(slices * slice_mm, columns * column_mm), (column_mm, slice_mm), side_px)
    head_is_last = bool(volume.affine[2, 0] >= 0)
    upright = np.ascontiguousarray(plane[::-1]) if head_is_last else plane

    def at(slice_place: float, column_place: float) -> Place:
        return view.at(column_place, slices - slice_place if head_is_last else slice_place)

    return view.cut(upright).convert("RGB"), at


def _plane(heat: Heat, slice_index: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    plane = np.zeros(shape, np.float32)
    at = slice_index - heat.origin[0]
    if 0 <= at < len(heat.values):
        _, y, x = heat.origin
        _, height, width = heat.values.shape
        plane[y : y + height, x : x + width] = heat.values[at]
    return plane


def _drawn(axis: Axis, view: View) -> Line:
    return [view.at(*end) for end in axis.ends_px]


def _beside(centre: tuple[float, float], away_px: float, side_px: int, margin_px: int) -> tuple[float, float]:
    """Up and to the side of a ring where there is room, within the picture."""
    x = centre[0] + 0.75 * away_px if centre[0] + away_px < side_px - margin_px else centre[0] - 0.75 * away_px
    y = centre[1] - 0.75 * away_px if centre[1] - away_px > margin_px else centre[1] + 0.75 * away_px
    return x, y


def _letters(picture: Image.Image, to_right: NDArray[np.float64], downwards: NDArray[np.float64], text_px: int) -> None:
    width, height = picture.size
    write(picture, (6, height / 2), letters(-to_right), text_px, anchor="lm", rim=True, bold=True)
    write(picture, (width - 6, height / 2), letters(to_right), text_px, anchor="rm", rim=True, bold=True)
    write(picture, (width / 2, 5), letters(-downwards), text_px, anchor="ma", rim=True, bold=True)
    write(picture, (width / 2, height - 5), letters(downwards), text_px, anchor="md", rim=True, bold=True)


def _upwards(volume: Volume) -> NDArray[np.float64]:
    along: NDArray[np.float64] = volume.affine[:3, 0]
    return along if along[2] >= 0 else -along
