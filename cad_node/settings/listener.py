"""What the listener takes and from whom, and when a study is whole."""

from typing import Annotated, Literal, Self

from pydantic import Field, IPvAnyNetwork, model_validator

from cad_node.settings.section import AETitle, Port, Seconds, Section
from cad_node.settings.tls import ListenerTls

ServiceName = Literal["store", "query", "move", "commit", "mpps"]


class Scp(Section):
    host: str = "0.0.0.0"  # noqa: S104 - a DICOM listener serves the hospital's network
    """Address to listen on."""
    port: Port = 11112
    """TCP port to listen on; 0 takes a free one."""
    plain: bool = True
    """Whether `port` is open, for associations without TLS."""
    tls: ListenerTls | None = None
    """A second listener, for associations over TLS."""
    max_associations: int = Field(default=32, ge=1)
    """Associations served at once; one more is rejected (transient)."""
    max_associations_per_peer: int = Field(default=32, ge=1)
    """Associations served at once for one [peers.NAME], or one address that none describes; one more is rejected (transient)."""
    max_connections: int = Field(default=1000, ge=1)
    """Connections at once, with an association or without one yet; one more is closed."""
    called_ae_title: Literal["any", "ours"] = "any"
    """Whether an association must call this node by `node.ae_title`."""
    addresses: tuple[IPvAnyNetwork, ...] = ()
    """Address ranges that may associate, such as 10.1.0.0/16. Empty: all."""
    unknown_peers: Literal["accept", "store-only", "reject"] = "store-only"
    """What a peer may that no [peers.NAME] describes: all, store with what goes with it (store, commit, mpps), or nothing.
    C-ECHO is answered wherever an association is accepted."""
    acse_timeout_s: Annotated[float, Field(gt=0)] = 30
    """A connection that hasn't asked for an association for so long is closed (ARTIM, PS3.8 9.1.5)."""
    network_timeout_s: Seconds = 60
    """An association without traffic for so long is aborted."""
    fsync: bool = True
    """Whether an instance survives a power cut once it is acknowledged. Without it, it survives the process' death alone."""
    min_free_mb: int = Field(default=512, ge=0)
    """Below this much free space associations that ask to store are rejected (transient), and instances refused with 0xA700."""

    @model_validator(mode="after")
    def _listens(self) -> Self:
        if not self.plain and self.tls is None:
            raise ValueError("nothing would listen: set `plain` or [scp.tls]")
        return self


class Peer(Section):
    ae_title: AETitle | None = None
    """Its calling AE title. Who calls by it must fit the keys below as well, or is rejected. Empty: whoever fits them."""
    addresses: tuple[IPvAnyNetwork, ...] = ()
    """Address ranges it calls from. Empty: any."""
    certificate: tuple[str, ...] = ()
    """Names of which its certificate bears one, Common Name or Subject Alternative Name; * stands for anything. Empty: it needs none."""
    may: tuple[ServiceName, ...] = ("store", "commit", "mpps")
    """What it may ask for: store, query (C-FIND), move (C-MOVE, C-GET), commit, mpps."""
    max_associations: int | None = Field(default=None, ge=1)
    """Associations served at once for it; empty: `scp.max_associations_per_peer`."""

    @model_validator(mode="after")
    def _is_described(self) -> Self:
        if not (self.ae_title or self.addresses or self.certificate):
            raise ValueError("describes nobody: set ae_title, addresses or certificate")
        return self


class Completeness(Section):
    quiet_s: Seconds = 60
    """A series, and a study, is complete when nothing of it has arrived for so long, whatever else is known."""
    association_end_s: Seconds = 5
    """Or so long after the association that brought its last instance has ended, unless slices are missing in between, or more was
    announced by a modality's performed procedure step or by the count of the sender's PACS."""
    count_s: Seconds = 2
    """Or when the sender's PACS counts as many instances as have arrived, if one of `sources` has the AE title it sends with. It is asked
    when nothing has arrived for so long, since one that is still receiving itself counts as many as it has sent."""
    count_again_s: Annotated[float, Field(gt=0)] = 15
    """How long after its last answer, or silence, that PACS is asked again."""
