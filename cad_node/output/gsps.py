"""Findings as a Grayscale Softcopy Presentation State, PS3.3 A.33.1: circles, axes and labels over the source's own images."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from highdicom.color import CIELabColor
from highdicom.content import ModalityLUTTransformation, PresentationLUTTransformation
from highdicom.pr import (
    AnnotationUnitsValues,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GraphicTypeValues,
    GrayscaleSoftcopyPresentationState,
    SoftcopyVOILUTTransformation,
    TextJustificationValues,
    TextObject,
)
from pydicom.dataset import Dataset

from cad_node.findings import Finding, Findings
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run, derive_uid, tracking_uid
from cad_node.output.colours import finding_colour
from cad_node.output.equipment import REVIEW_REMARK, general_equipment, series_description
from cad_node.output.headers import reference_headers
from cad_node.output.laterality import state_laterality
from cad_node.output.marks import Circle, Mark, marks_by_slice
from cad_node.output.outlines import Points
from cad_node.output.pictures.windowing import Window, window_for
from cad_node.output.stamp import stamp

SERIES_NUMBER = 9107
WHITE = 65535  # PS3.3 C.10.7: what a grey-scale screen draws a layer in

_PIXEL = AnnotationUnitsValues.PIXEL
_SQUARE = 0.01  # a difference of pixel edges that no circle shows
_ELLIPSE_POINTS = 48

Rescaling = tuple[float, float] | None  # slope and intercept; None: the source has none


def build_gsps(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    """One state for the series, or one for each of its rescalings: a state holds only one. Nothing without findings.

    Also images without a mark are in it: the window is to stay the same from slice to slice.
    """
    if not findings.findings:
        return []
    headers = reference_headers(volume, run)
    for header in headers:
        header.SamplesPerPixel = 1
    by_rescaling: dict[Rescaling, list[int]] = defaultdict(list)
    for index, source in enumerate(volume.sources):
        by_rescaling[_rescaling(source)].append(index)
    window = window_for(volume, run.manifest.output.site.code)
    marks = marks_by_slice(volume, findings, window)
    layers = [_layer(finding, number) for number, finding in enumerate(findings.findings, 1)]
    states = []
    for number, (rescaling, slices) in enumerate(by_rescaling.items(), 1):
        annotations = [
            _annotation(mark, headers[index], layers[mark.finding_number - 1], run) for index in slices for mark in marks.get(index, ())
        ]
        if annotations:
            ds = _state(_images(headers, slices), annotations, _look(layers, rescaling, window), number, run)
            _complete(ds, headers[0], run)
            states.append(ds)
    return states


def _rescaling(source: Dataset) -> Rescaling:
    slope, intercept = source.get("RescaleSlope"), source.get("RescaleIntercept")
    return None if slope is None or intercept is None else (float(slope), float(intercept))


def _layer(finding: Finding, number: int) -> GraphicLayer:
    """One for each finding, so that a reader can take it away."""
    layer = GraphicLayer(f"FINDING_{number}", number, finding.label, CIELabColor.from_rgb(*finding_colour(number)))
    layer.GraphicLayerRecommendedDisplayGrayscaleValue = WHITE
    return layer


def _images(headers: Sequence[Dataset], slices: Sequence[int]) -> list[Dataset]:
    """Headers of these slices, in which the first carries patient and study, as it does in `headers`."""
    first = Dataset()
    first.update(headers[0])
    first.update(headers[slices[0]])
    return [first, *(headers[index] for index in slices[1:])]


def _annotation(mark: Mark, header: Dataset, layer: GraphicLayer, run: Run) -> GraphicAnnotation:
    """Drawn on the image that it names, and on no other."""
    return GraphicAnnotation([header], layer, graphic_objects=_graphics(mark, header, run), text_objects=[_label(mark, header)])


def _graphics(mark: Mark, header: Dataset, run: Run) -> list[GraphicObject]:
    limits = np.array([header.Columns, header.Rows], np.float64)
    shapes = [_round(mark.circle, limits), *((GraphicTypeValues.POLYLINE, np.array(axis.ends_px)) for axis in mark.axes)]
    uid = tracking_uid(run, mark.finding_number)
    return [GraphicObject(shape, np.clip(points, 0, limits), _PIXEL, tracking_id=mark.label, tracking_uid=uid) for shape, points in shapes]


def _round(circle: Circle, limits: Points) -> tuple[GraphicTypeValues, Points]:
    """A circle; where pixels aren't square, an ellipse of short lines, which may be cut at the image's side."""
    (column, row), (across, down) = circle.centre, circle.radii_px
    if abs(across / down - 1) > _SQUARE:
        angles = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS + 1)
        return GraphicTypeValues.POLYLINE, np.column_stack((column + across * np.cos(angles), row + down * np.sin(angles)))
    inward = across if column < limits[0] / 2 else -across  # the second point lies on the circle, and must lie on the image
    return GraphicTypeValues.CIRCLE, np.array([[column, row], [column + inward, row]])


def _label(mark: Mark, header: Dataset) -> TextObject:
    (left, top), (right, bottom) = mark.text_box.tolist()
    is_left = right < mark.circle.centre[0]
    column, row = np.clip(mark.anchor, 0, (header.Columns, header.Rows)).tolist()
    return TextObject(
        mark.text,
        _PIXEL,
        bounding_box=(left, top, right, bottom),
        anchor_point=(column, row),
        text_justification=TextJustificationValues.RIGHT if is_left else TextJustificationValues.LEFT,  # it ends, or begins, at the circle
    )


def _look(layers: Sequence[GraphicLayer], rescaling: Rescaling, window: Window) -> dict[str, Any]:
    """Layers and the way from stored values to grey, as highdicom's arguments."""
    slope, intercept = rescaling or (None, None)
    return {
        "graphic_layers": layers,
        "modality_lut_transformation": ModalityLUTTransformation(intercept, slope, window.unit or "US") if rescaling else None,
        "voi_lut_transformations": [SoftcopyVOILUTTransformation(window.centre, window.width)],
        "presentation_lut_transformation": PresentationLUTTransformation("INVERSE" if window.inverted else "IDENTITY"),
    }


def _state(
    images: Sequence[Dataset], annotations: Sequence[GraphicAnnotation], look: dict[str, Any], number: int, run: Run
) -> GrayscaleSoftcopyPresentationState:
    return GrayscaleSoftcopyPresentationState(
        referenced_images=images,
        series_instance_uid=derive_uid(run, "gsps", "series"),
        series_number=SERIES_NUMBER,
        series_description=series_description(run, "marks"),
        sop_instance_uid=derive_uid(run, "gsps", "instance", number),
        instance_number=number,
        content_label="FINDINGS",
        content_description=REVIEW_REMARK,
        content_creator_name=f"cad_node^{run.manifest.name}",
        graphic_annotations=annotations,
        specific_character_set=None,  # stamp() sets it
        **look,
        **general_equipment(run),
    )


def _complete(ds: GrayscaleSoftcopyPresentationState, header: Dataset, run: Run) -> None:
    area = ds.DisplayedAreaSelectionSequence[0]
    del area.PixelOriginInterpretation  # highdicom says VOLUME, which is for tiled images
    del area.PresentationPixelAspectRatio  # highdicom takes all pixels for square
    area.PresentationPixelSpacing = header.PixelSpacing
    if header.get("BodyPartExamined"):
        ds.BodyPartExamined = header.BodyPartExamined
    state_laterality(ds)
    stamp(ds, header, run)
    ds.PresentationCreationDate, ds.PresentationCreationTime = ds.ContentDate, ds.ContentTime
