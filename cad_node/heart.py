"""Keeps leases alive from a thread of its own, for as long as a process works on what it has claimed."""

import threading
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from cad_node.errors import LeaseLost
from cad_node.log import get_logger

log = get_logger()

Claim = TypeVar("Claim")

BEATS_PER_LEASE = 3


class Heart(Generic[Claim]):
    """Calls `extend` for each claim that is held, three times a lease; a context manager that stops at its end.

    A claim whose lease was lost is dropped: the fence will refuse what its process commits.
    """

    def __init__(self, extend: Callable[[Claim], None], lease_s: float) -> None:
        self._extend = extend
        self._interval_s = lease_s / BEATS_PER_LEASE
        self._held: list[Claim] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def hold(self, claim: Claim) -> None:
        with self._lock:
            self._held.append(claim)

    def drop(self, claim: Claim) -> None:
        with self._lock:
            if claim in self._held:
                self._held.remove(claim)

    def _beat(self) -> None:
        while not self._stop.wait(self._interval_s):
            with self._lock:
                held = list(self._held)
            for claim in held:
                try:
                    self._extend(claim)
                except LeaseLost as exc:
                    self.drop(claim)
                    log.warning("lease.lost", reason=str(exc))
                except Exception:
                    log.exception("lease.not_extended")  # the database may be away for a beat
