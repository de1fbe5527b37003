"""A network that looks at each patch and its mirror images."""

import torch
from torch import Tensor, nn


class FlipAveraged(nn.Module):
    """Mean logit over a patch and its three mirror images; a nodule has no preferred side."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, patches: Tensor) -> Tensor:
        mirrored = [patches, patches.flip(2), patches.flip(3), patches.flip(2, 3)]
        return torch.stack([self.network(patch) for patch in mirrored]).mean(0)
