"""A PACS that is down, slow, refuses contexts, has no room, or aborts in mid-transfer: each result arrives, under one UID."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import AE, evt
from pynetdicom.presentation import AllStoragePresentationContexts, build_context

from tests.e2e.ports import free_port
from tests.faults.modality import Modality, assert_nothing_acknowledged_is_lost
from tests.faults.node import Node, rounds, seeded, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


class Pacs:
    """What it has taken stays, however it behaved then."""

    def __init__(self) -> None:
        self.port = free_port()
        self.taken: dict[str, set[bytes]] = {}  # SOP Instance UID -> the contents that came under it
        self.times_taken = 0

    @contextmanager
    def listening(self, store: Callable[["Pacs", Any], int], contexts: Any = AllStoragePresentationContexts) -> Iterator[None]:
        ae = AE("ARCHIVE")
        ae.supported_contexts = list(contexts)
        server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda event: store(self, event))])
        try:
            yield
        finally:
            server.shutdown()
            for association in server.active_associations:
                association.abort()

    def take(self, event: Any) -> int:
        self.taken.setdefault(event.request.AffectedSOPInstanceUID, set()).add(event.encoded_dataset())
        self.times_taken += 1
        return 0x0000

    def take_slowly(self, event: Any) -> int:
        time.sleep(0.7)
        return self.take(event)

    def have_no_room(self, _event: Any) -> int:
        return 0xA700

    def abort(self, event: Any) -> int:
        event.assoc.abort()
        return 0x0000

    def take_and_abort(self, event: Any) -> int:
        """The sender never hears that it was taken."""
        self.take(event)
        event.assoc.abort()
        return 0x0000


BEHAVIOURS: Mapping[str, Callable[[Pacs, Any], int]] = {
    "slow": Pacs.take_slowly,
    "no room": Pacs.have_no_room,
    "aborting": Pacs.abort,
    "aborting once it has taken": Pacs.take_and_abort,
}


def test_results_survive_every_way_a_pacs_can_fail(tmp_path: Path):
    rng, pacs = seeded(), Pacs()
    with Node(tmp_path / "node", pacs.port) as node:
        node.start("scp", "worker", "sender")
        modality = Modality(node, pause_s=0.15)
        with modality.sending():
            for _ in rounds(1):
                for behaviour in BEHAVIOURS.values():
                    time.sleep(rng.uniform(0, 1.5))  # it is down
                    with pacs.listening(behaviour):
                        time.sleep(rng.uniform(1, 3))
                with pacs.listening(Pacs.take, [build_context(CTImageStorage)]):  # no context that a report fits
                    time.sleep(rng.uniform(1, 3))
        with pacs.listening(Pacs.take):
            node.tell("deliveries", "retry")  # contexts refused are for good, until somebody has mended the PACS
            wait_for(lambda: retried_until_over(node, len(modality.studies)), "every result to arrive")
        node.stop("sender")
        node.stop("scp")

        results = node.results()
        print(f"results {len(results)}, arrived {len(pacs.taken)}, transfers {pacs.times_taken}")
        assert_nothing_acknowledged_is_lost(node, modality)
        assert sorted(pacs.taken) == sorted(results)
        assert {len(contents) for contents in pacs.taken.values()} == {1}


def retried_until_over(node: Node, studies: int) -> bool:
    if node.is_over(studies):
        return True
    if any(one["state"] == "failed" for one in node.ask("deliveries", "list", "--limit", "100000")):
        node.tell("deliveries", "retry")
    return False
