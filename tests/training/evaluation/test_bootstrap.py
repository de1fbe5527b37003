import numpy as np
import pytest

from cad_node.training.evaluation.bootstrap import mean_ci, statistic_ci, weighted_ci


def test_the_interval_of_a_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(0).normal(5, 2, 400)

    mean, (low, high) = mean_ci(values)

    assert mean == values.mean()
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    assert low < mean < high


def test_the_interval_holds_the_true_mean_in_about_95_of_100_samples():
    random = np.random.default_rng(1)

    intervals = [mean_ci(random.normal(3, 1, 50))[1] for _ in range(200)]

    assert 0.89 <= np.mean([low <= 3 <= high for low, high in intervals]) <= 0.99


def test_cases_of_one_patient_are_drawn_together():
    patients = np.repeat(np.arange(20), 10).astype(str)
    values = np.repeat(np.random.default_rng(2).normal(size=20), 10)

    _, (low, high) = mean_ci(values, patients)
    _, (narrow_low, narrow_high) = mean_ci(values)

    assert (high - low) / (narrow_high - narrow_low) == pytest.approx(np.sqrt(10), rel=0.15)


def test_drawn_arrays_and_weights_give_the_same_interval():
    values, patients = np.random.default_rng(3).normal(size=60), np.repeat(np.arange(20), 3)

    by_arrays = statistic_ci(lambda drawn: float(drawn.mean()), [values], patients)
    by_weights = weighted_ci(lambda weights: float(np.average(values, weights=weights)), 60, patients)

    assert by_arrays[1] == pytest.approx(by_weights[1], abs=1e-12)
    assert by_arrays[1] == pytest.approx(mean_ci(values, patients)[1], abs=1e-12)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(4).normal(size=30)

    first, again, other = (mean_ci(values, seed=seed) for seed in (7, 7, 8))

    assert first == again
    assert first != other


def test_draws_without_a_statistic_are_left_out_of_the_interval():
    labels = np.array([1, 0, 0, 0])

    value, (low, high) = statistic_ci(lambda drawn: float(drawn.mean()) if drawn.any() else np.nan, [labels])

    assert value == 0.25
    assert 0.25 == low < high


def test_no_values_have_no_mean():
    mean, interval = mean_ci(np.array([]))

    assert np.isnan([mean, *interval]).all()


def test_patients_of_another_number_of_cases_are_refused():
    with pytest.raises(ValueError, match="2 patients are named for 3 cases"):
        mean_ci(np.zeros(3), ["a", "b"])
