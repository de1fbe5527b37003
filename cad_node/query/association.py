"""An association as SCU of query and retrieve, by pynetdicom."""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.presentation import PresentationContext

from cad_node.errors import AssociationRejected, CadNodeError, PacsUnreachable, UnusableTlsFile
from cad_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from cad_node.query.secured import SecuredSockets
from cad_node.settings import Destination, Source
from cad_node.tls import TlsContext

Handler = tuple[evt.EventType, Callable[[Any], Any]]

_MAXIMUM_PDU_BYTES = 131_072
_REJECTED_FOR_GOOD = 1  # A-ASSOCIATE result, PS3.8 9.3.4


class QueryFailed(CadNodeError):
    """The peer is there, but answers a query or a retrieve with a failure."""

    retryable = True  # its configuration, or what it holds, can change


@dataclass(frozen=True, slots=True)
class QueryPeer:
    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str
    timeout_s: float  # for the connection, and for the answer to the association request
    response_timeout_s: float  # for each response
    watchers: Sequence[Handler] = ()  # of each association, whatever it is for
    tls: TlsContext | None = None

    @classmethod
    def of(cls, to: Source | Destination, ae_title: str, timeout_s: float, watchers: Sequence[Handler] = ()) -> Self:
        """The peer as it is configured; ae_title: the node's own, sent unless the peer is to see another."""
        waits_s = to.response_timeout_s if isinstance(to, Source) else timeout_s
        tls = TlsContext(to.tls) if to.tls else None
        return cls(to.host, to.port, to.ae_title, to.calling_ae_title or ae_title, timeout_s, waits_s, tuple(watchers), tls)

    def __str__(self) -> str:
        return f"{self.called_ae_title} at {self.host}:{self.port}"


@contextmanager
def associated(peer: QueryPeer, contexts: Sequence[PresentationContext], handlers: Sequence[Handler] = (), **more: Any) -> Iterator[Any]:
    """pynetdicom's Association with the peer: released at the end of the block, aborted by an exception in it.

    more: what else AE.associate takes.
    Raises PacsUnreachable, AssociationRejected; QueryFailed if the peer takes none of the contexts.
    """
    connections: list[socket.socket] = []

    def keep(event: Any) -> None:
        connections.append(event.assoc.dul.socket.socket)
        connections[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each message waits for a delayed ACK

    bound = [(evt.EVT_CONN_OPEN, keep), *peer.watchers, *handlers]
    entity = _application_entity(peer)
    secured = _secured(peer)
    tls_args = (secured, peer.host) if secured else None
    association = entity.associate(
        peer.host, peer.port, list(contexts), peer.called_ae_title, evt_handlers=bound, tls_args=tls_args, **more
    )
    try:
        if secured and secured.trouble:
            raise PacsUnreachable(f"{peer} makes no secure connection: {secured.trouble}")
        _require_established(peer, association, is_connected=bool(connections))
        yield association
        association.release()
    finally:
        if association.is_established:
            association.abort()
        for connection in connections:
            connection.close()  # pynetdicom doesn't, where the peer closed first
        if secured:
            secured.close()


def _secured(peer: QueryPeer) -> SecuredSockets | None:
    try:
        return SecuredSockets(peer.tls.current()) if peer.tls else None
    except UnusableTlsFile as exc:
        raise PacsUnreachable(f"{peer} can't be called over TLS: {exc}") from exc


def _application_entity(peer: QueryPeer) -> Any:
    entity = AE(peer.calling_ae_title)
    entity.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.maximum_pdu_size = _MAXIMUM_PDU_BYTES
    entity.connection_timeout = entity.acse_timeout = peer.timeout_s
    entity.dimse_timeout = peer.response_timeout_s
    entity.network_timeout = None  # the response's timeout does: between two of them the peer may be busy for long
    return entity


def _require_established(peer: QueryPeer, association: Any, is_connected: bool) -> None:
    if association.is_established:
        return
    if not is_connected:
        raise PacsUnreachable(f"{peer} can't be reached: no connection within {peer.timeout_s:g} s, or refused")
    if association.is_rejected:
        answer = association.acceptor.primitive
        for_good = answer.result == _REJECTED_FOR_GOOD
        kind, error = ("for good", AssociationRejected) if for_good else ("for now", PacsUnreachable)
        raise error(f"{peer} rejects associations of {peer.calling_ae_title} {kind}: {answer.reason_str}")
    if association.rejected_contexts:
        refused = ", ".join(sorted({UID(context.abstract_syntax).name for context in association.rejected_contexts}))
        raise QueryFailed(f"{peer} takes the association, but not {refused}")
    raise PacsUnreachable(f"{peer} ended the association before it was established, or didn't answer within {peer.timeout_s:g} s")
