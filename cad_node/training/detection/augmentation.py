"""Random variants of patches: what a candidate search and another scanner would change."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

SHIFT_PX = 4.0
ZOOM = 0.1  # pixel spacings differ by more than this
NOISE_HU = 30.0
OFFSET_HU = 20.0
BLUR = 0.7  # of the patches' own detail at most: a softer kernel takes it away, a sharper one adds as much


def augment(patches: Tensor, generator: Generator) -> Tensor:
    """Turn by any angle, mirror, zoom, shift by up to 4 pixels, soften or sharpen, shift the HU, and add noise.

    patches: (N, 1, P, P) HU, on any device.
    generator: on the CPU, so that a seed means the same on every device.
    """
    transforms = _draw_transforms(len(patches), patches.shape[-1], generator).to(patches.device)
    grid = functional.affine_grid(transforms, list(patches.shape), align_corners=False)
    turned = functional.grid_sample(patches, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    each = (len(patches), 1, 1, 1)
    detail = turned - functional.avg_pool2d(functional.pad(turned, (1, 1, 1, 1), mode="replicate"), 3, 1)
    kernel = _symmetric(each, generator) * BLUR
    offset_hu = _symmetric(each, generator) * OFFSET_HU
    noise_hu = torch.randn(patches.shape, generator=generator) * torch.rand(each, generator=generator) * NOISE_HU
    return turned + kernel.to(patches.device) * detail + (offset_hu + noise_hu).to(patches.device)


def _draw_transforms(count: int, size_px: int, generator: Generator) -> Tensor:
    """(count, 2, 3): output -> input coordinates, both -1..1 over the patch."""
    angle = torch.rand(count, generator=generator) * 2 * math.pi
    mirror = torch.randint(0, 2, (count,), generator=generator) * 2 - 1
    zoom = 1 + _symmetric((count,), generator) * ZOOM
    shift = _symmetric((count, 2, 1), generator) * SHIFT_PX * 2 / size_px
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    rows = [torch.stack([cosine * mirror, -sine], 1), torch.stack([sine * mirror, cosine], 1)]
    return torch.cat([torch.stack(rows, 1), shift], 2)


def _symmetric(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Uniform in -1..1."""
    return torch.rand(shape, generator=generator) * 2 - 1
