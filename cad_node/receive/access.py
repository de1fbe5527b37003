"""Who may associate, and for what; what is refused is refused in the words of PS3.8 and PS3.7."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from cad_node.settings import Peer, Scp, ServiceName
from cad_node.tls import PeerCertificate

ALL_SERVICES: frozenset[ServiceName] = frozenset(("store", "query", "move", "commit", "mpps"))

_UNKNOWN_MAY: Mapping[str, frozenset[ServiceName]] = {
    "accept": ALL_SERVICES,
    "store-only": frozenset(("store", "commit", "mpps")),
}


class Rejection(NamedTuple):
    """The fields of an A-ASSOCIATE-RJ, PS3.8 9.3.4."""

    result: int  # 1 permanent, 2 transient
    source: int  # 1 service user, 2 service provider (ACSE), 3 service provider (presentation)
    reason: int  # its meaning depends on the source


NO_REASON_GIVEN = Rejection(1, 1, 1)
NOT_NOW = Rejection(2, 2, 1)  # without a reason
CALLING_AE_TITLE_NOT_RECOGNIZED = Rejection(1, 1, 3)
CALLED_AE_TITLE_NOT_RECOGNIZED = Rejection(1, 1, 7)
TEMPORARY_CONGESTION = Rejection(2, 3, 1)
LOCAL_LIMIT_EXCEEDED = Rejection(2, 3, 2)


class Refused(Exception):
    """An association that is rejected. Its text says why, for the log; the peer is only told what the rejection says."""

    def __init__(self, rejection: Rejection, why: str) -> None:
        super().__init__(why)
        self.rejection = rejection


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for an association, as far as it is known."""

    calling_ae_title: str
    called_ae_title: str
    address: str
    certificate: PeerCertificate | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """What a peer may do on its association."""

    counted_as: str  # peers.NAME, or an address that none describes
    may: frozenset[ServiceName]
    max_associations: int


class Access:
    """Judges associations by the settings, and counts those that are open. Any thread may ask."""

    def __init__(self, settings: Scp, peers: Mapping[str, Peer], ae_title: str) -> None:
        self._settings, self._peers, self._ae_title = settings, peers, ae_title
        self._admitted: list[tuple[str, Callable[[], bool]]] = []  # what each counts as, and whether it is open
        self._lock = threading.Lock()

    def enter(self, caller: Caller, is_open: Callable[[], bool]) -> Admission:
        """Admit a peer, and count it for as long as `is_open` says so. Raises Refused."""
        if self._settings.called_ae_title == "ours" and caller.called_ae_title != self._ae_title:
            raise Refused(CALLED_AE_TITLE_NOT_RECOGNIZED, f"it calls {caller.called_ae_title!r}, and this node is {self._ae_title}")
        if self._settings.addresses and not _is_within(caller.address, self._settings):
            raise Refused(NO_REASON_GIVEN, "its address isn't in scp.addresses")
        admission = self._recognized(caller)
        self._count(admission, is_open)
        return admission

    def _recognized(self, caller: Caller) -> Admission:
        """What the caller may. The first entry of the settings that fits counts."""
        usual_limit = self._settings.max_associations_per_peer
        for name, peer in self._peers.items():
            if peer.ae_title in (None, caller.calling_ae_title) and _fits(caller, peer):
                return Admission(f"peers.{name}", frozenset(peer.may), peer.max_associations or usual_limit)
        for name, peer in self._peers.items():
            if peer.ae_title == caller.calling_ae_title:
                raise Refused(CALLING_AE_TITLE_NOT_RECOGNIZED, f"not the address or the certificate of peers.{name}")
        if self._settings.unknown_peers == "reject":
            raise Refused(CALLING_AE_TITLE_NOT_RECOGNIZED, "no [peers.NAME] describes it")
        return Admission(caller.address, _UNKNOWN_MAY[self._settings.unknown_peers], usual_limit)

    def _count(self, admission: Admission, is_open: Callable[[], bool]) -> None:
        with self._lock:
            self._admitted = [(counted_as, lasts) for counted_as, lasts in self._admitted if lasts()]
            if len(self._admitted) >= self._settings.max_associations:
                raise Refused(LOCAL_LIMIT_EXCEEDED, f"{self._settings.max_associations} are open, scp.max_associations")
            if sum(counted_as == admission.counted_as for counted_as, _ in self._admitted) >= admission.max_associations:
                raise Refused(LOCAL_LIMIT_EXCEEDED, f"{admission.max_associations} are open for {admission.counted_as}")
            self._admitted.append((admission.counted_as, is_open))


def _fits(caller: Caller, peer: Peer) -> bool:
    """Whether the caller comes from where the peer comes from, and is who it has to be."""
    if peer.addresses and not _is_within(caller.address, peer):
        return False
    return not peer.certificate or (caller.certificate is not None and caller.certificate.matches(peer.certificate))


def _is_within(address: str, ranges: Scp | Peer) -> bool:
    parsed = ip_address(address.partition("%")[0])  # without the zone of a link-local IPv6 address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:  # how a listener on :: sees IPv4
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in ranges.addresses)
