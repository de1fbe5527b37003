"""What comes again and again is written once a while, with how often it came: a peer that knocks all day must not fill the disk."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta

_WINDOW = timedelta(minutes=1)
_MOST_KEYS = 1_000


@dataclass(slots=True)
class _Seen:
    since: datetime
    suppressed: int = 0


class Repeats:
    """Not for several threads at once."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, _Seen] = {}

    def note(self, key: Hashable, now: datetime) -> int | None:
        """None: leave it out. A number: write it, and that so many like it were left out since the last that was written."""
        seen = self._seen.get(key)
        if seen and timedelta() <= now - seen.since < _WINDOW:
            seen.suppressed += 1
            return None
        self._seen.pop(key, None)
        if len(self._seen) >= _MOST_KEYS:
            del self._seen[next(iter(self._seen))]  # the oldest
        self._seen[key] = _Seen(now)
        return seen.suppressed if seen else 0
