"""Storage Commitment as SCP: what is said to be kept lies on disk, and whoever asked is told, if not now then later."""

import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage, generate_uid
from pynetdicom.sop_class import StorageCommitmentPushModel

from cad_node.app.commitment import requesters
from cad_node.deliver.association import Peer
from cad_node.lifecycle import CommitmentState
from cad_node.receive.commitment import Lines, StorageCommitment
from cad_node.receive.commitment_reports import Reporter
from cad_node.settings import Settings
from cad_node.store.commitments import Commitments
from cad_node.store.confirmations import Confirmations
from cad_node.store.tables import CommitmentRequestRow
from tests.deliver.peers import unused_port
from tests.receive.front_door import FrontDoor, identity, opened_front_door, paused, store, utc_now
from tests.receive.requester import AE_TITLE, Requester, action_information, ask, n_action, uids_of

MOST = 100  # instances of a request
SETTINGS = Settings(queue={"poll_s": 0.05}, sender={"backoff_first_s": 0.2, "backoff_longest_s": 0.5})


@dataclass(frozen=True, slots=True)
class Node:
    door: FrontDoor
    commitments: Commitments
    lines: Lines

    def reporter(self, requester_port: int | None = None, *, after_s: float = 0, settings: Settings = SETTINGS) -> Reporter:
        """after_s: how far its clock is ahead."""
        known = {AE_TITLE: Peer("127.0.0.1", requester_port, AE_TITLE, "CAD_NODE", 5)} if requester_port else {}
        clock = lambda: utc_now() + timedelta(seconds=after_s)  # noqa: E731
        return Reporter(settings, self.commitments, self.lines, known, clock, random.Random(1))

    @contextmanager
    def reporting(self, requester_port: int | None = None, *, after_s: float = 0) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self.reporter(requester_port, after_s=after_s).run, args=[stop])
        thread.start()
        yield
        stop.set()
        thread.join()

    def requests(self) -> list[CommitmentRequestRow]:
        with self.door.database.reading() as session:
            return list(session.scalars(sa.select(CommitmentRequestRow).order_by(CommitmentRequestRow.id)))


@pytest.fixture
def node(tmp_path: Path, migrated_file: Path) -> Iterator[Node]:
    folder = tmp_path / "node"
    folder.mkdir()
    shutil.copy(migrated_file, folder / "node.db")  # quicker than migrating it
    lines = Lines(answered_within_s=0.1)

    def services(database):
        return [StorageCommitment(Commitments(database), Confirmations(database, {}), lines, utc_now, name="scp/1", most_instances=MOST)]

    with opened_front_door(folder, services=services) as door:
        yield Node(door, Commitments(door.database), lines)


@pytest.fixture
def requester() -> Requester:
    return Requester()


def test_what_was_stored_on_an_association_is_committed_on_the_same_one(node, requester):
    datasets = [identity() for _ in range(3)]
    association = requester.associate(node.door.port)
    with node.reporting():
        statuses = [store(association, ds).Status for ds in datasets]
        transaction_uid = ask(association, *uids_of(*datasets))
        told = requester.await_report()
    still_open = association.is_established
    association.release()

    assert (statuses, still_open) == ([0, 0, 0], True)
    assert (told.event_type_id, told.transaction_uid, told.failed) == (1, transaction_uid, {})
    assert told.committed == {ds.SOPInstanceUID for ds in datasets}
    assert told.association is association
    assert [row.state for row in node.requests()] == [CommitmentState.REPORTED]


def test_the_association_goes_on_after_the_report(node, requester):
    first, second = identity(), identity()
    association = requester.associate(node.door.port)
    with node.reporting():
        store(association, first)
        ask(association, *uids_of(first))
        requester.await_report()
        status = store(association, second).Status
        ask(association, *uids_of(second))
        told = requester.await_report(2)
    association.release()

    assert status == 0x0000
    assert told.committed == {second.SOPInstanceUID}


