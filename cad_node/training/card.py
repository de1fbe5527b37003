"""MODEL_CARD.md: the recipe's text with the measured figures in it."""

from pathlib import Path
from string import Template

from cad_node.training.metrics import MIN_SENSITIVITY, Metrics, SplitMetrics


def fill_card(text: Path, metrics: Metrics, version: str) -> str:
    """The card's text at `text`, its ${places} filled."""
    return Template(text.read_text(encoding="utf-8")).substitute(
        version=version,
        epochs=metrics.epochs,
        best_epoch=metrics.best_epoch,
        seed=metrics.seed,
        threshold=f"{metrics.threshold:.4f}",
        min_sensitivity=f"{MIN_SENSITIVITY:.2f}",
        specificity=f"{metrics.validation.specificity:.2f}",
        metrics="\n".join([_row("validation", metrics.validation), _row("test", metrics.test)]),
        test_auc=f"{metrics.test.roc_auc:.3f}",
        training_sha256=metrics.training_sha256,
        validation_sha256=metrics.validation.sha256,
        test_sha256=metrics.test.sha256,
    )


def _row(name: str, split: SplitMetrics) -> str:
    low, high = split.roc_auc_ci95
    cells = (
        name,
        f"{split.patches:,} ({split.positives} nodules)",
        f"{split.roc_auc:.4f} ({low:.4f} to {high:.4f})",
        f"{split.sensitivity:.3f}",
        f"{split.specificity:.3f}",
        f"{split.ece:.3f}",
    )
    return f"| {' | '.join(cells)} |"
