"""What each place added to a score lies where the network saw it, and its integral is what it added in all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cad_node.findings import Region
from cad_node.imaging.heat import PER_CM2, heat_of_judgement, heat_of_patches
from cad_node.imaging.nodule_slabs import cut_judgement_slab
from cad_node.imaging.nodules import region_of
from cad_node.imaging.patches import cut_patches
from tests.imaging.geometry import ball, volume_of

SHAPE = (24, 96, 110)
MEANING = PER_CM2  # any code: it is handed through
SPACINGS = [(1.25, 0.7, 0.7), (2.5, 0.95, 0.95), (0.6, 0.5, 0.8)]


def nodule(spacing_mm, centre, radius_mm=5.0):
    mask = ball(SHAPE, spacing_mm, centre, radius_mm)
    return volume_of(np.where(mask, 40, -860), spacing_mm), region_of(mask, (0, 0, 0))


def judged(volume, region):
    """The heat of a network to which nothing counts but what is dense on the middle slice."""
    dense = (cut_judgement_slab(volume.voxels, volume.spacing_mm, region)[1] > -410).astype(np.float32)
    return heat_of_judgement(volume, region, dense, MEANING)


def warm_middle(heat):
    """Centroid of the heat, (slice, row, column) of the volume."""
    at = np.indices(heat.values.shape).reshape(3, -1)
    return at @ heat.values.ravel() / heat.values.sum() + heat.origin


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(SPACINGS), st.tuples(st.integers(9, 14), st.integers(8, 88), st.integers(8, 101)))
def test_the_heat_of_a_judgement_is_warmest_where_the_nodule_is_wherever_it_is(spacing_mm, centre):
    volume, region = nodule(spacing_mm, centre, 3.5)

    heat = judged(volume, region)

    away_mm = (warm_middle(heat) - centre) * spacing_mm
    assert np.abs(away_mm).max() < max(0.6, 0.51 * spacing_mm[0])
    inside = tuple(np.subtract(centre, heat.origin))
    assert heat.values[inside] == heat.values.max()
    assert all(at >= 0 and at + length <= full for at, length, full in zip(heat.origin, heat.values.shape, SHAPE, strict=True))


@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_a_nodule_that_is_shifted_takes_its_heat_along(spacing_mm):
    here, there = (judged(*nodule(spacing_mm, centre)) for centre in ((9, 45, 50), (12, 41, 57)))

    assert np.subtract(there.origin, here.origin).tolist() == [3, -4, 7]
    np.testing.assert_allclose(there.values, here.values, atol=1e-4)


@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_the_integral_of_a_judgement_s_heat_is_the_sum_of_what_the_pixels_added(spacing_mm):
    volume, region = nodule(spacing_mm, (12, 48, 55))
    smooth = np.add.outer(*[np.hanning(48)] * 2).astype(np.float32) - 0.4

    heat = heat_of_judgement(volume, region, smooth, MEANING)

    pixel_cm2 = spacing_mm[1] * spacing_mm[2] / 100
    assert heat.values[0].sum() * pixel_cm2 == pytest.approx(smooth.sum(), rel=0.03)
    assert heat.values.max() == pytest.approx(smooth.max() / 0.075**2, rel=0.01)


def test_a_judgement_s_heat_lies_on_the_slices_that_were_looked_at_and_those_between():
    volume = volume_of(np.zeros(SHAPE), (1.0, 0.7, 0.7))
    region = Region((4, 40, 40), np.ones((9, 5, 5), bool))  # slices 4 to 12

    heat = heat_of_judgement(volume, region, np.ones((48, 48), np.float32), MEANING)

    assert (heat.origin[0], len(heat.values)) == (6, 5)
    assert (heat.values == heat.values[0]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(-3, 98), st.integers(-3, 112), st.integers(7, 12))
def test_a_patch_s_values_come_back_to_the_pixels_that_it_was_cut_from(row, column, size_px):
    row, column = min(row, SHAPE[1] - 1), min(column, SHAPE[2] - 1)
    row, column = max(row, 0), max(column, 0)
    volume = volume_of(np.arange(np.prod(SHAPE)).reshape(SHAPE) % 30_000 + 1, (1.0, 0.5, 0.8))
    (patch,) = cut_patches(volume, [(3.0, row, column)], size_px)

    heat = heat_of_patches(volume, [(3.0, row, column)], patch, MEANING)

    z, y, x = (slice(at, at + length) for at, length in zip(heat.origin, heat.values.shape, strict=True))
    np.testing.assert_allclose(heat.values, volume.voxels[z, y, x] / (0.05 * 0.08), rtol=1e-6)
    assert heat.values.sum() * 0.05 * 0.08 == pytest.approx(patch[patch > -1000].sum(), rel=1e-5)


def test_between_two_patches_values_go_over_from_one_to_the_other():
    volume = volume_of(np.zeros(SHAPE), (1.0, 1.0, 1.0))
    added = np.stack([np.full((8, 8), value, np.float32) for value in (0.01, 0.05, 0.03)])

    heat = heat_of_patches(volume, [(3.0, 20, 20), (7.0, 20, 20), (9.0, 20, 20)], added, MEANING)

    assert heat.origin == (3, 16, 16)
    assert heat.values[:, 4, 4] == pytest.approx([1, 2, 3, 4, 5, 4, 3])


def test_patches_beyond_the_first_and_last_slice_have_no_place():
    volume = volume_of(np.zeros(SHAPE), (1.0, 1.0, 1.0))
    added = np.stack([np.full((8, 8), value, np.float32) for value in (0.0, 0.04, 0.08)])

    heat = heat_of_patches(volume, [(-2.0, 20, 20), (2.0, 20, 20), (6.0, 20, 20)], added, MEANING)

    assert (heat.origin[0], heat.values[:3, 0, 0].tolist()) == (0, pytest.approx([2, 3, 4]))
