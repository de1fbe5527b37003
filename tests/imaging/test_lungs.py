"""The lungs are found whole and on the right side; a scan without them is refused."""

import os
from pathlib import Path

import numpy as np
import pytest

from cad_node.errors import Refusal, UnusableSeries
from cad_node.imaging.lungs import segment_lungs
from cad_node.phantom import NODULES
from tests.imaging.geometry import ball, volume_of
from tests.imaging.phantom_volume import index_of, mirrored, phantom_lungs, phantom_volume

DATA = os.environ.get("CAD_NODE_DATA")


def test_left_and_right_are_the_patients_own():
    volume, lungs = phantom_volume(), phantom_lungs()

    for region, side in ((lungs.left, 1), (lungs.right, -1)):
        centre = np.mean(np.argwhere(region.mask), axis=0) + region.origin
        assert side * volume.to_lps(tuple(centre))[0] > 40
        assert 1.5e6 < region.mask.sum() * np.prod(volume.spacing_mm) < 3.5e6


def test_the_image_that_is_mirrored_has_the_same_lungs():
    lungs = segment_lungs(mirrored(phantom_volume()))

    for found, known in ((lungs.left, phantom_lungs().left), (lungs.right, phantom_lungs().right)):
        assert found.mask.sum() == pytest.approx(known.mask.sum(), rel=0.02)


def test_nodules_are_inside_trachea_and_main_bronchi_outside():
    volume = phantom_volume()
    mask = phantom_lungs().mask(volume.voxels.shape)

    inside = {nodule.centre_lps_mm: bool(mask[tuple(index_of(volume, nodule.centre_lps_mm).round().astype(int))]) for nodule in NODULES}
    airways = [(0.0, 10.0, 100.0), (0.0, 15.0, 60.0), (20.0, 20.0, 19.0), (-20.0, 20.0, 19.0)]
    outside = {point: not mask[tuple(index_of(volume, point).round().astype(int))] for point in airways}

    assert all(inside.values()), inside
    assert all(outside.values()), outside


def test_lungs_do_not_overlap():
    left, right = phantom_lungs().left, phantom_lungs().right
    both = np.zeros(phantom_volume().voxels.shape, np.uint8)

    for region in (left, right):
        both[region.slices] += region.mask

    assert both.max() == 1


@pytest.mark.parametrize("hu", [-1000, 40], ids=["air", "water"])
def test_an_empty_scan_is_refused(hu):
    volume = volume_of(np.full((40, 128, 128), hu), (5.0, 2.5, 2.5))

    with pytest.raises(UnusableSeries) as caught:
        segment_lungs(volume)

    assert caught.value.code is Refusal.ANATOMY_NOT_FOUND
    assert "1.2.3.4" in caught.value.sentence


def test_a_belly_with_gas_is_refused():
    shape, spacing_mm = (60, 160, 160), (4.0, 2.5, 2.5)
    voxels = np.where(ball(shape, spacing_mm, (30, 80, 80), (900, 110, 160)), 40, -1000)
    voxels[ball(shape, spacing_mm, (30, 60, 90), 35)] = -990  # less than lungs hold

    with pytest.raises(UnusableSeries, match=r"\d+ ml of air") as caught:
        segment_lungs(volume_of(voxels, spacing_mm))

    assert caught.value.code is Refusal.ANATOMY_NOT_FOUND


def test_a_head_is_refused():
    shape, spacing_mm = (60, 160, 160), (3.0, 1.6, 1.6)
    voxels = np.full(shape, -1000)
    for radii_mm, hu in ((90, 1200), (82, 35)):
        voxels[ball(shape, spacing_mm, (30, 80, 80), radii_mm)] = hu
    voxels[ball(shape, spacing_mm, (25, 45, 80), 22)] = -1000  # sinuses

    with pytest.raises(UnusableSeries) as caught:
        segment_lungs(volume_of(voxels, spacing_mm))

    assert caught.value.code is Refusal.ANATOMY_NOT_FOUND
    assert caught.value.sentence.startswith("series 1.2.3.4: ")


@pytest.mark.parametrize("cut_px", [1, 4, 8])
def test_lungs_cut_by_the_image_s_sides_are_found_whole(cut_px):
    volume, known = phantom_volume(), phantom_lungs().mask(phantom_volume().voxels.shape)
    columns, rows = np.flatnonzero(known.any(axis=(0, 1))), np.flatnonzero(known.any(axis=(0, 2)))
    left, right, top = columns[0] + cut_px, columns[-1] + 1 - cut_px, rows[0] - 2
    box = np.s_[:, top : rows[-1] + 3, left:right]
    affine = volume.affine.copy()
    affine[:3, 3] = volume.to_lps((0, top, left))

    found = segment_lungs(type(volume)(volume.voxels[box], affine, volume.sources))

    assert dice(found.mask(known[box].shape), known[box]) > 0.99
    assert found.left.mask.sum() == pytest.approx(found.right.mask.sum(), rel=0.3)


