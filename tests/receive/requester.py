"""A peer that asks for storage commitment and takes the reports, on loopback."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from tests.receive.front_door import ECHO, paused, surely_pausing

AE_TITLE = "REQUESTER"


@dataclass(frozen=True, slots=True)
class Told:
    """One N-EVENT-REPORT as it came."""

    event_type_id: int
    transaction_uid: str
    committed: set[str]
    failed: dict[str, int]
    association: Any


@dataclass(slots=True)
class Requester:
    told: list[Told] = field(default_factory=list)
    answer: int = 0x0000  # to reports
    port: int = 0

    def associate(self, port: int, calling_ae_title: str = AE_TITLE) -> Association:
        """An association with storage commitment, C-STORE of CT and verification; reports that come on it are taken."""
        ae = AE(calling_ae_title)
        ae.dimse_timeout = 10
        for context in (ECHO, StorageCommitmentPushModel):
            ae.add_requested_context(context)
        ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        return surely_pausing(ae.associate("127.0.0.1", port, ae_title="CAD_NODE", evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._take)]))

    def await_report(self, count: int = 1, timeout_s: float = 15) -> Told:
        deadline = time.monotonic() + timeout_s
        while len(self.told) < count:
            assert time.monotonic() < deadline, "no report came"
            time.sleep(0.02)
        return self.told[-1]

    @contextmanager
    def listening(self, port: int = 0) -> Iterator[int]:
        """Takes reports on associations of the node's; the port."""
        ae = AE(AE_TITLE)
        context = build_context(StorageCommitmentPushModel)
        context.scu_role = context.scp_role = True
        handlers = [(evt.EVT_N_EVENT_REPORT, self._take)]
        server = ae.start_server(("127.0.0.1", port), block=False, contexts=[context], evt_handlers=handlers)
        try:
            yield server.server_address[1]
        finally:
            for association in server.active_associations:
                association.join(5)
            server.shutdown()

    def _take(self, event: Any) -> tuple[int, None]:
        information = event.event_information
        committed = {item.ReferencedSOPInstanceUID for item in information.get("ReferencedSOPSequence", [])}
        failed = {item.ReferencedSOPInstanceUID: item.FailureReason for item in information.get("FailedSOPSequence", [])}
        self.told.append(Told(event.event_type, information.TransactionUID, committed, failed, event.assoc))
        return self.answer, None


def ask(association: Association, *instances: tuple[str, str], transaction_uid: str | None = None) -> str:
    """N-ACTION about (SOP class, SOP instance); its Transaction UID."""
    information = action_information(instances, transaction_uid or generate_uid())
    assert n_action(association, information) == 0x0000
    return str(information.TransactionUID)


def n_action(
    association: Association,
    information: Dataset | None,
    action_type: int = 1,
    instance_uid: str = StorageCommitmentPushModelInstance,
) -> int:
    """The status."""
    with paused(association):
        status, _ = association.send_n_action(information, action_type, StorageCommitmentPushModel, instance_uid)
    return int(status.Status)


def action_information(instances: Sequence[tuple[str, str]], transaction_uid: str) -> Dataset:
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = [Dataset() for _ in instances]
    for item, (sop_class_uid, sop_instance_uid) in zip(ds.ReferencedSOPSequence, instances, strict=True):
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return ds


def uids_of(*datasets: Dataset) -> list[tuple[str, str]]:
    return [(ds.SOPClassUID, ds.SOPInstanceUID) for ds in datasets]
