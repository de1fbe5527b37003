"""A listener as a process of its own, which ends when it writes outside of its folder: python -m tests.fuzz.listening FOLDER."""

import os
import sys
import threading
from pathlib import Path
from typing import Any

from cad_node.log import configure_logging
from cad_node.receive.commitment import Lines, StorageCommitment
from cad_node.receive.mpps import PerformedProcedureSteps
from cad_node.receive.query import Query
from cad_node.receive.service import Service
from cad_node.store.commitments import Commitments
from cad_node.store.confirmations import Confirmations
from cad_node.store.database import Database
from cad_node.store.held import Held
from cad_node.store.performed_steps import PerformedSteps
from tests.receive.front_door import opened_front_door, utc_now

OUTSIDE = 70  # exit status
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_NAMES = {"os.mkdir": (0,), "os.rename": (0, 1), "os.link": (0, 1), "os.symlink": (0, 1), "os.remove": (0,), "os.truncate": (0,)}


def _watch(folder: Path) -> None:
    """Names relative to an open folder are those without a slash."""
    inside = f"{folder}/"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            paths = [arguments[0]]
        elif event in _NAMES:
            paths = [arguments[place] for place in _NAMES[event]]
        else:
            return
        for path in paths:
            name = os.fspath(path) if not isinstance(path, int) else ""
            if not name.startswith(inside) and ("/" in name or ".." in name):
                print(f"written outside: {event} {name!r}", file=sys.stderr, flush=True)
                os._exit(OUTSIDE)

    sys.addaudithook(hook)


def _services(database: Database) -> list[Service]:
    return [
        Query(Held(database), {}, "CAD_NODE"),
        PerformedProcedureSteps(PerformedSteps(database), utc_now),
        StorageCommitment(Commitments(database), Confirmations(database, {}), Lines(), utc_now, name="scp/1"),
    ]


if __name__ == "__main__":
    configure_logging(json=True)
    root = Path(sys.argv[1]).resolve()
    with opened_front_door(root, services=_services, network_timeout_s=5) as front_door:
        _watch(root)
        print(front_door.port, flush=True)
        threading.Event().wait()
