"""Memory in which a data set is collected: as it came over the wire, and then as the file that it becomes."""

import mmap
from collections.abc import Sequence

_ROOM_BYTES = 1 << 20  # an image is collected as a whole
_BEFORE_BYTES = 1 << 13  # for the head of a file, which is no longer than a block and as much as fills another


class Collected:
    """Memory that is asked for once, and used for one data set after another: to have it anew costs more than to fill it."""

    def __init__(self) -> None:
        self._all = memoryview(mmap.mmap(-1, _BEFORE_BYTES + _ROOM_BYTES))  # begins with a page, as what is written past the cache must
        self.room = self._all[_BEFORE_BYTES:]
        self._pieces: list[memoryview] = []
        self.size = 0  # bytes in the pieces

    @property
    def pieces(self) -> Sequence[memoryview]:
        """What is collected."""
        return self._pieces

    def take(self, start: int, size: int) -> None:
        """So many bytes of the room are the data set's next, from `start` on."""
        self._pieces.append(self.room[start : start + size])
        self.size += size

    def clear(self) -> None:
        self._pieces, self.size = [], 0

    def behind(self, head: bytes) -> memoryview:
        """`head`, and what is collected, as one; nothing is collected any more. `head` is shorter than 8 KiB."""
        end = len(head)
        self._all[:end] = head
        for piece in self._pieces:  # each moves towards the beginning, past nothing that is yet to move
            self._all[end : end + len(piece)] = piece
            end += len(piece)
        self.clear()
        return self._all[:end]
