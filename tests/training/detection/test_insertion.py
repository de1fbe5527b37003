"""A nodule put into lung has the place, the size and the density that were asked for, and leaves the rest alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cad_node.training.detection.insertion import diameter_of, insert_nodule
from cad_node.training.nodules.annotated import RATINGS, AnnotatedNodule
from tests.imaging.geometry import ball

LUNG_HU, NODULE_HU = -850, 30


def round_nodule(diameter_mm: float = 12.0) -> AnnotatedNodule:
    spacing_mm = (1.25, 0.7, 0.7)
    inside = ball((24, 64, 64), spacing_mm, (11.5, 32, 32), diameter_mm / 2)
    hu = np.where(inside, NODULE_HU, -700).astype(np.int16)
    readers = np.stack([inside] * 4)
    return AnnotatedNodule("1", "p", "1.2", hu, readers, 0.7, 1.25, 1.25, dict.fromkeys(RATINGS, (3,) * 4))


def test_diameter_is_that_of_the_ball():
    assert diameter_of(round_nodule()) == pytest.approx(12, abs=0.4)


@settings(max_examples=10, deadline=None)
@given(st.floats(5, 24), st.floats(0.8, 2.5), st.tuples(*[st.floats(-2, 2)] * 3))
def test_what_is_put_in_has_the_place_the_size_and_the_density_asked_for(diameter_mm, slice_mm, shift):
    spacing_mm = (slice_mm, 0.75, 0.75)
    voxels = np.full((int(50 / slice_mm), 66, 66), LUNG_HU, np.int16)
    centre = tuple(float(n / 2 + offset) for n, offset in zip(voxels.shape, shift, strict=True))

    insert_nodule(voxels, spacing_mm, centre, round_nodule(), diameter_mm)

    cover = (voxels.astype(float) - LUNG_HU) / (NODULE_HU - LUNG_HU)
    volume_mm3 = cover.sum() * np.prod(spacing_mm)
    assert np.cbrt(volume_mm3 * 6 / np.pi) == pytest.approx(diameter_mm, rel=0.12)
    found = np.multiply(ndimage.center_of_mass(cover), spacing_mm)
    assert found == pytest.approx(np.multiply(centre, spacing_mm), abs=0.5)
    assert voxels[0, 0, 0] == LUNG_HU


def test_a_nodule_at_the_border_of_the_image_is_cut_off_there():
    voxels = np.full((10, 20, 20), LUNG_HU, np.int16)

    insert_nodule(voxels, (1.0, 0.7, 0.7), (0.0, 0.0, 19.0), round_nodule(), 10.0)

    assert voxels[0, 0, 19] > 0
    assert voxels[9, 19, 0] == LUNG_HU
