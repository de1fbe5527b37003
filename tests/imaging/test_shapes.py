"""Mask operations measure in millimetres along every axis, whatever the voxels' shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cad_node.imaging.shapes import box_around, close, dilate, erode, largest_parts, part_at
from tests.imaging.geometry import ball

SHAPE = (9, 11, 13)
spacings = st.tuples(*[st.sampled_from([0.5, 0.75, 1.0, 2.5, 5.0])] * 3)
radii_mm = st.integers(1, 15).map(lambda step: 0.6131 * step)  # never the distance of two voxels: no ties for rounding to break
masks = st.builds(lambda seed, share: np.random.default_rng(seed).random(SHAPE) < share, st.integers(0, 2**32 - 1), st.floats(0, 1))


def within(mask: np.ndarray, radius_mm: float, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """By definition: every voxel against every voxel of the mask."""
    points = np.argwhere(np.ones(mask.shape, bool)) * spacing_mm
    marked = np.argwhere(mask) * spacing_mm
    near = [bool(len(marked)) and np.linalg.norm(marked - point, axis=1).min() <= radius_mm for point in points]
    return np.array(near).reshape(mask.shape)


@settings(max_examples=20, deadline=None)
@given(masks, radii_mm, spacings)
def test_dilation_reaches_all_that_is_within_the_radius(mask, radius_mm, spacing_mm):
    assert np.array_equal(dilate(mask, radius_mm, spacing_mm), within(mask, radius_mm, spacing_mm))


@settings(max_examples=20, deadline=None)
@given(masks, radii_mm, spacings)
def test_erosion_keeps_what_is_further_from_the_outside_and_the_border_is_no_outside(mask, radius_mm, spacing_mm):
    assert np.array_equal(erode(mask, radius_mm, spacing_mm), ~within(~mask, radius_mm, spacing_mm))


@pytest.mark.parametrize("operation", [dilate, erode, close])
@pytest.mark.parametrize("filled", [False, True])
def test_a_mask_of_one_value_stays_as_it_is(operation, filled):
    mask = np.full(SHAPE, filled)

    changed = operation(mask, 3.0, (2.0, 1.0, 1.0))

    assert np.array_equal(changed, mask)


@settings(max_examples=30, deadline=None)
@given(masks, radii_mm, spacings)
def test_closing_loses_nothing_and_is_done_once(mask, radius_mm, spacing_mm):
    closed = close(mask, radius_mm, spacing_mm)

    assert not (mask & ~closed).any()
    assert np.array_equal(close(closed, radius_mm, spacing_mm), closed)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_closing_fills_a_gap_narrower_than_the_ball_and_no_wider_one(axis):
    spacing_mm = (2.5, 0.7, 1.0)
    slab = np.ones((60, 60, 60), bool)
    narrow, wide = (np.moveaxis(slab.copy(), 0, axis) for _ in range(2))
    for mask, gap_mm in ((narrow, 8.0), (wide, 14.0)):
        width = int(gap_mm / spacing_mm[axis])
        np.moveaxis(mask, axis, 0)[20 : 20 + width] = False

    filled, left = (close(mask, 5.0, spacing_mm) for mask in (narrow, wide))

    middle = tuple(np.s_[21] if a == axis else np.s_[25:35] for a in range(3))
    assert filled[middle].all()
    assert not left[middle].any()


def test_the_largest_parts_come_first_and_corners_do_not_join():
    mask = np.zeros(SHAPE, bool)
    mask[0:2, 0:2, 0:2] = True
    mask[2, 2, 2] = True  # meets the block above by a corner
    mask[5:8, 5:8, 5:8] = True

    parts = largest_parts(mask, 2)

    assert [int(part.sum()) for part in parts] == [27, 8]
    assert len(largest_parts(mask, 9)) == 3
    assert largest_parts(np.zeros(SHAPE, bool), 2) == []


def test_the_part_at_a_voxel_is_all_that_is_joined_to_it():
    two = ball(SHAPE, (1, 1, 1), (4, 3, 3), 2) | ball(SHAPE, (1, 1, 1), (4, 8, 9), 2)

    part = part_at(two, (4, 3, 3))

    assert np.array_equal(part, ball(SHAPE, (1, 1, 1), (4, 3, 3), 2))
    assert not part_at(two, (0, 0, 0)).any()


@given(masks.filter(np.any))
def test_the_box_around_a_mask_holds_it_and_is_tight(mask):
    box = box_around(mask)

    assert mask[box].sum() == mask.sum()
    assert all(mask[box].any(axis=tuple({0, 1, 2} - {axis}))[[0, -1]].all() for axis in range(3))
