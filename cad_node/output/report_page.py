"""The PDF report: one A4 page, whatever is on it."""

from collections.abc import Sequence
from io import BytesIO
from math import dist

from PIL import ImageOps
from PIL.Image import Image as Picture
from pydicom.dataset import Dataset
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Image, KeepInFrame, Paragraph, Spacer, Table

from cad_node.output.builder import Run
from cad_node.output.colours import RGB, finding_colour
from cad_node.output.equipment import REVIEW_REMARK
from cad_node.output.pictures.drawing import is_dark
from cad_node.output.pictures.key_images import Scene, close_up_picture, map_picture, slice_picture
from cad_node.output.pictures.views import close_up, overview
from cad_node.output.report_text import AMBER, BOLD, INK, PALE, REGULAR, paragraph, register_fonts
from cad_node.output.wording import Row, algorithm, date, headline, legend, organ_table, person, row, software, source, text_of

_WIDTH, _HEIGHT = A4
_MARGIN, _FOOT = 40, 62  # pt
_ROOM = _WIDTH - 2 * _MARGIN
_MOST_PICTURES, _GAP = 4, 8  # in a row
_PICTURE_PX, _TEXT_PX = 480, 28
_LINE, _BAND = HexColor(0xC8CED6), HexColor(0xEEF1F4)


def report_page(scene: Scene, header: Dataset, run: Run) -> bytes:
    """The PDF file; the same for the same run. header: the first of reference_headers()."""
    register_fonts()
    buffer = BytesIO()
    canvas = Canvas(buffer, A4, invariant=1, lang="en-US")  # no time and no random ID of its own
    canvas.setTitle(f"{algorithm(run)}, report")
    canvas.setAuthor(run.manifest.manufacturer)
    canvas.setSubject(REVIEW_REMARK)
    height = _HEIGHT - _MARGIN - _FOOT
    page = KeepInFrame(_ROOM, height, _story(scene, header, run), mode="shrink")
    _, taken = page.wrapOn(canvas, _ROOM, height)
    page.drawOn(canvas, _MARGIN, _HEIGHT - _MARGIN - taken)
    _put_foot(canvas, scene, header)
    canvas.save()
    return buffer.getvalue()


def _story(scene: Scene, header: Dataset, run: Run) -> list[Flowable]:
    findings = scene.findings
    story = [_title(run), Spacer(0, 6), _identity(scene, header, run), Spacer(0, 8), paragraph(headline(findings, run), 12, bold=True)]
    if findings.findings:
        story += [Spacer(0, 5), _table(scene), paragraph(legend(findings, run), 7, PALE)]
    story += [Spacer(0, 8), _pictures(scene), Spacer(0, 8)]
    if organs := organ_table(findings):
        story += [_organs(organs), Spacer(0, 8)]
    story += [paragraph(f"To be considered: {remark.sentence}.", 8, AMBER) for remark in findings.remarks]
    return [*story, Spacer(0, 4), paragraph(_method(run), 7, PALE)]


def _title(run: Run) -> Table:
    cells = [[paragraph(algorithm(run, whole=True), 15, bold=True), paragraph(REVIEW_REMARK, 9, AMBER, bold=True, right=True)]]
    return Table(
        cells,
        [_ROOM - 190, 190],
        style=[
            *_TIGHT,
            ("LINEBELOW", (0, 0), (-1, -1), 1, INK),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
            ("LEFTPADDING", (0, 0), (0, 0), 0),
        ],
    )


def _identity(scene: Scene, header: Dataset, run: Run) -> Table:
    """Who and what, as the source has it; what made the report."""
    born = " · ".join(filter(None, (date(header.PatientBirthDate), str(header.PatientSex or ""))))
    study = " · ".join(filter(None, (date(header.StudyDate), str(header.get("StudyDescription") or ""))))
    pairs = [
        (("Patient", person(header.PatientName)), ("Patient ID", text_of(header.PatientID))),
        (("Born, sex", born), ("Accession number", text_of(header.AccessionNumber))),
        (("Study", study), ("Source", source(scene.volume, header, whole=True))),
        (("Made", f"{run.started_at:%Y-%m-%d %H:%M %Z}"), ("Software", software(run))),
    ]
    cells = [[cell for name, told in pair for cell in (paragraph(name, 7.5, PALE), paragraph(told or "—", 8.5))] for pair in pairs]
    return Table(cells, [48, 152, 78, _ROOM - 278], hAlign="LEFT", style=[*_TIGHT, ("BACKGROUND", (0, 0), (-1, -1), _BAND)])


