"""The wall clock seen beside one that can't be set."""

import pytest

from cad_node.wall_clock import WallClock, ahead_s


@pytest.mark.parametrize(("step_s", "noticed"), [(-3600, True), (-2, True), (-0.5, False), (0, False), (3600, False)])
def test_a_step_back_is_noticed(step_s: float, noticed: bool):
    ahead = iter([1000.0, 1000.0 + step_s, 1000.0 + step_s])
    clock = WallClock(lambda: next(ahead))

    first = clock.was_set_back()
    clock.dealt_with()

    assert (first, clock.was_set_back()) == (noticed, False)


def test_a_step_back_is_told_until_it_is_dealt_with_and_once_more_when_what_was_under_way_is_written():
    ahead, seconds = iter([1000.0, *[0.0] * 6]), iter([50.0, 51.0, 59.0, 60.5, 61.0, 99.0])
    clock = WallClock(lambda: next(ahead), lambda: next(seconds))

    told = [clock.was_set_back(), clock.was_set_back()]
    clock.dealt_with()
    told += [clock.was_set_back(), clock.was_set_back(), clock.was_set_back()]
    clock.dealt_with()
    told.append(clock.was_set_back())

    assert told == [True, True, False, True, True, False]


def test_a_clock_that_nobody_sets_stays_where_it_is():
    assert ahead_s() == pytest.approx(ahead_s(), abs=0.5)
    assert not WallClock().was_set_back()
