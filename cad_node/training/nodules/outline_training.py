"""How the outline is learnt: variants in which only the object in the middle counts, and Dice with cross-entropy."""

import torch
from torch import Generator, Tensor
from torch.nn import functional

from cad_node.training.nodules.variants import draw_shifts, draw_turns, turn, vary_hu
from cad_node.training.recipe import Outputs, Targets

ZOOM = 0.2
OFF_CENTRE_PX = 6.0  # how far from the middle the object meant may lie
REACH_PX = 8  # an object no pixel of which is nearer to the middle isn't meant
ASIDE_PX = (18.0, 28.0)  # shift that brings something else to the middle
ASIDE = 0.12  # of the slabs show something else in the middle; the outline is empty
SMOOTHING_PX = 10.0  # added to both parts of the Dice quotient, so that empty outlines have one


def vary_outlines(slabs: Tensor, targets: Targets, generator: Generator) -> tuple[Tensor, Targets]:
    """Slabs turned, zoomed, shifted, softened and noisy, their outlines with them; some made empty."""
    count = len(slabs)
    turns = draw_turns(count, ZOOM, generator)
    near, aside = draw_shifts(count, 0.0, OFF_CENTRE_PX, generator), draw_shifts(count, *ASIDE_PX, generator)
    ends = _ends(slabs)
    both = torch.cat([slabs, targets["nodule"]], 1)
    meant, other = turn(both, turns, near), turn(both, turns, aside)
    draws = torch.rand(4, count, generator=generator).to(slabs.device)
    moved = draws[0] < ASIDE
    varied = torch.where(moved[:, None, None, None], other, meant)
    for channel, draw in ((0, draws[1]), (2, draws[2])):
        beyond = ends[:, channel] & ~moved & (draw < 0.5)  # what might lie next to the last slice
        left = moved & (draw < 0.25)  # the slice before, where the nodule still was
        varied[beyond, channel] = other[beyond, 1]
        varied[left, channel] = meant[left, 1]
    return vary_hu(varied[:, :3], generator), {"nodule": _only_central(varied[:, 3:])}


def _ends(slabs: Tensor) -> Tensor:
    """(N, 3): whether a slab's neighbour is its middle slice once more."""
    return (slabs == slabs[:, 1:2]).flatten(2).all(dim=2)


def _only_central(outlines: Tensor) -> Tensor:
    """Empty where nothing of the outline comes near the middle."""
    middle = outlines.shape[-1] // 2
    near = outlines[:, :, middle - REACH_PX : middle + REACH_PX, middle - REACH_PX : middle + REACH_PX]
    return outlines * (near.amax(dim=(1, 2, 3), keepdim=True) > 0.1)


def outline_loss(outputs: Outputs, targets: Targets) -> Tensor:
    logits, shares = outputs["nodule"], targets["nodule"]
    probabilities = torch.sigmoid(logits)
    common = (probabilities * shares).sum(dim=(1, 2, 3))
    either = (probabilities.square() + shares.square()).sum(dim=(1, 2, 3))  # least where probability equals share, unlike the plain sum
    dice = (2 * common + SMOOTHING_PX) / (either + SMOOTHING_PX)
    return functional.binary_cross_entropy_with_logits(logits, shares) * 10 + (1 - dice).mean()
