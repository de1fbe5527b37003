"""Borders settle at half the contrast, and stay where they are drawn on what isn't lung."""

import numpy as np
import pytest

from cad_node.imaging.nodules import region_of, settle_border
from tests.imaging.geometry import ball, volume_of

SPACING_MM = (1.25, 0.7, 0.7)
SHAPE = (40, 80, 80)
MIDDLE = (20.0, 40.0, 40.0)


def in_lung(*shapes: np.ndarray) -> np.ndarray:
    """HU of lung with noise, and shapes of tissue in it."""
    voxels = np.random.default_rng(3).normal(-860, 25, SHAPE)
    for shape in shapes:
        voxels[shape] = 40
    return voxels


@pytest.mark.parametrize("off_mm", [-0.8, 0.0, 0.8])
def test_a_border_that_is_a_voxel_off_is_put_at_half_the_contrast(off_mm):
    nodule = ball(SHAPE, SPACING_MM, MIDDLE, 6)
    volume = volume_of(in_lung(nodule), SPACING_MM)
    drawn = region_of(ball(SHAPE, SPACING_MM, MIDDLE, 6 + off_mm), (0, 0, 0))

    settled = settle_border(volume, drawn)

    assert settled.mask.sum() == pytest.approx(nodule.sum(), rel=0.03)


def test_a_border_on_a_vessel_stays_where_it_was_drawn():
    nodule = ball(SHAPE, SPACING_MM, MIDDLE, 6)
    volume = volume_of(in_lung(nodule, ball(SHAPE, SPACING_MM, MIDDLE, (1.3, 1.3, 500))), SPACING_MM)

    settled = settle_border(volume, region_of(nodule, (0, 0, 0)))

    assert settled.mask.sum() == pytest.approx(nodule.sum(), rel=0.05)


def test_an_outline_without_contrast_stays_as_it_is():
    volume = volume_of(np.full(SHAPE, -860), SPACING_MM)
    drawn = region_of(ball(SHAPE, SPACING_MM, MIDDLE, 4), (0, 0, 0))

    settled = settle_border(volume, drawn)

    assert settled.origin == drawn.origin
    assert np.array_equal(settled.mask, drawn.mask)
