"""Text, lines and bars on a picture, smooth and with a dark rim, so that they read on black and on white alike."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cad_node.output.colours import RGB
from cad_node.output.pictures import fonts

WHITE, GREY, BLACK, DIM, AMBER = (240, 240, 240), (170, 178, 188), (0, 0, 0), (52, 58, 66), (250, 190, 70)

Place = tuple[float, float]  # (x, y) px
Line = Sequence[Place]

_SMOOTHING = 4  # lines are drawn so many times as large and then made smaller: Pillow draws no smooth lines itself
_RIM_PX = 1.0
_BARS_MM = (50, 20, 10, 5, 2, 1)

# Perceptually even from black by violet and orange to pale yellow: it reads in grey and by most colour-blind readers.
_HEAT: tuple[RGB, ...] = (
    (0, 0, 4),
    (40, 11, 84),
    (101, 21, 110),
    (159, 42, 99),
    (212, 72, 66),
    (245, 125, 21),
    (250, 193, 39),
    (252, 255, 164),
)


@cache
def font(size_px: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    # BASIC: whether Pillow finds another layout engine depends on the machine
    return ImageFont.truetype(str(fonts.BOLD if bold else fonts.REGULAR), size_px, layout_engine=ImageFont.Layout.BASIC)


def write(  # noqa: PLR0917 - what, where and how, in the order in which one says it
    picture: Image.Image, at: Place, text: str, size_px: int, colour: RGB = WHITE, bold: bool = False, anchor: str = "la", rim: bool = False
) -> None:
    """One line of text. anchor: as Pillow's, which point of the text lies at `at`; rim: on an image rather than on plain ground."""
    ImageDraw.Draw(picture).text(at, text, colour, font(size_px, bold), anchor, stroke_width=2 if rim else 0, stroke_fill=BLACK)


def width_px(text: str, size_px: int, bold: bool = False) -> float:
    return font(size_px, bold).getlength(text)


def shorten(text: str, most_px: float, size_px: int, bold: bool = False) -> str:
    """The text, its end left out where it is too wide."""
    if width_px(text, size_px, bold) <= most_px:
        return text
    while text and width_px(f"{text}…", size_px, bold) > most_px:
        text = text[:-1].rstrip()
    return f"{text}…"


def wrap(text: str, most_px: float, size_px: int) -> list[str]:
    """The text in lines no wider than that."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if width_px(longer, size_px) <= most_px or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return [shorten(line, most_px, size_px) for line in lines]


def stroke(picture: Image.Image, lines: Sequence[Line], colour: RGB, line_px: float = 1.5, rim: bool = True) -> None:
    """Lines from point to point, each with a thin black rim."""
    if not lines:
        return
    points = np.array([point for line in lines for point in line])
    margin = line_px + 2 * _RIM_PX + 1
    low = np.maximum(np.floor(points.min(axis=0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(points.max(axis=0) + margin), picture.size).astype(int)
    if (low >= high).any():
        return
    for ink, thickness in ((BLACK, line_px + 2 * _RIM_PX), (colour, line_px))[0 if rim else 1 :]:
        picture.paste(ink, (int(low[0]), int(low[1])), _coverage(lines, low, high, thickness))


def ring(centre: Place, radius_px: float) -> Line:
    angles = np.linspace(0, 2 * np.pi, 73)
    return [
        (float(x), float(y)) for x, y in zip(centre[0] + radius_px * np.cos(angles), centre[1] + radius_px * np.sin(angles), strict=True)
    ]


def chip(picture: Image.Image, centre: Place, text: str, colour: RGB, size_px: int) -> None:
    """A disc in a finding's colour with its number, longer where that has several digits."""
    height = round(1.3 * size_px)
    width = max(height, round(width_px(text, size_px, bold=True) + 0.5 * size_px))
    large = Image.new("L", (width * _SMOOTHING, height * _SMOOTHING))
    ImageDraw.Draw(large).rounded_rectangle((0, 0, large.width - 1, large.height - 1), large.height / 2, fill=255)
    picture.paste(colour, (round(centre[0] - width / 2), round(centre[1] - height / 2)), large.reduce(_SMOOTHING))
    write(picture, centre, text, size_px, WHITE if is_dark(colour) else BLACK, bold=True, anchor="mm")


def is_dark(colour: RGB) -> bool:
    """Whether white reads better on it than black."""
    return bool(np.dot(colour, (0.299, 0.587, 0.114)) < 110)


def scale_bar(picture: Image.Image, px_per_mm: float, size_px: int) -> None:
    """At the lower right, a round length of at most 40 % of the picture."""
    width, height = picture.size
    mm = next((mm for mm in _BARS_MM if mm * px_per_mm <= 0.4 * width), _BARS_MM[-1])
    x, y, tick, length_px = width - 10, height - 10, 5, mm * px_per_mm
    stroke(picture, [[(x - length_px, y - tick), (x - length_px, y), (x, y), (x, y - tick)]], WHITE, 2.0)
    text, anchor = (f"{mm // 10} cm" if mm >= 10 else f"{mm} mm"), "rs" if length_px < 3 * size_px else "ms"
    write(picture, (x if anchor == "rs" else x - length_px / 2, y - 7), text, size_px, anchor=anchor, rim=True)


def heat_colours(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Shares 0..1 of any shape -> (…, 3) sRGB."""
    steps = np.linspace(0, 1, len(_HEAT))
    channels = [np.interp(share, steps, [colour[channel] for colour in _HEAT]) for channel in range(3)]
    return np.asarray(np.stack(channels, axis=-1) + 0.5, np.uint8)


def colour_bar(picture: Image.Image, box: tuple[int, int, int, int]) -> None:
    """From none at the left to most at the right."""
    left, top, right, bottom = box
    colours = heat_colours(np.linspace(0, 1, right - left, dtype=np.float32))
    picture.paste(Image.fromarray(np.tile(colours, (bottom - top, 1, 1))), (left, top))
    ImageDraw.Draw(picture).rectangle((left - 1, top - 1, right, bottom), outline=GREY)


def _coverage(lines: Sequence[Line], low: NDArray[np.int_], high: NDArray[np.int_], thickness: float) -> Image.Image:
    """How far the lines cover each pixel between `low` and `high`, 0..255."""
    width, height = (int(size) * _SMOOTHING for size in high - low)
    large = Image.new("L", (width, height))
    draw = ImageDraw.Draw(large)
    for line in lines:
        placed = [((x - low[0]) * _SMOOTHING, (y - low[1]) * _SMOOTHING) for x, y in line]
        draw.line(placed, fill=255, width=max(1, round(thickness * _SMOOTHING)), joint="curve")
    return large.reduce(_SMOOTHING)
