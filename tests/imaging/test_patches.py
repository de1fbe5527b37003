"""Patches are raw HU at the source's own pixels, centred on the candidate, air beyond the image."""

import numpy as np
import pytest

from cad_node.imaging.patches import cut_patches
from tests.imaging.geometry import volume_of


def numbered(shape=(3, 40, 60)):
    return volume_of(np.arange(np.prod(shape)).reshape(shape) % 3000, (2.0, 0.7, 0.7))


def test_a_patch_holds_the_slice_around_its_centre():
    volume = numbered()

    (patch,) = cut_patches(volume, [(1.2, 20.4, 29.6)], 10)

    assert patch.dtype == np.float32
    np.testing.assert_array_equal(patch[0], volume.voxels[1, 15:25, 25:35])


@pytest.mark.parametrize("centre", [(0, 0, 0), (2, 39, 59), (1, 0, 59)])
def test_beyond_the_image_lies_air(centre):
    volume = numbered()

    (patch,) = cut_patches(volume, [centre], 50)

    padded = np.pad(volume.voxels[centre[0]], 25, constant_values=-1000)
    np.testing.assert_array_equal(patch[0], padded[centre[1] : centre[1] + 50, centre[2] : centre[2] + 50])


def test_a_slice_beyond_the_stack_is_air():
    (patch,) = cut_patches(numbered(), [(7, 20, 20)], 10)

    assert np.all(patch == -1000)


def test_no_centres_make_no_patches():
    assert cut_patches(numbered(), [], 50).shape == (0, 1, 50, 50)
