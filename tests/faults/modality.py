"""A sender that tries again until what it has is acknowledged, and what came of it."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from tests.factory import ct_study
from tests.faults.node import Node, wait_for
from tests.faults.wire import ACCEPTED, Wire
from tests.receive.front_door import after_meta, encoded


@dataclass(slots=True)
class Modality:
    """Sends one small study after another in a thread; what isn't acknowledged is sent again."""

    node: Node
    slices: int = 4
    pause_s: float = 0.0  # between two instances
    acknowledged: dict[str, Dataset] = field(default_factory=dict)  # by SOP Instance UID
    studies: list[list[Dataset]] = field(default_factory=list)
    again: list[list[Dataset]] = field(default_factory=list)  # studies to send once more
    failures: int = 0  # associations that weren't had, broke, or in which instances were refused
    statuses: set[int] = field(default_factory=set)

    @contextmanager
    def sending(self, *, once: bool = False) -> Iterator[None]:
        """Goes on while the block lasts, and until the last study is acknowledged; once: until an association breaks."""
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=[stop, once], name="modality", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(120)
        assert not thread.is_alive(), "the last study was never acknowledged"

    def send(self, study: Sequence[Dataset]) -> None:
        """Until every instance is acknowledged."""
        wait_for(lambda: self.try_once(study), "a study to be acknowledged")

    def try_once(self, study: Sequence[Dataset]) -> bool:
        """One association. True: all of the study is acknowledged."""
        waiting = [ds for ds in study if ds.SOPInstanceUID not in self.acknowledged]
        with suppress(OSError), closing(Wire(self.node.port)) as wire:
            if wire.ask().kind == ACCEPTED:
                for ds in waiting:
                    self._store(wire, ds)
                wire.release()
        done = all(ds.SOPInstanceUID in self.acknowledged for ds in study)
        self.failures += not done
        return done

    def _store(self, wire: Wire, ds: Dataset) -> None:
        status = wire.store(ds)
        self.statuses.add(status)
        if status == 0x0000:
            self.acknowledged[ds.SOPInstanceUID] = ds
        time.sleep(self.pause_s)

    def _run(self, stop: threading.Event, once: bool) -> None:
        while not stop.is_set():
            study = self._next()
            if not once:
                self.send(study)
            elif not self.try_once(study):
                return

    def _next(self) -> list[Dataset]:
        if self.again:
            study = self.again.pop()
            for ds in study:
                del self.acknowledged[ds.SOPInstanceUID]
            return study
        self.studies.append(ct_study(slices=self.slices))
        return self.studies[-1]


def assert_nothing_acknowledged_is_lost(node: Node, *modalities: Modality) -> None:
    """Each acknowledged instance has its file, whole, and its row. Prints the figure."""
    found, indexed = node.found(), node.indexed()
    acknowledged = {uid: ds for modality in modalities for uid, ds in modality.acknowledged.items()}
    failures = sum(modality.failures for modality in modalities)
    print(f"acknowledged {len(acknowledged)}, found {len(found)}, indexed {sum(indexed.values())}, failed associations {failures}")
    assert [uid for uid in acknowledged if uid not in found] == []
    for uid, ds in acknowledged.items():
        assert after_meta(found[uid]) == encoded(ds), f"{uid} isn't what was acknowledged"
    assert sum(indexed.values()) == len(found)
