"""Storage Commitment Push Model on associations of our own, PS3.4 J: as SCU we ask, as SCP we report."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pydicom.uid import ImplicitVRLittleEndian

from cad_node.commitment import Report, meaning_of
from cad_node.confirmation import Answer, Located, NotAnswered
from cad_node.deliver.association import Association, Peer
from cad_node.deliver.commitment_datasets import (
    REQUEST_COMMITMENT,
    SOP_CLASS,
    SOP_INSTANCE,
    UnreadableInformation,
    action_information,
    decoded,
    encoded,
    event_information,
    read_event_information,
)
from cad_node.deliver.messages import COMMAND_FIELD, N_EVENT_REPORT_RQ, Context, Message
from cad_node.errors import PacsUnreachable

SUCCESS, PROCESSING_FAILURE = 0x0000, 0x0110  # PS3.7 C
REPORT_WAIT_S = 5.0  # a report that takes longer comes on an association of the peer's

_CONTEXT = Context(SOP_CLASS, ImplicitVRLittleEndian)  # which everyone takes, PS3.5 10.1


@dataclass(frozen=True, slots=True)
class ByCommitment:
    """A Confirmation: N-ACTION; the N-EVENT-REPORT is awaited for a moment on the same association."""

    peer: Peer
    report_wait_s: float = REPORT_WAIT_S

    def ask(self, transaction_uid: str, instances: Sequence[Located]) -> Answer:
        information = action_information(transaction_uid, [instance.reference for instance in instances])
        with _associated(self.peer) as association:
            status = association.action(_CONTEXT, SOP_INSTANCE, REQUEST_COMMITMENT, encoded(information, _CONTEXT.transfer_syntax_uid))
            if status != SUCCESS:
                raise NotAnswered(f"{self.peer} answers a request for storage commitment with 0x{status:04X}")
            report = _await_report(association, transaction_uid, self.report_wait_s)
        if report is None:
            return Answer(reports_later=True, reason="storage commitment asked for, not reported yet")
        return answer_of(report)


def answer_of(report: Report) -> Answer:
    """A report as an Answer; what it doesn't mention stays open."""
    failed = {reference: meaning_of(reason) for reference, reason in report.failed.items()}
    return Answer(frozenset(report.committed), failed, reports_later=True, reason="not mentioned in the report on storage commitment")


def report_commitment(peer: Peer, report: Report) -> int:
    """Tell a requester by N-EVENT-REPORT on a new association, as SCP, PS3.4 J.3.3; the status.

    Raises PacsUnreachable, AssociationRejected, NotAnswered.
    """
    event_type_id, information = event_information(report)
    with _associated(peer, scp_of=[SOP_CLASS]) as association:
        return association.event_report(_CONTEXT, SOP_INSTANCE, event_type_id, encoded(information, _CONTEXT.transfer_syntax_uid))


@contextmanager
def _associated(peer: Peer, scp_of: Sequence[str] = ()) -> Iterator[Association]:
    """An association for storage commitment; released at the end, aborted after trouble."""
    association = Association(peer, [_CONTEXT], scp_of)
    try:
        if not association.accepts(_CONTEXT):
            raise NotAnswered(f"{peer} takes the association, but not storage commitment")
        yield association
    except PacsUnreachable:
        association.abort()
        raise
    except BaseException:
        association.release()
        raise
    association.release()


def _await_report(association: Association, transaction_uid: str, wait_s: float) -> Report | None:
    """The report on this transaction, answered; None if it doesn't come now."""
    with suppress(PacsUnreachable):  # it says nothing, or ends the association itself: the report comes on another
        request = association.await_request(wait_s)
        report = _read(request)
        is_ours = report is not None and report.transaction_uid == transaction_uid
        association.answer_event_report(request, SUCCESS if is_ours else PROCESSING_FAILURE)
        return report if is_ours else None
    return None


def _read(request: Message) -> Report | None:
    if request.number(COMMAND_FIELD) != N_EVENT_REPORT_RQ:
        return None
    with suppress(UnreadableInformation):
        return read_event_information(decoded(request.dataset, _CONTEXT.transfer_syntax_uid))
    return None
