"""Reports that a PACS makes on an association of its own about what the node has delivered."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from cad_node.commitment import Reference, Report
from cad_node.deliver.commitment_datasets import event_information
from cad_node.lifecycle import DeliveryState
from cad_node.receive.commitment import Lines, StorageCommitment
from cad_node.store.commitments import Commitments
from cad_node.store.confirmations import Confirmations, Resending
from cad_node.store.deliveries import Deliveries
from tests.confirmable import queue_confirmable
from tests.receive.front_door import FrontDoor, opened_front_door, surely_pausing, utc_now

TRANSACTION = "2.25.42"


class Asked:
    """A node that has asked about its two deliveries and waits for the report."""

    def __init__(self, door: FrontDoor, folder: Path) -> None:
        self.door, self.deliveries = door, Deliveries(door.database)
        self.references = [Reference(ds.SOPClassUID, ds.SOPInstanceUID) for ds in queue_confirmable(door.database, folder, "pacs")]
        for claim in self.deliveries.claim("pacs", "sender/1", utc_now(), 60, 10):
            self.deliveries.accept(claim, "0x0000 success", utc_now())
        confirmations = Confirmations(door.database, {"pacs": Resending(3, 10, 30)})
        confirmations.claim("pacs", TRANSACTION, utc_now(), actor="sender/1", lease_s=60, limit=10)

    def states(self) -> list[DeliveryState]:
        return [row.state for row in sorted(self.deliveries.list(), key=lambda row: row.id)]

    def report(self, information: Dataset, event_type: int = 1, instance_uid: str = StorageCommitmentPushModelInstance) -> int:
        """N-EVENT-REPORT as SCP on a new association; the status."""
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid, role.scu_role, role.scp_role = StorageCommitmentPushModel, False, True
        ae = AE("PACS")
        ae.add_requested_context(StorageCommitmentPushModel)
        association = surely_pausing(ae.associate("127.0.0.1", self.door.port, ext_neg=[role]))
        assert association.accepted_contexts[0].as_scp
        status, _ = association.send_n_event_report(information, event_type, StorageCommitmentPushModel, instance_uid)
        association.release()
        return status.Status


@pytest.fixture
def asked(tmp_path: Path, migrated_file: Path) -> Iterator[Asked]:
    folder = tmp_path / "node"
    folder.mkdir()
    shutil.copy(migrated_file, folder / "node.db")

    def services(database):
        confirmations = Confirmations(database, {"pacs": Resending(3, 10, 30)})
        return [StorageCommitment(Commitments(database), confirmations, Lines(), utc_now, name="scp/1")]

    with opened_front_door(folder, services=services) as door:
        yield Asked(door, tmp_path / "results")


def test_what_a_report_says_is_kept_is_committed_and_the_rest_is_sent_again(asked):
    kept, not_kept = asked.references

    event_type, information = event_information(Report(TRANSACTION, (kept,), {not_kept: 0x0213}))
    status = asked.report(information, event_type)

    assert status == 0x0000
    assert asked.states() == [DeliveryState.COMMITTED, DeliveryState.PENDING]


def test_a_report_may_come_twice(asked):
    _, information = event_information(Report(TRANSACTION, tuple(asked.references), {}))

    statuses = [asked.report(information), asked.report(information)]

    assert statuses == [0x0000, 0x0000]
    assert asked.states() == [DeliveryState.COMMITTED] * 2


@pytest.mark.parametrize(
    ("transaction_uid", "arguments", "status"),
    [
        ("2.25.43", {}, 0x0115),
        ("", {}, 0x0115),
        (TRANSACTION, {"event_type": 3}, 0x0113),
        (TRANSACTION, {"instance_uid": "1.2.3"}, 0x0112),
    ],
    ids=["unknown transaction", "no transaction", "unknown event", "another instance"],
)
def test_a_report_that_answers_nothing_is_refused_and_changes_nothing(asked, transaction_uid, arguments, status):
    _, information = event_information(Report(transaction_uid, tuple(asked.references), {}))

    answered = asked.report(information, **arguments)

    assert answered == status
    assert asked.states() == [DeliveryState.UNCONFIRMED] * 2
