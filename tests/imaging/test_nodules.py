"""Outlines have the nodule's size, without vessels and pleura."""

import math

import numpy as np
import pytest
from scipy import ndimage

from cad_node.imaging.candidates import Candidate
from cad_node.imaging.measure import measure
from cad_node.imaging.nodules import delineate, region_of, settle_border
from cad_node.phantom import NODULES
from tests.imaging.geometry import ball, volume_of
from tests.imaging.phantom_volume import index_of, phantom_lungs, phantom_volume

SPACING_MM = (1.25, 0.7, 0.7)
SHAPE = (40, 80, 80)
MIDDLE = (20.0, 40.0, 40.0)


def in_lung(*shapes: np.ndarray, nodule_hu: int = 40) -> np.ndarray:
    """HU of lung with noise, and shapes in it."""
    voxels = np.random.default_rng(3).normal(-860, 25, SHAPE)
    for shape in shapes:
        voxels[shape] = nodule_hu
    return voxels


SPACINGS = [(0.6, 0.6, 0.6), (1.25, 0.9, 0.9), (2.5, 0.7, 0.7)]


@pytest.mark.parametrize("spacing_mm", SPACINGS, ids=str)
@pytest.mark.parametrize(("diameter_mm", "hu"), [(8.0, 40), (20.0, 40), (10.0, -600), (20.0, -600)])
def test_a_blurred_and_noisy_ball_gets_its_own_volume(diameter_mm, hu, spacing_mm):
    shape = tuple(round(2.5 * diameter_mm / mm) for mm in spacing_mm)
    centre = tuple(0.5 * n + part for n, part in zip(shape, (0.1, -0.2, 0.3), strict=True))
    blurred = ndimage.gaussian_filter(
        np.where(ball(shape, spacing_mm, centre, diameter_mm / 2), float(hu), -860.0), 0.4 / np.array(spacing_mm)
    )
    volume = volume_of(blurred + np.random.default_rng(5).normal(0, 25, shape), spacing_mm)

    region = delineate(volume, np.ones(shape, bool), Candidate(centre, 0.85 * diameter_mm, 100.0))

    size = measure(volume, region)
    assert size.volume_mm3 == pytest.approx(math.pi / 6 * diameter_mm**3, rel=0.15 if hu > -200 else 0.2)
    assert size.long_axis.length_mm == pytest.approx(diameter_mm, abs=1.5 * spacing_mm[1])


def test_five_millimetre_slices_lose_a_quarter_at_most():
    spacing_mm, shape = (5.0, 0.8, 0.8), (12, 80, 80)
    fine = ball((60, 80, 80), (1.0, 0.8, 0.8), (30, 40, 40), 8)
    shares = fine.reshape(12, 5, 80, 80).mean(axis=1)  # what a thick slice shows of it
    volume = volume_of(-860 + 900 * shares, spacing_mm)

    region = delineate(volume, np.ones(shape, bool), Candidate((5.6, 40.0, 40.0), 13.0, 100.0))

    assert measure(volume, region).volume_mm3 == pytest.approx(math.pi / 6 * 16**3, rel=0.25)


@pytest.mark.parametrize("diameter_mm", [6.0, 10.0, 16.0])
def test_a_ball_gets_its_own_volume(diameter_mm):
    volume = volume_of(in_lung(ball(SHAPE, SPACING_MM, MIDDLE, diameter_mm / 2)), SPACING_MM)

    region = delineate(volume, np.ones(SHAPE, bool), Candidate(MIDDLE, diameter_mm, 100.0))

    assert measure(volume, region).volume_mm3 == pytest.approx(math.pi / 6 * diameter_mm**3, rel=0.15)


def test_a_vessel_is_taken_off():
    nodule = ball(SHAPE, SPACING_MM, MIDDLE, 6)
    vessel = ball(SHAPE, SPACING_MM, MIDDLE, (1.3, 1.3, 500))
    volume = volume_of(in_lung(nodule, vessel), SPACING_MM)

    region = delineate(volume, np.ones(SHAPE, bool), Candidate(MIDDLE, 11.0, 100.0))

    assert measure(volume, region).volume_mm3 == pytest.approx(math.pi / 6 * 12**3, rel=0.2)


