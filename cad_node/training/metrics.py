"""How well scores separate the patches of a split: area under the ROC, operating point, calibration."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from sklearn.metrics import roc_auc_score, roc_curve

from cad_node.errors import CadNodeError

Floats = NDArray[np.floating]

BOOTSTRAPS = 2000
ECE_BINS = 10
MIN_SENSITIVITY = 0.90


@dataclass(frozen=True, slots=True)
class SplitMetrics:
    """sensitivity, specificity: at the threshold that was chosen on validation. ece: expected calibration error, 10 bins."""

    patches: int
    positives: int
    roc_auc: float
    roc_auc_ci95: tuple[float, float]
    sensitivity: float
    specificity: float
    ece: float
    sha256: str


@dataclass(frozen=True, slots=True)
class Metrics:
    """All that is known of one trained model; metrics.json holds the same."""

    recipe: str
    epochs: int
    best_epoch: int
    seed: int
    training_sha256: str
    calibration_scale: float
    calibration_offset: float
    threshold: float
    validation: SplitMetrics
    test: SplitMetrics


class MetricsError(CadNodeError):
    """metrics.json can't be used."""


def write_metrics(metrics: Metrics, file: Path) -> None:
    file.write_text(json.dumps(asdict(metrics), indent=2) + "\n", encoding="utf-8")


def read_metrics(file: Path) -> Metrics:
    try:
        return TypeAdapter(Metrics).validate_json(file.read_bytes())
    except (OSError, ValidationError) as exc:
        raise MetricsError(f"{file}: not metrics of a model: {exc}; `cad-node evaluate` writes them") from exc


def choose_threshold(labels: Floats, scores: Floats) -> float:
    """The highest threshold that still finds MIN_SENSITIVITY of the positives, halfway to the next lower score.

    Led by sensitivity because what this step drops no later step brings back, while the findings are
    sorted by score and their number is limited.
    """
    _, true_rates, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    chosen = float(thresholds[np.argmax(true_rates >= MIN_SENSITIVITY)])
    lower = scores[scores < chosen]
    return (chosen + float(lower.max())) / 2 if len(lower) else chosen


def measure(labels: Floats, scores: Floats, threshold: float, sha256: str) -> SplitMetrics:
    """labels, scores: (N,)."""
    found = scores >= threshold
    return SplitMetrics(
        patches=len(labels),
        positives=int(labels.sum()),
        roc_auc=float(roc_auc_score(labels, scores)),
        roc_auc_ci95=_bootstrap_auc(labels, scores),
        sensitivity=float(found[labels == 1].mean()),
        specificity=float(1 - found[labels == 0].mean()),
        ece=_calibration_error(labels, scores),
        sha256=sha256,
    )


def _bootstrap_auc(labels: Floats, scores: Floats) -> tuple[float, float]:
    """95 % percentile interval; patches are drawn with replacement, within each class.

    The area is the share of pairs, one of each class, that are in order (Mann and Whitney), so that a draw is a weight per patch.
    """
    random = np.random.default_rng(0)
    positive, negative = scores[labels == 1], scores[labels == 0]
    in_order = (np.sign(positive[:, np.newaxis] - negative) + 1) / 2
    weights = [random.multinomial(len(one), np.full(len(one), 1 / len(one)), BOOTSTRAPS) / len(one) for one in (positive, negative)]
    areas = ((weights[0] @ in_order) * weights[1]).sum(1)
    low, high = np.percentile(areas, (2.5, 97.5))
    return float(low), float(high)


def _calibration_error(labels: Floats, scores: Floats) -> float:
    """Mean distance of score and share of positives over equal bins of score, weighted by what is in them."""
    bins = np.minimum((scores * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [abs(scores[bins == one].mean() - labels[bins == one].mean()) * (bins == one).mean() for one in np.unique(bins)]
    return float(np.sum(gaps))
