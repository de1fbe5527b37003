"""What a transport is: files in, one outcome each."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the destination answered for one file."""

    delivered: bool
    retryable: bool  # of a failure: whether the same file may be taken later
    reason: str  # for people: status in hex and its meaning, or what went wrong on the way
    unsupported: bool = False  # of a failure for good: the destination takes no object of this SOP class
    wait_s: float = 0  # of a failure that may pass: the destination asks not to be called again for so long

    @classmethod
    def success(cls, reason: str = "0x0000 success") -> "Outcome":
        return cls(True, False, reason)


class Transport(Protocol):
    def send(self, files: Sequence[Path]) -> Generator[Outcome, None, None]:
        """Send files over as few connections as they need; yields one Outcome per file, in order, as each is answered.

        Nothing is sent ahead of what is asked for, but for what shares a request with it; closing the generator ends the connection in
        order.
        Trouble with the destination is an Outcome, never an exception.
        """
        ...
