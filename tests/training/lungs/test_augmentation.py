"""Variants of slices keep lungs and image together and never invent lung."""

import numpy as np
import torch

from cad_node.training.lungs.augmentation import CROP_PX, augment
from cad_node.training.lungs.disease import add_disease
from cad_node.training.lungs.lungless import draw_lungless


def slices(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A body with two lungs in the middle of 256×256 pixels."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 256), torch.linspace(-1, 1, 256), indexing="ij")
    lungs = torch.hypot((columns.abs() - 0.25) / 0.18, rows / 0.35) <= 1
    hu = torch.where(lungs, -850.0, torch.where(torch.hypot(columns / 0.7, rows / 0.5) <= 1, 40.0, -1000.0))
    return hu.expand(count, 1, -1, -1).clone(), lungs.float().expand(count, 1, -1, -1).clone()


def test_the_same_seed_makes_the_same_variants():
    hu, lungs = slices(4)

    first, second = (augment(hu, {"lungs": lungs}, torch.Generator().manual_seed(7)) for _ in range(2))

    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1]["lungs"], second[1]["lungs"])


def test_variants_are_crops_of_finite_hu_with_masks_of_zero_and_one():
    hu, lungs = slices(32)

    varied, targets = augment(hu, {"lungs": lungs}, torch.Generator().manual_seed(1))

    assert varied.shape == targets["lungs"].shape == (32, 1, CROP_PX, CROP_PX)
    assert torch.isfinite(varied).all()
    assert set(targets["lungs"].unique().tolist()) == {0.0, 1.0}


def test_most_of_what_is_lung_after_is_dark_as_lungs_are():
    hu, lungs = slices(32)

    varied, targets = augment(hu, {"lungs": lungs}, torch.Generator().manual_seed(2))

    inside, outside = varied[targets["lungs"] > 0], varied[(targets["lungs"] == 0) & (varied > -950)]
    assert np.median(inside) < -700
    assert np.median(outside) > -200


def test_disease_stays_lung_but_for_fluid_around_it():
    hu, lungs = slices(64)

    sick, still = add_disease(hu, lungs, torch.Generator().manual_seed(3))

    lost, solid = (lungs > 0) & (still == 0), (lungs > 0) & (sick > -100) & (still > 0)
    assert ((still <= lungs).all(), torch.equal(sick[lungs == 0], hu[lungs == 0])) == (True, True)
    assert solid.sum() > 1000
    assert lost.sum() > 1000
    assert sick[lost].mean() > -5


def test_bodies_without_lungs_are_solid_with_some_gas():
    drawn = draw_lungless(32, 96, torch.Generator().manual_seed(4))

    assert ((drawn > -200).float().mean(dim=(1, 2, 3)) > 0.02).all()
    assert drawn.min() >= -1000
