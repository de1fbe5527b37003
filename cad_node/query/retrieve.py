"""C-MOVE and C-GET as SCU, Study Root, PS3.4 C.4.2 and C.4.3."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_role
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from cad_node.errors import PacsUnreachable
from cad_node.query.association import Handler, QueryPeer, associated
from cad_node.query.find import Keys, identifier_of
from cad_node.query.statuses import PENDING, SUCCESS, meaning_of

_MESSAGE_ID = 1  # the only operation on its association
_LOOK_S = 0.1
_COUNTED = ("Completed", "Warning", "Failed", "Remaining")
_SYNTAXES: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]  # of identifiers


@dataclass(frozen=True, slots=True)
class Request:
    """What to retrieve: a level, and unique keys as far down as it."""

    level: str
    keys: Keys
    instances: int  # how many will come


@dataclass(frozen=True, slots=True)
class SubOperations:
    """How far a retrieve has come, by the peer's count of its C-STOREs; 0 where it doesn't say."""

    status: int
    completed: int
    warning: int  # stored all the same
    failed: int
    remaining: int
    failed_uids: tuple[str, ...]  # SOP Instance UIDs; may be fewer than `failed`, the peer need not name them

    @property
    def trouble(self) -> str:
        """What the final status says is wrong; empty on success, PS3.4 C.4.2.1.5."""
        return "" if self.status == SUCCESS else f"0x{self.status:04X}: {meaning_of(self.status)}"


Watch = Callable[[SubOperations], None]


def move(peer: QueryPeer, request: Request, move_destination: str, watch: Watch, stop: threading.Event) -> SubOperations:
    """Have the peer send to the AE title `move_destination`, which it must know. Returns the final count, with its status.

    watch: called with each count on the way. stop: once it is set, the retrieve is cancelled.
    Raises PacsUnreachable, AssociationRejected, QueryFailed.
    """
    model = StudyRootQueryRetrieveInformationModelMove
    with associated(peer, [build_context(model, _SYNTAXES)]) as association, _cancelled_by(stop, association, model):
        identifier = identifier_of(request.level, request.keys)
        return _follow(peer, association.send_c_move(identifier, move_destination, model, msg_id=_MESSAGE_ID), watch)


def get(
    peer: QueryPeer,
    request: Request,
    *,
    storage: Sequence[PresentationContext],
    handlers: Sequence[Handler],
    watch: Watch,
    stop: threading.Event,
) -> SubOperations:
    """Have the peer send on this association. As `move`, and:

    storage: the presentation contexts in which instances may come; for these we are the SCP.
    handlers: pynetdicom's, that of C-STORE among them.
    """
    model = StudyRootQueryRetrieveInformationModelGet
    roles = [build_role(uid, scp_role=True) for uid in dict.fromkeys(context.abstract_syntax or "" for context in storage)]  # PS3.7 D.3.3.4
    contexts = [build_context(model, _SYNTAXES), *storage]
    with (
        associated(peer, contexts, handlers, ext_neg=roles) as association,
        _cancelled_by(stop, association, model),
    ):
        return _follow(peer, association.send_c_get(identifier_of(request.level, request.keys), model, msg_id=_MESSAGE_ID), watch)


def _follow(peer: QueryPeer, responses: Any, watch: Watch) -> SubOperations:
    for status, identifier in responses:
        if "Status" not in status:
            raise PacsUnreachable(f"{peer} ended the association in a retrieve, or sent no response for {peer.response_timeout_s:g} s")
        count = _count(status, identifier)
        watch(count)
        if status.Status not in PENDING:
            return count
    raise PacsUnreachable(f"{peer} ended a retrieve without saying how")


def _count(status: Dataset, identifier: Dataset | None) -> SubOperations:
    completed, warning, failed, remaining = (status.get(f"NumberOf{kind}Suboperations") or 0 for kind in _COUNTED)
    uids = (identifier.get("FailedSOPInstanceUIDList") or ()) if identifier else ()
    listed = (uids,) if isinstance(uids, str) else uids
    return SubOperations(status.Status, completed, warning, failed, remaining, tuple(map(str, listed)))


@contextmanager
def _cancelled_by(stop: threading.Event, association: Any, model: str) -> Iterator[None]:
    """A C-CANCEL as soon as `stop` is set within the block; from a thread, since the peer may send no response for long."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_S):
            if stop.is_set() and association.is_established:
                association.send_c_cancel(_MESSAGE_ID, query_model=model)
                return

    watcher = threading.Thread(target=watch, name="c-cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
