"""How well the ensemble tells what readers think of a nodule, and when it should say that it doesn't know."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from cad_node.training.evaluation.bootstrap import Interval, mean_ci, statistic_ci
from cad_node.training.evaluation.curves import average_precision, roc_auc
from cad_node.training.evaluation.pictures import contact_sheet, pr_plot, reliability_plot, robustness_plot, roc_plot
from cad_node.training.evaluation.robustness import Robustness, measure_robustness, robustness_table
from cad_node.training.evaluation.subgroups import ranges, subgroup_table
from cad_node.training.metrics import Evaluation, Figure, Picture, Table
from cad_node.training.nodules.judgement_cross_validation import ALL, Unseen, calibrate, folds_table, judge_folds, read_folds
from cad_node.training.nodules.judgement_samples import UNDECIDED, decided, read_judgements
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
    """Calibration and the bounds of "uncertain" from the folds; AUC, explanations and subgroups on test, calibration error on both."""
    folds = read_folds(trained)
    calibration = calibrate(folds)
    judged_folds = judge_folds(folds)
    unseen = Unseen.join(judged_folds)
    bounds = choose_uncertainty(unseen.labels, unseen.scores, unseen.spreads)
    served = ServedJudgement(trained.networks, calibration)
    validation = read_judgements(trained.data, Split.VALIDATION)
    curves = _robustness(served, validation.take(decided(validation)))
    test = read_judgements(trained.data, Split.TEST)
    predicted = run_served(served, JUDGEMENT_OUTPUTS, test.inputs)
    chosen = decided(test)
    decided_test = test.take(chosen)
    judged_test = Unseen.of(decided_test, {name: values[chosen] for name, values in predicted.items()})
    everyone = Unseen.join([*judged_folds, judged_test])
    return Evaluation(
        figures=(
            *everyone.figures("unseen", ALL),
            *judged_test.figures("test", Split.TEST),
            *_figures(decided_test, judged_test, bounds),
            *_explanations(test, predicted),
        ),
        tables=(
            folds_table(judged_folds, judged_test),
            _subgroups(decided_test, judged_test),
            _answers(test, predicted, bounds),
            robustness_table("Opinion on degraded slabs (validation patients)", curves),
        ),
        pictures=_pictures(trained, decided_test, {ALL: everyone, "test": judged_test}, curves),
        parameters={**calibration, **bounds.parameters},
    )


def _robustness(served: ServedJudgement, samples: Samples) -> tuple[Robustness, ...]:
    labels = samples.attributes["suspicious"]

    def judge(inputs: NDArray[np.float32]) -> tuple[float, Interval]:
        return roc_auc(labels, run_served(served, JUDGEMENT_OUTPUTS, inputs)["malignancy"], samples.patients)

    return measure_robustness(samples.inputs, judge, LEVELS, statistic="AUC", limit=LIMIT, pixel_mm=PIXEL_MM)


def _figures(samples: Samples, judged: Unseen, bounds: Uncertainty) -> tuple[Figure, ...]:
    """Of the test split's decided nodules."""
    labels, patients = judged.labels, judged.patients
    certain = bounds.is_certain(judged.scores, judged.spreads)
    right = (judged.scores[certain] >= 0.5) == (labels[certain] == 1)
    certain_patients = tuple(np.array(patients)[certain].tolist())
    count, of = len(labels), f"nodules of {len(set(patients))} patients"
    by_size = roc_auc(labels, samples.attributes["diameter_mm"], patients)
    return (
        _figure("test_average_precision", "Average precision", average_precision(labels, judged.scores, patients), count, of),
        _figure("test_size_auc", "Area under the ROC curve, size alone", by_size, count, of),
        _figure("test_certain", "Share with a certain answer", mean_ci(certain.astype(float), patients), count, of),
        _figure(
            "test_certain_right", "Right among the certain answers", mean_ci(right.astype(float), certain_patients), len(right), "nodules"
        ),
    )


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


def _subgroups(samples: Samples, judged: Unseen) -> Table:
    """Of the test split's decided nodules."""
    groups = {
        "texture (median of readers)": texture_words(samples.attributes["texture"]),
        "diameter of the consensus": ranges(samples.attributes["diameter_mm"], (6, 10), "mm"),
        "slice thickness": ranges(samples.attributes["slice_thickness_mm"], (1.5, 2.6), "mm"),
    }
    note = "The set tells no manufacturer. Intervals by patient; size alone tells much, as the readers' opinion does."
    return subgroup_table("AUC on test patients", groups, (judged.labels, judged.scores), roc_auc, patients=judged.patients, note=note)


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


def _pictures(trained: Trained, test: Samples, judged: Mapping[str, Unseen], curves: tuple[Robustness, ...]) -> tuple[Picture, ...]:
    """test: its decided nodules."""
    drawn = {name: (one.labels, one.scores) for name, one in judged.items()}
    folder = trained.pictures
    return (
        roc_plot(drawn, folder / "roc.png", "Suspicious against unsuspicious in the readers' opinion"),
        pr_plot(drawn, folder / "precision_recall.png", "Precision and sensitivity for what readers call suspicious"),
        reliability_plot(drawn, folder / "reliability.png", "What the score says and what readers said"),
        *(robustness_plot(curve, folder / f"robustness_{curve.kind}.png", f"Opinion against {curve.kind}") for curve in curves),
        _worst(test, judged["test"].scores, trained),
    )


def _worst(decided: Samples, scores: NDArray[np.float32], trained: Trained) -> Picture:
    """The middle slice of the nodules on which model and readers differ most."""
    worst = np.argsort(-np.abs(scores - decided.attributes["suspicious"]))[:WORST]
    captions = [f"readers {1 + 4 * decided.targets['malignancy'][index]:.1f}, model {scores[index]:.2f}" for index in worst]
    images = [decided.inputs[index, 1] for index in worst]
    return contact_sheet(images, captions, trained.pictures / "worst.png", "Where model and readers differ most", window=(-1000, 400))
