"""Surfaces of masks: closed, outside out, in place, and as large as the mask."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from cad_node.findings import Region
from cad_node.output.surface import surface

AFFINE = np.array([[0, 0.1, 0.78, -120.0], [0, 0.77, -0.1, 33.0], [1.25, 0, 0, -700.0], [0, 0, 0, 1]])
MIRRORED = AFFINE @ np.diag([-1.0, 1, 1, 1])


def ellipsoid(*radii):
    size = [int(2 * radius) + 3 for radius in radii]
    distance = sum(((i - n / 2) / r) ** 2 for i, n, r in zip(np.indices(size), size, radii, strict=True))
    mask = distance <= 1
    mask[tuple(n // 2 for n in size)] = True
    return mask


def as_written(mesh):
    """Vertices as a reader of the file has them: float32, and one where several are the same."""
    return trimesh.Trimesh(mesh.vertices.astype(np.float32), mesh.faces, process=True)


def assert_closed_and_as_large(mesh, mask, affine):
    read = as_written(mesh)
    assert read.is_watertight
    assert read.is_winding_consistent
    assert read.volume == pytest.approx(mask.sum() * abs(np.linalg.det(affine[:3, :3])), rel=0.02)


@pytest.mark.parametrize("affine", [AFFINE, MIRRORED], ids=["as usual", "mirrored"])
@pytest.mark.parametrize("radii", [(0.4, 0.4, 0.4), (1.2, 2, 2), (3, 5, 4), (9, 20, 14), (30, 90, 70)])
def test_it_is_closed_as_large_as_the_mask_and_where_the_mask_is(radii, affine):
    mask = ellipsoid(*radii)
    origin = (7, 40, 11)

    mesh = surface(Region(origin, mask), affine)

    assert_closed_and_as_large(mesh, mask, affine)
    index = (mesh.vertices - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    voxels = np.argwhere(mask) + origin
    assert np.abs(index.min(axis=0) - (voxels.min(axis=0) - 0.5)).max() < 1
    assert np.abs(index.max(axis=0) - (voxels.max(axis=0) + 0.5)).max() < 1


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 7)] * 3), st.sampled_from([AFFINE, MIRRORED]))
def test_whatever_the_mask_it_is_closed_and_as_large(seed, shape, affine):
    mask = np.random.default_rng(seed).random(shape) < 0.5
    mask[0, 0, 0] = True

    mesh = surface(Region((0, 0, 0), mask), affine)

    assert_closed_and_as_large(mesh, mask, affine)


def test_a_large_one_has_fewer_triangles_than_voxels_on_its_surface():
    mask = ellipsoid(60, 110, 90)

    mesh = surface(Region((0, 0, 0), mask), AFFINE)

    assert 30_000 < len(mesh.faces) < 110_000  # 50 bytes each


def test_it_has_no_steps():
    mask = ellipsoid(12, 15, 15)

    mesh = surface(Region((0, 0, 0), mask), np.diag([1.25, 1.0, 1.0, 1.0]))

    turns = np.degrees(mesh.face_adjacency_angles)
    assert np.percentile(turns, 95) < 30  # the voxels' own faces turn by 90
