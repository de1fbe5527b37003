"""The U-Net that outlines the nodule in the middle of a slab."""

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (16, 32, 64, 96)
WINDOW_HU = (-1000.0, 400.0)
BIAS = -3.0  # logit to start from: few pixels belong to a nodule


class OutlineNetwork(nn.Module):
    """Slabs (batch, 3, 64, 64) HU -> "nodule" (batch, 1, 64, 64) logits of the middle slice. Ronneberger et al., MICCAI 2015."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        self.down = nn.ModuleList()
        for width in WIDTHS:
            self.down.append(_twice(channels, width))
            channels = width
        self.up = nn.ModuleList()
        for width in reversed(WIDTHS[:-1]):
            self.up.append(_twice(channels + width, width))
            channels = width
        self.head = nn.Conv2d(channels, 1, 1)
        nn.init.constant_(self.head.bias, BIAS)  # type: ignore[arg-type]  # there is one

    def forward(self, slabs: Tensor) -> dict[str, Tensor]:
        if self.training and slabs.device.type == "cpu":
            with torch.autocast("cpu", torch.bfloat16):  # twice as fast where the processor multiplies bfloat16 matrices
                return self._outline(slabs)
        return self._outline(slabs)

    def _outline(self, slabs: Tensor) -> dict[str, Tensor]:
        low, high = WINDOW_HU
        features = (slabs.clamp(low, high) - low) * (2 / (high - low)) - 1
        kept: list[Tensor] = []
        for step in self.down:
            features = step(functional.max_pool2d(features, 2) if kept else features)
            kept.append(features)
        kept.pop()
        for step in self.up:
            features = step(torch.cat([functional.interpolate(features, scale_factor=2.0), kept.pop()], 1))
        return {"nodule": self.head(features).float()}


def _twice(channels: int, width: int) -> nn.Sequential:
    """Two 3×3 convolutions, each normalised over the batch."""
    layers: list[nn.Module] = []
    for inputs in (channels, width):
        layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)
