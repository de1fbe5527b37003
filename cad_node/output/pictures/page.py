"""What every page of the Secondary Capture has: its size, its sizes of text, its ground and its foot."""

from PIL import Image

from cad_node.output.builder import Run
from cad_node.output.equipment import REVIEW_REMARK
from cad_node.output.pictures.drawing import AMBER, DIM, GREY, shorten, width_px, write
from cad_node.output.wording import algorithm

PAGE_PX = 768  # square, as viewports of several beside each other are
TEXT_PX = 20  # of a page that is shown 512 px high 13 px, the least that reads well
BOLD_PX = 24
LINE_PX = 27
MARGIN_PX = 14
FOOT_PX = 34  # high
MOST_SHOWN = 15  # findings: what the summary has room for, and 1.8 MB a page

_GROUND = (13, 16, 20)


def blank_page() -> Image.Image:
    return Image.new("RGB", (PAGE_PX, PAGE_PX), _GROUND)


def put_foot(page: Image.Image, run: Run) -> None:
    """What made the page, and that it wants review."""
    top = PAGE_PX - FOOT_PX
    page.paste(DIM, (0, top, PAGE_PX, PAGE_PX))
    middle = top + FOOT_PX / 2
    write(page, (PAGE_PX - MARGIN_PX, middle), REVIEW_REMARK, TEXT_PX, AMBER, anchor="rm")
    room = PAGE_PX - 3 * MARGIN_PX - width_px(REVIEW_REMARK, TEXT_PX)
    write(page, (MARGIN_PX, middle), shorten(algorithm(run), room, TEXT_PX), TEXT_PX, GREY, anchor="lm")
