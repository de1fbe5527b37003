"""The classifier of one ensemble member: what it sees where, averaged into one number a question."""

import torch
from torch import Tensor, nn

from cad_node.training.nodules.judgement_samples import HEADS

WIDTHS = (16, 48, 96)
WINDOW_HU = (-1000.0, 400.0)
DROPPED = 0.3  # of the features, in training


class JudgementNetwork(nn.Module):
    """Slabs (batch, 3, 48, 48) HU -> logits (batch,) of each of HEADS, and "activation" (batch, 12, 12), whose mean is malignancy's.

    Class activation mapping: Zhou et al., CVPR 2016.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in WIDTHS:
            for inputs in (channels, width):
                layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers.append(nn.AvgPool2d(2) if width != WIDTHS[-1] else nn.Dropout2d(DROPPED))
            channels = width
        self.features = nn.Sequential(*layers)
        self.heads = nn.Conv2d(channels, len(HEADS), 1)

    def forward(self, slabs: Tensor) -> dict[str, Tensor]:
        if self.training and slabs.device.type == "cpu":
            with torch.autocast("cpu", torch.bfloat16):  # twice as fast where the processor multiplies bfloat16 matrices
                return self._judge(slabs)
        return self._judge(slabs)

    def _judge(self, slabs: Tensor) -> dict[str, Tensor]:
        low, high = WINDOW_HU
        scaled = (slabs.clamp(low, high) - low) * (2 / (high - low)) - 1
        evidence = self.heads(self.features(scaled)).float()  # (batch, heads, 12, 12)
        logits = evidence.mean(dim=(2, 3))
        return {**{name: logits[:, index] for index, name in enumerate(HEADS)}, "activation": evidence[:, 0]}
