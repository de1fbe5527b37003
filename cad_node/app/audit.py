"""The audit trail of a process, and the thread that forwards the log of all of them."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from cad_node.app.start import now
from cad_node.audit.audit_log import AuditLog
from cad_node.audit.collector import TlsCollector, UdpCollector
from cad_node.audit.forwarder import Forwarder
from cad_node.audit.message import Source
from cad_node.audit.syslog import syslog_message
from cad_node.audit.trail import LocalProcess, Trail
from cad_node.poller import poll
from cad_node.settings import Settings


def open_trail(settings: Settings, process: str) -> Trail:
    """The trail of a process by this name: scp, worker cpu, sender, …"""
    host = socket.gethostname()
    source = Source(settings.audit.source_id or f"{settings.node.ae_title}@{host}", settings.audit.enterprise_site_id)
    audit_log = AuditLog(settings.audit_dir, int(settings.audit.max_file_mb * 1_000_000), fsync=settings.audit.fsync)
    local = LocalProcess(process, os.getpid(), settings.node.ae_title, host)
    return Trail(audit_log, source, local, now, tell_associations=settings.audit.associations)


@contextmanager
def audited(settings: Settings, process: str) -> Iterator[Trail]:
    """The trail of a process that starts now, and stops at the end."""
    trail = open_trail(settings, process)
    trail.application_started()
    try:
        yield trail
    finally:
        trail.application_stopped()


@contextmanager
def forwarding(settings: Settings, stop: threading.Event) -> Iterator[None]:
    """Forward the log to the collector, if there is one, in a thread of its own until `stop` is set."""
    collector = settings.audit.collector
    if collector is None:
        yield
        return
    send = (TlsCollector(collector) if collector.transport == "tls" else UdpCollector(collector)).send
    forwarder = Forwarder(settings.audit_dir, partial(syslog_message, host=socket.gethostname()), send)
    thread = threading.Thread(target=poll, args=(forwarder.forward, settings.queue.poll_s, stop), name="forward audit")
    thread.start()
    try:
        yield
    finally:
        stop.set()  # also where the process ends for another reason
        thread.join()
