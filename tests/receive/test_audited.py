"""What associations leave in the audit trail."""

import base64
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.sop_class import (
    ComprehensiveSRStorage,
    SegmentationStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from cad_node.audit.audit_log import AuditLog
from cad_node.audit.message import Source
from cad_node.audit.reading import records_after
from cad_node.audit.trail import LocalProcess, Trail
from cad_node.query.association import QueryPeer
from cad_node.query.find import find, identifier_of
from cad_node.receive.audited import Audited
from cad_node.receive.query import Query
from cad_node.settings import Destination, ListenerTls, Peer
from cad_node.store.database import Database
from cad_node.store.held import Held
from tests.audit.schema import is_valid
from tests.certificates import Authority
from tests.deliver.peers import only, pacs
from tests.factory import ct_study
from tests.receive.front_door import FrontDoor, encoded, opened_front_door, store_bytes, utc_now, wait_until
from tests.receive.made_results import make_results

FIND, GET, MOVE = (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)


@dataclass(frozen=True, slots=True)
class Told:
    """The messages of a trail."""

    folder: Path

    def messages(self, event: str) -> list[Element]:
        """Those of an event, each of which is valid."""
        documents = [record.message for _, record in records_after(self.folder)]
        assert all(map(is_valid, documents))
        parsed = [ElementTree.fromstring(document) for document in documents]
        return [message for message in parsed if message.find("EventIdentification/EventID").get("csd-code") == event]

    def wait_for(self, event: str, count: int = 1) -> list[Element]:
        wait_until(lambda: len(self.messages(event)) >= count)
        return self.messages(event)


TRANSFERRED, QUERY, ALERT = "110104", "110112", "110113"


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path / "audit")


@pytest.fixture
def audited(told: Told) -> Iterator[Audited]:
    log = AuditLog(told.folder, 10_000_000, fsync=False)
    yield Audited(Trail(log, Source("CAD"), LocalProcess("scp", 1, "CAD_NODE", "node"), utc_now))
    log.close()


@pytest.fixture(params=["fast", "plain"])
def door(request: pytest.FixtureRequest, tmp_path: Path, audited: Audited) -> Iterator[FrontDoor]:
    """By both ways of serving associations."""
    peers = {"known": Peer(ae_title="KNOWN", addresses=["10.0.0.0/8"])}
    with opened_front_door(tmp_path / "node", fast=request.param == "fast", audited=audited, peers=peers) as opened:
        yield opened


@pytest.fixture
def destinations() -> dict[str, Destination]:
    """Where a C-MOVE may send to."""
    return {}


@pytest.fixture
def results_door(tmp_path: Path, audited: Audited, destinations: dict[str, Destination]) -> Iterator[FrontDoor]:
    """A door with results of two studies behind it."""

    def services(database: Database) -> list[Query]:
        return [Query(Held(database), destinations, "CAD_NODE", audited)]

    with opened_front_door(tmp_path / "node", services=services, audited=audited) as opened:
        make_results(opened.database, tmp_path / "results", "1.2.1")
        make_results(opened.database, tmp_path / "results", "1.2.2")
        yield opened


def outcome(message: Element) -> tuple[str, str]:
    event = message.find("EventIdentification")
    return event.get("EventOutcomeIndicator"), event.findtext("EventOutcomeDescription", "")


def participants(message: Element) -> list[str]:
    return [participant.get("AlternativeUserID") for participant in message.iterfind("ActiveParticipant")]


def objects(message: Element) -> dict[str, dict[str, int]]:
    return {
        item.get("ParticipantObjectID"): {one.get("UID"): int(one.get("NumberOfInstances")) for one in item.iter("SOPClass")}
        for item in message.iterfind("ParticipantObjectIdentification")
    }


def test_what_an_association_brings_is_told_once_for_each_study(door: FrontDoor, told: Told):
    first, second = ct_study(slices=3), ct_study(slices=2)

    door.send(*first, *second, calling_ae_title="CT1")

    messages = told.wait_for(TRANSFERRED, 2)
    assert [objects(message) for message in messages] == [
        {first[0].StudyInstanceUID: {CTImageStorage: 3}},
        {second[0].StudyInstanceUID: {CTImageStorage: 2}},
    ]
    assert participants(messages[0]) == ["AETITLES=CT1", "AETITLES=CAD_NODE"]
    assert messages[0].find("ActiveParticipant").get("NetworkAccessPointID") == "127.0.0.1"
    (opened,) = told.messages(ALERT)
    assert outcome(opened) == ("0", "association accepted")


def test_what_a_lost_association_had_brought_is_told_too(door: FrontDoor, told: Told):
    association = door.associate()
    (ds, *_) = ct_study(slices=2)
    association.send_c_store(ds)

    association.abort()

    (message,) = told.wait_for(TRANSFERRED)
    assert objects(message) == {ds.StudyInstanceUID: {CTImageStorage: 1}}


