"""What every process begins with: the rows, the clock, the models that are sound, its own name."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cad_node.log import get_logger
from cad_node.manifest import ModelFolder, read_models
from cad_node.settings import Settings
from cad_node.store.commitments import Commitments
from cad_node.store.confirmations import Confirmations, Resending
from cad_node.store.database import Database
from cad_node.store.deliveries import Deliveries
from cad_node.store.jobs import Jobs
from cad_node.store.migrate import require_current, upgrade
from cad_node.store.studies import Studies

log = get_logger()


@dataclass(frozen=True, slots=True)
class Store:
    """The rows, by what they are."""

    database: Database
    studies: Studies
    jobs: Jobs
    deliveries: Deliveries
    confirmations: Confirmations
    commitments: Commitments


def open_store(settings: Settings) -> Store:
    """Open the database for a process of the node. The embedded one is made and upgraded on the way; a server's must be current.

    Raises SettingsError if it isn't, naming the command to run.
    """
    os.umask(0o077)  # of the process: what it writes from here on holds patients' data, and is nobody else's to read
    if not settings.database.url:
        settings.node.data_dir.mkdir(parents=True, exist_ok=True)
        upgrade(settings.database_url)
    return look_into_store(settings)


def look_into_store(settings: Settings) -> Store:
    """Open a database as it is: a listing doesn't change the tables below a running node. Raises SettingsError if it isn't current."""
    require_current(settings.database_url)
    database = Database(settings.database_url)
    confirmations = Confirmations(database, _resending(settings))
    return Store(database, Studies(database), Jobs(database), Deliveries(database), confirmations, Commitments(database))


def now() -> datetime:
    """The one clock of the processes."""
    return datetime.now(UTC)


def usable_models(settings: Settings) -> tuple[ModelFolder, ...]:
    """The models whose folders are sound; what is wrong with the others is said once, and the node runs without them."""
    folders, errors = read_models(settings.models.dir, settings.models.enabled)
    for error in errors:
        log.error("model.unusable", reason=str(error))
    return folders


def process_name(name: str, pid: int) -> str:
    """Who holds a lease: host, process, pid."""
    return f"{socket.gethostname()}/{name}/{pid}"


def _resending(settings: Settings) -> Mapping[str, Resending]:
    waits_s = settings.sender.backoff_first_s, settings.sender.backoff_longest_s
    return {name: Resending(to.confirm_resends, *waits_s) for name, to in settings.asked_destinations.items()}
