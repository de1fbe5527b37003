"""Measure a training run: the recipe chooses its parameters on validation data and reads the test split, once."""

from pathlib import Path

from cad_node.training.checkpoint import load_members, restore
from cad_node.training.metrics import Metrics, write_metrics
from cad_node.training.recipe import Recipe, Trained


def evaluate(recipe: Recipe, run: Path, data: Path) -> Metrics:
    """Metrics of the run's members, also written as run/metrics.json, with the pictures in run/pictures.

    Raises CheckpointError, DataError.
    """
    checkpoints = load_members(recipe, run)
    pictures = run / "pictures"
    pictures.mkdir(exist_ok=True)
    evaluation = recipe.evaluate(Trained([restore(recipe, checkpoint) for checkpoint in checkpoints], data, pictures))
    metrics = Metrics(
        recipe=recipe.name,
        seed=checkpoints[0].plan.seed,
        epochs=tuple(checkpoint.epoch for checkpoint in checkpoints),
        data_sha256=checkpoints[-1].data_sha256,
        evaluation=evaluation,
    )
    write_metrics(metrics, run / "metrics.json")
    return metrics
