"""What a trainable model is made from: data, network, loss, how it is judged, and the graph that is shipped."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from cad_node.training.metrics import Evaluation
from cad_node.training.samples import Samples, Split

Outputs = Mapping[str, Tensor]  # of a network in training: raw (logits), by name
Targets = Mapping[str, Tensor]
Predictions = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Trained:
    """What `evaluate` gets: the trained members, in evaluation mode, and where the data and the pictures are."""

    networks: Sequence[nn.Module]
    data: Path
    pictures: Path  # an existing folder


@dataclass(frozen=True, slots=True)
class Recipe:
    """read: (data, split, member) -> samples; a split by patient is the reader's duty. Raises DataError. Members of a
    cross-validation get other splits; those of an ensemble the same.
    network: HU in, a dict of raw outputs out; windowing and other preprocessing inside.
    augment: a random variant of a batch, inputs float32 HU; the generator is on the CPU, so that a seed means the same everywhere.
    score: higher is better; of raw outputs on the validation split; training stops early on it.
    members: networks trained, each with a seed of its own.
    evaluate: chooses parameters on validation data, reads the test split once.
    served: the module that is exported, from the members and the parameters that evaluate chose; returns a tuple of `outputs`.
    axes: dynamic axes of the graph's input, axis -> name.
    golden: inputs made by the project itself, never anyone's data.
    texts: folder of model.toml and MODEL_CARD.md with ${places} that the export fills.
    """

    name: str
    read: Callable[[Path, Split, int], Samples]
    network: Callable[[], nn.Module]
    augment: Callable[[Tensor, Targets, Generator], tuple[Tensor, Targets]]
    loss: Callable[[Outputs, Targets], Tensor]
    score: Callable[[Predictions, Samples], float]
    evaluate: Callable[[Trained], Evaluation]
    served: Callable[[Sequence[nn.Module], Mapping[str, float]], nn.Module]
    input: str
    outputs: tuple[str, ...]
    axes: Mapping[int, str]
    golden: Callable[[], NDArray[np.float32]]
    texts: Path
    members: int = 1
    batch: int = 64
    learning_rate: float = 1e-3
    epochs: int = 30
    patience: int = 10


def predict(network: nn.Module, inputs: NDArray[Any], batch: int = 256) -> dict[str, NDArray[np.float32]]:
    """Raw outputs of a network in evaluation mode over all inputs, (N, C, H, W) HU."""
    device = next(network.parameters()).device
    network.eval()
    parts: dict[str, list[NDArray[np.float32]]] = {}
    with torch.inference_mode():
        for start in range(0, len(inputs), batch):
            chosen = torch.from_numpy(np.asarray(inputs[start : start + batch], np.float32)).to(device)
            for name, values in network(chosen).items():
                parts.setdefault(name, []).append(values.float().cpu().numpy())
    return {name: np.concatenate(values) for name, values in parts.items()}
