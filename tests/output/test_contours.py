"""Polygons of a mask: filled again, they are the mask."""

import numpy as np
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.measure import points_in_poly

from cad_node.output.contours import polygons, simplified

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14))


def filled(lines, shape):
    """Pixels whose centres are in one of the polygons."""
    centres = np.indices(shape).reshape(2, -1).T
    inside = np.zeros(len(centres), np.bool_)
    for line in lines:
        inside |= points_in_poly(centres, line)
    return inside.reshape(shape)


def area_of(line):
    after = np.roll(line, -1, axis=0)
    return abs(float((line[:, 0] * after[:, 1] - line[:, 1] * after[:, 0]).sum())) / 2


def ring():
    """Twenty-one pixels wide, with two holes, one of which has an island."""
    plane = np.ones((21, 21), np.bool_)
    plane[3:6, 3:6] = False
    plane[8:18, 8:18] = False
    plane[11:14, 11:14] = True
    return plane


@settings(deadline=None)
@given(MASKS)
def test_filled_again_they_are_the_mask(plane):
    lines = polygons(plane)

    assert np.array_equal(filled(lines, plane.shape), plane)


def test_a_hole_is_joined_to_what_is_around_it_by_one_channel_and_an_island_in_it_is_a_polygon_of_its_own():
    lines = polygons(ring())

    assert len(lines) == 2
    assert sorted(round(area_of(line), 6) for line in lines) == [9 - 0.5, 441 - 0.5 - (9 + 0.5 - 1) - (100 + 0.5 - 1)]


def test_a_mask_at_the_image_s_edge_is_closed_outside_of_it():
    (line,) = polygons(np.ones((3, 4), np.bool_))

    assert (line.min(axis=0).tolist(), line.max(axis=0).tolist()) == ([-0.5, -0.5], [2.5, 3.5])
    assert len(line) == 8


def test_no_mask_makes_none():
    assert polygons(np.zeros((4, 4), np.bool_)) == []


def test_a_simplified_polygon_has_fewer_points_and_nearly_the_same_area():
    rows, columns = np.indices((80, 80))
    (line,) = polygons((rows - 40) ** 2 + (columns - 38) ** 2 < 900)

    fewer = simplified(line, 0.5)

    assert len(fewer) < 0.6 * len(line)
    assert abs(area_of(fewer) / area_of(line) - 1) < 0.02
