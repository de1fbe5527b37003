"""A slice of `make fuzz`: the same inputs each time."""

import pytest

from tests.fuzz.run import fuzz
from tests.fuzz.targets import Target, targets


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # of UIDs that are none
@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_foreign_bytes_are_taken_or_refused_and_nothing_else(target: Target) -> None:
    taken = fuzz(target, inputs=3000, seed=1)

    assert 0 < taken < 3000  # the mutations neither break everything nor leave all as it was
