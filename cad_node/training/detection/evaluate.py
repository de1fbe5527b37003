"""How good a nodule patch classifier is: on patches, at operating points named by false positives a scan, on worse images, on scans."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cad_node.training.detection.operating_points import CANDIDATES, choose_operating_points
from cad_node.training.detection.scans import froc_of, search_scans, tabulate_scans
from cad_node.training.detection.served import Ensemble
from cad_node.training.evaluation.bootstrap import Interval, mean_ci, statistic_ci
from cad_node.training.evaluation.calibration import Platt, expected_calibration_error, fit_platt
from cad_node.training.evaluation.curves import average_precision, roc_auc
from cad_node.training.evaluation.froc import froc_table
from cad_node.training.evaluation.pictures import contact_sheet, froc_plot, pr_plot, reliability_plot, robustness_plot, roc_plot
from cad_node.training.evaluation.robustness import Images, Kind, Robustness, measure_robustness, robustness_table
from cad_node.training.evaluation.subgroups import ranges, subgroup_table
from cad_node.training.metrics import Evaluation, Figure, Picture, Table
from cad_node.training.recipe import Trained, predict
from cad_node.training.samples import Samples, Split

LEVELS: Mapping[str, Sequence[float]] = {
    Kind.NOISE: (20, 40, 80, 120),
    Kind.BLUR: (0.5, 1.0, 1.5, 2.0),
    Kind.DOSE: (0.5, 0.25, 0.1),
    Kind.SHIFT: (2, 4, 6, 8),
}
MIN_AUC = 0.95  # below, the model should refuse
PIXEL_MM = 0.7  # of most chest CTs; the patches don't tell theirs
WORST = 12  # patches of either kind on the contact sheet
WINDOW_HU = (-1000.0, 400.0)

Read = Callable[[Path, Split], Samples]


@dataclass(frozen=True, slots=True)
class _Judged:
    """A split and what the calibrated ensemble says of it."""

    name: str
    samples: Samples
    scores: NDArray[np.float64]

    @property
    def labels(self) -> NDArray[np.float32]:
        return self.samples.targets["nodule"]

    @property
    def positives(self) -> int:
        return int(self.labels.sum())


def evaluate_classifier(trained: Trained, read: Read, patch_px: int) -> Evaluation:
    """Calibrates and chooses thresholds on validation; the test split is read once, after that."""
    ensemble = Ensemble(trained.networks).eval()
    validation_samples = read(trained.data, Split.VALIDATION)
    logits = predict(ensemble, validation_samples.inputs)["logits"]
    platt = fit_platt(logits, validation_samples.targets["nodule"])
    validation = _Judged("validation", validation_samples, platt.scores(logits))
    thresholds = choose_operating_points(validation.labels, validation.scores)
    parameters = {**thresholds, "calibration_scale": platt.scale, "calibration_offset": platt.offset, "patch_px": float(patch_px)}
    scans = search_scans(trained, parameters)
    on_scans = froc_of(scans) if scans else None
    curves = _robustness(trained.networks[0], validation_samples)
    test_samples = read(trained.data, Split.TEST)
    test = _Judged("test", test_samples, platt.scores(predict(ensemble, test_samples.inputs)["logits"]))
    tables = (
        _operating_points(thresholds, validation, test),
        _members(trained.networks, platt, test),
        *_sizes(test, thresholds["threshold"]),
        *((tabulate_scans(scans, parameters),) if scans else ()),
        *((froc_table(on_scans, "FROC over the whole scans"),) if on_scans else ()),
        robustness_table("Worse images (one member, without mirror images, on validation)", curves),
    )
    froc_picture = (froc_plot({"whole scans": on_scans}, trained.pictures / "froc.png", "Whole scans: FROC"),) if on_scans else ()
    pictures = (*_pictures(trained, validation, test, curves), *froc_picture)
    return Evaluation(_figures(validation, test, thresholds["threshold"]), tables, pictures, parameters)


def _figures(validation: _Judged, test: _Judged, threshold: float) -> tuple[Figure, ...]:
    figures = []
    for key, name, statistic in (
        ("auc", "Area under the ROC curve", roc_auc),
        ("ap", "Average precision", average_precision),
        ("ece", "Expected calibration error", _ece),
    ):
        for split in (validation, test):
            value, interval = statistic(split.labels, split.scores, split.samples.patients)
            figures.append(Figure(f"{split.name}_{key}", name, split.name, value, interval, len(split.labels), "patches"))
    for key, name, wanted in (("sensitivity", "Sensitivity", 1), ("specificity", "Specificity", 0)):
        value, interval = _right(test, threshold, wanted)
        of = "patches of nodules" if wanted else "other patches"
        figures.append(
            Figure(f"test_{key}", f"{name} at the default threshold", "test", value, interval, int((test.labels == wanted).sum()), of)
        )
    return tuple(figures)


def _ece(labels: NDArray[np.float32], scores: NDArray[np.float64], patients: Sequence[str]) -> tuple[float, Interval]:
    return statistic_ci(expected_calibration_error, (labels, scores), patients)


def _right(split: _Judged, threshold: float, wanted: int) -> tuple[float, Interval]:
    """Share of the patches with this label that are on their side of the threshold."""
    chosen = split.labels == wanted
    patients = np.array(split.samples.patients)[chosen] if split.samples.patients else ()
    return mean_ci(((split.scores[chosen] >= threshold) == bool(wanted)).astype(np.float64), patients)


def _operating_points(thresholds: Mapping[str, float], validation: _Judged, test: _Judged) -> Table:
    rows = []
    for key, threshold in thresholds.items():
        cells = [f"{value:.3f} ({low:.3f} to {high:.3f})" for value, (low, high) in (_right(test, threshold, wanted) for wanted in (1, 0))]
        name = "threshold: the default" if key == "threshold" else key
        rows.append((name, f"{threshold:.4f}", f"{_right(validation, threshold, 1)[0]:.3f}", *cells))
    columns = ("operating point", "threshold", "sensitivity, validation", "sensitivity, test (95 % CI)", "specificity, test (95 % CI)")
    note = (
        "The default is a calibrated score of 0.5. The others are named by false positives a scan: the share of validation's other patches "
        f"that score as high, times the {CANDIDATES} candidates that the search hands over for nearly every scan, as if each were judged "
        "by one patch. On scans three slices of a candidate are averaged, which lowers the scores of vessels and of nodules, and the "
        "candidates are others than the set's: the table of scans says what comes of it."
    )
    return Table("Operating points", note, columns, tuple(rows))


def _members(networks: Sequence[nn.Module], platt: Platt, test: _Judged) -> Table:
    rows = []
    for number, network in enumerate(networks):
        value, (low, high) = roc_auc(test.labels, platt.scores(predict(network, test.samples.inputs)["logits"]), test.samples.patients)
        rows.append((f"member {number}, without mirror images", f"{value:.4f} ({low:.4f} to {high:.4f})"))
    value, (low, high) = roc_auc(test.labels, test.scores, test.samples.patients)
    rows.append((f"all {len(networks)}, with mirror images: as served", f"{value:.4f} ({low:.4f} to {high:.4f})"))
    return Table("Members", "On the test split.", ("network", "ROC AUC (95 % CI)"), tuple(rows))


def _sizes(test: _Judged, threshold: float) -> tuple[Table, ...]:
    """Sensitivity by size, where the set tells it."""
    if "diameter_mm" not in test.samples.attributes:
        return ()
    chosen = test.labels == 1
    size = ranges(test.samples.attributes["diameter_mm"][chosen], (6, 10, 20), "mm")
    found = (test.scores[chosen] >= threshold).astype(np.float64)
    note = "Sensitivity on the test split at the default threshold; diameter of the disc as large as the readers' consensus."
    patients = np.array(test.samples.patients)[chosen]
    return (subgroup_table("Sizes", {"diameter": size}, (found,), mean_ci, patients=patients, note=note),)


def _robustness(network: nn.Module, samples: Samples) -> tuple[Robustness, ...]:
    labels = samples.targets["nodule"]

    def judge(degraded: Images) -> tuple[float, Interval]:
        return roc_auc(labels, predict(network, degraded)["logits"], samples.patients)

    return measure_robustness(samples.inputs, judge, LEVELS, statistic="ROC AUC", limit=MIN_AUC, pixel_mm=PIXEL_MM)


def _pictures(trained: Trained, validation: _Judged, test: _Judged, curves: Sequence[Robustness]) -> tuple[Picture, ...]:
    judged = {split.name: (split.labels, split.scores) for split in (validation, test)}
    folder = trained.pictures
    return (
        roc_plot(judged, folder / "roc.png", "Nodule patches: ROC"),
        pr_plot(judged, folder / "precision_recall.png", "Nodule patches: precision and recall"),
        reliability_plot(judged, folder / "reliability.png", "Nodule patches: reliability of the scores"),
        *(robustness_plot(curve, folder / f"{curve.kind}.png", f"Nodule patches: {curve.kind}") for curve in curves),
        _worst(test, 1, folder / "worst_missed.png", "Nodules with the lowest scores"),
        _worst(test, 0, folder / "worst_false.png", "Other patches with the highest scores"),
    )


def _worst(test: _Judged, label: int, file: Path, title: str) -> Picture:
    chosen = np.flatnonzero(test.labels == label)
    order = chosen[np.argsort(test.scores[chosen] * (1 if label else -1), kind="stable")][:WORST]
    captions = [f"{test.samples.attributes['image'][index]}: {test.scores[index]:.3f}" for index in order]
    return contact_sheet([test.samples.inputs[index, 0] for index in order], captions, file, title, window=WINDOW_HU)
