"""The sending process: every destination."""

import os
import random
import threading
from collections.abc import Mapping

from cad_node.app.start import now, open_store, process_name
from cad_node.deliver.cstore import CStore
from cad_node.deliver.transport import Transport
from cad_node.sender import Sender
from cad_node.settings import Settings


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
