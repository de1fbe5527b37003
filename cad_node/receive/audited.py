"""What associations do, told to the audit trail as pynetdicom's events tell it."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_FIND_RQ, C_GET_RQ, C_GET_RSP, C_MOVE_RQ, C_MOVE_RSP
from pynetdicom.dsutils import decode
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext

from cad_node.audit.trail import UNNAMED, Remote, Trail
from cad_node.receive.header import Header
from cad_node.receive.service import Handler
from cad_node.store.held import HeldResult
from cad_node.store.spool import InvalidUid

_PENDING = (0xFF00, 0xFF01)  # PS3.4 Table C.4-2


class _Retrieve(NamedTuple):
    """What the request that came last has sent, and to whom; a C-FIND sends nothing."""

    to: Remote
    instances: Mapping[str, int]  # by Study Instance UID


class Audited:
    """A Service that offers nothing and listens to the others. Its handlers may be bound to associations as SCU as well.

    What has come over an association is counted and told at its end, once for each study.
    """

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._lock = threading.Lock()
        self._stored: dict[Association, Counter[tuple[str, str]]] = {}  # Study Instance UID, SOP Class UID
        self._retrieves: dict[Association, _Retrieve] = {}

    def contexts(self) -> Sequence[PresentationContext]:
        return ()

    def handlers(self) -> Sequence[Handler]:
        return [
            (evt.EVT_ACSE_SENT, self._answer),
            (evt.EVT_CONN_CLOSE, self._close),
            (evt.EVT_DIMSE_RECV, self._receive),
            (evt.EVT_DIMSE_SENT, self._send),
            (evt.EVT_RELEASED, self._end),
            (evt.EVT_ABORTED, self._end),
        ]

    def stored(self, association: Association, header: Header) -> None:
        """An instance came over the association and is kept."""
        with self._lock:
            self._stored.setdefault(association, Counter())[header.study_instance_uid, header.sop_class_uid] += 1

    def refused(self, association: Association, error: Exception) -> None:
        """An instance isn't kept. A UID that isn't one could be an attempt at another file's name; other faults are no alert."""
        if isinstance(error, InvalidUid):
            self._trail.instance_refused(_remote(association), str(error))

    def retrieved(self, association: Association, chosen: Sequence[HeldResult]) -> None:
        """The C-GET or C-MOVE that came last is about to send these."""
        with self._lock:
            to = self._retrieves[association].to
            self._retrieves[association] = _Retrieve(to, Counter(result.study_instance_uid for result in chosen))

    def _answer(self, event: Any) -> None:
        """An A-ASSOCIATE response goes to a requestor."""
        answer = event.primitive
        if not isinstance(answer, A_ASSOCIATE) or event.assoc.is_requestor:
            return
        if answer.result == 0:
            self._trail.association_opened(_remote(event.assoc))
        else:
            self._trail.association_refused(_remote(event.assoc), answer.reason_str.lower())

    def _close(self, event: Any) -> None:
        if reason := getattr(event.assoc, "tls_failure", ""):
            self._trail.association_refused(_remote(event.assoc), f"TLS handshake: {reason}")

    def _receive(self, event: Any) -> None:
        message = event.message
        if isinstance(message, C_FIND_RQ | C_GET_RQ | C_MOVE_RQ):
            remote = _remote(event.assoc)
            self._trail.query_received(remote, *_query(event.assoc, message))
            to = Remote(str(message.command_set.MoveDestination).strip()) if isinstance(message, C_MOVE_RQ) else remote
            with self._lock:
                self._retrieves[event.assoc] = _Retrieve(to, {})

    def _send(self, event: Any) -> None:
        message = event.message
        if isinstance(message, C_FIND_RQ | C_GET_RQ | C_MOVE_RQ):
            self._trail.query_sent(_remote(event.assoc), *_query(event.assoc, message))
        elif isinstance(message, C_GET_RSP | C_MOVE_RSP) and message.command_set.Status not in _PENDING:
            self._end_retrieve(event.assoc, message.command_set)

    def _end_retrieve(self, association: Association, response: Dataset) -> None:
        with self._lock:
            retrieve = self._retrieves.pop(association, None)
        if retrieve is None:
            return
        failed = response.get("NumberOfFailedSuboperations") or 0
        status = "" if response.Status == 0 else f"status 0x{response.Status:04X}, {failed} instances failed in all"
        for study_instance_uid, instances in retrieve.instances.items():
            self._trail.instances_sent(retrieve.to, study_instance_uid, {UNNAMED: instances}, status)

    def _end(self, event: Any) -> None:
        with self._lock:
            counted = self._stored.pop(event.assoc, Counter())
            self._retrieves.pop(event.assoc, None)
        by_study: dict[str, dict[str, int]] = {}
        for (study_instance_uid, sop_class_uid), instances in counted.items():
            by_study.setdefault(study_instance_uid, {})[sop_class_uid] = instances
        for study_instance_uid, sop_classes in by_study.items():
            self._trail.instances_received(_remote(event.assoc), study_instance_uid, sop_classes)


def _remote(association: Association) -> Remote:
    """The other end. Where the request is still being judged, pynetdicom hasn't noted its AE title yet."""
    remote = association.remote
    request: Any = association.requestor.primitive
    asked_as = str(request.calling_ae_title).strip() if association.is_acceptor and request else ""
    return Remote(remote["ae_title"] or asked_as, remote["address"] or "")


def _query(association: Association, message: Any) -> tuple[str, Dataset]:
    """SOP Class UID and Identifier of a query or retrieve request; an empty one if it can't be decoded."""
    syntax = UID(next(iter(_transfer_syntaxes(association, message.context_id)), ""))
    try:
        content = BytesIO(message.data_set.getvalue())  # a copy: the service reads the original
        identifier = decode(content, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    except Exception:  # noqa: BLE001 - pydicom raises anything on bytes that are no data set; the service answers them with a status
        identifier = Dataset()
    return str(message.command_set.get("AffectedSOPClassUID", "")), identifier


def _transfer_syntaxes(association: Association, context_id: int | None) -> Sequence[Any]:
    return next((context.transfer_syntax for context in association.accepted_contexts if context.context_id == context_id), ())
