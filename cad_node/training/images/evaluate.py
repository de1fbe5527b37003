"""How well the image classifier tells its two classes apart."""

import numpy as np
from numpy.typing import NDArray

from cad_node.training.evaluation.bootstrap import mean_ci
from cad_node.training.evaluation.calibration import expected_calibration_error, fit_platt
from cad_node.training.evaluation.curves import average_precision, choose_threshold, roc_auc
from cad_node.training.evaluation.pictures import contact_sheet, reliability_plot, roc_plot
from cad_node.training.images.samples import read_images
from cad_node.training.metrics import Evaluation, Figure, Picture
from cad_node.training.recipe import Trained, predict
from cad_node.training.samples import Samples, Split

MIN_SENSITIVITY = 0.9  # at the threshold, on validation
WORST = 12


def evaluate_images(trained: Trained) -> Evaluation:
    """Calibration and threshold on validation; then the test split, once."""
    validation = read_images(trained.data, Split.VALIDATION)
    logits = _logits(trained, validation)
    calibration = fit_platt(logits, validation.targets["label"])
    threshold = choose_threshold(validation.targets["label"], calibration.scores(logits), MIN_SENSITIVITY)
    test = read_images(trained.data, Split.TEST)
    scores = calibration.scores(_logits(trained, test))
    return Evaluation(
        _figures(test, scores, threshold),
        (),
        _pictures(trained, test, scores, threshold),
        {"scale": calibration.scale, "offset": calibration.offset, "threshold": threshold},
    )


def _logits(trained: Trained, samples: Samples) -> NDArray[np.float64]:
    logits = [predict(network, samples.inputs)["logits"] for network in trained.networks]
    return np.asarray(np.mean(logits, axis=0), np.float64)


def _figures(test: Samples, scores: NDArray[np.float64], threshold: float) -> tuple[Figure, ...]:
    labels, called = test.targets["label"], scores >= threshold
    whose = np.array(test.patients)
    measured = {
        ("auc", "Area under the ROC curve"): (roc_auc(labels, scores, whose), len(test)),
        ("average_precision", "Average precision"): (average_precision(labels, scores, whose), len(test)),
        ("accuracy", "Accuracy at the threshold"): (mean_ci(called == labels, whose), len(test)),
    }
    for key, name, label in (("sensitivity", "Sensitivity at the threshold", 1), ("specificity", "Specificity at the threshold", 0)):
        chosen = labels == label
        measured[key, name] = mean_ci((called == label)[chosen], whose[chosen] if len(whose) else ()), int(chosen.sum())
    error = Figure("test_ece", "Expected calibration error", "test", expected_calibration_error(labels, scores), None, len(test), "images")
    return (
        *(
            Figure(f"test_{key}", name, "test", value, interval, count, "images")
            for (key, name), ((value, interval), count) in measured.items()
        ),
        error,
    )


def _pictures(trained: Trained, test: Samples, scores: NDArray[np.float64], threshold: float) -> tuple[Picture, ...]:
    labels, folder = test.targets["label"], trained.pictures
    worst = np.argsort(-np.abs(scores - labels))[:WORST]
    return (
        roc_plot({"test": (labels, scores)}, folder / "roc.png", "ROC curve, with the threshold", threshold),
        reliability_plot({"test": (labels, scores)}, folder / "reliability.png", "Do the scores mean what they say?"),
        contact_sheet(
            [np.moveaxis(test.inputs[index], 0, -1).astype(np.uint8) for index in worst],
            [f"is {labels[index]:.0f}, score {scores[index]:.2f}" for index in worst],
            folder / "worst.png",
            "Images that the model was most wrong about",
        ),
    )