def test_a_requester_that_has_gone_is_told_on_a_new_association_as_scp(node, requester):
    ds = identity()
    node.door.send(ds)
    association = requester.associate(node.door.port)
    transaction_uid = ask(association, *uids_of(ds))
    association.release()

    with requester.listening() as port, node.reporting(port):
        told = requester.await_report()

    roles = told.association.requestor.role_selection[StorageCommitmentPushModel]
    assert (told.event_type_id, told.transaction_uid, told.committed) == (1, transaction_uid, {ds.SOPInstanceUID})
    assert (roles.scu_role, roles.scp_role) == (False, True)


def test_a_request_survives_a_restart_and_a_requester_that_is_away(node, requester):
    ds = identity()
    node.door.send(ds)
    association = requester.associate(node.door.port)
    ask(association, *uids_of(ds))
    association.release()
    port = unused_port()
    at_start = [row.state for row in node.requests()]

    restarted = replace(node, lines=Lines())
    while_away = restarted.reporter(port, after_s=10).report_due()
    waiting = node.requests()[0]
    with requester.listening(port), restarted.reporting(port, after_s=20):
        told = requester.await_report()

    assert at_start == [CommitmentState.REQUESTED]
    assert while_away
    assert (waiting.state, waiting.attempt) == (CommitmentState.REQUESTED, 1)
    assert "can't be reached" in waiting.reason
    assert told.committed == {ds.SOPInstanceUID}


def test_each_instance_that_is_not_kept_has_its_own_reason(node, requester):
    kept, damaged, lost, of_another_class = (identity() for _ in range(4))
    node.door.send(kept, damaged, lost, of_another_class)
    with node.door.file(damaged.SOPInstanceUID).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    node.door.file(lost.SOPInstanceUID).unlink()
    never_sent = generate_uid()

    association = requester.associate(node.door.port)
    with node.reporting(after_s=10):  # else it would wait whether what was never sent is only not indexed yet
        wrong_class = (MRImageStorage, of_another_class.SOPInstanceUID)
        ask(association, *uids_of(kept, damaged, lost), wrong_class, (CTImageStorage, never_sent))
        told = requester.await_report()
    association.release()

    assert (told.event_type_id, told.committed) == (2, {kept.SOPInstanceUID})
    assert told.failed == {
        damaged.SOPInstanceUID: 0x0110,
        lost.SOPInstanceUID: 0x0112,
        of_another_class.SOPInstanceUID: 0x0119,
        never_sent: 0x0112,
    }


def test_as_many_instances_as_a_request_may_have_are_one_report(node, requester):
    datasets = [identity() for _ in range(MOST)]
    node.door.send(*datasets)
    association = requester.associate(node.door.port)
    with node.reporting():
        ask(association, *uids_of(*datasets))
        told = requester.await_report()
    association.release()

    assert told.committed == {ds.SOPInstanceUID for ds in datasets}


def test_whoever_is_unknown_is_told_on_its_own_association_or_not_at_all(node, requester):
    ds = identity()
    node.door.send(ds)
    association = requester.associate(node.door.port, calling_ae_title="STRANGER")
    with node.reporting():
        ask(association, *uids_of(ds))
        told = requester.await_report()
    transaction_uid = ask(association, *uids_of(ds))
    association.release()

    node.reporter(after_s=10).report_due()

    states = {row.transaction_uid: (row.state, row.reason) for row in node.requests()}
    assert told.committed == {ds.SOPInstanceUID}
    assert states[told.transaction_uid][0] == CommitmentState.REPORTED
    assert states[transaction_uid][0] == CommitmentState.ABANDONED
    assert "STRANGER" in states[transaction_uid][1]


@pytest.mark.parametrize(
    ("status", "state"),
    [(0x0110, CommitmentState.REQUESTED), (0x0213, CommitmentState.REQUESTED), (0x0115, CommitmentState.ABANDONED)],
)
def test_a_report_that_the_requester_can_take_later_is_repeated_and_one_that_it_never_takes_is_not(node, requester, status, state):
    requester.answer = status
    ds = identity()
    node.door.send(ds)
    association = requester.associate(node.door.port)
    ask(association, *uids_of(ds))
    association.release()

    with requester.listening() as port:
        node.reporter(port, after_s=10).report_due()

    assert len(requester.told) == 1
    assert (node.requests()[0].state, f"0x{status:04X}" in node.requests()[0].reason) == (state, True)


