"""Variants of a patch: what another position, scanner or kernel would have shown, the same for the same seed."""

import pytest
import torch

from cad_node.training.detection.augmentation import augment
from cad_node.training.detection.golden_patches import nodule_golden_patches


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_same_seed_gives_the_same_variants_and_another_seed_others():
    patches = torch.from_numpy(nodule_golden_patches(50))

    first, again, other = (augment(patches, generator(seed)) for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_nodule_stays_near_the_centre_and_lung_stays_lung():
    nodules = torch.from_numpy(nodule_golden_patches(50))[:6]

    varied = augment(nodules, generator(4))

    assert varied.shape == nodules.shape
    middle = varied[:, 0, 18:32, 18:32]
    assert bool((middle.amax((1, 2)) > -150).all())
    assert float(varied[:, 0, :5].mean()) == pytest.approx(-860, abs=60)