@pytest.mark.parametrize("radius_mm", [150, 130], ids=["around the lungs", "through the lungs"])
def test_lungs_in_a_round_field_of_view_are_found_whole(radius_mm):
    volume, known = phantom_volume(), phantom_lungs().mask(phantom_volume().voxels.shape)
    rows, columns = np.indices(volume.voxels.shape[1:]) * volume.spacing_mm[2]
    beyond = np.hypot(rows - rows.mean(), columns - columns.mean()) > radius_mm
    voxels = np.where(beyond, np.int16(-2000), volume.voxels)

    found = segment_lungs(type(volume)(voxels, volume.affine, volume.sources))

    assert dice(found.mask(voxels.shape), known & ~beyond) > 0.99


def test_a_nodule_in_the_pleura_belongs_to_the_lung():
    volume = phantom_volume()
    mask = phantom_lungs().mask(volume.voxels.shape)
    nodule = NODULES[2]

    truth = ball(mask.shape, volume.spacing_mm, index_of(volume, nodule.centre_lps_mm), nodule.diameter_mm / 2)

    assert (mask & truth).sum() > 0.85 * truth.sum()


def test_lungs_that_touch_are_two():
    volume = phantom_volume()
    z, y, x = index_of(volume, (0.0, -75.0, 30.0)).round().astype(int)
    joined = volume.voxels.copy()
    joined[z : z + 10, y : y + 8, x - 60 : x + 60] = -860  # an anterior junction line too thin to see

    lungs = segment_lungs(type(volume)(joined, volume.affine, volume.sources))

    assert lungs.left.mask.sum() == pytest.approx(phantom_lungs().left.mask.sum(), rel=0.05)
    assert lungs.right.mask.sum() == pytest.approx(phantom_lungs().right.mask.sum(), rel=0.05)


@pytest.mark.parametrize("side", [1, -1], ids=["left", "right"])
def test_a_lone_lung_is_on_its_own_side(side):
    volume = phantom_volume()
    other = phantom_lungs().right if side == 1 else phantom_lungs().left
    voxels = volume.voxels.copy()
    voxels[other.slices][other.mask] = 20  # an effusion

    lungs = segment_lungs(type(volume)(voxels, volume.affine, volume.sources))

    assert (lungs.left is None, lungs.right is None) == (side == -1, side == 1)
    assert len(lungs.regions) == 1


def test_an_airway_open_to_the_outside_does_not_lose_the_lungs():
    volume = phantom_volume()
    z, y, x = index_of(volume, (0.0, 9.0, 118.0)).round().astype(int)
    opened = volume.voxels.copy()
    opened[z:, : y + 1, x - 2 : x + 3] = -1000  # as through the mouth

    lungs = segment_lungs(type(volume)(opened, volume.affine, volume.sources))

    assert lungs.left.mask.sum() == pytest.approx(phantom_lungs().left.mask.sum(), rel=0.05)
    assert lungs.right.mask.sum() == pytest.approx(phantom_lungs().right.mask.sum(), rel=0.05)


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


with_data = pytest.mark.skipif(not DATA, reason="CAD_NODE_DATA names no folder of real scans")


@with_data
@pytest.mark.parametrize("scan", ["id001", "id002", "id003", "id004"])
def test_real_lungs_agree_with_their_masks(scan):
    arrays = np.load(Path(DATA or "") / "lung3d_demo" / f"{scan}.npz")
    voxels, truth = arrays["ct"].transpose(2, 1, 0), arrays["lung"].transpose(2, 1, 0).astype(bool)
    x_mm, y_mm, z_mm = (float(mm) for mm in arrays["spacing"])

    found = segment_lungs(volume_of(voxels, (z_mm, y_mm, x_mm))).mask(voxels.shape)

    print(f"{scan}: Dice {dice(found, truth):.3f}")
    assert dice(found, truth) > 0.93


@with_data
@pytest.mark.parametrize("case", range(12))
def test_real_lungs_of_thick_slices_agree_with_their_outlines(case):
    grey, truth = (stacked(Path(DATA or "") / "lctsc_lung_masks" / f"Case_{case:03}_{kind}.png") for kind in ("img", "mask"))
    voxels, truth = grey * 1424.0 / 255 - 1024, truth > 0

    lungs = segment_lungs(volume_of(voxels, (9.0, 1.95, 1.95)))

    overlap = dice(lungs.mask(voxels.shape), truth)
    print(f"case {case}: Dice {overlap:.3f}")
    assert overlap > 0.93
    assert len(lungs.regions) == 2


def stacked(file: Path) -> np.ndarray:
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the masks").open(file)
    return np.asarray(image).reshape(-1, 256, 256)
