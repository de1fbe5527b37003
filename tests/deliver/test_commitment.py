"""Storage Commitment on our own associations: what a PACS says at once, later, wrongly, or not at all."""

import threading
import time
from contextlib import contextmanager

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance, Verification

from cad_node.commitment import FailureReason, Reference, Report
from cad_node.confirmation import Located, NotAnswered
from cad_node.deliver.association import Peer
from cad_node.deliver.commitment import ByCommitment, report_commitment
from cad_node.errors import AssociationRejected, PacsUnreachable
from tests.deliver.peers import pacs, rude_peer, unused_port

SEG = "1.2.840.10008.5.1.4.1.1.66.4"
KEPT, NOT_KEPT = (Located("1.2", "1.2.1", Reference(SEG, f"1.2.1.{number}")) for number in (1, 2))
COMMITMENT = [build_context(StorageCommitmentPushModel)]
TRANSACTION = "2.25.42"


def information(event, transaction_uid=None, failed=()) -> Dataset:
    """Event Information that answers a request: all is kept but `failed`."""
    asked = event.action_information
    ds = Dataset()
    ds.TransactionUID = transaction_uid or asked.TransactionUID
    ds.ReferencedSOPSequence = [item for item in asked.ReferencedSOPSequence if item.ReferencedSOPInstanceUID not in failed]
    ds.FailedSOPSequence = [item for item in asked.ReferencedSOPSequence if item.ReferencedSOPInstanceUID in failed]
    for item in ds.FailedSOPSequence:
        item.FailureReason = 0x0213
    return ds


class Committing:
    """Handlers of a PACS that takes requests and reports on the same association, as soon as it has answered."""

    def __init__(self, status=0x0000, reports=(), event_type=1) -> None:
        """reports: what makes each Event Information from the request."""
        self.status, self.reports, self.event_type = status, reports, event_type
        self.asked, self.answers, self.ended = [], [], threading.Event()

    def handlers(self):
        return [(evt.EVT_N_ACTION, self.take), (evt.EVT_CONN_CLOSE, lambda _: self.ended.set())]

    def take(self, event):
        self.asked.append(event.action_information)
        threading.Thread(target=self.report, args=[event]).start()
        return self.status, None

    def report(self, event):
        time.sleep(0.1)  # its N-ACTION response goes first
        for made in self.reports:
            status, _ = event.assoc.send_n_event_report(
                made(event), self.event_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            self.answers.append(status.get("Status"))


@contextmanager
def committing(peer: Committing, contexts=COMMITMENT, **settings):
    with pacs(lambda _: 0x0000, contexts, peer.handlers(), **settings) as to:
        yield ByCommitment(Peer.of(to, "CAD_NODE", 5), report_wait_s=1)
        if peer.asked:
            assert peer.ended.wait(5)


def test_a_report_on_the_same_association_is_the_answer():
    peer = Committing(reports=[lambda event: information(event, failed={"1.2.1.2"})], event_type=2)

    with committing(peer) as way:
        answer = way.ask(TRANSACTION, [KEPT, NOT_KEPT])

    (asked,) = peer.asked
    assert (asked.TransactionUID, len(asked.ReferencedSOPSequence)) == (TRANSACTION, 2)
    assert (asked.ReferencedSOPSequence[0].ReferencedSOPClassUID, asked.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) == KEPT.reference
    assert (answer.committed, dict(answer.failed)) == ({KEPT.reference}, {NOT_KEPT.reference: "0x0213 resource limitation"})
    assert peer.answers == [0x0000]


def test_without_a_report_the_answer_comes_later():
    with committing(Committing()) as way:
        answer = way.ask(TRANSACTION, [KEPT])

    assert (answer.committed, dict(answer.failed), answer.reports_later) == (set(), {}, True)


def test_what_a_report_does_not_mention_stays_open():
    with committing(Committing(reports=[lambda event: information(event, failed={"1.2.1.2"})])) as way:
        answer = way.ask(TRANSACTION, [KEPT])

    assert (answer.committed, answer.reports_later) == ({KEPT.reference}, True)


def test_a_report_on_another_transaction_is_not_taken_for_ours():
    peer = Committing(reports=[lambda event: information(event, "2.25.43")])

    with committing(peer) as way:
        answer = way.ask(TRANSACTION, [KEPT])

    assert answer.committed == set()
    assert peer.answers == [0x0110]


def test_a_report_in_many_fragments_is_put_together():
    instances = [Located("1.2", "1.2.1", Reference(SEG, generate_uid())) for _ in range(300)]
    assert len(instances) * 64 > 16_384, "more than a PDU"

    with committing(Committing(reports=[information])) as way:
        answer = way.ask(TRANSACTION, instances)

    assert answer.committed == {instance.reference for instance in instances}


@pytest.mark.parametrize("status", [0x0110, 0x0112, 0x0213])
def test_a_refused_request_says_so(status):
    with committing(Committing(status)) as way, pytest.raises(NotAnswered, match=f"0x{status:04X}"):
        way.ask(TRANSACTION, [KEPT])


def test_a_pacs_without_storage_commitment_says_so():
    with committing(Committing(), [build_context(Verification)]) as way, pytest.raises((NotAnswered, PacsUnreachable)):
        way.ask(TRANSACTION, [KEPT])


def test_a_pacs_that_does_not_know_us_says_so():
    with committing(Committing(), require_calling_aet=["ANOTHER"]) as way, pytest.raises(AssociationRejected):
        way.ask(TRANSACTION, [KEPT])


def test_a_pacs_that_is_away_says_so():
    with pytest.raises(PacsUnreachable):
        ByCommitment(Peer("127.0.0.1", unused_port(), "PACS", "CAD_NODE", 1)).ask(TRANSACTION, [KEPT])


def test_a_pacs_that_hangs_up_is_unreachable():
    with rude_peer(lambda connection: connection.recv(100)) as to, pytest.raises(PacsUnreachable):
        ByCommitment(Peer.of(to, "CAD_NODE", 2)).ask(TRANSACTION, [KEPT])


@pytest.mark.parametrize("takes_the_role", [True, False])
def test_we_report_as_scp_also_to_peers_that_say_nothing_about_roles(takes_the_role):
    told = []
    context = build_context(StorageCommitmentPushModel)
    if takes_the_role:
        context.scu_role = context.scp_role = True
    handlers = [(evt.EVT_N_EVENT_REPORT, lambda event: told.append((event.event_type, event.event_information)) or (0x0000, None))]
    report = Report(TRANSACTION, (KEPT.reference,), {NOT_KEPT.reference: FailureReason.NO_SUCH_INSTANCE})

    with pacs(lambda _: 0x0000, [context], handlers) as to:
        status = report_commitment(Peer.of(to, "CAD_NODE", 5), report)

    ((event_type, ds),) = told
    assert (status, event_type, ds.TransactionUID) == (0x0000, 2, TRANSACTION)
    assert ds.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == KEPT.reference.sop_instance_uid
    assert ds.FailedSOPSequence[0].FailureReason == 0x0112