def test_a_requester_that_stays_away_too_long_is_given_up(node, requester):
    association = requester.associate(node.door.port)
    ask(association, (CTImageStorage, generate_uid()))
    association.release()

    settings = Settings(commitment={"report_for_s": 3600})
    node.reporter(unused_port(), after_s=3601, settings=settings).report_due()

    assert node.requests()[0].state == CommitmentState.ABANDONED


def test_the_same_request_again_is_answered_again(node, requester):
    ds = identity()
    node.door.send(ds)
    association = requester.associate(node.door.port)
    with node.reporting():
        transaction_uid = ask(association, *uids_of(ds))
        requester.await_report()
        ask(association, *uids_of(ds), transaction_uid=transaction_uid)
        told = requester.await_report(2)
    association.release()

    assert told.transaction_uid == transaction_uid
    assert len(node.requests()) == 1


def test_a_transaction_uid_for_other_instances_is_refused_but_another_peer_may_have_the_same(node, requester):
    association, of_another = requester.associate(node.door.port), requester.associate(node.door.port, calling_ae_title="ANOTHER")
    transaction_uid = ask(association, (CTImageStorage, generate_uid()))

    status = n_action(association, action_information([(CTImageStorage, generate_uid())], transaction_uid))
    ask(of_another, (CTImageStorage, generate_uid()), transaction_uid=transaction_uid)
    association.release()
    of_another.release()

    assert status == 0x0115
    assert {row.calling_ae_title for row in node.requests()} == {AE_TITLE, "ANOTHER"}


def no_transaction() -> Dataset:
    ds = action_information(ONE, "1.2.4")
    del ds.TransactionUID
    return ds


ONE = [(CTImageStorage, "1.2.3")]
BAD_REQUESTS = {
    "another action": (action_information(ONE, "1.2.4"), {"action_type": 2}, 0x0123),
    "another instance": (action_information(ONE, "1.2.4"), {"instance_uid": "1.2.5"}, 0x0112),
    "no instances": (action_information([], "1.2.4"), {}, 0x0115),
    "no transaction": (no_transaction(), {}, 0x0115),
    "no data set": (None, {}, 0x0115),
    "too many instances": (action_information([(CTImageStorage, f"1.2.{n}") for n in range(MOST + 1)], "1.2.4"), {}, 0x0213),
}


@pytest.mark.parametrize(("information", "arguments", "status"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_a_request_that_makes_no_sense_is_refused_and_the_association_lives_on(node, requester, information, arguments, status):
    association = requester.associate(node.door.port)

    answered = n_action(association, information, **arguments)
    with paused(association):
        alive = association.send_c_echo().Status
    association.release()

    assert (answered, alive) == (status, 0x0000)
    assert node.requests() == []


def test_while_the_database_is_away_nothing_is_promised(node, requester):
    with node.door.database.transaction() as session:
        session.execute(sa.text("ALTER TABLE commitment_requests RENAME TO away"))
    association = requester.associate(node.door.port)

    status = n_action(association, action_information(ONE, "1.2.4"))
    association.release()

    assert status == 0x0213


def test_whoever_the_settings_name_can_be_told():
    to = {"host": "pacs", "port": 104}
    settings = Settings(
        sources={"archive": {"ae_title": "ARCHIVE", **to}},
        destinations={"pacs": {"ae_title": "PACS", "confirm_ae_title": "PACS_SC", "confirm_port": 4104, **to}},
    )

    known = requesters(settings)

    assert {ae_title: (peer.port, peer.calling_ae_title) for ae_title, peer in known.items()} == {
        "ARCHIVE": (104, "CAD_NODE"),
        "PACS": (104, "CAD_NODE"),
        "PACS_SC": (4104, "CAD_NODE"),
    }
