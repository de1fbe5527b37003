"""Cuts for the nodule networks keep HU where pixels keep their size, and size where they don't."""

import numpy as np
import pytest

from cad_node.findings import Region
from cad_node.imaging.nodule_slabs import JUDGEMENT_MM, cut_judgement_slab, cut_outline_slabs
from tests.imaging.geometry import ball

VOXELS = np.random.default_rng(1).integers(-1000, 400, (9, 90, 100)).astype(np.int16)


def test_an_outline_slab_at_the_source_s_own_pixels_keeps_every_value():
    slabs = cut_outline_slabs(VOXELS, np.array([4]), (45.5, 50.5), 1.0)

    assert slabs.shape == (1, 3, 64, 64)
    assert np.array_equal(slabs[0], VOXELS[3:6, 14:78, 19:83])


def test_a_slice_without_neighbour_stands_in_for_it():
    first, last = cut_outline_slabs(VOXELS, np.array([0, 8]), (45.5, 50.5), 1.0)

    assert np.array_equal(first[0], first[1])
    assert np.array_equal(last[2], last[1])


def test_beyond_the_image_its_rim_goes_on():
    slab = cut_outline_slabs(VOXELS, np.array([4]), (0.5, 50.5), 1.0)[0, 1]

    assert (slab[:31] == slab[31]).all()


def test_coarser_pixels_show_more():
    voxels = np.zeros((3, 200, 200), np.int16)
    voxels[:, 40:160, 40:160] = 100  # 120 pixels wide

    slab = cut_outline_slabs(voxels, np.array([1]), (99.5, 99.5), 3.0)[0, 1]

    assert (slab > 50).sum() == pytest.approx(40**2, rel=0.05)


@pytest.mark.parametrize("pixel_mm", [0.5, 0.7, 0.95])
def test_a_nodule_is_as_large_in_a_judgement_slab_whatever_the_scan_s_pixels(pixel_mm):
    shape, spacing_mm = (15, 120, 120), (1.25, pixel_mm, pixel_mm)
    mask = ball(shape, spacing_mm, (7, 60, 60), 6.0)
    voxels = np.where(mask, 40, -860).astype(np.int16)

    slab = cut_judgement_slab(voxels, spacing_mm, Region((0, 0, 0), mask))

    assert slab.shape == (3, 48, 48)
    assert (slab[1] > -410).sum() * JUDGEMENT_MM**2 == pytest.approx(np.pi * 36, rel=0.08)


def test_a_judgement_slab_looks_at_a_quarter_half_and_three_quarters_of_the_nodule():
    voxels = np.broadcast_to(np.arange(21, dtype=np.int16)[:, None, None], (21, 64, 64))
    region = Region((4, 30, 30), np.ones((9, 3, 3), bool))  # slices 4 to 12

    slab = cut_judgement_slab(voxels, (1.0, 0.75, 0.75), region)

    assert slab[:, 0, 0].tolist() == [6, 8, 10]


def test_the_middle_of_the_nodule_s_box_is_the_middle_of_the_slab():
    voxels = np.full((3, 64, 64), -860, np.int16)
    voxels[:, 30:34, 20:24] = 40
    region = Region((0, 30, 20), np.ones((3, 4, 4), bool))

    slab = cut_judgement_slab(voxels, (1.0, 0.75, 0.75), region)[1]

    assert np.argwhere(slab > 0).mean(axis=0).tolist() == [23.5, 23.5]
