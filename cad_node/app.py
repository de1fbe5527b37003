"""The wiring: settings become objects, and each process of the node is one function."""

import os
import random
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cad_node.deliver.cstore import CStore
from cad_node.deliver.transport import Transport
from cad_node.errors import ManifestError
from cad_node.inference.detect_nodules import detect_nodules
from cad_node.inference.model import Model, load_model
from cad_node.log import get_logger
from cad_node.manifest import ModelFolder, read_models
from cad_node.output.builder import Builder
from cad_node.output.seg import build_seg
from cad_node.output.sr import build_sr
from cad_node.pipeline import Task
from cad_node.poller import poll
from cad_node.receive.completeness import settle_complete_studies
from cad_node.receive.scp import StorageScp
from cad_node.sender import Sender
from cad_node.settings import Settings
from cad_node.store.database import Database
from cad_node.store.deliveries import Deliveries
from cad_node.store.files import Spool
from cad_node.store.jobs import Jobs
from cad_node.store.migrate import require_current, upgrade
from cad_node.store.node import node_uid
from cad_node.store.studies import Studies
from cad_node.supervisor import Supervisor
from cad_node.worker import ModelKey, Worker

log = get_logger()

# The plug points, by the key under which model.toml and the settings name them.
TASKS: Mapping[str, Task] = {"detect_nodules": detect_nodules}
BUILDERS: Mapping[str, Builder] = {"seg": build_seg, "sr": build_sr}


def now() -> datetime:
    """The one clock of the processes."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Store:
    """The rows, by what they are."""

    database: Database
    studies: Studies
    jobs: Jobs
    deliveries: Deliveries


def open_store(settings: Settings) -> Store:
    """Open the database. The embedded one is made and upgraded on the way; a server's must be current.

    Raises SettingsError if it isn't, naming the command to run.
    """
    if not settings.database.url:
        settings.node.data_dir.mkdir(parents=True, exist_ok=True)
        upgrade(settings.database_url)
    require_current(settings.database_url)
    database = Database(settings.database_url)
    return Store(database, Studies(database), Jobs(database), Deliveries(database))


def serve(settings: Settings, stop: threading.Event) -> int:
    """Every process of the node, supervised. Returns the exit status."""
    store = open_store(settings)  # once, before the processes race to make it
    usable_models(settings)

    def release_leases(name: str, pid: int) -> None:
        owner = process_name(name, pid)
        lost = store.jobs.lose_worker(owner, now(), settings.queue.max_crashes)
        store.deliveries.lose_sender(owner, now())
        if lost:
            log.warning("jobs.lost_their_worker", process=name, jobs=lost)

    commands = {"scp": ["scp"], **{f"worker {d}": ["worker", "--device", d] for d in settings.worker.devices}, "sender": ["sender"]}
    python = [sys.executable, "-m", "cad_node.cli"]
    return Supervisor({name: [*python, *verb, "--supervised"] for name, verb in commands.items()}, release_leases).run(stop)


def run_scp(settings: Settings, stop: threading.Event) -> None:
    """The listener, and the settling of complete studies into jobs."""
    store = open_store(settings)
    manifests = [folder.manifest for folder in usable_models(settings)]
    spool = Spool(settings.spool_dir, settings.scp.min_free_mb)
    spool.clear_temporary()

    def settle() -> bool:
        store.jobs.lose_expired(now(), settings.queue.max_crashes)
        store.deliveries.lose_expired(now())
        return bool(settle_complete_studies(store.studies, manifests, settings.completeness, now()))

    with StorageScp(settings.scp, settings.node.ae_title, spool, store.studies, now):
        poll(settle, settings.queue.poll_s, stop)


def run_worker(settings: Settings, device: str, stop: threading.Event) -> None:
    """One device. Raises ProviderMissing if it can't be had."""
    store = open_store(settings)
    Worker(
        name=process_name(f"worker {device}", os.getpid()),
        models=load_models(settings, device),
        tasks=TASKS,
        builders=BUILDERS,
        objects_by_destination={name: destination.objects for name, destination in settings.destinations.items()},
        studies=store.studies,
        jobs=store.jobs,
        results_dir=settings.results_dir.resolve(),
        node_uid=node_uid(store.database),
        queue=settings.queue,
        clock=now,
        rng=random.Random(),  # noqa: S311 - jitter
    ).run(stop)


def run_sender(settings: Settings, stop: threading.Event) -> None:
    """Every destination."""
    store = open_store(settings)
    name = process_name("sender", os.getpid())
    Sender(settings, store.deliveries, transports(settings), now, random.Random(), name).run(stop)  # noqa: S311 - jitter


def transports(settings: Settings) -> Mapping[str, Transport]:
    """How each destination is reached."""
    return {
        name: CStore(to, to.calling_ae_title or settings.node.ae_title, settings.sender.timeout_s)
        for name, to in settings.destinations.items()
    }


def usable_models(settings: Settings) -> tuple[ModelFolder, ...]:
    """The models whose folders are sound; what is wrong with the others is said once, and the node runs without them."""
    folders, errors = read_models(settings.models.dir, settings.models.enabled)
    for error in errors:
        log.error("model.unusable", reason=str(error))
    return folders


def load_models(settings: Settings, device: str) -> dict[ModelKey, Model | ManifestError]:
    """Every sound model folder, loaded on `device`; a model that fails its checks is kept as its error, so that its jobs say why."""
    loaded: dict[ModelKey, Model | ManifestError] = {}
    for folder in usable_models(settings):
        try:
            loaded[folder.key] = load_model(folder, device, settings.worker.threads)
            log.info("model.ready", model="/".join(folder.key), device=device)
        except ManifestError as error:
            loaded[folder.key] = error
            log.error("model.unusable", model="/".join(folder.key), device=device, reason=str(error))
    return loaded


def process_name(name: str, pid: int) -> str:
    """Who holds a lease: host, process, pid."""
    return f"{socket.gethostname()}/{name}/{pid}"
