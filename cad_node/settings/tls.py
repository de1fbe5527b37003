"""TLS, as the listener speaks it and as a client."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cad_node.settings.section import Port, Section


class _Tls(Section):
    profile: Literal["bcp195", "bcp195-modified", "bcp195-nd", "bcp195-extended"] = "bcp195"
    """Cipher suites by PS3.15: bcp195 (B.12), bcp195-modified (B.13), and the retired bcp195-nd (B.10, non-downgrading) and bcp195-extended
    (B.11, TLS 1.2 only)."""
    versions: Annotated[tuple[Literal["1.2", "1.3"], ...], Field(min_length=1)] = ("1.2", "1.3")
    """TLS versions that are spoken; there are no others."""
    authorities: Path | None = None
    """PEM file of the authorities whose certificates are taken from peers."""
    revocations: Path | None = None
    """PEM file with the authority's revocation list. With it, a certificate is only taken where a list in force doesn't name it."""

    @model_validator(mode="after")
    def _has_a_version(self) -> Self:
        if self.profile == "bcp195-extended" and "1.2" not in self.versions:
            raise ValueError("the profile bcp195-extended is for TLS 1.2, which `versions` leaves out")
        return self


class ListenerTls(_Tls):
    port: Port = 2762  # dicom-tls, PS3.15 B.12
    """TCP port of the TLS listener, on `scp.host`; 0 takes a free one."""
    certificate: Path
    """PEM file with the listener's certificate, and after it those between it and the authority. Read again when it changes."""
    key: Path
    """PEM file with its private key, not encrypted. Read again when it changes."""
    client_certificates: Literal["required", "optional", "none"] = "required"
    """Whether a peer must show a certificate that `authorities` signed, is believed if it does, or isn't asked."""
    handshake_timeout_s: Annotated[float, Field(gt=0)] = 10
    """A connection that hasn't agreed on TLS for so long is closed."""

    @model_validator(mode="after")
    def _knows_authorities(self) -> Self:
        if self.client_certificates != "none" and self.authorities is None:
            raise ValueError('name `authorities` to check client certificates by, or set client_certificates = "none"')
        return self


class PeerTls(_Tls):
    verify_host: bool = True
    """Whether the peer's certificate must be for `host`. The certificate itself is always checked: by `authorities`, or the system's."""
    certificate: Path | None = None
    """PEM file with our certificate, for a peer that asks for one. Read again when it changes."""
    key: Path | None = None
    """PEM file with its private key, not encrypted. Read again when it changes."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` go together: set both or none")
        return self
