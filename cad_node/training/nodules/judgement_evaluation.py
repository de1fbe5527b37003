"""How well the ensemble tells what readers think of a nodule, and when it should say that it doesn't know."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from cad_node.training.evaluation.bootstrap import Interval, interval_of, mean_ci, statistic_ci
from cad_node.training.evaluation.calibration import expected_calibration_error, fit_platt
from cad_node.training.evaluation.curves import average_precision, roc_auc
from cad_node.training.evaluation.pictures import contact_sheet, pr_plot, reliability_plot, robustness_plot, roc_plot
from cad_node.training.evaluation.robustness import Robustness, measure_robustness, robustness_table
from cad_node.training.evaluation.subgroups import ranges, subgroup_table
from cad_node.training.metrics import Evaluation, Figure, Picture, Table
from cad_node.training.nodules.judgement_samples import UNDECIDED, read_judgements
from cad_node.training.nodules.readers_words import texture_words
from cad_node.training.nodules.served import JUDGEMENT_OUTPUTS, ServedJudgement, run_served
from cad_node.training.nodules.uncertainty import Uncertainty, choose_uncertainty
from cad_node.training.recipe import Trained
from cad_node.training.samples import Samples, Split

LEVELS: Mapping[str, tuple[float, ...]] = {
    "noise": (25, 50, 100, 150),
    "blur": (0.5, 1.0, 1.5, 2.0),
    "dose": (0.5, 0.25, 0.1, 0.05),
    "shift": (2, 4, 6, 8),
}
PIXEL_MM = 0.75
LIMIT = 0.85  # AUC below which the opinion isn't worth having
WORST = 12

Predicted = Mapping[str, NDArray[np.float32]]


def evaluate_judgements(trained: Trained) -> Evaluation:
    """Calibration and the bounds of "uncertain" from validation; AUC, calibration error, explanations and subgroups on test."""
    validation = read_judgements(trained.data, Split.VALIDATION)
    decided = _decided(validation)
    logits = _mean_logits(trained, validation)
    platt = fit_platt(logits[decided], validation.attributes["suspicious"][decided])
    calibration = {"calibration_scale": platt.scale, "calibration_offset": platt.offset}
    served = ServedJudgement(trained.networks, calibration)
    seen = run_served(served, JUDGEMENT_OUTPUTS, validation.inputs)
    bounds = choose_uncertainty(validation.attributes["suspicious"][decided], seen["malignancy"][decided], seen["spread"][decided])
    curves = _robustness(served, validation.take(decided))
    test = read_judgements(trained.data, Split.TEST)
    predicted = run_served(served, JUDGEMENT_OUTPUTS, test.inputs)
    return Evaluation(
        figures=(*_figures(test, predicted, bounds), *_explanations(test, predicted)),
        tables=(
            _subgroups(test, predicted),
            _answers(test, predicted, bounds),
            robustness_table("Opinion on degraded slabs (validation patients)", curves),
        ),
        pictures=_pictures(trained, test, predicted, curves),
        parameters={**calibration, **bounds.parameters},
    )


def _decided(samples: Samples) -> NDArray[np.intp]:
    """Nodules on which the readers' median takes a side."""
    return np.flatnonzero(samples.attributes["suspicious"] != UNDECIDED)


def _mean_logits(trained: Trained, samples: Samples) -> NDArray[np.float32]:
    """(N,) before calibration, over members and mirror images: what the activation maps average to."""
    raw = ServedJudgement(trained.networks, {"calibration_scale": 1.0, "calibration_offset": 0.0})
    return np.asarray(run_served(raw, JUDGEMENT_OUTPUTS, samples.inputs)["activation"].mean(axis=(1, 2)))


def _robustness(served: ServedJudgement, samples: Samples) -> tuple[Robustness, ...]:
    labels = samples.attributes["suspicious"]

    def judge(inputs: NDArray[np.float32]) -> tuple[float, Interval]:
        return roc_auc(labels, run_served(served, JUDGEMENT_OUTPUTS, inputs)["malignancy"], samples.patients)

    return measure_robustness(samples.inputs, judge, LEVELS, statistic="AUC", limit=LIMIT, pixel_mm=PIXEL_MM)


def _figures(test: Samples, predicted: Predicted, bounds: Uncertainty) -> tuple[Figure, ...]:
    decided = _decided(test)
    labels, scores = test.attributes["suspicious"][decided], predicted["malignancy"][decided]
    patients = tuple(test.patients[index] for index in decided)
    certain = bounds.is_certain(scores, predicted["spread"][decided])
    right = (scores[certain] >= 0.5) == (labels[certain] == 1)
    certain_patients = tuple(np.array(patients)[certain].tolist())
    of = f"nodules of {len(set(patients))} patients"
    return (
        _figure("test_auc", "Area under the ROC curve", roc_auc(labels, scores, patients), len(labels), of),
        _figure("test_average_precision", "Average precision", average_precision(labels, scores, patients), len(labels), of),
        _figure(
            "test_ece", "Expected calibration error", statistic_ci(expected_calibration_error, (labels, scores), patients), len(labels), of
        ),
        _figure("test_ece_of_perfect_scores", "The same, were the scores perfect", _perfect_error(scores), len(labels), of),
        _figure(
            "test_size_auc",
            "Area under the ROC curve, size alone",
            roc_auc(labels, test.attributes["diameter_mm"][decided], patients),
            len(labels),
            of,
        ),
        _figure("test_certain", "Share with a certain answer", mean_ci(certain.astype(float), patients), len(labels), of),
        _figure(
            "test_certain_right", "Right among the certain answers", mean_ci(right.astype(float), certain_patients), len(right), "nodules"
        ),
    )


