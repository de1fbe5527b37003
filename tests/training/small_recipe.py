"""A recipe that is trained within seconds: discs in noise, drawn here, against noise alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cad_node.training.metrics import Evaluation, Figure, Picture, Table
from cad_node.training.recipe import Recipe, Trained, predict
from cad_node.training.samples import Samples, Split

COUNTS = {Split.TRAIN: 96, Split.VALIDATION: 24, Split.TEST: 24}
TEXTS = Path(__file__).parent / "small_texts"


def read(data: Path, split: Split, member: int) -> Samples:
    """Each patient has three images, one of them with a disc."""
    random = np.random.default_rng(list(COUNTS).index(split))
    labels = (np.arange(COUNTS[split]) % 3 == 0).astype(np.float32)
    rows, columns = np.mgrid[:16, :16] - 7.5
    disc = np.hypot(rows, columns) < 4
    inputs = random.normal(-850, 40, (len(labels), 1, 16, 16)) + 700 * labels[:, None, None, None] * disc
    patients = tuple(f"{split}-{index // 3}" for index in range(len(labels)))
    return Samples(inputs.astype(np.int16), {"disc": labels}, patients, {}, f"sha256 of {split} in {data.name}")


class SmallNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 1))

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"disc": self.features((inputs + 850) / 700).squeeze(1)}


class Served(nn.Module):
    def __init__(self, networks: Sequence[nn.Module], _: Mapping[str, float]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        scores = torch.stack([network(inputs)["disc"].sigmoid() for network in self.networks])
        return scores.mean(0), inputs.mean((1, 2, 3)) / 1000


def evaluate(trained: Trained) -> Evaluation:
    test = read(trained.data, Split.TEST, 0)
    logits = np.mean([predict(network, test.inputs)["disc"] for network in trained.networks], axis=0)
    right = float(((logits > 0) == test.targets["disc"]).mean())
    (trained.pictures / "dot.png").write_bytes(b"a picture")
    return Evaluation(
        (Figure("test_accuracy", "Accuracy", "test", right, (right - 0.1, right), len(test), "images"),),
        (Table("By shape", "drawn by the test", ("shape", "images"), (("disc", "8"), ("none", "16"))),),
        (Picture("A dot", "dot.png"), Picture("Worst cases", "worst.png", shows_data=True)),
        {"threshold": 0.5},
    )


def golden() -> np.ndarray:
    return np.linspace(-1000, 100, 2 * 256, dtype=np.float32).reshape(2, 1, 16, 16)


SMALL = Recipe(
    name="small_discs",
    read=read,
    network=SmallNetwork,
    augment=lambda inputs, targets, generator: (inputs + 20 * torch.randn(inputs.shape, generator=generator), targets),
    loss=lambda outputs, targets: functional.binary_cross_entropy_with_logits(outputs["disc"], targets["disc"]),
    score=lambda outputs, samples: float(((outputs["disc"] > 0) == samples.targets["disc"]).mean()),
    evaluate=evaluate,
    served=Served,
    input="images",
    outputs=("scores", "brightness"),
    axes={0: "batch"},
    golden=golden,
    texts=TEXTS,
    members=2,
    batch=16,
    learning_rate=0.02,
    epochs=8,
    patience=3,
)
