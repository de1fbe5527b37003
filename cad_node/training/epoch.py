"""One pass over the training patches."""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from cad_node.training.augmentation import augment
from cad_node.training.patch_set import PatchSet

BATCH = 64
LEARNING_RATE = 1e-3

Schedule = Callable[[float], float]  # share of this epoch that is done, 0..1 -> learning rate


def batches_in(training: PatchSet) -> int:
    return math.ceil(len(training.labels) / BATCH)


def train_epoch(
    network: nn.Module, optimizer: torch.optim.Adam, training: PatchSet, *, seed: int, schedule: Schedule, on_batch: Callable[[], None]
) -> float:
    """Every patch once, in a new order and a new variant; returns the mean loss.

    seed: of this epoch alone: order, variants and drop-out depend on nothing that came before, which makes a resumed run exact.
    """
    torch.manual_seed(seed)  # drop-out
    generator = Generator().manual_seed(seed)
    device = next(network.parameters()).device
    patches, labels = torch.from_numpy(training.patches), torch.from_numpy(training.labels)
    loss_of = nn.BCEWithLogitsLoss(pos_weight=_positive_weight(training).to(device))
    order = torch.randperm(len(labels), generator=generator)
    network.train()
    total = 0.0
    for batch, chosen in enumerate(torch.split(order, BATCH)):
        _set_learning_rate(optimizer, schedule(batch / batches_in(training)))
        varied = augment(patches[chosen].to(device), generator)
        loss = loss_of(network(varied), labels[chosen].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(chosen)
        on_batch()
    return total / len(labels)


def cosine_schedule(epoch: int, epochs: int) -> Schedule:
    """Falls along a half cosine over the whole run, to a hundredth. epoch: from 1."""
    return lambda share: LEARNING_RATE * (0.01 + 0.99 * (1 + math.cos(math.pi * (epoch - 1 + share) / epochs)) / 2)


def _positive_weight(training: PatchSet) -> Tensor:
    """The positives weigh as much as all the other patches; calibration takes this out of the scores again."""
    return torch.tensor((len(training.labels) - training.positives) / training.positives)


def _set_learning_rate(optimizer: torch.optim.Adam, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
