"""Storage Commitment Push Model as a service of the listener: requests of peers, and their reports on what we asked, PS3.4 J."""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context

from cad_node.commitment import Reference, meaning_of
from cad_node.deliver.commitment_datasets import (
    ALL_COMMITTED,
    FAILURES_EXIST,
    REQUEST_COMMITMENT,
    SOP_CLASS,
    SOP_INSTANCE,
    TRANSFER_SYNTAXES,
    UnreadableInformation,
    read_action_information,
    read_event_information,
)
from cad_node.errors import CadNodeError
from cad_node.log import get_logger
from cad_node.receive.service import Handler
from cad_node.store.commitments import Commitments, TransactionTaken
from cad_node.store.confirmations import Confirmations
from cad_node.store.spool import InvalidUid, check_uid

log = get_logger()

SUCCESS = 0x0000
MOST_INSTANCES = 50_000

_OTHERS_AFTER_S = 5  # who holds the association has so long to report on it, before any process may on a new one
_ANSWERED_WITHIN_S = 0.5  # once a handler has returned, its response has left after so long


class Refusal(NamedTuple):
    """A status of N-ACTION or N-EVENT-REPORT, PS3.7 C.5."""

    code: int
    comment: str  # Error Comment (0000,0902): LO, 64 characters at most


NO_SUCH_INSTANCE = Refusal(0x0112, "Not the well-known SOP Instance of storage commitment")
NO_SUCH_EVENT = Refusal(0x0113, "Event Type ID isn't 1 or 2")
NO_SUCH_CLASS = Refusal(0x0118, "Not the SOP Class of storage commitment")
NO_SUCH_ACTION = Refusal(0x0123, "Action Type ID isn't 1")
UNREADABLE = Refusal(0x0115, "A UID or a sequence is missing, empty or not valid")
UNKNOWN_TRANSACTION = Refusal(0x0115, "Nothing was asked under this Transaction UID")
TAKEN = Refusal(0x0115, "This Transaction UID was used for other instances")
TOO_MANY = Refusal(0x0213, "Too many instances; ask in several requests")
NOT_NOW = Refusal(0x0213, "Out of resources for now; ask again later")
FAILURE = Refusal(0x0110, "Processing failure")

# The first row whose class the error has, counts.
_REFUSALS: Mapping[type[Exception], Refusal] = {
    UnreadableInformation: UNREADABLE,
    InvalidUid: UNREADABLE,
    TransactionTaken: TAKEN,
    CadNodeError: NOT_NOW,  # what is left are those of the database
    Exception: FAILURE,
}


@dataclass(slots=True)
class _Line:
    association: Any  # pynetdicom's Association
    held_since_s: float
    is_new: bool = True


class Lines:
    """The associations on which requests came and whose reports are due: a report goes back on the same one while it is open."""

    def __init__(self, answered_within_s: float = _ANSWERED_WITHIN_S) -> None:
        self._answered_within_s = answered_within_s
        self._lines: dict[int, _Line] = {}  # by request
        self._lock = threading.Lock()

    def hold(self, request_id: int, association: Any) -> None:
        with self._lock:
            self._lines[request_id] = _Line(association, time.monotonic())

    def newly_answered(self) -> Collection[int]:
        """The requests whose N-ACTION response has left by now, each once; also those whose associations have ended since."""
        latest_s = time.monotonic() - self._answered_within_s
        with self._lock:
            self._lines = {key: line for key, line in self._lines.items() if line.is_new or line.association.is_established}
            found = [request_id for request_id, line in self._lines.items() if line.is_new and line.held_since_s <= latest_s]
            for request_id in found:
                self._lines[request_id].is_new = False
            return found

    def take(self, request_id: int) -> Any:
        """The association of a request, if it is still open; it is given once."""
        with self._lock:
            line = self._lines.pop(request_id, None)
        return line.association if line and line.association.is_established else None


