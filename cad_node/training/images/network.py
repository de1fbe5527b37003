"""A small residual network whose map of evidence adds up to its answer."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (24, 48, 96)


class ImageNetwork(nn.Module):
    """Images (batch, 3, H, W), 0 to 255 -> "logits" (batch,), and "places" (batch, H/4, W/4), whose mean is the logit.

    He et al., Deep residual learning, 2016; Zhou et al., Learning deep features for discriminative localization, 2016.
    """

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
        first, second, third = WIDTHS
        self.features = nn.Sequential(stem, _Block(first, first, 1), _Block(first, second, 2), _Block(second, third, 2), nn.Dropout2d(0.2))
        self.head = nn.Conv2d(third, 1, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        places = self.head(self.features(images / 127.5 - 1)).squeeze(1)
        return {"logits": places.mean((1, 2)), "places": places}


class ServedImages(nn.Module):
    """Images -> scores (batch,), calibrated, and activation (batch, H, W): the score that each place speaks for, both 0..1."""

    def __init__(self, networks: Sequence[nn.Module], parameters: Mapping[str, float]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.scale, self.offset = parameters["scale"], parameters["offset"]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        places = torch.stack([network(images)["places"] for network in self.networks]).mean(0)
        drawn = functional.interpolate(places.unsqueeze(1), size=images.shape[2:], mode="bilinear", align_corners=False).squeeze(1)
        return self._score(places.mean((1, 2))), self._score(drawn)

    def _score(self, logits: Tensor) -> Tensor:
        return (logits * self.scale + self.offset).sigmoid()


class _Block(nn.Module):
    """Two 3×3 convolutions beside a way straight through."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.way = nn.Identity() if (inputs, stride) == (width, 1) else nn.Conv2d(inputs, width, 1, stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(self.change(features) + self.way(features))
