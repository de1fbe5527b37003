"""Whether the wall clock was set back, as told by a clock that nobody sets."""

import time
from collections.abc import Callable

_NOTICED_S = 1.0
_WRITTEN_WITHIN_S = 10.0  # a time that was taken just before the step can be written after it


def ahead_s() -> float:
    """By how much the wall clock is ahead of the one that nobody sets; it changes only when it is set."""
    return time.time() - time.monotonic()


class WallClock:
    def __init__(self, ahead_s: Callable[[], float] = ahead_s, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._monotonic = ahead_s, monotonic
        self._ahead_s = ahead_s()
        self._again_at = float("inf")  # monotonic seconds

    def was_set_back(self) -> bool:
        """Since the last call, by more than a second; true once more some seconds later, when all that was under way is written."""
        before, self._ahead_s = self._ahead_s, self._ask()
        if self._ahead_s < before - _NOTICED_S:
            self._again_at = self._monotonic() + _WRITTEN_WITHIN_S
            return True
        if self._monotonic() >= self._again_at:
            self._again_at = float("inf")
            return True
        return False
