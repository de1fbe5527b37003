"""Whether the wall clock was set back, as told by a clock that nobody sets."""

import time
from collections.abc import Callable

_NOTICED_S = 1.0


def ahead_s() -> float:
    """By how much the wall clock is ahead of the one that nobody sets; it changes only when it is set."""
    return time.time() - time.monotonic()


class WallClock:
    def __init__(self, ahead_s: Callable[[], float] = ahead_s) -> None:
        self._ask = ahead_s
        self._ahead_s = ahead_s()

    def was_set_back(self) -> bool:
        """Since the last call, by more than a second."""
        before, self._ahead_s = self._ahead_s, self._ask()
        return self._ahead_s < before - _NOTICED_S
