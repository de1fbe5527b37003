"""Thresholds named by false positives a scan let so many through, and no lower threshold would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cad_node.training.detection.operating_points import CANDIDATES, FALSE_POSITIVES, choose_operating_points, name_of


@given(st.integers(0, 10_000), st.integers(50, 1500))
def test_the_negatives_over_a_threshold_are_as_many_as_its_name_allows(seed, negatives):
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.ones(20), np.zeros(negatives)])
    scores = random.permutation(labels.size) / labels.size  # none equal

    thresholds = choose_operating_points(labels, scores)

    for wanted in FALSE_POSITIVES:
        over = np.count_nonzero(scores[labels == 0] >= thresholds[name_of(wanted)])
        assert over == wanted * negatives // CANDIDATES


def test_names_and_the_default():
    thresholds = choose_operating_points(np.array([1, 0, 0, 0]), np.array([0.9, 0.1, 0.2, 0.3]))

    assert set(thresholds) == {"threshold", "threshold_1fp", "threshold_2fp", "threshold_4fp", "threshold_8fp"}
    assert thresholds["threshold"] == 0.5
    assert thresholds["threshold_8fp"] == pytest.approx(0.65)
