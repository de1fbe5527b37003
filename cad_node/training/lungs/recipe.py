"""The recipe of lung_segmentation_ct."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cad_node.training.lungs.augmentation import augment
from cad_node.training.lungs.evaluate import evaluate
from cad_node.training.lungs.lctsc_masks import FOLDS, read_split
from cad_node.training.lungs.network import LungNetwork, ServedLungNetwork
from cad_node.training.recipe import Outputs, Predictions, Recipe, Targets
from cad_node.training.samples import Samples

GOLDEN_PX = (96, 128)  # height and width differ, so that mixing them up is seen


def loss(outputs: Outputs, targets: Targets) -> Tensor:
    """Cross-entropy of the pixels and the Dice of the batch: the one for the border, the other for the whole."""
    logits, lungs = outputs["lungs"].float(), targets["lungs"]
    shares = logits.sigmoid()
    overlap = (2 * (shares * lungs).sum() + 1) / (shares.sum() + lungs.sum() + 1)
    return functional.binary_cross_entropy_with_logits(logits, lungs) + 1 - overlap


def score(predictions: Predictions, samples: Samples) -> float:
    """The mean of the patients' Dice."""
    found, truth = predictions["lungs"] > 0, samples.targets["lungs"] > 0
    patients = np.array(samples.patients)
    chosen = [patients == patient for patient in sorted(set(samples.patients))]
    return float(np.mean([2 * (found[of] & truth[of]).sum() / max(1, found[of].sum() + truth[of].sum()) for of in chosen]))


def golden_slices() -> NDArray[np.float32]:
    """(3, 1, 96, 128) HU: two chests and a ball of water, drawn by arithmetic."""
    y, x = np.meshgrid(np.linspace(-1, 1, GOLDEN_PX[0]), np.linspace(-1.33, 1.33, GOLDEN_PX[1]), indexing="ij")
    body = np.hypot(x / 1.2, y / 0.85) <= 1
    slices = np.full((3, 1, *GOLDEN_PX), -1000.0, np.float32)
    for index, lung_hu in enumerate((-850.0, -650.0)):
        lungs = (np.hypot((np.abs(x) - 0.6) / 0.38, y / 0.6) <= 1) & body
        slices[index, 0] = np.where(lungs, lung_hu + 60 * np.sin(40 * x) * np.sin(37 * y), np.where(body, 40.0, -1000.0))
    slices[2, 0][np.hypot(x, y) <= 0.8] = 0.0
    return slices


LUNG_SEGMENTATION_CT = Recipe(
    name="lung_segmentation_ct",
    read=read_split,
    network=LungNetwork,
    augment=augment,
    loss=loss,
    score=score,
    members=FOLDS + 1,
    evaluate=evaluate,
    served=ServedLungNetwork,
    input="slices",
    outputs=("lungs",),
    axes={0: "batch", 2: "height", 3: "width"},
    golden=golden_slices,
    texts=Path(__file__).parent / "texts",
    batch=16,
    learning_rate=3e-3,
    epochs=16,
    patience=16,
)
