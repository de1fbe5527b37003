"""One pass over the training samples."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, nn

from cad_node.training.recipe import Recipe
from cad_node.training.samples import Samples

Schedule = Callable[[float], float]  # share of this epoch that is done, 0..1 -> learning rate


def batches_in(samples: Samples, batch: int) -> int:
    return math.ceil(len(samples) / batch)


def train_epoch(
    recipe: Recipe,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    samples: Samples,
    *,
    seed: int,
    schedule: Schedule,
    on_batch: Callable[[], None],
) -> float:
    """Every sample once, in a new order and a new variant; returns the mean loss. On CUDA in mixed precision.

    seed: of this epoch alone: order, variants and drop-out depend on nothing that came before, which makes a resumed run exact.
    """
    torch.manual_seed(seed)  # drop-out
    generator = Generator().manual_seed(seed)
    device = next(network.parameters()).device
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    order = torch.randperm(len(samples), generator=generator).numpy()
    network.train()
    total = 0.0
    for number in range(batches_in(samples, recipe.batch)):
        chosen = order[number * recipe.batch : (number + 1) * recipe.batch]
        _set_learning_rate(optimizer, schedule(number / batches_in(samples, recipe.batch)))
        inputs = torch.from_numpy(np.asarray(samples.inputs[chosen], np.float32)).to(device)
        targets = {name: torch.from_numpy(values[chosen]).to(device) for name, values in samples.targets.items()}
        inputs, varied = recipe.augment(inputs, targets, generator)
        with torch.autocast(device.type, enabled=device.type == "cuda"):
            loss = recipe.loss(network(inputs), varied)
        optimizer.zero_grad()
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        total += float(loss.detach()) * len(chosen)
        on_batch()
    return total / len(samples)


def cosine_schedule(learning_rate: float, epoch: int, epochs: int) -> Schedule:
    """Falls along a half cosine over the whole run, to a hundredth. epoch: from 1."""
    return lambda share: learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * (epoch - 1 + share) / epochs)) / 2)


def _set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
