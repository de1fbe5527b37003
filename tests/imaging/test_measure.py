"""Sizes are true millimetres whatever the grid."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cad_node.findings import Region
from cad_node.imaging.measure import measure
from tests.imaging.geometry import ball, volume_of

spacings = st.tuples(st.floats(0.5, 2.5), st.floats(0.5, 0.95), st.floats(0.5, 0.95))


@settings(max_examples=40, deadline=None)
@given(spacing_mm=spacings, radius_mm=st.floats(4, 9), offset=st.tuples(*[st.floats(0, 1)] * 3))
def test_a_ball_measures_its_diameter_and_its_volume(spacing_mm, radius_mm, offset):
    shape = tuple(int(24 / mm) + 2 for mm in spacing_mm)
    centre = tuple(n / 2 + part for n, part in zip(shape, offset, strict=True))
    volume = volume_of(np.full(shape, 40, np.int16), spacing_mm, origin_lps_mm=(-30, 12, -700))

    size = measure(volume, Region((0, 0, 0), ball(shape, spacing_mm, centre, radius_mm)))

    pixel_mm = max(spacing_mm[1:])
    assert size.long_axis.length_mm == pytest.approx(2 * radius_mm, abs=1.5 * pixel_mm)
    assert size.short_axis.length_mm == pytest.approx(2 * radius_mm, abs=2 * pixel_mm)
    assert size.volume_mm3 == pytest.approx(4 / 3 * math.pi * radius_mm**3, rel=0.12)
    assert size.centre_lps_mm == pytest.approx(volume.to_lps(centre), abs=0.5 * max(spacing_mm))
    assert size.mean_hu == 40


def test_an_ellipsoid_measures_both_its_axes():
    spacing_mm = (1.0, 0.7, 0.7)
    mask = ball((30, 60, 60), spacing_mm, (15, 30, 30), (6.0, 5.0, 10.0))

    size = measure(volume_of(np.zeros(mask.shape), spacing_mm), Region((0, 0, 0), mask))

    assert size.long_axis.length_mm == pytest.approx(20, abs=0.8)
    assert size.short_axis.length_mm == pytest.approx(10, abs=0.8)
    assert size.long_axis.slice_index == size.short_axis.slice_index


@settings(max_examples=40, deadline=None)
@given(spacing_mm=spacings, seed=st.integers(0, 2**32 - 1))
def test_axes_are_perpendicular_and_lie_where_their_pixels_say(spacing_mm, seed):
    mask = np.random.default_rng(seed).random((3, 9, 9)) > 0.6
    origin = (4, 20, 30)
    volume = volume_of(np.zeros((10, 40, 50)), spacing_mm, origin_lps_mm=(-30, 12, -700))

    size = measure(volume, Region(origin, mask))

    directions = []
    for axis in (size.long_axis, size.short_axis):
        for (column, row), lps in zip(axis.ends_px, axis.ends_lps_mm, strict=True):
            assert lps == pytest.approx(volume.to_lps((axis.slice_index, row - 0.5, column - 0.5)))
        directions.append(np.subtract(*axis.ends_lps_mm))
        assert axis.length_mm == pytest.approx(np.linalg.norm(directions[-1]))
    assert np.dot(*directions) == pytest.approx(0, abs=1e-6)
    assert size.long_axis.length_mm >= size.short_axis.length_mm - 2 * max(spacing_mm[1:])


def test_one_voxel_is_as_long_as_its_pixel():
    mask = np.ones((1, 1, 1), np.bool_)

    size = measure(volume_of(np.zeros((3, 9, 9)), (2.0, 0.8, 0.8)), Region((1, 4, 5), mask))

    assert size.long_axis.length_mm == pytest.approx(0.8)
    assert size.short_axis.length_mm == pytest.approx(0.8)
    assert size.volume_mm3 == pytest.approx(2.0 * 0.8 * 0.8)
