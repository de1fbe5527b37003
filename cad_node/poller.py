"""The loop of every process: do what is due, wait, until told to stop."""

import threading
from collections.abc import Callable

from cad_node.errors import CadNodeError
from cad_node.log import get_logger

log = get_logger()

LONGEST_WAIT_S = 30.0  # after failures: soon enough once the database is back, seldom enough for the log


def poll(step: Callable[[], bool], interval_s: float, stop: threading.Event) -> None:
    """Call `step` until `stop` is set; wait `interval_s` whenever it found nothing to do (returned False).

    A step that raises is logged and tried again, after a wait that doubles: a database that is restarting must not end the
    process.
    """
    failed_wait_s = interval_s
    while not stop.is_set():
        try:
            busy = step()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged and the loop goes on
            _log_failure(step, error, failed_wait_s)
            stop.wait(failed_wait_s)
            failed_wait_s = max(interval_s, min(2 * failed_wait_s, LONGEST_WAIT_S))
            continue
        failed_wait_s = interval_s
        if not busy:
            stop.wait(interval_s)


def _log_failure(step: Callable[[], bool], error: Exception, wait_s: float) -> None:
    """One line for what may pass; the places in the code too for what nobody foresaw."""
    name = getattr(step, "__qualname__", repr(step))
    if isinstance(error, CadNodeError) and error.retryable:
        log.warning("step.waits", step=name, reason=str(error), wait_s=wait_s)
    else:
        log.error("step.failed", step=name, wait_s=wait_s, exc_info=error)
