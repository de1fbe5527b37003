"""Parts of masks are those that are joined by faces, and boxes hold all of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cad_node.imaging.shapes import box_around, largest_parts, part_at
from tests.imaging.geometry import ball

SHAPE = (9, 11, 13)
masks = st.builds(lambda seed, share: np.random.default_rng(seed).random(SHAPE) < share, st.integers(0, 2**32 - 1), st.floats(0, 1))


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
