import numpy as np
import pytest

from cad_node.training.evaluation.bootstrap import mean_ci
from cad_node.training.evaluation.robustness import degrade, measure_robustness, robustness_table

WATER = np.zeros((6, 3, 64, 64), np.float32)


def test_noise_has_the_deviation_asked_for():
    noisy = degrade(WATER, "noise", 30, np.random.default_rng(0))

    assert noisy.std() == pytest.approx(30, rel=0.02)
    assert noisy.dtype == np.float32


def test_blur_is_told_in_millimetres():
    point = WATER.copy()
    point[:, :, 32, 32] = 1000

    blurred = degrade(point, "blur", 2.0, np.random.default_rng(0), pixel_mm=0.5)

    offsets_mm = (np.arange(64) - 32) * 0.5
    profile = blurred[0, 1].sum(0) / 1000
    assert np.sqrt((profile * offsets_mm**2).sum()) == pytest.approx(2.0, rel=0.02)
    assert np.array_equal(blurred[0, 0], blurred[0, 1])


def test_thicker_slices_mix_neighbours():
    slices = WATER.copy()
    slices[:, 0] = 300

    thick = degrade(slices, "thickness", 3, np.random.default_rng(0))

    assert thick[0, :, 0, 0] == pytest.approx([200, 100, 0])


def test_one_channel_has_no_neighbours_to_mix():
    with pytest.raises(ValueError, match="no neighbouring slices"):
        degrade(WATER[:, :1], "thickness", 3, np.random.default_rng(0))


def test_a_quarter_of_the_dose_adds_what_doubles_the_noise_and_less_in_lung():
    added = [degrade(WATER + hu, "dose", 0.25, np.random.default_rng(0)).std() for hu in (0, -750)]
    scan = degrade(WATER, "noise", 20, np.random.default_rng(1))

    low_dose = degrade(scan, "dose", 0.25, np.random.default_rng(2))

    assert low_dose.std() == pytest.approx(40, rel=0.02)
    assert added[1] == pytest.approx(added[0] / 2, rel=0.02)


def test_the_whole_dose_changes_nothing():
    kept = degrade(WATER, "dose", 1, np.random.default_rng(0))

    assert np.array_equal(kept, WATER)


def test_a_shift_moves_each_image_by_the_distance_in_a_direction_of_its_own():
    square = WATER.copy()
    square[:, :, 28:37, 28:37] = 100

    shifted = degrade(square, "shift", 6.0, np.random.default_rng(0))

    rows, columns = np.mgrid[:64, :64] - 32
    weights = shifted[:, 1] / shifted[:, 1].sum(axis=(1, 2), keepdims=True)
    moves = np.stack([(weights * rows).sum(axis=(1, 2)), (weights * columns).sum(axis=(1, 2))])
    assert np.hypot(*moves) == pytest.approx(np.full(6, 6.0), abs=0.05)
    assert len({tuple(move) for move in moves.T.round(1)}) == 6


def test_the_model_should_refuse_from_the_first_level_below_the_limit():
    def quietness(images):
        return mean_ci(1 - images.std(axis=(1, 2, 3)) / 100)

    (curve,) = measure_robustness(WATER, quietness, {"noise": [0, 10, 30, 60]}, statistic="quietness", limit=0.8)
    table = robustness_table("Noise", [curve])

    assert curve.refuse_from == 30
    assert [row[3] for row in table.rows] == ["take", "take", "refuse", "refuse"]
    assert [point.value for point in curve.points] == pytest.approx([1, 0.9, 0.7, 0.4], abs=0.01)


def test_a_model_that_holds_everywhere_refuses_nowhere():
    (curve,) = measure_robustness(WATER, lambda images: (1.0, (1.0, 1.0)), {"shift": [0, 5]}, statistic="quietness", limit=0.8)

    assert curve.refuse_from is None
    assert [row[3] for row in robustness_table("Shift", [curve]).rows] == ["take", "take"]
