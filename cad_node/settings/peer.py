"""A DICOM peer, as associations reach it."""

from typing import Annotated, Literal

from pydantic import Field

from cad_node.settings.section import AETitle, Section
from cad_node.settings.tls import PeerTls


class DicomPeer(Section):
    ae_title: AETitle
    """Called AE title of the PACS."""
    host: str
    """Its address."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Its TCP port."""
    calling_ae_title: AETitle | None = None
    """Calling AE title, where it isn't node.ae_title."""
    tls: PeerTls | None = None
    """TLS to this PACS; without it, an association is plain, and https goes by BCP 195 and the system's authorities."""


class Source(DicomPeer):
    retrieve: Literal["move", "get"] = "move"
    """How instances are fetched. move: the PACS sends them to this node's listener and must know node.ae_title; get: they come on our own
    association."""
    response_timeout_s: Annotated[float, Field(gt=0)] = 600
    """Longest wait for the next response to a query or a retrieve; a PACS may send none before the last instance has gone."""
