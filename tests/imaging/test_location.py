"""Where a nodule lies: side, third of the lung's height, distance to the lung's border."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cad_node.findings import Region
from cad_node.imaging.concepts import LEFT_LUNG, RIGHT_LUNG
from cad_node.imaging.location import distance_to_border_mm, lung_with, zone
from cad_node.imaging.lungs import Lungs
from tests.imaging.geometry import volume_of

SPACING_MM = (2.0, 0.8, 0.5)
VOLUME = volume_of(np.full((40, 60, 90), -850), SPACING_MM, origin_lps_mm=(-20, -20, -600))
RIGHT = Region((5, 10, 4), np.ones((30, 40, 40), np.bool_))
LEFT = Region((5, 10, 46), np.ones((30, 40, 40), np.bool_))
LUNGS = Lungs(LEFT, RIGHT)


def voxel_at(*index: int) -> Region:
    return Region(index, np.ones((1, 1, 1), np.bool_))


def test_the_side_is_that_of_the_lung_with_most_of_it():
    straddling = Region((20, 30, 41), np.ones((2, 2, 6), np.bool_))  # three columns in the right lung, one in the left

    assert lung_with(voxel_at(20, 30, 20), LUNGS) == (RIGHT_LUNG, RIGHT)
    assert lung_with(voxel_at(20, 30, 60), LUNGS) == (LEFT_LUNG, LEFT)
    assert lung_with(straddling, LUNGS) == (RIGHT_LUNG, RIGHT)


def test_outside_both_lungs_there_is_no_side():
    assert lung_with(voxel_at(1, 1, 1), LUNGS) is None
    assert lung_with(voxel_at(20, 30, 20), Lungs(LEFT, None)) is None


@pytest.mark.parametrize(
    ("slice_index", "name"), [(5, "Lower"), (14, "Lower"), (15, "Middle"), (24, "Middle"), (25, "Upper"), (34, "Upper"), (39, "Upper")]
)
def test_zones_are_thirds_of_the_lungs_height(slice_index, name):
    assert zone(VOLUME, VOLUME.to_lps((slice_index, 30, 20)), RIGHT).meaning == f"{name} zone of lung"


def test_the_upper_zone_is_up_whichever_way_the_slices_run():
    affine = VOLUME.affine.copy()
    affine[:, 0] *= -1
    upside_down = type(VOLUME)(VOLUME.voxels, affine, VOLUME.sources)

    assert zone(upside_down, upside_down.to_lps((6, 30, 20)), RIGHT).meaning == "Upper zone of lung"


@given(index=st.tuples(st.integers(5, 34), st.integers(10, 49), st.integers(4, 43)))
def test_the_distance_is_to_the_nearest_face_of_a_box(index):
    gaps = [min(i - low, low + n - 1 - i) * mm for i, low, n, mm in zip(index, RIGHT.origin, RIGHT.mask.shape, SPACING_MM, strict=True)]

    assert distance_to_border_mm(VOLUME, voxel_at(*index), RIGHT) == pytest.approx(min(gaps))


def test_what_touches_the_border_or_leaves_the_lung_is_at_none():
    leaving = Region((20, 30, 40), np.ones((1, 1, 8), np.bool_))

    assert distance_to_border_mm(VOLUME, leaving, RIGHT) == 0


def test_it_is_measured_from_the_surface():
    thick = Region((18, 28, 14), np.ones((4, 4, 21), np.bool_))

    assert distance_to_border_mm(VOLUME, thick, RIGHT) == pytest.approx((43 - 34) * 0.5)


def test_a_lung_that_fills_the_volume_has_no_border():
    whole = Region((0, 0, 0), np.ones(VOLUME.voxels.shape, np.bool_))

    assert distance_to_border_mm(VOLUME, voxel_at(20, 30, 20), whole) is None