def test_a_refused_association_is_an_alert_with_who_and_why(door: FrontDoor, told: Told):
    assert not door.associate(calling_ae_title="KNOWN").is_established

    (alert,) = told.wait_for(ALERT)
    assert outcome(alert) == ("4", "association refused: calling ae title not recognised")
    assert alert.find("EventIdentification/EventTypeCode").get("csd-code") == "110126"
    assert participants(alert) == ["AETITLES=CAD_NODE", "AETITLES=KNOWN"]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_uid_that_would_name_another_file_is_an_alert_and_other_faults_are_none(door: FrontDoor, told: Told):
    (ds,) = ct_study(slices=1)
    association = door.associate(calling_ae_title="EVIL")

    statuses = [
        store_bytes(association, encoded(ds), ds.SOPClassUID, "../../etc").Status,
        store_bytes(association, encoded(ds), ds.SOPClassUID, "1.2.3").Status,
    ]
    association.release()

    (alert,) = [message for message in told.messages(ALERT) if outcome(message)[0] != "0"]
    assert statuses == [0xC010, 0xA900]
    assert "SOP Instance UID" in outcome(alert)[1]
    assert alert.find("EventIdentification/EventTypeCode").get("csd-code") == "110132"
    assert participants(alert) == ["AETITLES=CAD_NODE", "AETITLES=EVIL"]


def test_a_failed_tls_handshake_is_an_alert(tmp_path: Path, told: Told, audited: Audited):
    authority = Authority(tmp_path / "authority")
    identity = authority.issue("node", "localhost")
    tls = ListenerTls(port=0, certificate=identity.certificate, key=identity.key, authorities=authority.file)

    with opened_front_door(tmp_path / "node", audited=audited, tls=tls) as door, socket.create_connection(("127.0.0.1", door.port)) as peer:
        peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
        (alert,) = told.wait_for(ALERT)

    assert outcome(alert)[0] == "4"
    assert outcome(alert)[1].startswith("association refused: TLS handshake: ")
    assert alert.find("ParticipantObjectIdentification").get("ParticipantObjectID") == "127.0.0.1"


def test_a_query_is_told_on_either_side_without_what_it_matches_a_patient_by(results_door: FrontDoor, told: Told, audited: Audited):
    peer = QueryPeer("127.0.0.1", results_door.port, "CAD_NODE", "PACS", 5, 5, audited.handlers())

    found = find(peer, "STUDY", {"StudyInstanceUID": "", "PatientName": "Muster*"})

    received, sent = sorted(told.messages(QUERY), key=lambda message: participants(message)[0] == "AETITLES=CAD_NODE")
    assert len(found) == 2
    assert participants(received) == ["AETITLES=PACS", "AETITLES=CAD_NODE"]
    assert participants(sent) == ["AETITLES=CAD_NODE", "AETITLES=CAD_NODE"]
    for message in (received, sent):
        query = base64.b64decode(message.findtext("ParticipantObjectIdentification/ParticipantObjectQuery"))
        assert dcmread(BytesIO(query), force=True).QueryRetrieveLevel == "STUDY"
        assert b"Muster" not in query
        assert list(objects(message)) == [FIND]


def test_a_query_whose_identifier_is_no_data_set_is_told(results_door: FrontDoor, told: Told):
    association = results_door.associate((FIND, ExplicitVRLittleEndian))
    request = C_FIND()
    request.MessageID, request.AffectedSOPClassUID, request.Priority, request.Identifier = 1, FIND, 2, BytesIO(b"\xff" * 7)
    (context_id,) = (context.context_id for context in association.accepted_contexts if context.abstract_syntax == FIND)

    association.dimse.send_msg(request, context_id)

    (message,) = told.wait_for(QUERY)
    association.release()
    assert list(objects(message)) == [FIND]


def test_what_a_pacs_pulls_is_told_as_sent(results_door: FrontDoor, told: Told):
    ae = AE("PACS")
    classes = [SegmentationStorage, ComprehensiveSRStorage]
    for uid in (GET, *classes):
        ae.add_requested_context(uid, ExplicitVRLittleEndian)
    roles = [build_role(uid, scp_role=True) for uid in classes]
    association = ae.associate(
        "127.0.0.1", results_door.port, ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0), (evt.EVT_CONN_OPEN, no_delay)]
    )

    statuses = [status.Status for status, _ in association.send_c_get(identifier_of("STUDY", {"StudyInstanceUID": "1.2.1"}), GET)]
    association.release()

    (message,) = told.wait_for(TRANSFERRED)
    assert statuses[-1] == 0x0000
    assert participants(message) == ["AETITLES=CAD_NODE", "AETITLES=PACS"]
    assert objects(message) == {"1.2.1": {None: 2}}
    assert outcome(message) == ("0", "")


def test_a_move_that_fails_is_told_as_a_failure_to_the_destination(
    results_door: FrontDoor, destinations: dict[str, Destination], told: Told
):
    with pacs(lambda _: 0x0000, only(ComprehensiveSRStorage, ExplicitVRLittleEndian)) as there:
        destinations["there"] = there
        association = results_door.associate((MOVE, ExplicitVRLittleEndian), calling_ae_title="ASKER")
        identifier = identifier_of("STUDY", {"StudyInstanceUID": "1.2.2"})
        statuses = [status.Status for status, _ in association.send_c_move(identifier, "PACS", MOVE)]
        association.release()

    (message,) = told.wait_for(TRANSFERRED)
    assert statuses[-1] == 0xB000
    assert participants(message) == ["AETITLES=CAD_NODE", "AETITLES=PACS"]
    assert outcome(message) == ("4", "status 0xB000, 1 instances failed in all")


def no_delay(event: evt.Event) -> None:
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
