"""DejaVu Sans Condensed 2.37, which burned-in texts and the PDF are set in: the same glyphs on every machine."""

from functools import cache
from pathlib import Path

from reportlab.pdfbase.ttfonts import TTFontFile

_FOLDER = Path(__file__).resolve().parent
REGULAR = _FOLDER / "DejaVuSansCondensed.ttf"
BOLD = _FOLDER / "DejaVuSansCondensed-Bold.ttf"


@cache
def characters() -> frozenset[int]:
    """The code points that it has glyphs for: Latin, Greek, Cyrillic and others, no Chinese, Japanese or Korean."""
    return frozenset(TTFontFile(str(REGULAR)).charToGlyph)


def covers(text: str) -> bool:
    return all(ord(character) in characters() for character in text)
