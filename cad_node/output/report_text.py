"""Text of any script in the PDF: in DejaVu where it has the glyphs, else in fonts that PDF viewers bring themselves."""

from functools import cache
from itertools import groupby
from xml.sax.saxutils import escape

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Paragraph

from cad_node.output.pictures import fonts

REGULAR, BOLD = "DejaVuSansCondensed", "DejaVuSansCondensed-Bold"
INK, PALE, AMBER = HexColor(0x1B2026), HexColor(0x5B6570), HexColor(0x9A5B00)

_CHINESE, _JAPANESE, _KOREAN = (
    "STSong-Light",
    "HeiseiMin-W3",
    "HYSMyeongJo-Medium",
)  # PDF 32000-1 9.7.5.2: their character maps are predefined
_KANA, _HANGUL = range(0x3040, 0x3100), range(0xAC00, 0xD7B0)


@cache
def register_fonts() -> None:
    """Once a process: reportlab keeps fonts by name."""
    pdfmetrics.registerFont(TTFont(REGULAR, str(fonts.REGULAR)))
    pdfmetrics.registerFont(TTFont(BOLD, str(fonts.BOLD)))
    for name in (_CHINESE, _JAPANESE, _KOREAN):
        pdfmetrics.registerFont(UnicodeCIDFont(name))


def paragraph(text: str, size: float = 8, colour: Color = INK, bold: bool = False, right: bool = False) -> Paragraph:
    style = ParagraphStyle(
        "",
        fontName=BOLD if bold else REGULAR,
        fontSize=size,
        leading=1.25 * size,
        textColor=colour,
        wordWrap="CJK" if _other_font(text) else None,  # such texts have no spaces to break at
        **({"alignment": TA_RIGHT} if right else {}),
    )
    return Paragraph(marked_up(text), style)


def marked_up(text: str) -> str:
    """Escaped, and what DejaVu has no glyph for in another font; of control characters, nothing."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    other = _other_font(printable)
    runs = ((known, escape("".join(run))) for known, run in groupby(printable, fonts.covers))
    return "".join(run if known else f'<font name="{other}">{run}</font>' for known, run in runs)


def _other_font(text: str) -> str:
    """Of the whole text, for a name isn't set in two: empty where none is needed."""
    if fonts.covers(text):
        return ""
    if any(ord(character) in _HANGUL for character in text):
        return _KOREAN
    return _JAPANESE if any(ord(character) in _KANA for character in text) else _CHINESE
