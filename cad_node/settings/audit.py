"""The audit trail, and where it is sent."""

from typing import Annotated, Literal

from pydantic import Field

from cad_node.settings.section import Section
from cad_node.settings.tls import PeerTls


class Collector(Section):
    host: str
    """Where the syslog collector is."""
    transport: Literal["tls", "udp"] = "tls"
    """tls (RFC 5425), or udp (RFC 5426), which nobody acknowledges."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Its port; empty: 6514 for TLS, 514 for UDP."""
    tls: PeerTls = PeerTls()
    """TLS to the collector."""


class Audit(Section):
    associations: bool = True
    """Whether associations that were accepted are told too; refused ones always are."""
    fsync: bool = True
    """Whether a record is on the disk before the node goes on; else the kernel writes it within seconds, which a loss of power can undo."""
    max_file_mb: Annotated[float, Field(gt=0)] = 64
    """The log goes on in a new file from this size. Old files are never removed: put them away together, oldest first, once forwarded."""
    source_id: str = ""
    """Audit Source ID of the messages. Empty: node.ae_title@host name."""
    enterprise_site_id: str = ""
    """Audit Enterprise Site ID, where the site has one."""
    collector: Collector | None = None
    """Where the messages are sent besides the log."""
