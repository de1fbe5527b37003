"""Measure a checkpoint: calibrate and choose the threshold on validation, then read the test split, once."""

from pathlib import Path

from cad_node.training.calibration import fit_calibration
from cad_node.training.checkpoint import Checkpoint, restore_network
from cad_node.training.metrics import Metrics, choose_threshold, measure, write_metrics
from cad_node.training.patch_set import Split
from cad_node.training.recipes import Recipe
from cad_node.training.scoring import score_logits


def evaluate(recipe: Recipe, checkpoint: Path, data: Path) -> Metrics:
    """Metrics of the checkpoint's network, also written as metrics.json beside the checkpoint.

    Raises CheckpointError, DataError.
    """
    state = Checkpoint.load(checkpoint)
    network = restore_network(recipe, state)
    validation = recipe.read(data, Split.VALIDATION)
    logits = score_logits(network, validation.patches)
    calibration = fit_calibration(logits, validation.labels)
    validation_scores = calibration.scores(logits)
    threshold = choose_threshold(validation.labels, validation_scores)
    test = recipe.read(data, Split.TEST)
    test_scores = calibration.scores(score_logits(network, test.patches))
    metrics = Metrics(
        recipe=recipe.name,
        epochs=state.plan.epochs,
        best_epoch=state.epoch,
        seed=state.plan.seed,
        training_sha256=state.data_sha256[Split.TRAIN],
        calibration_scale=calibration.scale,
        calibration_offset=calibration.offset,
        threshold=threshold,
        validation=measure(validation.labels, validation_scores, threshold, validation.sha256),
        test=measure(test.labels, test_scores, threshold, test.sha256),
    )
    write_metrics(metrics, checkpoint.parent / "metrics.json")
    return metrics
