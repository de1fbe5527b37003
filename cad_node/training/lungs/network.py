"""The lung segmenter: a small U-Net on single axial slices of about 2 mm pixels, windows included."""

import itertools
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

WINDOWS_HU = ((-1024.0, 400.0), (-160.0, 240.0))  # lung and soft tissue: one input channel each
FILTERS = (8, 16, 32, 64, 96)  # at full resolution, then halved again and again


class LungNetwork(nn.Module):
    """Slices (batch, 1, height, width) HU -> logits "lungs" of the same shape. Height and width are multiples of 16."""

    def __init__(self) -> None:
        super().__init__()
        steps = list(itertools.pairwise(FILTERS))
        self.stem = _convolution(len(WINDOWS_HU), FILTERS[0])
        self.down = nn.ModuleList(_down(above, below) for above, below in steps)
        self.up = nn.ModuleList(_up(above, below) for above, below in steps)
        self.head = nn.Conv2d(FILTERS[0], 1, 1)

    def forward(self, slices: Tensor) -> dict[str, Tensor]:
        features = [self.stem(torch.cat([(slices.clamp(low, high) - low) * (2 / (high - low)) - 1 for low, high in WINDOWS_HU], 1))]
        for down in self.down:
            features.append(down(features[-1]))
        coarse = features.pop()
        for up in reversed(self.up):
            coarse = functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
            coarse = up(torch.cat([coarse, features.pop()], 1))
        return {"lungs": self.head(coarse)}


class ServedLungNetwork(nn.Module):
    """What is shipped: slices (batch, 1, height, width) HU -> probabilities of the same shape."""

    def __init__(self, members: Sequence[nn.Module], _parameters: Mapping[str, float]) -> None:
        super().__init__()
        self.network = members[-1]

    def forward(self, slices: Tensor) -> tuple[Tensor]:
        return (cast(Tensor, self.network(slices)["lungs"]).sigmoid(),)


def _down(above: int, below: int) -> nn.Sequential:
    return nn.Sequential(_convolution(above, below, stride=2), _convolution(below, below))


def _up(above: int, below: int) -> nn.Sequential:
    return nn.Sequential(_convolution(below + above, above), _convolution(above, above))


def _convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )
