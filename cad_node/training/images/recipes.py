"""The image classifier that can be trained on any set of two classes."""

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Generator, Tensor
from torch.nn import functional

from cad_node.training.images.evaluate import evaluate_images
from cad_node.training.images.network import ImageNetwork, ServedImages
from cad_node.training.images.samples import read_images
from cad_node.training.recipe import Outputs, Predictions, Recipe, Targets
from cad_node.training.samples import Samples

TURN_RAD, ZOOM, SHIFT, BRIGHTNESS = math.radians(15), 0.1, 0.1, 0.15  # largest changes; a shift of 1 is half the image


def _augment(images: Tensor, targets: Targets, generator: Generator) -> tuple[Tensor, Targets]:
    """Mirrored left to right, turned, zoomed, shifted, lighter or darker."""
    angle, zoom, right, down, gain = torch.rand(5, len(images), generator=generator) * 2 - 1
    mirror = torch.randint(0, 2, (len(images),), generator=generator) * 2 - 1
    cosine, sine = ((angle * TURN_RAD).cos() * (1 + zoom * ZOOM), (angle * TURN_RAD).sin() * (1 + zoom * ZOOM))
    rows = torch.stack([cosine * mirror, -sine, right * SHIFT, sine * mirror, cosine, down * SHIFT], 1).reshape(-1, 2, 3)
    grid = functional.affine_grid(rows.to(images.device), list(images.shape), align_corners=False)
    turned = functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return turned * (1 + gain.to(images.device) * BRIGHTNESS)[:, None, None, None], targets


def _loss(outputs: Outputs, targets: Targets) -> Tensor:
    return functional.binary_cross_entropy_with_logits(outputs["logits"], targets["label"])


def _auc(predictions: Predictions, samples: Samples) -> float:
    return float(roc_auc_score(samples.targets["label"], predictions["logits"]))


def _golden() -> NDArray[np.float32]:
    """Waves of growing frequency in colour: nobody's image."""
    rows, columns = np.mgrid[:28, :32]
    waves = [[np.sin(2 * math.pi * (number + colour) * (rows + columns) / 64) for colour in range(3)] for number in range(1, 5)]
    return (127.5 + 127.5 * np.array(waves)).astype(np.float32)


IMAGE_CLASSIFIER = Recipe(
    name="image_classifier",
    read=read_images,
    network=ImageNetwork,
    augment=_augment,
    loss=_loss,
    score=_auc,
    evaluate=evaluate_images,
    served=ServedImages,
    input="images",
    outputs=("scores", "activation"),
    axes={0: "batch", 2: "rows", 3: "columns"},
    golden=_golden,
    texts=Path(__file__).parent / "texts" / "image_classifier",
    learning_rate=2e-3,
    epochs=40,
    patience=12,
)
