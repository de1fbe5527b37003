"""The shipped network and the shapes after it find the lungs of real and drawn chests, and none where there are none."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cad_node.errors import Refusal, UnusableSeries
from cad_node.imaging.volume import Volume
from cad_node.inference.network import Network, load_network
from cad_node.inference.segment_lungs import segment_lungs
from cad_node.manifest import PartFolder, newest_version, read_part
from cad_node.phantom import NODULES
from tests.imaging.geometry import ball, volume_of
from tests.imaging.phantom_volume import index_of, mirrored, phantom_lungs, phantom_volume
from tests.shipped_models import MODELS

DATA = os.environ.get("CAD_NODE_DATA")
SHIPPED = newest_version(MODELS / "lung_segmentation_ct")
with_data = pytest.mark.skipif(not DATA, reason="CAD_NODE_DATA names no folder of real scans")


@cache
def network() -> Network:
    return load_network(PartFolder(SHIPPED, read_part(SHIPPED)), "cpu")


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def test_the_phantom_s_lungs_are_found_with_every_nodule():
    volume, truth = phantom_volume(), phantom_lungs().mask(phantom_volume().voxels.shape)

    lungs = segment_lungs(volume, network())

    mask = lungs.mask(truth.shape)
    inside = {nodule.centre_lps_mm: bool(mask[tuple(index_of(volume, nodule.centre_lps_mm).round().astype(int))]) for nodule in NODULES}
    assert dice(mask, truth) > 0.96
    assert all(inside.values()), inside


def test_a_patient_who_lay_feet_first_has_the_same_lungs():
    lungs, turned = (segment_lungs(volume, network()) for volume in (phantom_volume(), mirrored(phantom_volume())))

    for found, other in ((lungs.left, turned.left), (lungs.right, turned.right)):
        assert found.mask.sum() == pytest.approx(other.mask.sum(), rel=0.02)


def head() -> Volume:
    shape, spacing_mm = (60, 160, 160), (3.0, 1.6, 1.6)
    voxels = np.full(shape, -1000)
    for radii_mm, hu in ((90, 1200), (82, 35)):
        voxels[ball(shape, spacing_mm, (30, 80, 80), radii_mm)] = hu
    voxels[ball(shape, spacing_mm, (25, 45, 80), 22)] = -1000  # sinuses
    return volume_of(voxels, spacing_mm)


def belly() -> Volume:
    shape, spacing_mm = (60, 160, 160), (4.0, 2.5, 2.5)
    voxels = np.where(ball(shape, spacing_mm, (30, 80, 80), (900, 110, 160)), 40, -1000)
    voxels[ball(shape, spacing_mm, (30, 60, 90), 35)] = -990
    return volume_of(voxels, spacing_mm)


def water_phantom() -> Volume:
    shape, spacing_mm = (40, 128, 128), (5.0, 2.0, 2.0)
    return volume_of(np.where(ball(shape, spacing_mm, (20, 64, 64), (900, 100, 100)), 0, -1000), spacing_mm)


@pytest.mark.parametrize(
    "volume",
    [head(), belly(), water_phantom(), volume_of(np.full((40, 128, 128), -1000), (5.0, 2.5, 2.5))],
    ids=["head", "belly with gas", "water phantom", "air"],
)
def test_where_there_are_no_lungs_it_says_so(volume):
    with pytest.raises(UnusableSeries, match="ml of lung found") as caught:
        segment_lungs(volume, network())

    assert caught.value.code is Refusal.ANATOMY_NOT_FOUND


@with_data
@pytest.mark.parametrize("scan", ["id001", "id002", "id003", "id004"])
def test_real_lungs_agree_with_their_masks(scan):
    arrays = np.load(Path(DATA or "") / "lung3d_demo" / f"{scan}.npz")
    voxels, truth = arrays["ct"].transpose(2, 1, 0), arrays["lung"].transpose(2, 1, 0).astype(bool)
    x_mm, y_mm, z_mm = (float(mm) for mm in arrays["spacing"])

    lungs = segment_lungs(volume_of(voxels, (z_mm, y_mm, x_mm)), network())

    overlap = dice(lungs.mask(voxels.shape), truth)
    print(f"{scan}: Dice {overlap:.3f}")
    assert overlap > 0.96
    assert len(lungs.regions) == 2
