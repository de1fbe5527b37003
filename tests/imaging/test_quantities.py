"""The numbers of a nodule and of the lungs, with their codes."""

from dataclasses import replace

import numpy as np
import pytest

from cad_node.findings import Region
from cad_node.imaging import concepts
from cad_node.imaging.lungs import Lungs
from cad_node.imaging.measure import measure
from cad_node.imaging.quantities import quantify_lungs, quantify_nodule
from cad_node.imaging.volume import Volume
from cad_node.phantom.solids import Scan, ball
from tests.imaging.geometry import volume_of
from tests.imaging.scanned import scanned

IN_SIZE = (concepts.VOLUME, concepts.MEAN_HU, concepts.LONG_AXIS, concepts.SHORT_AXIS)


@pytest.fixture(scope="module")
def nodule() -> tuple[Volume, Region]:
    return scanned(ball(10.0), Scan(1.0))


@pytest.fixture(scope="module")
def lungs(nodule) -> Lungs:
    """A right lung that leaves two voxels of the volume on every side, and the carina in a corner."""
    volume, _ = nodule
    return Lungs(None, Region((2, 2, 2), np.ones(np.subtract(volume.voxels.shape, 4), np.bool_)), volume.to_lps((0, 0, 0)))


def values(measurements):
    return {(one.concept.value, one.derivation and one.derivation.value): one.value for one in measurements}


def value(measurements, quantity):
    return values(measurements)[quantity.concept.value, quantity.derivation and quantity.derivation.value]


def test_a_nodule_has_every_quantity_of_the_catalogue_once(nodule, lungs):
    quantities = quantify_nodule(*nodule, lungs)

    told = [(one.concept, one.unit, one.method, one.derivation) for one in quantities.measurements]

    wanted = [(one.concept, one.unit, one.method, one.derivation) for one in concepts.NODULE_QUANTITIES if one not in IN_SIZE]
    assert told == wanted


def test_no_two_quantities_of_a_report_are_coded_alike():
    for quantities in (concepts.NODULE_QUANTITIES, concepts.LUNG_QUANTITIES):
        assert len({(one.concept.value, one.method, one.derivation) for one in quantities}) == len(quantities)


def test_every_quantity_says_how_it_was_measured_or_derived():
    for one in (*concepts.NODULE_QUANTITIES, *concepts.LUNG_QUANTITIES):
        assert one.method or one.derivation
        assert one.unit.scheme_designator == "UCUM"


def test_hu_are_those_of_the_segments_voxels(nodule, lungs):
    volume, region = nodule
    hu = volume.voxels[region.slices][region.mask]

    quantities = quantify_nodule(volume, region, lungs)

    assert quantities.size.mean_hu == pytest.approx(hu.mean())
    assert value(quantities.measurements, concepts.SD_HU) == pytest.approx(hu.std(), abs=0.05)
    for percent, quantity in concepts.PERCENTILES_HU.items():
        assert value(quantities.measurements, quantity) == pytest.approx(np.percentile(hu, percent), abs=0.05)
    assert value(quantities.measurements, concepts.SOLID_EXTENT) == pytest.approx(100 * (hu > -300).mean(), abs=0.05)


def test_size_is_that_of_measure(nodule, lungs):
    size = measure(*nodule)

    quantities = quantify_nodule(*nodule, lungs)

    assert quantities.size == size
    assert value(quantities.measurements, concepts.SEGMENT_VOLUME) == pytest.approx(size.segment_volume_mm3, abs=0.05)
    assert value(quantities.measurements, concepts.EFFECTIVE_DIAMETER) == pytest.approx(np.cbrt(6 / np.pi * size.volume_mm3), abs=0.005)


def test_a_nodule_lies_in_a_lung_and_in_a_zone_and_away_from_pleura_and_carina(nodule, lungs):
    volume, region = nodule
    shape = volume.voxels.shape

    quantities = quantify_nodule(volume, region, lungs)

    gap_px = min(min(o - 2, n - 2 - o - w) for o, w, n in zip(region.origin[1:], region.mask.shape[1:], shape[1:], strict=True))
    assert quantities.site == concepts.RIGHT_LUNG
    assert [one.value.meaning for one in quantities.evaluations] == ["Middle zone of lung"]
    assert value(quantities.measurements, concepts.PLEURA_DISTANCE) == pytest.approx(gap_px * 0.7, abs=0.8)
    from_corner_mm = np.linalg.norm(np.multiply([n // 2 for n in shape], volume.spacing_mm))
    assert value(quantities.measurements, concepts.CARINA_DISTANCE) == pytest.approx(from_corner_mm, abs=0.5)


def test_what_is_not_known_is_left_out(nodule, lungs):
    without_carina = quantify_nodule(*nodule, replace(lungs, carina_lps_mm=None))
    outside = quantify_nodule(*nodule, Lungs(None, None))

    assert concepts.CARINA_DISTANCE.concept not in [one.concept for one in without_carina.measurements]
    assert concepts.PLEURA_DISTANCE.concept not in [one.concept for one in outside.measurements]
    assert (outside.site, outside.evaluations) == (None, ())


def test_lungs_are_measured_each_and_together():
    voxels = np.full((10, 20, 40), 40, np.int16)
    voxels[:, :, :10] = -800
    voxels[:, :, 30:] = -900
    voxels[:5, :, 30:] = -970
    right, left = Region((0, 0, 0), np.ones((10, 20, 10), np.bool_)), Region((0, 0, 30), np.ones((10, 20, 10), np.bool_))

    quantities = quantify_lungs(volume_of(voxels, (2.0, 0.5, 0.5)), Lungs(left, right))

    assert [one.value for one in quantities.right] == [1.0, -800.0, 0.0]
    assert [one.value for one in quantities.left] == [1.0, -935.0, 50.0]
    assert [one.value for one in quantities.both] == [2.0, -867.5, 25.0]
    assert [one.unit.value for one in quantities.both] == ["cm3", "[hnsf'U]", "%"]


def test_a_lung_that_there_is_not_has_no_measurements():
    right = Region((0, 0, 0), np.ones((10, 20, 10), np.bool_))

    quantities = quantify_lungs(volume_of(np.full((10, 20, 40), -800), (2.0, 0.5, 0.5)), Lungs(None, right))

    assert quantities.left == ()
    assert quantities.both == quantities.right
