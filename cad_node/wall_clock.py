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
        self._due_at = self._due_again_at = float("inf")  # monotonic seconds

    def was_set_back(self) -> bool:
        """By more than a second; true until `dealt_with`, and once more some seconds later, when all that was under way is written."""
        before, self._ahead_s = self._ahead_s, self._ask()
        now = self._monotonic()
        if self._ahead_s < before - _NOTICED_S:
            self._due_at, self._due_again_at = now, now + _WRITTEN_WITHIN_S
        return now >= self._due_at

    def dealt_with(self) -> None:
        """What lay in the future has been brought back."""
        self._due_at, self._due_again_at = self._due_again_at, float("inf")
