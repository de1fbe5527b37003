"""Curves and contact sheets as small PNG files for the card; titles and axes in plain words."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from cad_node.training.evaluation.calibration import bin_of, expected_calibration_error
from cad_node.training.evaluation.froc import OPERATING_POINTS, Froc
from cad_node.training.evaluation.robustness import Robustness
from cad_node.training.metrics import Picture

MAX_BYTES = 60_000
DPI, PALETTES = (110, 80, 55, 35), (64, 24, 16)  # the first that keep the file small
COLOURS = ("#0063a6", "#d9730d", "#2e8540", "#8a3ffc")

Judged = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]  # name of the curve, for instance "test" -> (N,) labels, (N,) scores


def roc_plot(curves: Judged, file: Path, title: str, threshold: float | None = None) -> Picture:
    """ROC curves. threshold: marked on each curve."""
    figure, axes = _square(title, "False alarms: share of the negatives called positive", "Sensitivity: share of the positives found")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--", label="chance")
    for colour, (name, (labels, scores)) in zip(COLOURS, curves.items(), strict=False):
        alarms, found, _ = roc_curve(labels, scores)
        axes.plot(alarms, found, color=colour, label=f"{name}: area {roc_auc_score(labels, scores):.3f}")
        if threshold is not None:
            called = np.asarray(scores) >= threshold
            axes.plot(called[labels == 0].mean(), called[labels == 1].mean(), "o", color=colour)
    axes.legend(loc="lower right", fontsize=8)
    return _save(figure, file, title)


def pr_plot(curves: Judged, file: Path, title: str) -> Picture:
    """Precision-recall curves."""
    figure, axes = _square(title, "Sensitivity: share of the positives found", "Precision: share of what is called positive that is")
    for colour, (name, (labels, scores)) in zip(COLOURS, curves.items(), strict=False):
        precision, found, _ = precision_recall_curve(labels, scores)
        axes.plot(
            found, precision, color=colour, drawstyle="steps-post", label=f"{name}: area {average_precision_score(labels, scores):.3f}"
        )
    axes.legend(loc="lower left", fontsize=8)
    return _save(figure, file, title)


def reliability_plot(curves: Judged, file: Path, title: str) -> Picture:
    """What the scores say against what is so, in ten bins; the size of a dot is the number of cases in it."""
    figure, axes = _square(title, "Score the model gave", "Share that was positive")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--", label="scores that mean what they say")
    for colour, (name, (labels, scores)) in zip(COLOURS, curves.items(), strict=False):
        of_bin = bin_of(scores)
        filled, counts = np.unique(of_bin, return_counts=True)
        said, so = ([values[of_bin == one].mean() for one in filled] for values in (np.asarray(scores), np.asarray(labels)))
        axes.plot(said, so, color=colour, linewidth=1, label=f"{name}: mean error {expected_calibration_error(labels, scores):.3f}")
        axes.scatter(said, so, s=10 + 190 * counts / counts.max(), color=colour, alpha=0.6)
    axes.legend(loc="upper left", fontsize=8)
    return _save(figure, file, title)


def froc_plot(curves: Mapping[str, Froc], file: Path, title: str) -> Picture:
    """FROC curves with their operating points and intervals."""
    figure, axes = _wide(title, "False positives per scan", "Sensitivity: share of the nodules found")
    for colour, (name, measured) in zip(COLOURS, curves.items(), strict=False):
        inside = measured.false_positives <= OPERATING_POINTS[-1]
        axes.plot(measured.false_positives[inside], measured.sensitivity[inside], color=colour, linewidth=1)
        points = measured.points
        at, found = ([getattr(point, field) for point in points] for field in ("false_positives", "sensitivity"))
        spread = [[abs(point.ci95[side] - point.sensitivity) for point in points] for side in (0, 1)]
        axes.errorbar(at, found, spread, fmt="o", markersize=4, capsize=3, color=colour, label=f"{name}: mean {measured.cpm[0]:.3f}")
    axes.set(xscale="log", xlim=(0.1, 10), ylim=(0, 1.02))
    axes.set_xticks(OPERATING_POINTS, ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    axes.minorticks_off()
    axes.legend(loc="lower right", fontsize=8)
    return _save(figure, file, title)


def robustness_plot(curve: Robustness, file: Path, title: str) -> Picture:
    """A statistic against how far the images were degraded, its limit, and the level from which the model should refuse."""
    figure, axes = _wide(title, f"{curve.kind}, {curve.unit}", curve.statistic)
    places = range(len(curve.points))
    values = [point.value for point in curve.points]
    spread = [[abs(point.ci95[side] - point.value) for point in curve.points] for side in (0, 1)]
    axes.errorbar(places, values, spread, fmt="o-", markersize=4, capsize=3, color=COLOURS[0])
    axes.axhline(curve.limit, color="grey", linestyle="--", linewidth=0.8, label=f"limit {curve.limit:g}")
    for place, point in enumerate(curve.points):
        if point.level == curve.refuse_from:
            axes.axvspan(place - 0.5, len(curve.points) - 0.5, color=COLOURS[1], alpha=0.15, label=f"refuse from {point.level:g}")
    axes.set_xticks(list(places), [f"{point.level:g}" for point in curve.points])
    axes.legend(loc="lower left", fontsize=8)
    return _save(figure, file, title)


def contact_sheet(
    images: Sequence[NDArray[Any]],
    captions: Sequence[str],
    file: Path,
    title: str,
    *,
    window: tuple[float, float] | None = None,
    outlines: Mapping[str, Sequence[NDArray[np.bool_]]] | None = None,
) -> Picture:
    """Images in rows, each with its caption.

    images: (H, W) grey or (H, W, 3) RGB uint8. window: what is black and what white; None takes each image's own range.
    outlines: name, for instance "model" -> a mask of each image, drawn as a coloured outline.
    """
    columns = min(6, max(1, int(np.ceil(np.sqrt(len(images))))))
    rows = int(np.ceil(len(images) / columns))
    figure = Figure(figsize=(1.5 * columns, 1.75 * rows + 0.7), layout="constrained")
    figure.suptitle(title, fontsize=10)
    places = np.atleast_1d(np.asarray(figure.subplots(rows, columns))).ravel()
    for place in places:
        place.set_axis_off()
    low, high = window or (None, None)
    for number, (place, image, caption) in enumerate(zip(places, images, captions, strict=False)):
        place.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        place.set_title(caption, fontsize=6.5)
        for colour, masks in zip(COLOURS[1:], (outlines or {}).values(), strict=False):
            if masks[number].any():
                place.contour(masks[number], levels=[0.5], colors=[colour], linewidths=0.9)
    if outlines:
        lines = [Line2D([], [], color=colour) for colour, _ in zip(COLOURS[1:], outlines, strict=False)]
        figure.legend(lines, list(outlines), loc="outside lower center", ncols=len(outlines), fontsize=7)
    return replace(_save(figure, file, title), shows_data=True)


def _square(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    _name(axes, title, across, up)
    return figure, axes


def _wide(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    _name(axes, title, across, up)
    return figure, axes


def _name(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(across, fontsize=9)
    axes.set_ylabel(up, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)


def _save(figure: Figure, file: Path, title: str) -> Picture:
    """The finest that is small enough."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, not for each resolution
    content = next((png for png in _pngs(figure) if len(png) <= MAX_BYTES), None)
    if content is None:
        raise ValueError(f"{file.name}: no resolution brings it under {MAX_BYTES} bytes; show fewer images")
    file.write_bytes(content)
    return Picture(title, file.name)


def _pngs(figure: Figure) -> Iterator[bytes]:
    """From the finest to the coarsest."""
    for dpi in DPI:
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=dpi)
        for colours in PALETTES:
            small = io.BytesIO()
            Image.open(drawn).convert("RGB").quantize(colours).save(small, "PNG", optimize=True)
            yield small.getvalue()
