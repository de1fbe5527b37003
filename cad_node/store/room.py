"""Whether there is room for what comes in: asked for every instance, looked up a few times a second."""

import os
import time
from pathlib import Path

_LASTS_S = 0.25  # at a gigabyte a second a quarter of one arrives meanwhile; it is counted off, see has_room


class Room:
    """The free space of the disk that a folder lies on, above a floor."""

    def __init__(self, folder: Path, min_free_bytes: int) -> None:
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._free_bytes = 0
        self._looked_at = -_LASTS_S  # monotonic seconds

    def has_room(self, size_bytes: int = 0) -> bool:
        """Whether more than the floor stays free after `size_bytes` more; those count as used until the next look.

        Threads may ask at once: a look too many, or one instance not counted until the next look, does no harm.
        """
        now = time.monotonic()
        if now - self._looked_at >= _LASTS_S:
            self._looked_at, self._free_bytes = now, free_bytes(self._folder)
        self._free_bytes -= size_bytes
        return self._free_bytes >= self._min_free_bytes


def free_bytes(folder: Path) -> int:
    """What an ordinary process can still write on the disk that `folder` lies on, or will once it is made."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    disk = os.statvfs(there)
    return disk.f_bavail * disk.f_frsize
