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
from cad_node.deliver.folder import Folder
from cad_node.deliver.qido import ByQido
from cad_node.deliver.s3 import S3
from cad_node.deliver.stow import Stow
from cad_node.deliver.transport import Transport
from cad_node.deliver.web import WebService
from cad_node.query.association import Handler, QueryPeer
from cad_node.query.confirmation import ByFind
from cad_node.receive.audited import Audited
from cad_node.sender import Sender
from cad_node.settings import AnyDestination, AskedDestination, Destination, FolderDestination, S3Destination, Settings, StowDestination


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
    """How each destination is reached. Raises SettingsError where what a transport needs isn't installed."""
    return {name: _transport(to, settings) for name, to in settings.destinations.items()}


def ways_of_confirmation(settings: Settings, watchers: Sequence[Handler] = ()) -> Mapping[str, Confirmation]:
    """How each destination is asked whether it keeps what it took; without those that aren't asked. watchers: of its queries."""
    ways = {name: _way(to, settings, watchers) for name, to in settings.asked_destinations.items()}
    return {name: way for name, way in ways.items() if way is not None}


def _transport(to: AnyDestination, settings: Settings) -> Transport:
    match to:
        case Destination():
            return CStore(to, to.calling_ae_title or settings.node.ae_title, settings.sender.timeout_s)
        case StowDestination():
            return Stow(WebService(to.url, to.timeout_s, to.tls, to), to.max_request_mb * 1e6)
        case FolderDestination():
            return Folder(to)
        case S3Destination():
            return S3(to)


def _way(to: AskedDestination, settings: Settings, watchers: Sequence[Handler]) -> Confirmation | None:
    timeout_s = settings.sender.timeout_s
    match to:
        case Destination(confirm="commitment"):
            return ByCommitment(Peer.of(to.confirming, settings.node.ae_title, timeout_s))
        case Destination(confirm="find"):
            return ByFind(QueryPeer.of(to.confirming, settings.node.ae_title, timeout_s, watchers))
        case Destination(confirm="qido"):
            return ByQido(WebService(to.qido_url, timeout_s, to.tls, to))
        case StowDestination(confirm="qido"):
            return ByQido(WebService(to.qido_url or to.url, timeout_s, to.tls, to))
    return None
