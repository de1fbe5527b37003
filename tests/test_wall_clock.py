"""The wall clock seen beside one that can't be set."""

import pytest

from cad_node.wall_clock import WallClock, ahead_s


@pytest.mark.parametrize(("step_s", "noticed"), [(-3600, True), (-2, True), (-0.5, False), (0, False), (3600, False)])
def test_a_step_back_is_noticed_once(step_s: float, noticed: bool):
    ahead = iter([1000.0, 1000.0 + step_s, 1000.0 + step_s])
    clock = WallClock(lambda: next(ahead))

    first, second = clock.was_set_back(), clock.was_set_back()

    assert (first, second) == (noticed, False)


def test_a_clock_that_nobody_sets_stays_where_it_is():
    assert ahead_s() == pytest.approx(ahead_s(), abs=0.5)
    assert not WallClock().was_set_back()
