import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from cad_node.training.evaluation.dice import dice

masks = arrays(np.bool_, (3, 4))


def test_half_of_two_equal_areas_shared_is_one_half():
    a, b = np.array([[1, 1, 0, 0]], dtype=np.bool_), np.array([[0, 1, 1, 0]], dtype=np.bool_)

    value = dice(a, b)

    assert value == 0.5


@given(masks, masks)
def test_it_is_symmetric_and_one_only_for_equal_masks(a, b):
    value = dice(a, b)

    assert value == dice(b, a)
    assert 0 <= value <= 1
    assert (value == 1) == np.array_equal(a, b)


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="can't be compared"):
        dice(np.ones((2, 2), np.bool_), np.ones((1, 2), np.bool_))
