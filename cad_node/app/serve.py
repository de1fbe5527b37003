"""The whole node: every process, supervised."""

import sys
import threading

from cad_node.app.audit import audited
from cad_node.app.start import now, open_store, process_name, usable_models
from cad_node.log import get_logger
from cad_node.settings import Settings
from cad_node.supervisor import Supervisor

log = get_logger()


def run_all(settings: Settings, stop: threading.Event) -> int:
    """Every process of the node, supervised. Returns the exit status."""
    store = open_store(settings)  # once, before the processes race to make it
    usable_models(settings)

    commands = {"scp": ["scp"], **{f"worker {d}": ["worker", "--device", d] for d in settings.worker.devices}, "sender": ["sender"]}
    python = [sys.executable, "-m", "cad_node.cli.processes"]
    with audited(settings, "serve") as trail:

        def release_leases(name: str, pid: int) -> None:
            trail.application_died(name, pid)
            owner = process_name(name, pid)
            lost = store.jobs.lose_worker(owner, now(), settings.queue.max_crashes)
            store.deliveries.lose_sender(owner, now())
            if lost:
                log.warning("jobs.lost_their_worker", process=name, jobs=lost)

        return Supervisor({name: [*python, *verb, "--supervised"] for name, verb in commands.items()}, release_leases).run(stop)
