"""Storage Commitment in the receiving process: the service, and the thread that reports on what was asked."""

import os
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cad_node.app.start import Store, now, process_name
from cad_node.deliver.association import Peer
from cad_node.receive.commitment import Lines, StorageCommitment
from cad_node.receive.commitment_reports import Reporter
from cad_node.settings import Destination, Settings, Source


@contextmanager
def storage_commitment(settings: Settings, store: Store, stop: threading.Event) -> Iterator[StorageCommitment]:
    """The service; its requests are reported on until `stop` is set."""
    lines = Lines()
    reporter = Reporter(settings, store.commitments, lines, requesters(settings), now, random.Random())  # noqa: S311 - jitter
    reporting = threading.Thread(target=reporter.run, args=[stop], name="commitment", daemon=True)
    reporting.start()
    yield StorageCommitment(store.commitments, store.confirmations, lines, now, name=process_name("scp", os.getpid()))
    if stop.is_set():
        reporting.join()


def requesters(settings: Settings) -> Mapping[str, Peer]:
    """Where those listen who may ask for storage commitment, by the AE title that they call with."""
    destinations = settings.dicom_destinations.values()
    known: list[Destination | Source] = [
        *settings.sources.values(),
        *destinations,
        *(destination.confirming for destination in destinations),
    ]
    return {peer.ae_title: Peer.of(peer, settings.node.ae_title, settings.sender.timeout_s) for peer in known}
