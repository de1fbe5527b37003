"""The receiving process: the listener, and the settling of complete studies into jobs."""

import threading

from cad_node.app.start import now, open_store, usable_models
from cad_node.poller import poll
from cad_node.receive.completeness import settle_complete_studies
from cad_node.receive.index_queue import IndexQueue
from cad_node.receive.instance import Intake
from cad_node.receive.listener import Listener
from cad_node.receive.query import Query
from cad_node.receive.recovery import index_what_was_left
from cad_node.receive.storage import Storage
from cad_node.settings import Settings
from cad_node.store.files import Spool
from cad_node.store.held import Held


def run_scp(settings: Settings, stop: threading.Event) -> None:
    """The listener, and the settling of complete studies into jobs."""
    store = open_store(settings)
    manifests = [folder.manifest for folder in usable_models(settings)]
    tell_refusals = any("refusal" in destination.objects for destination in settings.destinations.values())
    spool = Spool(settings.spool_dir, settings.scp.min_free_mb, durable=settings.scp.fsync)

    def settle() -> bool:
        store.jobs.lose_expired(now(), settings.queue.max_attempts)
        store.deliveries.lose_expired(now())
        settled = settle_complete_studies(store.studies, manifests, settings.completeness, now(), tell_refusals=tell_refusals)
        return bool(settled)

    with IndexQueue(store.studies) as index:
        index_what_was_left(spool, index, now)
        storage = Storage(Intake(spool, index, now), index, store.studies, now)
        services = [Query(Held(store.database), settings.destinations, settings.node.ae_title)]
        with Listener(settings.scp, settings.node.ae_title, storage, services):
            poll(settle, settings.queue.poll_s, stop)
