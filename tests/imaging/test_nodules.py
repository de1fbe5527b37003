"""Candidates hold every nodule of the phantom; outlines have its size, without vessels and pleura."""

import math

import numpy as np
import pytest

from cad_node.imaging.candidates import Candidate, find_candidates
from cad_node.imaging.measure import measure
from cad_node.imaging.nodules import delineate
from cad_node.manifest import Range
from cad_node.phantom import NODULES
from tests.imaging.geometry import ball, volume_of
from tests.imaging.phantom_volume import index_of, phantom_lungs, phantom_volume

SIZES = Range(min=3, max=40)
SPACING_MM = (1.25, 0.7, 0.7)
SHAPE = (40, 80, 80)
MIDDLE = (20.0, 40.0, 40.0)


def in_lung(*shapes: np.ndarray, nodule_hu: int = 40) -> np.ndarray:
    """HU of lung with noise, and shapes in it."""
    voxels = np.random.default_rng(3).normal(-860, 25, SHAPE)
    for shape in shapes:
        voxels[shape] = nodule_hu
    return voxels


def test_every_nodule_is_among_the_first_candidates():
    volume = phantom_volume()

    candidates = find_candidates(volume, phantom_lungs(), SIZES, 200)

    assert len(candidates) <= 200
    for nodule in NODULES:
        away_mm = [math.dist(volume.to_lps(candidate.index), nodule.centre_lps_mm) for candidate in candidates[:20]]
        assert min(away_mm) < 3, nodule


def test_the_limit_keeps_the_strongest():
    volume, lungs = phantom_volume(), phantom_lungs()

    few, many = (find_candidates(volume, lungs, SIZES, limit) for limit in (10, 100))

    assert many[:10] == few
    assert [c.strength for c in many] == sorted((c.strength for c in many), reverse=True)


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
