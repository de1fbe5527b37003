"""A page for one finding: its slice, close-ups of it, and what was measured."""

from PIL import Image

from cad_node.output.builder import Run
from cad_node.output.colours import finding_colour
from cad_node.output.pictures.drawing import GREY, chip, shorten, width_px, write
from cad_node.output.pictures.key_images import Scene, close_up_picture, heat_picture, slice_picture, upright_picture
from cad_node.output.pictures.page import BOLD_PX, LINE_PX, MARGIN_PX, PAGE_PX, TEXT_PX, blank_page, put_foot
from cad_node.output.wording import image_number, location, percent, rating, signed, unit, verdict

_TOP, _SLICE_PX, _PANEL_PX, _GAP = 58, 500, 222, 5
_LEFT, _RIGHT = MARGIN_PX, PAGE_PX - MARGIN_PX - _PANEL_PX


def key_page(scene: Scene, number: int, run: Run) -> Image.Image:
    """The page of finding `number`, from 1."""
    page = blank_page()
    _head(page, scene, number)
    page.paste(slice_picture(scene, number, _SLICE_PX, TEXT_PX), (_LEFT, _TOP))
    for place, (name, panel) in enumerate(_panels(scene, number)):
        top = _TOP + place * (_PANEL_PX + _GAP)
        write(panel, (7, 4), shorten(name, _PANEL_PX - 14, TEXT_PX), TEXT_PX, rim=True)
        page.paste(panel, (_RIGHT, top))
    _measured(page, scene, number, run)
    put_foot(page, run)
    return page


def _head(page: Image.Image, scene: Scene, number: int) -> None:
    finding = scene.finding(number)
    chip(page, (_LEFT + 18, 30), str(number), finding_colour(number), BOLD_PX)
    write(page, (_LEFT + 48, 30), finding.label, BOLD_PX + 2, bold=True, anchor="lm")
    after = _LEFT + 48 + width_px(finding.label, BOLD_PX + 2, bold=True) + 16
    count = f"{number} of {len(scene.findings.findings)}"
    room = PAGE_PX - MARGIN_PX - width_px(count, TEXT_PX) - 16 - after
    write(page, (after, 30), shorten(location(finding), room, BOLD_PX), BOLD_PX, GREY, anchor="lm")
    write(page, (PAGE_PX - MARGIN_PX, 30), count, TEXT_PX, GREY, anchor="rm")


def _panels(scene: Scene, number: int) -> list[tuple[str, Image.Image]]:
    sizes = (_PANEL_PX, TEXT_PX)
    heat = scene.finding(number).heat
    return [
        ("As scanned", close_up_picture(scene, number, *sizes, marked=False)),
        ("Outline and axes", close_up_picture(scene, number, *sizes, marked=True)),
        ("Heat", heat_picture(scene, number, heat, *sizes)) if heat else ("Where", upright_picture(scene, number, *sizes)),
    ]


def _measured(page: Image.Image, scene: Scene, number: int, run: Run) -> None:
    finding, window = scene.finding(number), scene.window
    index, rated = finding.long_axis.slice_index, rating(finding)
    z_mm = scene.volume.to_lps((index, 0.0, 0.0))[2]
    size = f"{finding.long_axis.length_mm:.1f} × {finding.short_axis.length_mm:.1f} mm"
    lines = [
        f"{size} · {finding.volume_mm3:.0f} mm³ · mean {signed(finding.mean_hu)} HU",
        f"{run.manifest.output.meaning.meaning}: {percent(100 * finding.score)}",
        *([f"{rated.concept.meaning}: {percent(rated.value)}", verdict(finding)] if rated else []),
        f"Image {image_number(scene.volume, index)} · z {signed(z_mm, 1)} mm · {window.words}",
        *([f"Heat: {finding.heat.meaning.meaning}, {unit(finding.heat.unit)}"] if finding.heat else []),
    ]
    y = _TOP + _SLICE_PX + 8
    for place, line in enumerate(lines):
        write(page, (_LEFT, y + place * LINE_PX), shorten(line, _SLICE_PX, TEXT_PX), TEXT_PX)