def _table(scene: Scene) -> Table:
    rows = [row(finding, number, scene.volume) for number, finding in enumerate(scene.findings.findings, 1)]
    heading = [
        _cell(title, PALE)
        for title in ("#", "Location", "Long × short, mm", "Volume, mm³", "Mean HU", "Score", "Rating", "Opinion", "Image")
    ]
    style = [*_TIGHT, ("LINEBELOW", (0, 0), (-1, -1), 0.5, _LINE)]
    style += [("BACKGROUND", (0, at), (0, at), _colour(finding_colour(at))) for at in range(1, len(rows) + 1)]
    return Table([heading, *(_cells(one) for one in rows)], [20, 102, 74, 56, 41, 36, 38, 114, _ROOM - 481], hAlign="LEFT", style=style)


def _cells(one: Row) -> list[Paragraph]:
    number = paragraph(str(one.number), 8, HexColor(0xFFFFFF) if is_dark(finding_colour(one.number)) else INK, bold=True)
    return [
        number,
        *(_cell(told) for told in (one.location, one.size, one.volume, one.mean_hu, one.score, one.rating, one.opinion, one.image)),
    ]


def _cell(text: str, colour: Color = INK) -> Paragraph:
    return paragraph(text, 7.5, colour)


def _pictures(scene: Scene) -> Table:
    """Where the findings lie, and the first of them."""
    shown = range(1, min(len(scene.findings.findings), _MOST_PICTURES - 1) + 1)
    across = max(len(shown) + 1, 2)
    side = (_ROOM - (across - 1) * _GAP) / across
    pictures = [map_picture(scene, _PICTURE_PX, _TEXT_PX), *(_inset(scene, number) for number in shown)]
    cells = [[Image(_file(picture), side, side) for picture in pictures]]
    return Table(
        cells,
        [side + _GAP] * len(pictures),
        hAlign="LEFT",
        style=[("LEFTPADDING", (0, 0), (-1, -1), 0), ("RIGHTPADDING", (0, 0), (-1, -1), _GAP)],
    )


def _inset(scene: Scene, number: int) -> Picture:
    """The slice with the close-up in the corner farthest from the finding; the lower right one is the scale bar's."""
    picture, side = slice_picture(scene, number, _PICTURE_PX, _TEXT_PX), 2 * _PICTURE_PX // 5
    small = ImageOps.expand(close_up_picture(scene, number, side - 4, _TEXT_PX, marked=True), 2, finding_colour(number))
    finding = scene.finding(number)
    at = overview(scene.volume, scene.findings, _PICTURE_PX).at(*close_up(scene.volume, finding, side).centre)
    far = _PICTURE_PX - side
    corners = ((0, far), (0, 0), (far, 0))
    picture.paste(small, max(corners, key=lambda corner: dist(at, (corner[0] + side / 2, corner[1] + side / 2))))
    return picture


def _file(picture: Picture) -> BytesIO:
    buffer = BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer


def _organs(table: Sequence[Sequence[str]]) -> Table:
    cells = [[_cell(told, INK if at and place else PALE) for place, told in enumerate(line)] for at, line in enumerate(table)]
    across = [70, *[(_ROOM - 70) / (len(table[0]) - 1)] * (len(table[0]) - 1)]
    return Table(cells, across, hAlign="LEFT", style=[*_TIGHT, ("LINEBELOW", (0, 0), (-1, -1), 0.5, _LINE)])


def _method(run: Run) -> str:
    output = run.manifest.output
    return (
        f"Made by an algorithm alone; no person has looked at it yet. Reported are at most {output.limit} findings with a long axis of "
        f"{output.diameter_mm} mm, the likeliest first; others may be there, and what is reported may be harmless. "
        "Long axis: greatest distance on one slice; short axis: at right angles to it on that slice. "
        f"Volume: voxels weighted by partial volume. {REVIEW_REMARK}."
    )


def _put_foot(canvas: Canvas, scene: Scene, header: Dataset) -> None:
    """The UIDs by which the page finds its way back to the images."""
    canvas.setStrokeColor(_LINE)
    canvas.line(_MARGIN, _FOOT - 10, _WIDTH - _MARGIN, _FOOT - 10)
    canvas.setFillColor(PALE)
    canvas.setFont(REGULAR, 6.5)
    canvas.drawString(_MARGIN, _FOOT - 20, f"Study {header.StudyInstanceUID}")
    canvas.drawString(_MARGIN, _FOOT - 29, f"Series {scene.volume.series_instance_uid}")
    canvas.setFont(BOLD, 6.5)
    canvas.drawRightString(_WIDTH - _MARGIN, _FOOT - 20, REVIEW_REMARK)
    canvas.setFont(REGULAR, 6.5)
    canvas.drawRightString(_WIDTH - _MARGIN, _FOOT - 29, "Page 1 of 1")


def _colour(rgb: RGB) -> Color:
    return Color(*(channel / 255 for channel in rgb))


_TIGHT = (
    ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
    ("TOPPADDING", (0, 0), (-1, -1), 1.5),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
    ("LEFTPADDING", (0, 0), (-1, -1), 4),
    ("RIGHTPADDING", (0, 0), (-1, -1), 4),
)
