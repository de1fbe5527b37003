"""Random variants of slabs: what another patient's position, another scanner and another reconstruction would change."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

OFFSET_HU = 40.0  # of a scanner's calibration
NOISE_HU = 60.0  # largest standard deviation added


def draw_turns(count: int, zoom: float, generator: Generator) -> Tensor:
    """(count, 2, 2), output -> input coordinates: any angle, mirrored or not, zoomed by up to `zoom` either way."""
    angle = torch.rand(count, generator=generator) * 2 * math.pi
    mirror = torch.randint(0, 2, (count,), generator=generator) * 2 - 1
    scale = 1 + uniform((count,), generator) * zoom
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    return torch.stack([torch.stack([cosine * mirror, -sine], 1), torch.stack([sine * mirror, cosine], 1)], 1)


def draw_shifts(count: int, least_px: float, most_px: float, generator: Generator) -> Tensor:
    """(N, 2) pixels in any direction, between two lengths."""
    angle = torch.rand(count, generator=generator) * 2 * math.pi
    length = least_px + torch.rand(count, generator=generator) * (most_px - least_px)
    return torch.stack([angle.cos() * length, angle.sin() * length], 1)


def turn(images: Tensor, turns: Tensor, shifts_px: Tensor) -> Tensor:
    """(N, C, P, P) on any device, turned about the middle and then shifted; mirrored beyond the border."""
    shifts = shifts_px * 2 / images.shape[-1]
    transforms = torch.cat([turns, shifts[:, :, None]], 2).to(images.device)
    grid = functional.affine_grid(transforms, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def vary_hu(slabs: Tensor, generator: Generator) -> Tensor:
    """Softer, offset and noisier by chance, each slab in its own way."""
    count = len(slabs)
    draws = torch.rand(3, count, 1, 1, 1, generator=generator).to(slabs.device)
    softness = (draws[0] * 2 - 1).clamp(min=0)  # half of the slabs stay as sharp as they are
    softened = torch.lerp(slabs, functional.avg_pool2d(slabs, 3, stride=1, padding=1, count_include_pad=False), softness)
    noise = torch.randn(slabs.shape, generator=generator).to(slabs.device)
    return softened + (draws[1] * 2 - 1) * OFFSET_HU + noise * draws[2] ** 2 * NOISE_HU


def uniform(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """In -1..1."""
    return torch.rand(shape, generator=generator) * 2 - 1
