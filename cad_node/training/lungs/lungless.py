"""Slices without lungs, drawn: heads, limbs, water phantoms and bellies with gas in them."""

import torch
from torch import Generator, Tensor

from cad_node.training.lungs.draws import chosen, smooth_field, uniform

POCKETS = 4  # of gas, at most


def draw_lungless(count: int, size_px: int, generator: Generator) -> Tensor:
    """(N, 1, size_px, size_px) HU: a body of soft tissue, water or plastic, now and then in a shell of bone, with pockets of gas."""
    aspect, radius = uniform(count, 0.7, 1.1, generator), uniform(count, 0.3, 0.95, generator)
    body = _ellipse(count, size_px, radius, aspect, uniform(count, -0.2, 0.2, generator), uniform(count, -0.2, 0.2, generator))
    lumps = smooth_field(count, 12, size_px, generator) * uniform(count, 0, 60, generator)
    hu = torch.where(body <= 1, uniform(count, -120, 150, generator) + lumps, -1000.0)
    shell = (body <= 1) & (body > 1 - uniform(count, 0.08, 0.2, generator)) & chosen(count, 0.4, generator)
    hu = torch.where(shell, uniform(count, 300, 1500, generator), hu)
    for _ in range(POCKETS):
        place = [uniform(count, -0.5, 0.5, generator) * radius for _ in range(2)]
        pocket = _ellipse(count, size_px, uniform(count, 0.03, 0.3, generator) * radius, uniform(count, 0.5, 2, generator), *place)
        hu = torch.where((pocket <= 1) & (body <= 1) & chosen(count, 0.5, generator), -1000.0 + uniform(count, 0, 30, generator), hu)
    return hu


def _ellipse(count: int, size_px: int, radius: Tensor, aspect: Tensor, x: Tensor, y: Tensor) -> Tensor:  # noqa: PLR0917
    """(N, 1, size_px, size_px): 0 at the centre, 1 on the edge; lengths are shares of half the image."""
    across = torch.linspace(-1, 1, size_px)
    columns, rows = across.view(1, 1, 1, -1).expand(count, 1, 1, -1), across.view(1, 1, -1, 1)
    return torch.hypot((columns - x) / radius, (rows - y) / (radius * aspect))
