import threading
import time
from collections.abc import Callable

import pytest

from cad_node.poller import LONGEST_WAIT_S, poll
from cad_node.store.database import DatabaseUnavailable


class Waits(threading.Event):
    """A stop event that notes how long it was waited for, and waits no longer than a test can; set after `limit` waits."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._limit = limit

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0)
        if len(self.seconds) == self._limit:
            self.set()
        return self.is_set()


def _raising(*errors: Exception | None) -> Callable[[], bool]:
    """A step that raises them in turn, the last one for ever; where there is None it finds nothing to do."""
    left = list(errors)

    def step() -> bool:
        error = left.pop(0) if len(left) > 1 else left[0]
        if error:
            raise error
        return False

    return step


AWAY = DatabaseUnavailable("the database doesn't answer")


@pytest.mark.parametrize("error", [AWAY, ValueError("a defect")], ids=repr)
def test_a_step_that_goes_on_failing_is_tried_less_and_less_often(error: Exception) -> None:
    stop = Waits(limit=8)

    poll(_raising(error), 1, stop)

    assert stop.seconds == [1, 2, 4, 8, 16, LONGEST_WAIT_S, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_a_step_that_works_again_is_called_as_often_as_before() -> None:
    stop = Waits(limit=6)

    poll(_raising(AWAY, AWAY, None, AWAY, None), 1, stop)

    assert stop.seconds == [1, 2, 1, 1, 1, 1]


def test_a_slow_step_that_fails_is_not_called_more_often_than_one_that_works() -> None:
    stop = Waits(limit=3)

    poll(_raising(AWAY), 60, stop)

    assert stop.seconds == [60, 60, 60]


def test_a_busy_step_is_called_again_at_once() -> None:
    stop, todo = Waits(limit=1), [True, True, False]

    poll(lambda: todo.pop(0), 5, stop)

    assert (stop.seconds, todo) == ([5], [])


def test_a_database_that_is_away_is_one_line_without_places(capsys: pytest.CaptureFixture[str]) -> None:
    poll(_raising(AWAY), 1, Waits(limit=3))

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("the database doesn't answer" in line for line in lines)


def test_an_unforeseen_error_is_logged_with_its_places(capsys: pytest.CaptureFixture[str]) -> None:
    poll(_raising(ValueError("a defect")), 1, Waits(limit=1))

    printed = capsys.readouterr().out
    assert "ValueError" in printed
    assert "poller.py" in printed


def test_a_wait_after_failures_ends_when_the_process_is_told_to_stop() -> None:
    stop, failed = threading.Event(), threading.Event()

    def step() -> bool:
        failed.set()
        raise AWAY

    polling = threading.Thread(target=poll, args=(step, 60, stop))
    polling.start()
    failed.wait(10)
    started = time.monotonic()
    stop.set()
    polling.join(10)

    assert not polling.is_alive()
    assert time.monotonic() - started < 5
