"""Random variants of slices: another patient's size and position, another scanner, disease, and pictures without lungs."""

import math
from collections.abc import Mapping

import torch
from torch import Generator, Tensor
from torch.nn import functional

from cad_node.training.lungs.disease import add_disease
from cad_node.training.lungs.draws import chosen, smooth_field, uniform
from cad_node.training.lungs.lungless import draw_lungless

CROP_PX = 160
TURN_RAD = math.radians(25)
ZOOM = (0.75, 1.3)  # pixel spacings, and people
SHIFT = 0.3  # of half the image
PRONE, LUNGLESS, ROUND_FIELD, COARSE_PIXELS = 0.2, 0.06, 0.12, 0.15  # how often
NOISE_HU = 90.0


def augment(slices: Tensor, targets: Mapping[str, Tensor], generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Crops of 160×160 pixels, each its own variant.

    slices: (N, 1, H, W) HU, on any device; generator: on the CPU, so that a seed means the same on every device.
    """
    device = slices.device
    hu, lungs = _placed(slices.cpu(), targets["lungs"].cpu(), generator)
    hu, lungs = add_disease(hu, lungs, generator)
    lungless = chosen(len(hu), LUNGLESS, generator)
    hu, lungs = torch.where(lungless, draw_lungless(len(hu), CROP_PX, generator), hu), torch.where(lungless, 0.0, lungs)
    hu, lungs = _in_round_field(hu, lungs, generator)
    return _scanned(hu, generator).to(device), {"lungs": lungs.to(device)}


def _placed(slices: Tensor, lungs: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Turned, zoomed, mirrored, now and then prone, and shifted."""
    count = len(slices)
    angle, zoom = uniform(count, -TURN_RAD, TURN_RAD, generator), uniform(count, *ZOOM, generator) * CROP_PX / slices.shape[-1]
    mirror, prone = (1 - 2 * chosen(count, share, generator).float() for share in (0.5, PRONE))
    shift = torch.cat([uniform(count, -SHIFT, SHIFT, generator) for _ in range(2)], 1)
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    rows = torch.cat([cosine * mirror, -sine * prone, sine * mirror, cosine * prone], 1).view(count, 2, 2)
    grid = functional.affine_grid(torch.cat([rows, shift.view(count, 2, 1)], 2), [count, 1, CROP_PX, CROP_PX], align_corners=False)
    both = torch.cat([slices + 1024, lungs], 1)  # zeros come in from outside
    placed = functional.grid_sample(both, grid, mode="bilinear", align_corners=False)
    return placed[:, :1] - 1024, (placed[:, 1:] > 0.5).float()


def _in_round_field(hu: Tensor, lungs: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Now and then beyond a circle nothing was reconstructed."""
    across = torch.linspace(-1, 1, hu.shape[-1])
    radius = uniform(len(hu), 0.6, 1.3, generator)
    beyond = (torch.hypot(across[None, :], across[:, None]) > radius) & chosen(len(hu), ROUND_FIELD, generator)
    return torch.where(beyond, -2000.0, hu), torch.where(beyond, 0.0, lungs)


def _scanned(hu: Tensor, generator: Generator) -> Tensor:
    """Contrast medium, kernels from soft to sharp, coarse pixels, calibration and noise down to a low dose."""
    count, size = len(hu), hu.shape[-1]
    enhanced = ((hu > 0) & (hu < 150)) * smooth_field(count, 6, size, generator).clamp(0, 2) * uniform(count, -50, 180, generator)
    hu = hu + enhanced * chosen(count, 0.4, generator)
    coarse = functional.interpolate(functional.interpolate(hu, scale_factor=0.6, mode="bilinear"), size=(size, size), mode="bilinear")
    hu = torch.where(chosen(count, COARSE_PIXELS, generator), coarse, hu)
    hu = hu + uniform(count, -0.6, 1.0, generator) * (functional.avg_pool2d(hu, 3, 1, 1, count_include_pad=False) - hu)
    white = torch.randn(hu.shape, generator=generator)
    grain = white + uniform(count, 0, 1, generator) * (2 * functional.avg_pool2d(white, 3, 1, 1) - white)
    return hu + uniform(count, -20, 20, generator) + grain * NOISE_HU * uniform(count, 0, 1, generator) ** 2
