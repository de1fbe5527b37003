"""Storage SCPs that behave as PACS do, well and badly, on loopback."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import AllStoragePresentationContexts, build_context

from cad_node.settings import Destination


@contextmanager
def pacs(on_store, contexts=AllStoragePresentationContexts, handlers=(), **ae_settings) -> Iterator[Destination]:
    """A pynetdicom SCP. on_store: C-STORE event -> status."""
    ae = ApplicationEntity(ae_title="PACS")
    ae.supported_contexts = list(contexts)
    for name, value in ae_settings.items():
        setattr(ae, name, value)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store), *handlers])
    try:
        yield Destination(ae_title="PACS", host="127.0.0.1", port=server.socket.getsockname()[1])
    finally:
        for assoc in server.active_associations:
            assoc.join(5)
        server.shutdown()


def only(sop_class_uid, *transfer_syntax_uids):
    """Contexts of a PACS that knows one SOP class."""
    return [build_context(sop_class_uid, list(transfer_syntax_uids) or None)]


@contextmanager
def rude_peer(behave) -> Iterator[Destination]:
    """A TCP server that isn't DICOM. behave: connected socket -> None."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    stopped = threading.Event()

    def serve():
        while not stopped.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.settimeout(5)
                    behave(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Destination(ae_title="PACS", host="127.0.0.1", port=listener.getsockname()[1])
    finally:
        stopped.set()
        thread.join()
        listener.close()


def relay(connection: socket.socket, behind: Destination, after_bytes: int) -> None:
    """Pass bytes between a sender and a real SCP, and hang up once the sender has sent so many."""
    with socket.create_connection((behind.host, behind.port)) as onward:
        other = {connection: onward, onward: connection}
        sent = 0
        while sent < after_bytes:
            for readable in select.select(list(other), [], [], 5)[0]:
                chunk = readable.recv(min(16384, after_bytes - sent) or 1)
                other[readable].sendall(chunk)
                if not chunk:
                    return
                sent += len(chunk) if readable is connection else 0


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
