"""Slices go to the network's grid and back without moving."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cad_node.imaging.slabs import lay_slabs
from tests.imaging.geometry import ball

PIXEL_MM = 2.0
spacings = st.tuples(st.floats(0.4, 6), st.floats(0.5, 3), st.floats(0.5, 3))


@settings(max_examples=12, deadline=None)
@given(spacings)
def test_a_plane_of_one_density_stays_so(spacing_mm):
    voxels = np.full((5, 40, 50), 70, np.int16)
    slabs = lay_slabs(voxels.shape, spacing_mm, PIXEL_MM, 16)

    planes = np.stack(list(slabs.planes(voxels)))

    assert planes.shape == slabs.shape
    assert set(np.unique(planes.round(2))) <= {70.0, -1024.0}
    assert (planes > 0).sum() * np.prod(slabs.spacing_mm[1:]) == pytest.approx(
        len(planes) * 40 * 50 * spacing_mm[1] * spacing_mm[2], rel=0.25
    )


@settings(max_examples=12, deadline=None)
@given(spacings)
def test_a_ball_comes_back_where_it_was(spacing_mm):
    shape = tuple(int(60 / mm) + 2 for mm in spacing_mm)
    centre = tuple((n - 1) * share for n, share in zip(shape, (0.5, 0.4, 0.6), strict=True))
    solid = ball(shape, spacing_mm, centre, 18)
    slabs = lay_slabs(shape, spacing_mm, PIXEL_MM, 16)
    everything = tuple(slice(0, n) for n in slabs.shape)

    share = (np.stack(list(slabs.planes(np.where(solid, 1000, 0).astype(np.int16)))) / 1000).astype(np.float32)
    back = np.stack([slabs.on_slice(share, index, everything) for index in range(shape[0])])

    moved_mm = (np.argwhere(back > 0.5).mean(axis=0) - np.argwhere(solid).mean(axis=0)) * spacing_mm
    assert np.abs(moved_mm).max() < 1.0
    assert (back > 0.5).sum() == pytest.approx(solid.sum(), rel=0.2)


def test_a_point_of_the_grid_is_the_source_s_own():
    slabs = lay_slabs((10, 64, 64), (1.0, 1.0, 1.0), PIXEL_MM, 16)
    voxels = np.full((10, 64, 64), -1000, np.int16)
    voxels[3:6, 20:22, 40:42] = 1000

    grid = np.stack(list(slabs.planes(voxels)))

    index = tuple(float(at) for at in np.unravel_index(grid.argmax(), grid.shape))
    assert slabs.to_source(index) == (4.0, 20.5, 40.5)


def test_the_last_slab_may_be_thinner():
    slabs = lay_slabs((7, 32, 32), (1.0, 1.0, 1.0), PIXEL_MM, 16)

    planes = list(slabs.planes(np.full((7, 32, 32), -300, np.int16)))

    assert (slabs.slices, slabs.shape) == (3, (3, 16, 16))
    assert np.allclose(planes[-1], -300)