def _perfect_error(scores: NDArray[np.float32]) -> tuple[float, Interval]:
    """The calibration error that chance alone makes: of labels drawn with the scores as their probabilities."""
    random = np.random.default_rng(0)
    errors = [expected_calibration_error(random.random(len(scores)) < scores, scores) for _ in range(1000)]
    return float(np.mean(errors)), interval_of(errors)


def _explanations(test: Samples, predicted: Predicted) -> tuple[Figure, ...]:
    """Rank correlation with the readers' mean rating; of calcification, which is seen or not, the AUC."""
    of = f"nodules of {len(set(test.patients))} patients"
    ranked = ("malignancy", "texture", "spiculation")
    seen = (test.targets["calcification"] >= 0.5).astype(float)
    return (
        *(
            _figure(f"test_{name}_rank", f"Rank correlation of {name} with the readers' mean", _ranks(test, predicted, name), len(test), of)
            for name in ranked
        ),
        _figure("test_calcification_auc", "AUC of calcification", roc_auc(seen, predicted["calcification"], test.patients), len(test), of),
    )


def _ranks(test: Samples, predicted: Predicted, name: str) -> tuple[float, Interval]:
    return statistic_ci(lambda a, b: float(spearmanr(a, b).statistic), (predicted[name], test.targets[name]), test.patients)


def _figure(key: str, name: str, result: tuple[float, Interval], count: int, of: str) -> Figure:
    return Figure(key, name, Split.TEST, result[0], result[1], count, of)


def _subgroups(test: Samples, predicted: Predicted) -> Table:
    decided = _decided(test)
    attributes = {name: values[decided] for name, values in test.attributes.items()}
    groups = {
        "texture (median of readers)": texture_words(attributes["texture"]),
        "diameter of the consensus": ranges(attributes["diameter_mm"], (6, 10), "mm"),
        "slice thickness": ranges(attributes["slice_thickness_mm"], (1.5, 2.6), "mm"),
    }
    patients = tuple(test.patients[index] for index in decided)
    note = "The set tells no manufacturer. Intervals by patient; size alone tells much, as the readers' opinion does."
    arrays = (attributes["suspicious"], predicted["malignancy"][decided])
    return subgroup_table("AUC on test patients", groups, arrays, roc_auc, patients=patients, note=note)


def _answers(test: Samples, predicted: Predicted, bounds: Uncertainty) -> Table:
    """What is answered, by what the readers' median says."""
    certain = bounds.is_certain(predicted["malignancy"], predicted["spread"])
    high = predicted["malignancy"] >= 0.5
    answers = {"unsuspicious": certain & ~high, "indeterminate": ~certain, "suspicious": certain & high}
    readers = {"4 and more": 1.0, "between": UNDECIDED, "up to 2": 0.0}
    rows = tuple(
        (name, *(str(int((answer & (test.attributes["suspicious"] == value)).sum())) for answer in answers.values()))
        for name, value in readers.items()
    )
    note = f"Indeterminate: scores from {bounds.low:.2f} to {bounds.high:.2f}, and members that differ by more than {bounds.spread:.2f}."
    return Table("Answers on test patients, number of nodules", note, ("readers' median", *answers), rows)


def _pictures(trained: Trained, test: Samples, predicted: Predicted, curves: tuple[Robustness, ...]) -> tuple[Picture, ...]:
    decided = _decided(test)
    judged = {"test": (test.attributes["suspicious"][decided], predicted["malignancy"][decided])}
    folder = trained.pictures
    return (
        roc_plot(judged, folder / "roc.png", "Suspicious against unsuspicious in the readers' opinion"),
        pr_plot(judged, folder / "precision_recall.png", "Precision and sensitivity for what readers call suspicious"),
        reliability_plot(judged, folder / "reliability.png", "What the score says and what readers said"),
        *(robustness_plot(curve, folder / f"robustness_{curve.kind}.png", f"Opinion against {curve.kind}") for curve in curves),
        _worst(test.take(decided), judged["test"][1], trained),
    )


def _worst(decided: Samples, scores: NDArray[np.float32], trained: Trained) -> Picture:
    """The middle slice of the nodules on which model and readers differ most."""
    worst = np.argsort(-np.abs(scores - decided.attributes["suspicious"]))[:WORST]
    captions = [f"readers {1 + 4 * decided.targets['malignancy'][index]:.1f}, model {scores[index]:.2f}" for index in worst]
    images = [decided.inputs[index, 1] for index in worst]
    return contact_sheet(images, captions, trained.pictures / "worst.png", "Where model and readers differ most", window=(-1000, 400))
