"""Random values for a batch, drawn on the CPU: one a sample, (N, 1, 1, 1), unless said otherwise."""

import torch
from torch import Generator, Tensor
from torch.nn import functional


def uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return low + (high - low) * torch.rand((count, 1, 1, 1), generator=generator)


def chosen(count: int, share: float, generator: Generator) -> Tensor:
    """Bool: true for about this share of the samples."""
    return torch.rand((count, 1, 1, 1), generator=generator) < share


def smooth_field(count: int, cells: int, size_px: int, generator: Generator) -> Tensor:
    """(N, 1, size_px, size_px), standard normal at cells × cells points and smooth between."""
    points = torch.randn((count, 1, cells, cells), generator=generator)
    return functional.interpolate(points, size=(size_px, size_px), mode="bicubic", align_corners=True)
