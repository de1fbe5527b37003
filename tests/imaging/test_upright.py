"""However a scan was stored, it is seen the same way, and what is found goes back to where it was."""

import itertools

import numpy as np
import pytest

from cad_node.findings import Region
from cad_node.imaging.upright import see_upright
from cad_node.imaging.volume import Volume
from tests.imaging.geometry import volume_of

STORED = [(order, flips) for order in ((0, 1, 2), (0, 2, 1)) for flips in itertools.product((False, True), repeat=3)]


def stored(volume: Volume, order: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same voxels in the same places, in another order."""
    affine = volume.affine[:, [*order, 3]].copy()
    shape = [volume.voxels.shape[axis] for axis in order]
    for axis, back in enumerate(flips):
        if back:
            affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
            affine[:3, axis] *= -1
    steps = tuple(slice(None, None, -1 if back else 1) for back in flips)
    return Volume(volume.voxels.transpose(order)[steps], affine, volume.sources)


@pytest.mark.parametrize(("order", "flips"), STORED)
def test_every_way_to_store_a_scan_is_seen_alike(order, flips):
    volume = volume_of(np.arange(4 * 5 * 6).reshape(4, 5, 6), (3.0, 0.7, 0.8))

    upright = see_upright(stored(volume, order, flips))

    assert np.array_equal(upright.voxels, volume.voxels)
    assert upright.spacing_mm == pytest.approx((3.0, 0.7, 0.8))


@pytest.mark.parametrize(("order", "flips"), STORED)
def test_a_region_goes_back_to_its_own_voxels(order, flips):
    volume = stored(volume_of(np.arange(4 * 5 * 6).reshape(4, 5, 6), (3.0, 0.7, 0.8)), order, flips)
    upright = see_upright(volume)
    region = Region((1, 2, 1), np.arange(8).reshape(2, 2, 2) % 3 > 0)

    back = upright.to_source(region)

    assert sorted(volume.voxels[back.slices][back.mask]) == sorted(upright.voxels[region.slices][region.mask])
    assert volume.voxels[tuple(int(at) for at in upright.to_source_index((3, 1, 2)))] == upright.voxels[3, 1, 2]