class StorageCommitment:
    """Notes requests durably before it answers them, and takes reports on what the node has delivered."""

    def __init__(
        self,
        commitments: Commitments,
        confirmations: Confirmations,
        lines: Lines,
        clock: Callable[[], datetime],
        *,
        name: str,
        most_instances: int = MOST_INSTANCES,
    ) -> None:
        """name: of this process, for the record of deliveries; most_instances: of one request."""
        self._commitments, self._confirmations, self._lines, self._clock = commitments, confirmations, lines, clock
        self._name, self._most_instances = name, most_instances

    def contexts(self) -> Sequence[PresentationContext]:
        context = build_context(SOP_CLASS, list(TRANSFER_SYNTAXES))
        context.scu_role = context.scp_role = True  # a requester is SCU, a peer that reports to us is SCP: PS3.4 J.3.3
        return [context]

    def handlers(self) -> Sequence[Handler]:
        return [(evt.EVT_N_ACTION, self._request), (evt.EVT_N_EVENT_REPORT, self._report)]

    def _request(self, event: Any) -> tuple[int | Dataset, None]:
        """Answer one N-ACTION request, PS3.4 J.3.2."""
        request, calling_ae_title = event.request, event.assoc.remote["ae_title"]
        if refusal := _wrong_address(request.RequestedSOPClassUID, request.RequestedSOPInstanceUID):
            return _refused(refusal, calling_ae_title)
        if request.ActionTypeID != REQUEST_COMMITMENT:
            return _refused(NO_SUCH_ACTION, calling_ae_title)
        now = self._clock()
        try:
            transaction_uid, references = read_action_information(event.action_information)
            _check_uids(transaction_uid, references)
            if len(references) > self._most_instances:
                return _refused(TOO_MANY, calling_ae_title)
            others_after = now + timedelta(seconds=_OTHERS_AFTER_S)
            request_id = self._commitments.request(calling_ae_title, transaction_uid, references, now, others_after)
        except Exception as error:  # noqa: BLE001 - a request that fails is answered; the association lives on
            return _failed(error, calling_ae_title)
        self._lines.hold(request_id, event.assoc)
        log.info("commitment.requested", calling_ae_title=calling_ae_title, transaction=transaction_uid, instances=len(references))
        return SUCCESS, None

    def _report(self, event: Any) -> tuple[int | Dataset, None]:
        """Answer one N-EVENT-REPORT request, PS3.4 J.3.3: what it says is durable then."""
        request, calling_ae_title = event.request, event.assoc.remote["ae_title"]
        if refusal := _wrong_address(request.AffectedSOPClassUID, request.AffectedSOPInstanceUID):
            return _refused(refusal, calling_ae_title)
        if request.EventTypeID not in {ALL_COMMITTED, FAILURES_EXIST}:
            return _refused(NO_SUCH_EVENT, calling_ae_title)
        try:
            report = read_event_information(event.event_information)
            failed = {reference: meaning_of(reason) for reference, reason in report.failed.items()}
            settled = self._confirmations.settle(report.transaction_uid, report.committed, failed, self._clock(), actor=self._name)
        except Exception as error:  # noqa: BLE001 - as above
            return _failed(error, calling_ae_title)
        if settled is None:
            return _refused(UNKNOWN_TRANSACTION, calling_ae_title)
        counts = {"committed": len(report.committed), "failed": len(failed), "settled": settled}
        log.info("confirmation.reported", calling_ae_title=calling_ae_title, transaction=report.transaction_uid, **counts)
        return SUCCESS, None


def _wrong_address(sop_class_uid: str, sop_instance_uid: str) -> Refusal | None:
    if sop_class_uid != SOP_CLASS:
        return NO_SUCH_CLASS
    return None if sop_instance_uid == SOP_INSTANCE else NO_SUCH_INSTANCE


def _check_uids(transaction_uid: str, references: Sequence[Reference]) -> None:
    check_uid("Transaction UID", transaction_uid)
    for reference in references:
        check_uid("Referenced SOP Class UID", reference.sop_class_uid)
        check_uid("Referenced SOP Instance UID", reference.sop_instance_uid)


def _failed(error: Exception, calling_ae_title: str) -> tuple[Dataset, None]:
    refusal = next(refusal for kind, refusal in _REFUSALS.items() if isinstance(error, kind))
    if refusal is FAILURE:
        log.error("commitment.failed", calling_ae_title=calling_ae_title, exc_info=error)
    return _refused(refusal, calling_ae_title)


def _refused(refusal: Refusal, calling_ae_title: str) -> tuple[Dataset, None]:
    log.warning("commitment.refused", calling_ae_title=calling_ae_title, status=f"0x{refusal.code:04X}", reason=refusal.comment)
    ds = Dataset()
    ds.Status, ds.ErrorComment = refusal.code, refusal.comment
    return ds, None
