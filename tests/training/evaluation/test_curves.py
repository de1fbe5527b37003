import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from cad_node.training.evaluation.curves import average_precision, choose_threshold, roc_auc

judged = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40).filter(
    lambda cases: len({c[0] for c in cases}) == 2
)


@settings(max_examples=30, deadline=None)
@given(judged)
def test_areas_are_those_of_scikit_learn_with_ties_too(cases):
    labels, scores = np.array(cases, dtype=float).T

    areas = roc_auc(labels, scores)[0], average_precision(labels, scores)[0]

    assert areas == pytest.approx((roc_auc_score(labels, scores), average_precision_score(labels, scores)))


def test_the_interval_is_as_wide_as_hanley_and_mcneil_say():
    random = np.random.default_rng(0)
    labels = np.repeat([0.0, 1.0], 200)
    scores = random.normal(size=400) + 1.5 * labels

    area, (low, high) = roc_auc(labels, scores)

    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)  # Radiology 143, 1982
    error = np.sqrt((area * (1 - area) + 199 * (q1 - area**2) + 199 * (q2 - area**2)) / 200**2)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.15)


def test_an_interval_over_few_patients_is_wider_than_over_their_many_cases():
    random = np.random.default_rng(1)
    patients = np.repeat(np.arange(12), 25)
    labels = (patients % 2).astype(float)
    scores = labels + np.repeat(random.normal(size=12), 25) + 0.1 * random.normal(size=300)

    (low, high), (narrow_low, narrow_high) = roc_auc(labels, scores, patients)[1], roc_auc(labels, scores)[1]

    assert high - low > 2 * (narrow_high - narrow_low)


def test_one_class_alone_has_no_area_under_the_roc_curve():
    area, interval = roc_auc(np.ones(5), np.arange(5.0))

    assert np.isnan([area, *interval]).all()


def test_the_threshold_lies_between_the_last_positive_needed_and_the_next_score():
    labels, scores = np.array([1, 1, 1, 1, 0, 0]), np.array([0.9, 0.8, 0.7, 0.2, 0.6, 0.1])

    threshold = choose_threshold(labels, scores, min_sensitivity=0.75)

    assert threshold == pytest.approx(0.65)


def test_the_threshold_of_all_positives_is_below_the_lowest():
    labels, scores = np.array([1, 1, 0]), np.array([0.9, 0.3, 0.1])

    threshold = choose_threshold(labels, scores, min_sensitivity=1.0)

    assert threshold == pytest.approx(0.2)
