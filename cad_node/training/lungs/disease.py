"""What lungs of sick people show, drawn into slices: density, consolidation, tumours at the pleura and inside, effusion.

All of it stays lung but for the effusion, which lies in the pleural space.
"""

import torch
from torch import Generator, Tensor
from torch.nn import functional

from cad_node.training.lungs.draws import chosen, smooth_field, uniform

TUMOURS = 3  # at most, in one slice
RADIUS_PX = (1.5, 18.0)  # at about 2 mm a pixel
SOFT_HU, SOFT_SPREAD_HU = 35.0, 20.0
DENSITY, CONSOLIDATION, TUMOUR, EFFUSION = 0.7, 0.3, 0.35, 0.12  # how often; a tumour for each of those that may be


def add_disease(hu: Tensor, lungs: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """hu, lungs: (N, 1, P, P). Returns both with what was added."""
    count, size = len(hu), hu.shape[-1]
    uneven = uniform(count, -60, 60, generator) + 60 * smooth_field(count, 8, size, generator)
    hu = hu + lungs * uneven * chosen(count, DENSITY, generator)
    dense = (smooth_field(count, 9, size, generator) > uniform(count, 0.6, 1.8, generator)) & chosen(count, CONSOLIDATION, generator)
    hu = _mixed(hu, lungs * dense, uniform(count, 0.3, 1, generator), generator)
    for _ in range(TUMOURS):
        hu = _mixed(hu, lungs * _ball(lungs, generator) * chosen(count, TUMOUR, generator), uniform(count, 0.7, 1, generator), generator)
    fluid = _dependent(lungs, generator) & chosen(count, EFFUSION, generator)
    water = uniform(count, 0, 25, generator) + 5 * torch.randn(hu.shape, generator=generator)
    return torch.where(fluid, water, hu), torch.where(fluid, 0.0, lungs)


def _mixed(hu: Tensor, cover: Tensor, strength: Tensor, generator: Generator) -> Tensor:
    """Soft tissue in place of `cover`, 0..1, as strong as said: below 1 it is ground glass."""
    count = len(hu)
    tissue = SOFT_HU + SOFT_SPREAD_HU * (uniform(count, -1, 1, generator) + 0.5 * torch.randn(hu.shape, generator=generator))
    soft = functional.avg_pool2d(cover, 3, 1, 1)
    return hu + torch.minimum(cover, 0.4 + soft) * strength * (tissue - hu)


def _ball(lungs: Tensor, generator: Generator) -> Tensor:
    """An ellipse in each slice: mostly about a point at the lungs' border, else within."""
    count, _, height, width = lungs.shape
    border = lungs * (1 - functional.avg_pool2d(lungs, 5, 1, 2)) + 0.02 * lungs + 1e-6
    centre = torch.multinomial(border.flatten(1), 1, generator=generator).view(count, 1, 1, 1)
    rows, columns = torch.arange(height).view(1, 1, -1, 1), torch.arange(width).view(1, 1, 1, -1)
    low, high = RADIUS_PX
    radius = low * (high / low) ** uniform(count, 0, 1, generator)
    aspect, lumps = uniform(count, 0.6, 1.6, generator), 0.15 * smooth_field(count, 20, width, generator)
    y, x = (rows - centre // width) / (radius * aspect), (columns - centre % width) / (radius / aspect)
    return (y**2 + x**2 <= 1 + lumps).float()


def _dependent(lungs: Tensor, generator: Generator) -> Tensor:
    """Bool: the lowest part of the lungs in each slice, below a slanted line."""
    count, _, height, width = lungs.shape
    rows, columns = torch.linspace(0, 1, height).view(1, 1, -1, 1), torch.linspace(-1, 1, width).view(1, 1, 1, -1)
    lowest = (rows * lungs).amax(dim=(2, 3), keepdim=True)
    meniscus = uniform(count, 0, 0.15, generator) * columns.abs() + uniform(count, -0.15, 0.15, generator) * columns
    return (lungs > 0) & (rows + meniscus > lowest - uniform(count, 0.04, 0.3, generator))
