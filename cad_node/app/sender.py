"""The sending process: every destination, asked whether it keeps what it took; and the removal of what is old."""

import os
import random
import threading
from collections.abc import Mapping, Sequence

from cad_node.app.audit import audited, forwarding
from cad_node.app.retention import open_remover
from cad_node.app.start import now, open_store, process_name
from cad_node.confirmation import Confirmation
from cad_node.confirmer import Confirmer
from cad_node.deliver.association import Peer
from cad_node.deliver.commitment import ByCommitment
from cad_node.deliver.cstore import CStore
from cad_node.deliver.qido import ByQido
from cad_node.deliver.transport import Transport
from cad_node.query.association import Handler, QueryPeer
from cad_node.query.confirmation import ByFind
from cad_node.receive.audited import Audited
from cad_node.sender import Sender
from cad_node.settings import Destination, Settings
from cad_node.tls import TlsContext


def run_sender(settings: Settings, stop: threading.Event) -> None:
    """Every destination; beside them the questions whether they keep what they took, and the removal of what is old."""
    store = open_store(settings)
    name = process_name("sender", os.getpid())
    with audited(settings, "sender") as trail, forwarding(settings, stop):
        ways = ways_of_confirmation(settings, Audited(trail).handlers())
        confirmer = Confirmer(settings, store.confirmations, ways, now, random.Random(), name)  # noqa: S311 - jitter
        confirmer.waive_the_rest()
        removing = threading.Thread(target=open_remover(settings, store).run, args=[stop], name="retention", daemon=True)
        removing.start()
        confirming = threading.Thread(target=confirmer.run, args=[stop], name="confirm")
        confirming.start()
        Sender(settings, store.deliveries, transports(settings), now, random.Random(), name, trail).run(stop)  # noqa: S311 - jitter
        confirming.join()
        removing.join()


def transports(settings: Settings) -> Mapping[str, Transport]:
    """How each destination is reached."""
    return {
        name: CStore(to, to.calling_ae_title or settings.node.ae_title, settings.sender.timeout_s)
        for name, to in settings.destinations.items()
    }


def ways_of_confirmation(settings: Settings, watchers: Sequence[Handler] = ()) -> Mapping[str, Confirmation]:
    """How each destination is asked whether it keeps what it took; without those that aren't asked. watchers: of its queries."""
    ways = {name: _way(to, settings.node.ae_title, settings.sender.timeout_s, watchers) for name, to in settings.destinations.items()}
    return {name: way for name, way in ways.items() if way is not None}


def _way(to: Destination, ae_title: str, timeout_s: float, watchers: Sequence[Handler]) -> Confirmation | None:
    match to.confirm:
        case "commitment":
            return ByCommitment(Peer.of(to.confirming, ae_title, timeout_s))
        case "find":
            return ByFind(QueryPeer.of(to.confirming, ae_title, timeout_s, watchers))
        case "qido":
            return ByQido(to.qido_url, timeout_s, TlsContext(to.tls) if to.tls else None)
        case "none":
            return None
