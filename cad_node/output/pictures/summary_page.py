"""The first page: what was found, in what, by what, and what is to be considered."""

from collections.abc import Sequence

from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from cad_node.findings import Findings
from cad_node.output.builder import Run
from cad_node.output.colours import finding_colour
from cad_node.output.pictures.drawing import AMBER, DIM, GREY, WHITE, chip, shorten, wrap, write
from cad_node.output.pictures.key_images import Scene, close_up_picture, map_picture, slice_picture
from cad_node.output.pictures.page import BOLD_PX, FOOT_PX, LINE_PX, MARGIN_PX, MOST_SHOWN, PAGE_PX, TEXT_PX, blank_page, put_foot
from cad_node.output.wording import Row, algorithm, headline, legend, organ_table, row, software, source

_ROOM_PX = PAGE_PX - 2 * MARGIN_PX
_LOCATION_PX = 250
_COLUMNS = (("#", 0), ("Location", 50), ("Size, mm", 410), ("mm³", 486), ("Score", 570), ("Rating", 658), ("Image", _ROOM_PX))
_SIDES = "llrrrrr"  # on which a column stands where it says
_PICTURES, _GAP_PX, _SMALLEST_PX = 3, 8, 130  # in the row at the foot


def summary_page(scene: Scene, header: Dataset, run: Run) -> Image.Image:
    """header: the first of reference_headers()."""
    page, volume, findings = blank_page(), scene.volume, scene.findings
    y = _head(page, scene, header, run)
    if findings.findings:
        y = _table(page, [row(finding, number, volume) for number, finding in enumerate(findings.findings[:MOST_SHOWN], 1)], y)
        more = len(findings.findings) - MOST_SHOWN
        y = _paragraph(page, (f"And {more} more, not shown here. " if more > 0 else "") + legend(findings, run), y + 4, GREY)
    y = _remarks(page, findings, y + 4)
    y = _organs(page, organ_table(findings), y + 10)
    _pictures(page, scene, y + 10)
    put_foot(page, run)
    return page


def _head(page: Image.Image, scene: Scene, header: Dataset, run: Run) -> int:
    write(page, (MARGIN_PX, 12), shorten(algorithm(run), _ROOM_PX, 30, bold=True), 30, bold=True)
    y = _paragraph(page, source(scene.volume, header), 50, GREY)
    y = _paragraph(page, software(run), y, GREY)
    ImageDraw.Draw(page).rectangle((MARGIN_PX, y + 6, PAGE_PX - MARGIN_PX, y + 44), fill=DIM)
    write(page, (MARGIN_PX + 10, y + 25), headline(scene.findings, run), BOLD_PX, WHITE, bold=True, anchor="lm")
    return y + 52


def _table(page: Image.Image, rows: Sequence[Row], y: int) -> int:
    """Returns where it ends."""
    for (title, x), align in zip(_COLUMNS, _SIDES, strict=True):
        write(page, (MARGIN_PX + x, y + 4), title, TEXT_PX, GREY, anchor=f"{align}a")
    y += LINE_PX + 4
    for one in rows:
        ImageDraw.Draw(page).line((MARGIN_PX, y, PAGE_PX - MARGIN_PX, y), DIM)
        middle = y + LINE_PX / 2
        chip(page, (MARGIN_PX + 18, middle), str(one.number), finding_colour(one.number), TEXT_PX)
        texts = (one.location, one.size, one.volume, one.score, one.rating, one.image)
        for text, (_, x), align in zip(texts, _COLUMNS[1:], _SIDES[1:], strict=True):
            write(
                page, (MARGIN_PX + x, middle), shorten(text, _LOCATION_PX, TEXT_PX) if align == "l" else text, TEXT_PX, anchor=f"{align}m"
            )
        y += LINE_PX
    return y


def _remarks(page: Image.Image, findings: Findings, y: int) -> int:
    """In whole sentences where there is room for all, else each in a word: none is left out. Returns where they end."""
    texts = [f"To be considered: {remark.sentence}." for remark in findings.remarks]
    if y + LINE_PX * sum(len(wrap(text, _ROOM_PX, TEXT_PX)) for text in texts) > PAGE_PX - FOOT_PX:
        texts = [f"To be considered: {', '.join(remark.code.replace('-', ' ') for remark in findings.remarks)}."]
    for text in texts:
        y = _paragraph(page, text, y, AMBER)
    return y


def _paragraph(page: Image.Image, text: str, y: int, colour: tuple[int, int, int]) -> int:
    """Lines below each other. Returns where they end."""
    for line in wrap(text, _ROOM_PX, TEXT_PX):
        write(page, (MARGIN_PX, y), line, TEXT_PX, colour)
        y += LINE_PX
    return y


def _organs(page: Image.Image, table: Sequence[Sequence[str]], y: int) -> int:
    """What was measured goes down, up to three organs across. Nothing where there is no room. Returns where it ends."""
    if not table or y + LINE_PX * len(table[0]) > PAGE_PX - FOOT_PX:
        return y
    for place, (title, *values) in enumerate(zip(*table, strict=True)):
        write(page, (MARGIN_PX, y), title, TEXT_PX, GREY)
        for (_, x), value in zip(_COLUMNS[2::2], values, strict=False):
            write(page, (MARGIN_PX + x, y), value, TEXT_PX, WHITE if place else GREY, anchor="ra")
        y += LINE_PX
    return y


def _pictures(page: Image.Image, scene: Scene, y: int) -> None:
    """In what room is left, where the findings lie and what the first of them look like."""
    side = min(PAGE_PX - FOOT_PX - y - _GAP_PX, (_ROOM_PX - (_PICTURES - 1) * _GAP_PX) // _PICTURES)
    if side < _SMALLEST_PX:
        return
    pictures = [map_picture(scene, side, TEXT_PX)]
    if len(scene.findings.findings) == 1:
        pictures.append(slice_picture(scene, 1, side, TEXT_PX))
    for number in range(1, min(len(scene.findings.findings), _PICTURES - len(pictures)) + 1):
        pictures.append(close_up_picture(scene, number, side, TEXT_PX, marked=True))
        chip(pictures[-1], (20, 20), str(number), finding_colour(number), TEXT_PX)
    for place, picture in enumerate(pictures):
        page.paste(picture, (MARGIN_PX + place * (side + _GAP_PX), y))
