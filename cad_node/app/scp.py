"""The receiving process: the listener, and the settling of complete studies into jobs."""

import sys
import threading
from contextlib import ExitStack, closing

from pydicom.config import IGNORE
from pydicom.config import settings as pydicom_settings

from cad_node.app.audit import audited
from cad_node.app.commitment import storage_commitment
from cad_node.app.start import now, open_store, usable_models
from cad_node.poller import poll
from cad_node.query.association import QueryPeer
from cad_node.receive.access import Access
from cad_node.receive.audited import Audited
from cad_node.receive.completeness import settle_complete_studies
from cad_node.receive.doorkeeper import Doorkeeper
from cad_node.receive.evidence import News
from cad_node.receive.index_queue import IndexQueue
from cad_node.receive.instance import Intake
from cad_node.receive.listener import Listener
from cad_node.receive.mpps import PerformedProcedureSteps
from cad_node.receive.pacs_counts import PacsCounts
from cad_node.receive.query import Query
from cad_node.receive.recovery import index_what_was_left
from cad_node.receive.service import Service
from cad_node.receive.storage import Storage
from cad_node.settings import ListenerTls, Scp, Settings
from cad_node.store.held import Held
from cad_node.store.performed_steps import PerformedSteps
from cad_node.store.set_back import bring_back, lies_ahead
from cad_node.store.spool import Spool
from cad_node.wall_clock import WallClock

_TURN_S = 0.0005  # threads here wait for network and disk; one that comes back shouldn't wait as long for the indexing one


def run_scp(settings: Settings, stop: threading.Event) -> None:
    """The listener, and the settling of complete studies into jobs."""
    sys.setswitchinterval(_TURN_S)
    pydicom_settings.reading_validation_mode = IGNORE  # what is used is checked where it is; a third of a negotiation
    store = open_store(settings)
    manifests = [folder.manifest for folder in usable_models(settings)]
    tell_refusals = any("refusal" in destination.objects for destination in settings.destinations.values())
    spool = Spool(settings.spool_dir, settings.scp.min_free_mb, durable=settings.scp.fsync)
    seen: dict[str, News] = {}

    clock = WallClock()
    if lies_ahead(store.database, now()):
        bring_back(store.database, now(), settings.queue.lease_s)

    def settle() -> bool:
        if clock.was_set_back():
            bring_back(store.database, now(), settings.queue.lease_s)
            clock.dealt_with()
        store.jobs.lose_expired(now(), settings.queue.max_attempts)
        store.deliveries.lose_expired(now())
        settled = settle_complete_studies(
            store.studies, manifests, settings.completeness, now(), tell_refusals=tell_refusals, counts=counts.latest, seen=seen
        )
        return bool(settled)

    with (
        closing(spool),
        audited(settings, "scp") as trail,
        IndexQueue(spool, store.studies) as index,
        storage_commitment(settings, store, stop) as commitment,
    ):
        index_what_was_left(spool, index, now)
        listens = Audited(trail)
        counts = PacsCounts(_peers_by_title(settings, listens), settings.completeness, now)
        storage = Storage(Intake(spool, index, now), index, store.studies, now, listens)
        doorkeeper = Doorkeeper(Access(settings.scp, settings.peers, settings.node.ae_title), spool.has_room)
        services: list[Service] = [
            doorkeeper,
            commitment,
            PerformedProcedureSteps(PerformedSteps(store.database), now),
            Query(Held(store.database), settings.dicom_destinations, settings.node.ae_title, listens),
            listens,
        ]
        with ExitStack() as listening:
            for tls in _ways_in(settings.scp):
                listening.enter_context(Listener(settings.scp, settings.node.ae_title, storage, services, tls=tls))
            poll(settle, settings.queue.poll_s, stop)


def _peers_by_title(settings: Settings, listens: Audited) -> dict[str, QueryPeer]:
    """The PACS that can be asked, by the AE title that they call with when they send."""
    own, timeout_s = settings.node.ae_title, settings.sender.timeout_s
    return {source.ae_title: QueryPeer.of(source, own, timeout_s, listens.handlers()) for source in settings.sources.values()}


def _ways_in(settings: Scp) -> list[ListenerTls | None]:
    """How TLS is spoken on each listener; None: the plain one."""
    return [*([None] if settings.plain else []), *([settings.tls] if settings.tls else [])]
