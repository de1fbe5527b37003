"""The node's front door: listens, and leads each association to the services it asks for."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from socket import socket
from ssl import SSLSocket
from types import TracebackType
from typing import Any, Self, cast

from pydicom.uid import UID
from pynetdicom import AE, _config
from pynetdicom.presentation import PresentationContext

from cad_node.errors import CadNodeError
from cad_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from cad_node.log import get_logger
from cad_node.receive.fast_association import FastRequestHandler, FastServer, Offer
from cad_node.receive.presentation import STORAGE_CLASSES
from cad_node.receive.service import Service
from cad_node.receive.storage import Storage
from cad_node.settings import ListenerTls, Scp
from cad_node.tls import TlsContext, accept_tls

log = get_logger()

_MAXIMUM_PDU_BYTES = 131_072  # the most DCMTK's senders use
_POLL_S = 0.05


class CannotListen(CadNodeError):
    """The address can't be had, now."""

    retryable = True


class Listener:
    """Listens on one address for the services it is given; used as a context manager.

    tls: how TLS is spoken, and on which port; None: the listener is a plain one.
    fast: False leaves the associations to pynetdicom as it comes, without TLS.
    """

    def __init__(
        self,
        settings: Scp,
        ae_title: str,
        storage: Storage,
        services: Sequence[Service] = (),
        *,
        tls: ListenerTls | None = None,
        fast: bool = True,
    ) -> None:
        self._settings = settings
        self._ae = _application_entity(settings, ae_title)
        self._storage = storage
        self._services = [storage, *services]
        self._tls, self._fast = tls, fast
        self._server: Any = None  # pynetdicom's server, while it listens

    def start(self) -> int:
        """Listen in a thread of its own. Returns the port.

        Raises CannotListen if the address is taken or isn't this machine's, UnusableTlsFile.
        """
        contexts = [context for service in self._services for context in service.contexts()]
        try:
            self._server = self._start_fast(contexts) if self._fast else self._start_plain(contexts)
        except OSError as exc:
            host, port = self._address()
            where = f"scp.host, {'scp.tls.port' if self._tls else 'scp.port'}: {host}:{port}"
            raise CannotListen(f"{where}: {exc.strerror}; stop what listens there or choose another port") from exc
        port = int(self._server.server_address[1])
        log.info("scp.listening", host=self._settings.host, port=port, ae_title=self._ae.ae_title, tls=self._tls is not None)
        return port

    def stop(self, grace_s: float = 5.0) -> None:
        """Take no new association; abort those that are still open after `grace_s`."""
        if self._server is None:
            return
        self._server.shutdown()
        _wait_until(lambda: not self.open_associations(), grace_s)
        for association in self.open_associations():
            association.abort()
        _wait_until(lambda: not self.open_associations(), grace_s)
        self._server = None
        log.info("scp.stopped")

    def open_associations(self) -> list[Any]:
        """pynetdicom's Association of each peer that is connected."""
        return self._server.active_associations if self._server else []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()

    def _start_fast(self, contexts: list[PresentationContext]) -> FastServer:
        offer = Offer(
            _by_abstract_syntax(contexts),
            frozenset(STORAGE_CLASSES),
            self._storage.begin,
            _handshake(self._tls) if self._tls else None,
            self._settings.max_connections,
        )
        server = self._ae.make_server(
            self._address(),
            contexts=contexts,
            evt_handlers=self._handlers(),
            server_class=partial(FastServer, offer=offer),  # type: ignore[arg-type]  # whatever makes a server
            request_handler=FastRequestHandler,
        )
        threading.Thread(target=server.serve_forever, name="listener", daemon=True).start()
        return cast(FastServer, server)

    def _start_plain(self, contexts: list[PresentationContext]) -> Any:
        """pynetdicom's own server: what the fast one is compared with."""
        return self._ae.start_server(self._address(), block=False, contexts=contexts, evt_handlers=self._handlers())

    def _address(self) -> tuple[str, int]:
        return self._settings.host, (self._tls or self._settings).port

    def _handlers(self) -> list[Any]:
        return [handler for service in self._services for handler in service.handlers()]


def _handshake(settings: ListenerTls) -> Callable[[socket], SSLSocket]:
    """Secures a connection. Raises UnusableTlsFile."""
    tls = TlsContext(settings)
    tls.current()  # what is wrong with the files is said at the start
    return lambda connection: accept_tls(connection, tls.current(), settings.handshake_timeout_s)


def _application_entity(settings: Scp, ae_title: str) -> AE:
    _config.LOG_HANDLER_LEVEL = "none"  # pynetdicom writes out each negotiation for a log that nobody keeps: a tenth of its time
    ae = AE(ae_title)
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_associations = settings.max_connections  # pynetdicom counts them all; Access counts associations
    ae.acse_timeout = settings.acse_timeout_s
    ae.network_timeout = settings.network_timeout_s or None  # 0: an association may be idle for ever
    ae.maximum_pdu_size = _MAXIMUM_PDU_BYTES
    return ae


def _by_abstract_syntax(contexts: Sequence[PresentationContext]) -> dict[str, tuple[PresentationContext, ...]]:
    found: dict[str, tuple[PresentationContext, ...]] = {}
    for context in contexts:
        uid = str(context.abstract_syntax)
        found[uid] = (*found.get(uid, ()), context)
    return found


def _wait_until(done: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not done() and time.monotonic() < deadline:
        time.sleep(_POLL_S)
