import numpy as np
import pytest
from scipy.special import expit

from cad_node.training.evaluation.calibration import expected_calibration_error, fit_platt


@pytest.fixture(scope="module")
def cases():
    """(logits that mean what they say, labels)"""
    random = np.random.default_rng(0)
    logits = random.normal(-1, 2, 20_000)
    return logits, (random.random(20_000) < expit(logits)).astype(np.float64)


def test_platt_scaling_finds_the_line_that_spoilt_the_logits(cases):
    logits, labels = cases

    fit = fit_platt(3 * logits + 1, labels)

    assert (fit.scale, fit.offset) == (pytest.approx(1 / 3, rel=0.05), pytest.approx(-1 / 3, abs=0.05))
    assert expected_calibration_error(labels, fit.scores(3 * logits + 1)) < 0.015


def test_platt_scaling_of_separated_cases_stays_finite():
    logits = np.array([-2.0, -1.0, 1.0, 2.0])

    scores = fit_platt(logits, (logits > 0).astype(np.float64)).scores(logits)

    assert 0.01 < scores.min() < 0.5 < scores.max() < 0.99


def test_the_calibration_error_weighs_bins_by_what_is_in_them():
    labels, scores = np.array([1, 1, 0, 0, 1]), np.array([0.95, 0.95, 0.15, 0.15, 1.0])

    error = expected_calibration_error(labels, scores)

    assert error == pytest.approx((3 * (1 - 2.9 / 3) + 2 * 0.15) / 5)