def test_the_pleura_is_taken_off():
    lungs = np.zeros(SHAPE, bool)
    lungs[:, :, :50] = True
    nodule = ball(SHAPE, SPACING_MM, (20, 40, 43), 5) & lungs
    volume = volume_of(in_lung(nodule, ~lungs), SPACING_MM)

    region = delineate(volume, lungs, Candidate((20.0, 40.0, 43.0), 10.0, 100.0))

    found = np.zeros(SHAPE, bool)
    found[region.slices] = region.mask
    assert not (found & ~lungs).any()
    assert found.sum() == pytest.approx(nodule.sum(), rel=0.2)


def test_a_bulge_of_the_mediastinum_into_the_mask_is_no_nodule():
    lungs = np.zeros(SHAPE, bool)
    lungs[:, :, :50] = True
    voxels = in_lung()
    voxels[:, :, 45:] = 40  # the mask takes in a rim of tissue
    volume = volume_of(voxels, SPACING_MM)

    assert delineate(volume, lungs, Candidate((20.0, 40.0, 46.0), 6.0, 100.0)) is None


def test_outlining_leaves_the_lungs_as_they_are():
    lungs = np.ones(SHAPE, bool)
    volume = volume_of(in_lung(ball(SHAPE, SPACING_MM, MIDDLE, 5)), SPACING_MM)

    delineate(volume, lungs, Candidate(MIDDLE, 10.0, 100.0))

    assert lungs.all()


def test_a_calcified_nodule_is_outlined_whole():
    nodule, core = (ball(SHAPE, SPACING_MM, MIDDLE, radius_mm) for radius_mm in (6, 3))
    voxels = in_lung(nodule)
    voxels[core] = 900
    volume = volume_of(voxels, SPACING_MM)

    region = delineate(volume, np.ones(SHAPE, bool), Candidate(MIDDLE, 11.0, 100.0))

    assert measure(volume, region).volume_mm3 == pytest.approx(math.pi / 6 * 12**3, rel=0.15)


def test_a_ground_glass_nodule_is_outlined_at_its_own_border():
    volume = volume_of(in_lung(ball(SHAPE, SPACING_MM, MIDDLE, 7), nodule_hu=-550), SPACING_MM)

    region = delineate(volume, np.ones(SHAPE, bool), Candidate(MIDDLE, 14.0, 100.0))

    assert measure(volume, region).volume_mm3 == pytest.approx(math.pi / 6 * 14**3, rel=0.2)


def test_nothing_is_outlined_in_plain_lung():
    volume = volume_of(np.full(SHAPE, -860), SPACING_MM)

    assert delineate(volume, np.ones(SHAPE, bool), Candidate(MIDDLE, 6.0, 50.0)) is None


def test_an_outline_at_the_edge_of_the_image_stays_inside():
    volume = volume_of(in_lung(ball(SHAPE, SPACING_MM, (0, 2, 40), 5)), SPACING_MM)

    region = delineate(volume, np.ones(SHAPE, bool), Candidate((0.0, 2.0, 40.0), 10.0, 100.0))

    assert all(part.start >= 0 and part.stop <= n for part, n in zip(region.slices, SHAPE, strict=True))


def test_a_nodule_knows_its_place_in_the_volume():
    volume = phantom_volume()
    mask = phantom_lungs().mask(volume.voxels.shape)
    nodule = NODULES[0]
    z, y, x = index_of(volume, nodule.centre_lps_mm)

    region = delineate(volume, mask, Candidate((z, y, x), nodule.diameter_mm, 100.0))

    assert measure(volume, region).centre_lps_mm == pytest.approx(nodule.centre_lps_mm, abs=1.5)


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
