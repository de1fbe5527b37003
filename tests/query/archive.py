"""Query/Retrieve SCPs on loopback that answer as a test says."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from cad_node.query.association import QueryPeer

MODELS = [
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelGet,
]


@contextmanager
def archive(
    *handlers: Any, contexts: Sequence[PresentationContext] | None = None, tls: Any = None, **ae_settings: Any
) -> Iterator[QueryPeer]:
    """A pynetdicom SCP. handlers: pairs of event and function; contexts: Study Root in all three services, where not given."""
    entity = ApplicationEntity("PACS")
    entity.supported_contexts = [build_context(model) for model in MODELS] if contexts is None else list(contexts)
    for name, value in ae_settings.items():
        setattr(entity, name, value)
    connections: list[socket.socket] = []
    keep = (evt.EVT_CONN_OPEN, lambda event: connections.append(event.assoc.dul.socket.socket))
    server = entity.start_server(("127.0.0.1", 0), block=False, ssl_context=tls, evt_handlers=[keep, *handlers])
    try:
        yield peer_at(server.socket.getsockname()[1])
    finally:
        for association in server.active_associations:
            association.join(5)
        server.shutdown()
        for connection in connections:
            connection.close()  # pynetdicom doesn't, where the peer closed first


def peer_at(port: int, called_ae_title: str = "PACS") -> QueryPeer:
    return QueryPeer("127.0.0.1", port, called_ae_title, "CAD_NODE", timeout_s=5, response_timeout_s=5)
