"""The loop of every process: do what is due, wait, until told to stop."""

import threading
from collections.abc import Callable

from cad_node.log import get_logger

log = get_logger()


def poll(step: Callable[[], bool], interval_s: float, stop: threading.Event) -> None:
    """Call `step` until `stop` is set; wait `interval_s` whenever it found nothing to do (returned False) or failed.

    A step that raises is logged and tried again: a database that is restarting must not end the process.
    """
    while not stop.is_set():
        try:
            busy = step()
        except Exception:
            log.exception("step.failed", step=getattr(step, "__qualname__", repr(step)))
            busy = False
        if not busy:
            stop.wait(interval_s)
