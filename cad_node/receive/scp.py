"""The Storage SCP: associations in, instances stored and indexed, statuses out."""

import socket
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, _config, evt

from cad_node.errors import CadNodeError
from cad_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from cad_node.log import get_logger
from cad_node.receive.instance import StoreRequest, receive_instance
from cad_node.receive.presentation import accepted_contexts
from cad_node.receive.statuses import SUCCESS, status_of
from cad_node.settings import Scp
from cad_node.store.files import Spool
from cad_node.store.studies import Studies

log = get_logger()

_MAXIMUM_PDU_BYTES = 131_072  # the most DCMTK's senders use
_POLL_S = 0.05


class CannotListen(CadNodeError):
    """The address can't be had, now."""

    retryable = True


class StorageScp:
    """Listens, answers C-ECHO, and takes every C-STORE it can; any calling and called AE title."""

    def __init__(self, settings: Scp, ae_title: str, spool: Spool, studies: Studies, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._spool = spool
        self._studies = studies
        self._clock = clock
        self._ae = _application_entity(settings, ae_title)
        self._server: Any = None  # pynetdicom's ThreadedAssociationServer, while it listens
        self._connections: dict[Any, socket.socket] = {}  # by pynetdicom's Association
        self._is_full = False  # the last association was rejected
        self._studies_by_association: dict[Any, set[str]] = {}  # the Study Instance UIDs it brought

    def start(self) -> int:
        """Listen in a thread of its own. Returns the port. Raises CannotListen if the address is taken or isn't this machine's."""
        _let_every_uid_through()
        handlers = [
            (evt.EVT_CONN_OPEN, self._keep_connection),
            (evt.EVT_ACCEPTED, self._note_room),
            (evt.EVT_REJECTED, self._note_rejection),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_RELEASED, self._end),
            (evt.EVT_ABORTED, self._end),
            (evt.EVT_CONN_CLOSE, self._close_connection),
        ]
        address = (self._settings.host, self._settings.port)
        try:
            self._server = self._ae.start_server(address, block=False, contexts=accepted_contexts(), evt_handlers=handlers)
        except OSError as exc:
            where = f"scp.host, scp.port: {address[0]}:{address[1]}"
            raise CannotListen(f"{where}: {exc.strerror}; stop what listens there or choose another port") from exc
        self._server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it; answers don't wait
        port = int(self._server.server_address[1])
        log.info("scp.listening", host=self._settings.host, port=port, ae_title=self._ae.ae_title)
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

    def _note_room(self, _event: Any) -> None:
        self._is_full = False

    def _note_rejection(self, event: Any) -> None:
        """Log that the limit is reached, once until there is room again: senders knock every second."""
        if not self._is_full:
            limit = self._settings.max_associations
            log.warning("association.rejected", calling_ae_title=event.assoc.requestor.ae_title, max_associations=limit)
        self._is_full = True

    def _store(self, event: Any) -> int | Dataset:
        """Answer one C-STORE request; whatever goes wrong, the association and its other instances live on."""
        calling_ae_title = event.assoc.requestor.ae_title
        try:
            study_instance_uid = receive_instance(_request(event, calling_ae_title), self._spool, self._studies, self._clock())
        except Exception as error:  # noqa: BLE001 - one bad instance must not cost its neighbours
            return _failure(error, calling_ae_title)
        self._studies_by_association.setdefault(event.assoc, set()).add(study_instance_uid)
        return SUCCESS

    def _keep_connection(self, event: Any) -> None:
        self._connections[event.assoc] = event.assoc.dul.socket.socket

    def _close_connection(self, event: Any) -> None:
        """Give the descriptor back: pynetdicom doesn't where the peer closed first, as DCMTK's senders do."""
        if connection := self._connections.pop(event.assoc, None):
            connection.close()

    def _end(self, event: Any) -> None:
        """Note the end of an association for each study that no open association has brought instances of."""
        ended = self._studies_by_association.pop(event.assoc, set())
        still_open = set().union(*list(self._studies_by_association.values()))
        try:
            self._studies.association_ended(sorted(ended - still_open), self._clock())
        except Exception:  # the quiet period completes the studies all the same
            log.exception("association.end_not_noted", studies=sorted(ended))
            return
        log.info("association.ended", calling_ae_title=event.assoc.requestor.ae_title, how=event.event.name, studies=sorted(ended))


def _application_entity(settings: Scp, ae_title: str) -> Any:
    ae = AE(ae_title)
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_associations = settings.max_associations
    ae.network_timeout = settings.network_timeout_s or None  # 0: an association may be idle for ever
    ae.maximum_pdu_size = _MAXIMUM_PDU_BYTES
    return ae


def _let_every_uid_through() -> None:
    """Have pynetdicom hand a request with a bad UID to the handler, which refuses it with a status.

    This is a switch of the whole process: pynetdicom checks UIDs before any handler runs, and a UID of 65 characters would
    end the association and lose the instances that follow. What it let through is checked in receive_instance.
    """
    _config.VALIDATORS["UI"] = lambda _uid: (True, "")


def _request(event: Any, calling_ae_title: str) -> StoreRequest:
    return StoreRequest(
        sop_class_uid=str(event.request.AffectedSOPClassUID),
        sop_instance_uid=str(event.request.AffectedSOPInstanceUID),
        transfer_syntax_uid=str(event.context.transfer_syntax),
        calling_ae_title=calling_ae_title,
        dataset=event.encoded_dataset(include_meta=False),
    )


def _failure(error: Exception, calling_ae_title: str) -> Dataset:
    """The status data set that answers `error`, PS3.4 Table B.2-1; the reason goes to the log."""
    status = status_of(error)
    refusal = {"status": f"0x{status.code:04X}", "calling_ae_title": calling_ae_title}
    if isinstance(error, CadNodeError):
        log.warning("instance.refused", reason=str(error), **refusal)
    else:
        log.error("instance.failed", exc_info=error, **refusal)
    ds = Dataset()
    ds.Status = status.code
    ds.ErrorComment = status.comment
    return ds


def _wait_until(done: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not done() and time.monotonic() < deadline:
        time.sleep(_POLL_S)
