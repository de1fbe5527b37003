"""A map of lung becomes two lungs, each whole and on its own side; a map without them is refused."""

import numpy as np
import pytest

from cad_node.errors import Refusal, UnusableSeries
from cad_node.imaging.lungs import LungMap, Lungs, delineate_lungs
from cad_node.imaging.slabs import lay_slabs
from cad_node.imaging.upright import see_upright
from cad_node.imaging.volume import Volume
from cad_node.phantom import NODULES
from tests.imaging.geometry import ball, volume_of
from tests.imaging.phantom_volume import index_of, mirrored, phantom_lungs, phantom_volume


def drawn() -> np.ndarray:
    return phantom_lungs().mask(phantom_volume().voxels.shape)


def delineated(volume: Volume, truth: np.ndarray) -> Lungs:
    """From the map that a network without fault would give."""
    upright = see_upright(volume)
    slabs = lay_slabs(upright.voxels.shape, upright.spacing_mm, 2.0, 16)
    told = see_upright(Volume(np.where(truth, np.int16(1000), np.int16(0)), volume.affine, volume.sources)).voxels
    hu, share = (np.stack(list(slabs.planes(voxels))) for voxels in (upright.voxels, told))
    return delineate_lungs(volume, upright, LungMap(slabs, hu, np.clip(share / 1000, 0, 1), 0.5))


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def with_hu(volume: Volume, where: np.ndarray, hu: int) -> Volume:
    return Volume(np.where(where, np.int16(hu), volume.voxels), volume.affine, volume.sources)


def test_lungs_are_drawn_at_the_scan_s_own_resolution_each_on_its_side():
    lungs = delineated(phantom_volume(), drawn())

    for found, known in ((lungs.left, phantom_lungs().left), (lungs.right, phantom_lungs().right)):
        sides = [Lungs(region, None).mask(drawn().shape) for region in (found, known)]
        assert dice(*sides) > 0.97


def test_a_scan_that_is_stored_the_other_way_round_has_the_same_lungs():
    volume = mirrored(phantom_volume())

    lungs = delineated(volume, drawn()[::-1, :, ::-1])

    for found, known in ((lungs.left, phantom_lungs().left), (lungs.right, phantom_lungs().right)):
        assert found.mask.sum() == pytest.approx(known.mask.sum(), rel=0.05)
        centre = np.mean(np.argwhere(found.mask), axis=0) + found.origin
        assert (volume.to_lps(tuple(centre))[0] > 0) == (known is phantom_lungs().left)


def test_a_nodule_at_the_chest_wall_belongs_to_the_lung_though_the_map_leaves_it_out():
    volume, nodule = phantom_volume(), NODULES[2]
    truth = ball(volume.voxels.shape, volume.spacing_mm, index_of(volume, nodule.centre_lps_mm), nodule.diameter_mm / 2)

    found = delineated(volume, drawn() & ~truth).mask(truth.shape)

    assert (found & truth).sum() > 0.8 * (drawn() & truth).sum()


def test_lungs_that_touch_are_two():
    volume, truth = phantom_volume(), drawn().copy()
    z, y, x = index_of(volume, (0.0, -75.0, 30.0)).round().astype(int)
    truth[z : z + 10, y : y + 8, x - 60 : x + 60] = True  # an anterior junction line too thin to see

    lungs = delineated(with_hu(volume, truth & ~drawn(), -860), truth)

    assert lungs.left.mask.sum() == pytest.approx(phantom_lungs().left.mask.sum(), rel=0.06)
    assert lungs.right.mask.sum() == pytest.approx(phantom_lungs().right.mask.sum(), rel=0.06)


def test_air_before_the_body_is_no_lung_though_the_map_says_so():
    volume, truth = phantom_volume(), drawn()
    before = np.zeros(truth.shape, bool)
    before[:, 5:75, 60:-60] = True  # as between body and table of a patient face down; more than a lung
    assert (volume.voxels[before] < -900).all()

    found = delineated(volume, truth | before).mask(truth.shape)

    assert not found[before].any()
    assert dice(found, truth) > 0.97


def test_lungs_do_not_overlap():
    lungs = delineated(phantom_volume(), drawn())
    both = np.zeros(drawn().shape, np.uint8)

    for region in lungs.regions:
        both[region.slices] += region.mask

    assert both.max() == 1


@pytest.mark.parametrize("side", [1, -1], ids=["left", "right"])
def test_a_lone_lung_is_on_its_own_side(side):
    volume = phantom_volume()
    other = Lungs(phantom_lungs().right if side == 1 else phantom_lungs().left, None).mask(drawn().shape)

    lungs = delineated(with_hu(volume, other, 20), drawn() & ~other)

    assert (lungs.left is None, lungs.right is None) == (side == -1, side == 1)


def test_the_airways_are_not_lung_and_the_carina_is_where_they_divide():
    volume = phantom_volume()
    z, y, x = np.indices(volume.voxels.shape, sparse=True)
    trachea = np.hypot((y - index_of(volume, (0, 10, 60))[1]), (x - index_of(volume, (0, 10, 60))[2])) * 0.95 < 12
    in_trachea = trachea & (z * 2.5 - 124 > 45)

    lungs = delineated(volume, drawn() | in_trachea)  # as a network that takes the trachea for lung

    mask = lungs.mask(volume.voxels.shape)
    outside = [(0.0, 10.0, 100.0), (0.0, 12.0, 60.0)]
    assert not any(mask[tuple(index_of(volume, point).round().astype(int))] for point in outside)
    assert lungs.carina_lps_mm == pytest.approx((0, 20, 25), abs=8)


def test_a_map_with_too_little_lung_is_refused():
    volume = phantom_volume()
    little = np.zeros_like(drawn())
    little[:12] = drawn()[:12]

    with pytest.raises(UnusableSeries, match=r"\d+ ml of lung found, a chest has 800 to 12000") as caught:
        delineated(volume, little)

    assert caught.value.code is Refusal.ANATOMY_NOT_FOUND
    assert caught.value.sentence.startswith(f"series {volume.series_instance_uid}: ")


def test_lung_without_air_is_refused():
    volume = volume_of(np.full((40, 128, 128), 0), (5.0, 2.5, 2.5))
    water = ball(volume.voxels.shape, volume.spacing_mm, (20, 64, 64), 90)

    with pytest.raises(UnusableSeries, match="0 HU on average") as caught:
        delineated(volume, water)

    assert caught.value.code is Refusal.ANATOMY_NOT_FOUND
