"""A blob is marked where it is and with its size, a tube is not preferred to it, and the walls of the lung are no blobs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cad_node.findings import Region
from cad_node.imaging.candidates import Candidate, find_candidates
from cad_node.imaging.lungs import Lungs
from cad_node.imaging.volume import Volume
from cad_node.manifest import Range
from cad_node.phantom import NODULES
from tests.imaging.geometry import ball, volume_of
from tests.imaging.phantom_volume import phantom_lungs, phantom_volume

SIZES = Range(min=3, max=40)
EXTENT_MM = 70.0
LUNG_HU = -860


def everywhere(volume: Volume) -> Lungs:
    return Lungs(Region((0, 0, 0), np.ones(volume.voxels.shape, bool)), None)


def shape_of(spacing_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    z, y, x = (round(EXTENT_MM / mm) for mm in spacing_mm)
    return z, y, x


def away_mm(volume: Volume, candidate: Candidate, centre: tuple[float, ...]) -> float:
    return math.dist(np.multiply(candidate.index, volume.spacing_mm), np.multiply(centre, volume.spacing_mm))


@settings(max_examples=8, deadline=None)
@given(
    slice_mm=st.floats(0.5, 3),
    pixel_mm=st.floats(0.5, 0.95),
    diameter_mm=st.floats(6, 30),
    place=st.tuples(*[st.floats(0.3, 0.7)] * 3),
)
def test_a_ball_is_the_strongest_candidate_at_its_place(slice_mm, pixel_mm, diameter_mm, place):
    spacing_mm = (slice_mm, pixel_mm, pixel_mm)
    centre = tuple(part * n for part, n in zip(place, shape_of(spacing_mm), strict=True))
    voxels = np.where(ball(shape_of(spacing_mm), spacing_mm, centre, diameter_mm / 2), 40, LUNG_HU)
    volume = volume_of(voxels, spacing_mm)

    strongest = find_candidates(volume, everywhere(volume), SIZES, 10)[0]

    assert away_mm(volume, strongest, centre) < 1.25 + 0.5 * slice_mm
    assert 0.6 * diameter_mm < strongest.diameter_mm < 1.5 * diameter_mm


@pytest.mark.parametrize("place", [0.1, 0.9])
def test_places_do_not_drift_towards_the_far_end(place):
    spacing_mm = (2.0, 0.72, 0.72)
    shape = (60, 333, 335)  # not whole voxels of the search grid
    centre = tuple(place * n for n in shape)
    volume = volume_of(np.where(ball(shape, spacing_mm, centre, 5), 40, LUNG_HU), spacing_mm)

    strongest = find_candidates(volume, everywhere(volume), SIZES, 1)[0]

    assert strongest.index == pytest.approx(centre, abs=1.0)


def test_a_ball_outranks_a_vessel_of_its_width():
    spacing_mm = (1.0, 0.7, 0.7)
    centre, beside = (35, 30, 50), (35, 75, 50)
    nodule, vessel = ball(shape_of(spacing_mm), spacing_mm, centre, 4), ball(shape_of(spacing_mm), spacing_mm, beside, (4, 4, 2000))
    volume = volume_of(np.where(nodule | vessel, 40, LUNG_HU), spacing_mm)

    candidates = find_candidates(volume, everywhere(volume), SIZES, 50)

    assert away_mm(volume, candidates[0], centre) < 1.5
    assert all(candidate.strength < 0.6 * candidates[0].strength for candidate in candidates[1:])


def test_plain_lung_and_its_wall_hold_no_candidate():
    spacing_mm = (1.5, 0.8, 0.8)
    lung = ball(shape_of(spacing_mm), spacing_mm, tuple(n / 2 for n in shape_of(spacing_mm)), 30)
    volume = volume_of(np.where(lung, LUNG_HU, 40), spacing_mm)

    candidates = find_candidates(volume, Lungs(Region((0, 0, 0), lung), None), SIZES, 50)

    assert candidates == ()


def test_every_nodule_is_among_the_first_candidates():
    volume = phantom_volume()

    candidates = find_candidates(volume, phantom_lungs(), SIZES, 200)

    assert len(candidates) <= 200
    for nodule in NODULES:
        distances = [math.dist(volume.to_lps(candidate.index), nodule.centre_lps_mm) for candidate in candidates[:20]]
        assert min(distances) < nodule.diameter_mm / 2, nodule


def test_the_limit_keeps_the_strongest():
    volume, lungs = phantom_volume(), phantom_lungs()

    few, many = (find_candidates(volume, lungs, SIZES, limit) for limit in (10, 100))

    assert many[:10] == few
    assert [candidate.strength for candidate in many] == sorted((candidate.strength for candidate in many), reverse=True)


def test_no_candidate_lies_in_a_stronger_one():
    volume = phantom_volume()

    candidates = find_candidates(volume, phantom_lungs(), SIZES, 200)

    for number, weaker in enumerate(candidates):
        for stronger in candidates[:number]:
            assert away_mm(volume, weaker, stronger.index) >= max(weaker.diameter_mm, stronger.diameter_mm) / 2
