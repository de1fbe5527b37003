"""The nodule patch classifiers that can be trained."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import roc_auc_score
from torch import Generator, Tensor
from torch.nn import functional

from cad_node.training.datasets.luna16 import is_luna16, read_luna16
from cad_node.training.detection import lidc_patches, luna_patches
from cad_node.training.detection.augmentation import augment
from cad_node.training.detection.evaluate import Read, evaluate_classifier
from cad_node.training.detection.golden_patches import nodule_golden_patches
from cad_node.training.detection.lidc_patches import read_lidc_patches
from cad_node.training.detection.luna_patches import SHA256, read_luna_patches
from cad_node.training.detection.network import NoduleNetwork
from cad_node.training.detection.served import ServedEnsemble
from cad_node.training.recipe import Outputs, Predictions, Recipe, Targets
from cad_node.training.samples import Samples, Split

NODULE_WEIGHT = 3.0  # of a nodule against another patch in the loss: there are five times as many of those


def _read_luna(data: Path, split: Split) -> Samples:
    if is_luna16(data):
        return read_luna16(data, split)
    return read_luna_patches(data, split, SHA256[split])


def _augment(patches: Tensor, targets: Targets, generator: Generator) -> tuple[Tensor, Targets]:
    return augment(patches, generator), targets


def _loss(outputs: Outputs, targets: Targets) -> Tensor:
    weight = torch.tensor(NODULE_WEIGHT, device=outputs["logits"].device)
    return functional.binary_cross_entropy_with_logits(outputs["logits"], targets["nodule"], pos_weight=weight)


def _auc(predictions: Predictions, samples: Samples) -> float:
    return float(roc_auc_score(samples.targets["nodule"], predictions["logits"]))


def _recipe(name: str, size_px: int, read: Read, **others: Any) -> Recipe:
    return Recipe(
        name=name,
        read=lambda data, split, _: read(data, split),  # members differ by their seeds alone
        network=partial(NoduleNetwork, size_px),
        augment=_augment,
        loss=_loss,
        score=_auc,
        evaluate=partial(evaluate_classifier, read=read, patch_px=size_px),
        served=ServedEnsemble,
        input="patches",
        outputs=("scores", "activation"),
        axes={0: "batch"},
        golden=partial(nodule_golden_patches, size_px),
        texts=Path(__file__).parent / "texts" / name,
        **others,
    )


LUNG_NODULE = _recipe("lung_nodule_ct", luna_patches.PATCH_PX, _read_luna, members=3, batch=64, learning_rate=2e-3, epochs=24)
LUNG_NODULE_LIDC = _recipe(
    "lung_nodule_lidc_ct", lidc_patches.PATCH_PX, read_lidc_patches, members=2, batch=64, learning_rate=2e-3, epochs=9
)
