"""Access at the listener's door: association requests are judged before pynetdicom answers them."""

from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any

from pynetdicom import evt
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from cad_node.log import get_logger
from cad_node.receive.access import LOCAL_LIMIT_EXCEEDED, NOT_NOW, TEMPORARY_CONGESTION, Access, Caller, Refused
from cad_node.receive.presentation import STORAGE_CLASSES
from cad_node.receive.service import Handler
from cad_node.settings import ServiceName
from cad_node.tls import peer_certificate

log = get_logger()

_USER_REJECTION = 1  # of a presentation context, PS3.8 9.3.3.2

# SOP class -> what a peer must be allowed. Verification is everybody's.
_SERVICES: Mapping[str, ServiceName | None] = {
    "1.2.840.10008.1.1": None,
    **dict.fromkeys(STORAGE_CLASSES, "store"),
    "1.2.840.10008.1.20.1": "commit",
    "1.2.840.10008.3.1.2.3.3": "mpps",
    "1.2.840.10008.5.1.4.1.2.1.1": "query",  # patient root
    "1.2.840.10008.5.1.4.1.2.2.1": "query",  # study root
    "1.2.840.10008.5.1.4.1.2.1.2": "move",
    "1.2.840.10008.5.1.4.1.2.2.2": "move",
    "1.2.840.10008.5.1.4.1.2.1.3": "move",
    "1.2.840.10008.5.1.4.1.2.2.3": "move",
}


class Doorkeeper:
    """Rejects the associations that `access` refuses, and the presentation contexts of services that a peer may not use.

    It is a Service, the first of the listener's: it offers nothing, and has its word before the others.
    """

    def __init__(self, access: Access, has_room: Callable[[], bool]) -> None:
        """has_room: whether there is space for what comes; without it whoever asks to store is sent away for now."""
        self._access, self._has_room = access, has_room
        self._is_full = False  # the last association was rejected for the limit, or for want of space

    def contexts(self) -> Sequence[PresentationContext]:
        return ()

    def handlers(self) -> Sequence[Handler]:
        return [(evt.EVT_REQUESTED, self._judge)]

    def _judge(self, event: Any) -> None:
        assoc: Association = event.assoc
        try:
            caller = _caller(assoc)
            assoc.requestor.ae_title = caller.calling_ae_title  # pynetdicom sets it later, and whoever hears of a rejection asks for it
            if not self._has_room() and _asks_to_store(assoc):
                raise Refused(TEMPORARY_CONGESTION, "less space is free than scp.min_free_mb")
            admission = self._access.enter(caller, partial(_is_open, assoc))
            _leave_out(assoc, admission.may)
        except Refused as refusal:
            self._tell(caller, refusal)
            _reject(assoc, refusal)
        except Exception:  # pynetdicom would go on as if nothing had happened: whoever can't be judged isn't let in
            log.exception("association.not_judged")
            _reject(assoc, Refused(NOT_NOW, "not judged"))
        else:
            self._is_full = False

    def _tell(self, caller: Caller, refusal: Refused) -> None:
        """Log why; that a limit is reached once until there is room again: senders knock every second."""
        is_limit = refusal.rejection in {LOCAL_LIMIT_EXCEEDED, TEMPORARY_CONGESTION}
        if not (is_limit and self._is_full):
            subject = caller.certificate.subject if caller.certificate else None
            who = {"calling_ae_title": caller.calling_ae_title, "address": caller.address, "certificate": subject}
            log.warning("association.rejected", **who, reason=str(refusal))
        self._is_full = is_limit


class _Negotiation(ACSE):
    """pynetdicom's, which tells the requestor the right reason for the contexts that we keep from it."""

    def __init__(self, assoc: Association, kept_back: Set[str]) -> None:
        super().__init__(assoc)
        self._kept_back = kept_back

    def send_accept(self) -> None:
        for context in self.assoc.rejected_contexts:
            if context.abstract_syntax in self._kept_back:
                context.result = _USER_REJECTION
        super().send_accept()


def _caller(assoc: Association) -> Caller:
    request: Any = assoc.requestor.primitive
    connection: Any = assoc.dul.socket
    address: Any = assoc.requestor.address_info
    return Caller(
        calling_ae_title=str(request.calling_ae_title).strip(),
        called_ae_title=str(request.called_ae_title).strip(),
        address=address.address,
        certificate=peer_certificate(connection.socket),
    )


def _asks_to_store(assoc: Association) -> bool:
    """Who only queries, or asks whether the node is there, takes no space."""
    request: Any = assoc.requestor.primitive
    return any(str(context.abstract_syntax) in STORAGE_CLASSES for context in request.presentation_context_definition_list)


def _is_open(assoc: Association) -> bool:
    return assoc.is_alive() and not (assoc.is_released or assoc.is_aborted or assoc.is_rejected)


def _reject(assoc: Association, refusal: Refused) -> None:
    """As pynetdicom does it itself, acse._negotiate_as_acceptor."""
    assoc.acse.send_reject(*refusal.rejection)
    evt.trigger(assoc, evt.EVT_REJECTED, {})
    assoc.kill()


def _leave_out(assoc: Association, may: Set[ServiceName]) -> None:
    """Offer only what the peer may use."""
    offered = assoc.acceptor.supported_contexts
    roles = assoc.requestor.role_selection
    left = [permitted for context in offered if (permitted := _permitted(context, may, roles))]
    kept_back = {str(context.abstract_syntax) for context in offered} - {str(context.abstract_syntax) for context in left}
    if left != offered:
        assoc.acceptor.supported_contexts = left
        assoc.acse = _Negotiation(assoc, kept_back)


def _permitted(context: PresentationContext, may: Set[ServiceName], roles: Mapping[Any, Any]) -> PresentationContext | None:
    """The context as the peer may have it.

    Instances that it fetches by C-GET come to it in storage contexts, of which it then is the SCP, PS3.4 C.5.3: whoever may
    not store has those in this role alone.
    """
    service = _SERVICES[str(context.abstract_syntax)]
    if service is None or service in may:
        return context
    role = roles.get(context.abstract_syntax)
    if service == "store" and "move" in may and role and role.scp_role:
        inverted = build_context(str(context.abstract_syntax), list(context.transfer_syntax))
        inverted.scu_role, inverted.scp_role = False, True
        return inverted
    return None
